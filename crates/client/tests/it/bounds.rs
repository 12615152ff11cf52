//! The bounds of the queue, and what a call that is dropped does to it.

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use futures::{FutureExt as _, poll};
use minutelog_client::SendError;
use serde_json::json;

use crate::service::{Reply, Service, id_of};

const BUCKET: &str = "my-bucket";

#[tokio::test]
async fn calls_beyond_the_bound_of_events_wait_until_others_are_answered_in_their_order() {
    let service = Service::start().await;
    let client = service.builder().max_queued_events(3).build().unwrap();
    let (first, second) = (service.hold(), service.hold());
    let calls = join_all((1..=7_u64).map(|number| client.send_s3(BUCKET, "", number)));
    let calls = tokio::spawn(calls);
    service.arrived(1).await;
    assert_eq!(json!(service.payloads()), json!([[1, 2, 3]]));
    first.send(()).unwrap();
    service.arrived(2).await;
    assert_eq!(json!(service.payloads()), json!([[1, 2, 3], [4, 5, 6]]));
    second.send(()).unwrap();
    let ids: Vec<_> = calls.await.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(ids, (1..=7).map(id_of).collect::<Vec<_>>());
    assert_eq!(json!(service.payloads()), json!([[1, 2, 3], [4, 5, 6], [7]]));
}

#[tokio::test]
async fn calls_beyond_the_bound_of_bytes_wait_and_a_larger_one_does_not_wait_for_ever() {
    let service = Service::start().await;
    // An event of a digit has 35 bytes, and a comma.
    let linger = Duration::from_millis(100);
    let client = service.builder().max_queued_bytes(80).linger(linger).build().unwrap();
    let large = "x".repeat(500);
    let calls = ["1", "2", "3", &*large, "4"].map(|payload| client.send_s3(BUCKET, "", payload));
    try_join_all(calls).await.unwrap();
    assert_eq!(json!(service.payloads()), json!([["1", "2"], ["3"], [large], ["4"]]));
}

#[tokio::test]
async fn the_queue_is_no_longer_than_its_bound() {
    let service = Service::start().await;
    let client = service.builder().max_queued_events(2).build().unwrap();
    let held = service.hold();
    let one = client.send_s3(BUCKET, "", 1).queue().await.unwrap();
    let two = client.send_s3(BUCKET, "", 2).queue().await.unwrap();
    let mut three = Box::pin(client.send_s3(BUCKET, "", 3).queue());
    service.arrived(1).await;
    assert!(poll!(&mut three).is_pending());
    held.send(()).unwrap();
    let three = three.await.unwrap();
    assert_eq!(try_join_all([one, two, three]).await.unwrap(), [id_of(1), id_of(2), id_of(3)]);
}

#[tokio::test]
async fn who_finds_no_room_in_time_is_told_so() {
    let service = Service::start().await;
    let builder = service.builder().max_queued_events(1).timeout(Duration::from_millis(300));
    let client = builder.build().unwrap();
    service.next([Reply::Silent]);
    let calls = join_all([1, 2].map(|number| client.send_s3(BUCKET, "", number)));
    let outcomes = calls.await;
    assert!(outcomes[0].as_ref().unwrap_err().may_be_accepted(), "{outcomes:?}");
    match &outcomes[1] {
        // Whether room came in the last moment or not, it did not get through.
        Err(SendError::NotAccepted(_)) => {}
        // It may also have come in in the very last moment, and got through.
        Ok(id) => assert_eq!(*id, id_of(2)),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_before_its_place_is_not_sent_and_one_after_it_is_sent_once() {
    let service = Service::start().await;
    let client = service.builder().max_queued_events(2).build().unwrap();
    let held = service.hold();
    let mut one = client.send_s3(BUCKET, "", 1);
    assert!((&mut one).now_or_never().is_none());
    service.arrived(1).await;
    // 2 has the last place; 3 and 4 wait for one.
    let [mut two, mut three, mut four] = [2, 3, 4].map(|number| client.send_s3(BUCKET, "", number));
    for call in [&mut two, &mut three, &mut four] {
        assert!(call.now_or_never().is_none());
    }
    drop(client.send_s3(BUCKET, "", 5));
    drop((one, two, three));
    held.send(()).unwrap();
    assert_eq!(four.await, Ok(id_of(4)));
    client.close().await;
    assert_eq!(json!(service.payloads().concat()), json!([1, 2, 4]));
}
