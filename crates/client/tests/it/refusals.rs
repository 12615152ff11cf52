//! What the service refuses.

use futures::future::join_all;
use minutelog_client::{EventId, SendError};
use serde_json::{Value, json};

use crate::service::{Reply, Service, id_of};

const BUCKET: &str = "my-bucket";

/// The ids, and the kinds of refusals.
fn told(outcomes: Vec<Result<EventId, SendError>>) -> Vec<String> {
    let tell = |outcome: Result<EventId, SendError>| match outcome {
        Ok(id) => id.to_string(),
        Err(error) => error.refusal().expect("it was refused").kind().to_owned(),
    };
    outcomes.into_iter().map(tell).collect()
}

fn ids(numbers: &[u64]) -> Vec<String> {
    numbers.iter().map(|number| id_of(*number).to_string()).collect()
}

#[tokio::test]
async fn one_bad_event_does_not_take_the_good_ones_with_it() {
    let service = Service::start().await;
    let is_bad = |event: &Value| event["payload"] == 2 || event["payload"] == 4;
    service.next((0..3).map(|_| Reply::RefuseIf(is_bad, 413, "event-too-large")));
    let client = service.client();
    let outcomes = join_all((1..=5_u64).map(|n| client.send_s3(BUCKET, "", n))).await;
    let [one, three, five] = [1, 3, 5].map(|number| id_of(number).to_string());
    assert_eq!(told(outcomes), [&*one, "event-too-large", &*three, "event-too-large", &*five]);
    assert_eq!(json!(service.payloads()), json!([[1, 2, 3, 4, 5], [1, 3, 4, 5], [1, 3, 5]]));
    let seen = service.seen();
    assert!(seen[0].key() != seen[1].key() && seen[1].key() != seen[2].key());
}

#[tokio::test]
async fn what_is_refused_for_the_same_reason_is_refused_with_it() {
    let service = Service::start().await;
    service.next([Reply::RefuseIf(|event| event["bucket"] == "Bad", 422, "invalid-bucket")]);
    let client = service.client();
    let bucket = |number: u64| if number.is_multiple_of(2) { BUCKET } else { "Bad" };
    let calls = (0..100).map(|number| client.send_s3(bucket(number), number.to_string(), number));
    let expected = (0..100).map(|number| match bucket(number) {
        "Bad" => "invalid-bucket".to_owned(),
        _ => id_of(number).to_string(),
    });
    assert_eq!(told(join_all(calls).await), expected.collect::<Vec<_>>());
    assert_eq!(service.seen().len(), 2);
}

#[tokio::test]
async fn the_error_tells_what_the_service_told() {
    let service = Service::start().await;
    service.next([Reply::Of(1, 422, "invalid-prefix", "prefix")]);
    let client = service.client();
    let calls = [client.send_s3(BUCKET, "", 1), client.send_s3(BUCKET, "/bad", 2)];
    let mut outcomes = join_all(calls).await;
    match outcomes.pop() {
        Some(Err(SendError::Refused(refusal))) => {
            assert_eq!((refusal.status(), refusal.kind()), (422, "invalid-prefix"));
            assert_eq!(refusal.title(), "title of invalid-prefix");
            assert_eq!(refusal.detail(), "detail of invalid-prefix");
            assert_eq!(refusal.field(), Some("prefix"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(told(outcomes), ids(&[1]));
}

#[tokio::test]
async fn after_a_request_that_was_too_much_the_events_go_in_smaller_ones() {
    for (status, slug) in [
        (413, "request-too-large"),
        (413, "too-many-destinations-in-request"),
        (413, "too-many-ids"),
        (408, "slow-body"),
    ] {
        let service = Service::start().await;
        service.next([Reply::Of(1, status, slug, "bucket")]);
        let client = service.client();
        let outcomes = join_all((1..=4_u64).map(|n| client.send_s3(BUCKET, "", n))).await;
        assert_eq!(told(outcomes), ids(&[1, 2, 3, 4]), "{slug}");
        assert_eq!(json!(service.payloads()), json!([[1, 2, 3, 4], [1, 2], [3, 4]]), "{slug}");
    }
}

#[tokio::test]
async fn what_names_no_event_is_found_by_halves() {
    let service = Service::start().await;
    service.next([Reply::Problem(400, "not-json"), Reply::Problem(400, "not-json")]);
    let client = service.client();
    let outcomes = join_all((1..=2_u64).map(|n| client.send_s3(BUCKET, "", n))).await;
    assert_eq!(told(outcomes), ["not-json".to_owned(), id_of(2).to_string()]);
}

#[tokio::test]
async fn a_token_that_is_refused_refuses_all() {
    let service = Service::start().await;
    service.next([Reply::Problem(401, "unauthorized")]);
    let client = service.client();
    let outcomes = join_all((1..=2_u64).map(|n| client.send_s3(BUCKET, "", n))).await;
    assert_eq!(told(outcomes), ["unauthorized", "unauthorized"]);
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn what_is_not_the_service_is_told_as_that() {
    let service = Service::start().await;
    service.next([Reply::Page(404, "<html>".to_owned()), Reply::Page(200, "{}".to_owned())]);
    let client = service.client();
    let error = client.send_s3(BUCKET, "", 1).await.unwrap_err();
    assert!(matches!(error, SendError::NotTheService { .. }), "{error}");
    // It said yes to something: nobody knows to what.
    let error = client.send_s3(BUCKET, "", 1).await.unwrap_err();
    assert!(error.may_be_accepted(), "{error}");
}
