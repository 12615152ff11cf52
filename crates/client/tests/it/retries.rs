//! What is sent again, and when it is given up.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use minutelog_client::{Client, SendError};

use crate::service::{Reply, Service, id_of};

const BUCKET: &str = "my-bucket";

#[tokio::test]
async fn what_fails_for_a_reason_that_passes_is_sent_again_under_the_same_key() {
    for reply in [
        Reply::Lost,
        Reply::Problem(429, "rate-limited"),
        Reply::Problem(500, "internal"),
        Reply::Problem(503, "log-full"),
        Reply::Problem(503, "draining"),
        Reply::Problem(503, "log-stopped"),
        Reply::Problem(408, "slow-body"),
        Reply::Problem(400, "broken-body"),
        Reply::Page(502, "<html>".to_owned()),
        // An answer that is far too long is none.
        Reply::Page(200, " ".repeat(5 << 20)),
    ] {
        let service = Service::start().await;
        service.next([reply]);
        assert_eq!(service.client().send_s3(BUCKET, "", 1).await, Ok(id_of(1)));
        service.assert_repeated(2);
    }
}

#[tokio::test]
async fn it_is_sent_again_as_often_as_it_takes() {
    let service = Service::start().await;
    service.next([Reply::Lost, Reply::Problem(503, "overloaded"), Reply::Lost]);
    let client = service.client();
    let calls = [1, 2].map(|number| client.send_s3(BUCKET, "", number));
    assert_eq!(try_join_all(calls).await.unwrap(), [id_of(1), id_of(2)]);
    service.assert_repeated(4);
}

#[tokio::test]
async fn a_request_without_an_answer_is_given_up_and_sent_again() {
    let service = Service::start().await;
    service.next([Reply::Silent]);
    let client = service.builder().request_timeout(Duration::from_millis(200)).build().unwrap();
    assert_eq!(client.send_s3(BUCKET, "", 1).await, Ok(id_of(1)));
    service.assert_repeated(2);
}

