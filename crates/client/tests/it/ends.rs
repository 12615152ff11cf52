//! The end: flush, close, drop, and who is told.

use std::sync::{Arc, Mutex};

use futures::future::join_all;
use futures::poll;
use minutelog_client::SendError;
use serde_json::json;

use crate::service::{Reply, Service};

const BUCKET: &str = "my-bucket";

#[tokio::test]
async fn close_sends_everything_that_is_in_the_queue_and_refuses_what_comes_later() {
    let service = Service::start().await;
    service.next([Reply::Lost, Reply::Problem(503, "draining")]);
    let client = service.builder().max_request_events(10).build().unwrap();
    let other = client.clone();
    for number in 0..100_u32 {
        drop(client.send_s3(BUCKET, "", number).queue().await.unwrap());
    }
    let close = |client: minutelog_client::Client| async move { client.close().await };
    join_all([close(client.clone()), close(other.clone())]).await;
    let mut payloads = service.payloads();
    // The first one came three times, under one key.
    payloads.drain(..2);
    assert_eq!(json!(payloads.concat()), json!((0..100).collect::<Vec<u32>>()));
    assert_eq!(other.send_s3(BUCKET, "", 1).await, Err(SendError::Closed));
    other.close().await;
    other.flush().await;
}

#[tokio::test]
async fn close_refuses_calls_that_wait_for_room() {
    let service = Service::start().await;
    let client = service.builder().max_queued_events(1).build().unwrap();
    let held = service.hold();
    let one = client.send_s3(BUCKET, "", 1).queue().await.unwrap();
    let mut two = client.send_s3(BUCKET, "", 2);
    assert!(poll!(&mut two).is_pending());
    service.arrived(1).await;
    let mut close = Box::pin(client.close());
    assert!(poll!(&mut close).is_pending());
    assert_eq!(two.await, Err(SendError::Closed));
    held.send(()).unwrap();
    close.await;
    one.await.unwrap();
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn flush_waits_for_what_was_sent_before_it() {
    let service = Service::start().await;
    let client = service.client();
    let held = service.hold();
    drop(client.send_s3(BUCKET, "", 1).queue().await.unwrap());
    service.arrived(1).await;
    drop(client.send_s3(BUCKET, "", 2).queue().await.unwrap());
    let mut flush = Box::pin(client.flush());
    assert!(poll!(&mut flush).is_pending());
    held.send(()).unwrap();
    flush.await;
    assert_eq!(json!(service.payloads()), json!([[1], [2]]));
}

#[tokio::test]
async fn a_client_that_is_dropped_sends_what_is_in_the_queue() {
    let service = Service::start().await;
    let client = service.client();
    let held = service.hold();
    let one = client.send_s3(BUCKET, "", 1).queue().await.unwrap();
    service.arrived(1).await;
    drop(client.send_s3(BUCKET, "", 2).queue().await.unwrap());
    drop(client);
    held.send(()).unwrap();
    one.await.unwrap();
    service.arrived(2).await;
    assert_eq!(json!(service.payloads()), json!([[1], [2]]));
}

#[tokio::test]
async fn a_failure_that_nobody_waits_for_is_told_once_and_one_that_is_awaited_is_not() {
    let service = Service::start().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let client = service.builder().on_error(move |unsent| {
        let place = format!("{} {} {:?}", unsent.bucket(), unsent.prefix(), unsent.name());
        let kind = unsent.error().refusal().unwrap().kind().to_owned();
        tell.lock().unwrap().push((place, unsent.body().to_owned(), kind));
    });
    let client = client.build().unwrap();
    service.next((0..3).map(|_| Reply::Problem(401, "unauthorized")));
    client.send_s3(BUCKET, "", 1).await.unwrap_err();
    // Dropped before there is an outcome, and after.
    drop(client.event("n").send_s3(BUCKET, "p/", 2).queue().await.unwrap());
    client.flush().await;
    let three = client.send_s3(BUCKET, "", 3).queue().await.unwrap();
    client.flush().await;
    drop(three);
    client.close().await;
    let body = |more: &str| format!("{{\"bucket\":\"my-bucket\",{more}}}");
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0].0, "my-bucket p/ Some(\"n\")");
    assert_eq!(told[0].1, body("\"prefix\":\"p/\",\"event\":\"n\",\"payload\":2"));
    assert_eq!(told[1].1, body("\"payload\":3"));
    assert_eq!(told[1].2, "unauthorized");
}

#[test]
fn what_is_on_its_way_when_the_runtime_ends_is_unknown_and_what_waits_was_not_sent() {
    let serving = tokio::runtime::Runtime::new().unwrap();
    let service = serving.block_on(Service::start());
    service.next([Reply::Silent]);
    let sending = tokio::runtime::Runtime::new().unwrap();
    let (one, two) = sending.block_on(async {
        let client = service.client();
        let one = client.send_s3(BUCKET, "", 1).queue().await.unwrap();
        service.arrived(1).await;
        (one, client.send_s3(BUCKET, "", 2).queue().await.unwrap())
    });
    drop(sending);
    serving.block_on(async {
        assert!(one.await.unwrap_err().may_be_accepted());
        assert_eq!(two.await, Err(SendError::Closed));
    });
}