#[tokio::test]
async fn a_service_that_is_not_there_yet_is_waited_for() {
    let before = Service::start().await;
    let address = before.address();
    drop(before);
    let client = Client::connect(&format!("http://{address}")).unwrap();
    let sending = client.send_s3(BUCKET, "", 1).queue().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let service = Service::at(address).await;
    assert_eq!(sending.await, Ok(id_of(1)));
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn nobody_comes_back_before_retry_after() {
    let service = Service::start().await;
    service.next([Reply::Later(429, "rate-limited", "3600")]);
    let client = service.builder().timeout(Duration::from_millis(300)).build().unwrap();
    match client.send_s3(BUCKET, "", 1).await {
        Err(error @ SendError::NotAccepted(_)) => {
            let refusal = error.refusal().unwrap();
            assert_eq!((refusal.status(), refusal.kind()), (429, "rate-limited"));
            assert!(error.to_string().contains("detail of rate-limited"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(service.seen().len(), 1);
    // Whoever comes later does not wait for it any more.
    assert_eq!(client.send_s3(BUCKET, "", 2).await, Ok(id_of(2)));
}

#[tokio::test]
async fn an_event_that_may_have_been_accepted_fails_as_unknown() {
    let service = Service::start().await;
    service.next([Reply::Lost]);
    service.next((0..50).map(|_| Reply::Problem(503, "draining")));
    let client = service.builder().timeout(Duration::from_millis(300)).build().unwrap();
    let error = client.send_s3(BUCKET, "", 1).await.unwrap_err();
    assert!(error.may_be_accepted(), "{error}");
}

#[tokio::test]
async fn so_does_one_whose_only_request_has_no_answer_yet() {
    let service = Service::start().await;
    service.next([Reply::Silent]);
    let client = service.builder().timeout(Duration::from_millis(300)).build().unwrap();
    match client.send_s3(BUCKET, "", 1).await {
        Err(SendError::Unknown(gave_up)) => assert_eq!(gave_up.reason(), "there was no answer"),
        other => panic!("{other:?}"),
    }
    assert_eq!(client.send_s3(BUCKET, "", 2).await, Ok(id_of(2)));
}

#[tokio::test]
async fn where_nobody_listens_it_is_certain_that_nothing_was_accepted() {
    let service = Service::start().await;
    let address = service.address();
    drop(service);
    let client = Client::builder(format!("http://{address}"));
    let client = client.timeout(Duration::from_millis(300)).build().unwrap();
    match client.send_s3(BUCKET, "", 1).await {
        Err(SendError::NotAccepted(gave_up)) => {
            assert!(gave_up.reason().contains("can't be reached"), "{gave_up}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_event_that_runs_out_of_time_leaves_the_others_of_its_request_their_time() {
    let service = Service::start().await;
    let client = service.builder().timeout(Duration::from_secs(2)).build().unwrap();
    let first = service.hold();
    let zero = client.send_s3(BUCKET, "", 0).queue().await.unwrap();
    service.arrived(1).await;
    let early = client.send_s3(BUCKET, "", 1).queue().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = service.hold();
    let late = client.send_s3(BUCKET, "", 2).queue().await.unwrap();
    first.send(()).unwrap();
    assert_eq!(zero.await, Ok(id_of(0)));
    service.arrived(2).await;
    assert!(early.await.unwrap_err().may_be_accepted());
    second.send(()).unwrap();
    assert_eq!(late.await, Ok(id_of(2)));
    assert_eq!(service.seen().len(), 2);
}

#[tokio::test]
async fn a_refusal_of_what_may_have_been_accepted_is_no_reason_to_send_the_rest_anew() {
    let service = Service::start().await;
    service.next([Reply::Lost, Reply::Of(0, 403, "destination-not-allowed", "bucket")]);
    let client = service.client();
    let calls = [1, 2].map(|number| client.send_s3(BUCKET, number.to_string(), number));
    for outcome in futures::future::join_all(calls).await {
        let error = outcome.unwrap_err();
        assert!(error.may_be_accepted(), "{error}");
        assert_eq!(error.refusal().map(minutelog_client::Refusal::status), Some(403));
    }
    service.assert_repeated(2);
}

#[tokio::test]
async fn what_is_wrong_in_itself_was_not_accepted_before_either() {
    let service = Service::start().await;
    service.next([Reply::Lost, Reply::Of(0, 422, "invalid-bucket", "bucket")]);
    let client = service.client();
    let calls = [client.send_s3("Bad", "", 1), client.send_s3(BUCKET, "", 2)];
    let outcomes = futures::future::join_all(calls).await;
    assert!(matches!(outcomes[0], Err(SendError::Refused(_))), "{outcomes:?}");
    assert_eq!(outcomes[1], Ok(id_of(2)));
}

/// Waits are drawn anew: that clients spread out is `backoff`'s test; this one is that the client
/// waits at all.
#[tokio::test]
async fn tries_are_not_made_at_once() {
    let service = Service::start().await;
    service.next((0..1000).map(|_| Reply::Problem(503, "draining")));
    let client = service.builder().timeout(Duration::from_millis(500)).build().unwrap();
    let error = client.send_s3(BUCKET, "", 1).await.unwrap_err();
    assert!(matches!(error, SendError::NotAccepted(_)), "{error}");
    assert!(service.seen().len() < 20, "{} tries", service.seen().len());
}

#[tokio::test]
async fn a_panic_of_on_error_does_not_end_the_client() {
    let service = Service::start().await;
    service.next([Reply::Problem(401, "unauthorized")]);
    let told = Arc::new(tokio::sync::Notify::new());
    let notify = Arc::clone(&told);
    let client = service.builder().on_error(move |unsent| {
        notify.notify_one();
        panic!("{}", unsent.error());
    });
    let client = client.build().unwrap();
    drop(client.send_s3(BUCKET, "", 1).queue().await.unwrap());
    told.notified().await;
    assert_eq!(client.send_s3(BUCKET, "", 2).await, Ok(id_of(2)));
}
