//! What travels together.

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use minutelog_client::{Client, Json, SendError, Text};
use serde_json::{Value, json};

use crate::service::{Service, id_of};

const BUCKET: &str = "my-bucket";

#[tokio::test]
async fn calls_made_together_travel_together_and_each_gets_its_own_id() {
    let service = Service::start().await;
    let client = service.builder().token("secret").build().unwrap();
    let calls = (1..=3_u64).map(|number| client.send_s3(BUCKET, "test/", number));
    let ids = try_join_all(calls).await.unwrap();
    assert_eq!(ids, [id_of(1), id_of(2), id_of(3)]);
    let seen = service.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].target, "/v1/send/s3");
    assert_eq!(seen[0].header("authorization"), Some("Bearer secret"));
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    assert_eq!(seen[0].header("content-length"), Some(&*seen[0].body.len().to_string()));
    assert!(seen[0].key().is_some());
    assert_eq!(service.payloads(), [[1, 2, 3].map(Value::from)]);
}

#[tokio::test]
async fn what_comes_while_a_request_is_under_way_travels_in_the_next_one() {
    let service = Service::start().await;
    let client = service.client();
    let first = service.hold();
    let one = client.send_s3(BUCKET, "", 1).queue().await.unwrap();
    service.arrived(1).await;
    let two = client.send_s3(BUCKET, "", 2).queue().await.unwrap();
    let three = client.send_s3(BUCKET, "", 3).queue().await.unwrap();
    first.send(()).unwrap();
    assert_eq!(try_join_all([one, two, three]).await.unwrap(), [id_of(1), id_of(2), id_of(3)]);
    assert_eq!(service.payloads(), [vec![json!(1)], vec![json!(2), json!(3)]]);
    let seen = service.seen();
    assert_ne!(seen[0].key(), seen[1].key());
    assert_eq!(service.connections(), 1);
}

#[tokio::test]
async fn calls_in_a_loop_some_left_out_nobody_waiting_come_in_their_order() {
    let service = Service::start().await;
    let client = service.builder().max_request_events(1000).build().unwrap();
    for number in 0..5000_u32 {
        if number % 5 != 0 {
            drop(client.send_s3(BUCKET, "", number).queue().await.unwrap());
        }
    }
    client.flush().await;
    let expected: Vec<u32> = (0..5000).filter(|number| number % 5 != 0).collect();
    let requests = service.payloads();
    assert_eq!(json!(requests.concat()), json!(expected));
    assert!(requests.iter().all(|payloads| payloads.len() <= 1000));
    assert!(requests.len() < 1000, "they travelled alone");
}

#[tokio::test]
async fn no_request_is_larger_than_allowed_and_what_is_larger_alone_travels_alone() {
    let service = Service::start().await;
    let linger = Duration::from_millis(100);
    let client = service.builder().max_request_bytes(300).linger(linger).build().unwrap();
    let large = "ü".repeat(200);
    let mut payloads: Vec<String> = (0..20).map(|number| "ä".repeat(number)).collect();
    payloads.push(large.clone());
    payloads.push("last".to_owned());
    join_all(payloads.iter().map(|payload| client.send_s3(BUCKET, "", payload))).await;
    assert_eq!(json!(service.payloads().concat()), json!(payloads));
    let seen = service.seen();
    assert!(seen.len() < payloads.len(), "some travelled together");
    for request in seen {
        let is_alone = request.payloads().len() == 1;
        assert!(request.body.len() <= 300 || is_alone, "{}", request.body);
    }
    assert!(service.payloads().contains(&vec![json!(large)]));
}

#[tokio::test]
async fn one_name_for_an_event_of_several_destinations() {
    let service = Service::start().await;
    let client = service.client();
    let order = client.event("order-1001");
    let calls = [
        order.send_s3("my-bucket", "orders/", Json("{\"total\": 0.10}")),
        order.send_s3("audit-bucket", "", "text"),
        client.send_s3("my-bucket", "", ()),
    ];
    try_join_all(calls).await.unwrap();
    assert_eq!(
        service.seen()[0].body,
        "[{\"bucket\":\"my-bucket\",\"prefix\":\"orders/\",\"event\":\"order-1001\",\"payload\":{\"total\": 0.10}},\
         {\"bucket\":\"audit-bucket\",\"event\":\"order-1001\",\"payload\":\"text\"},\
         {\"bucket\":\"my-bucket\",\"payload\":null}]"
    );
}

#[tokio::test]
async fn events_with_an_id_travel_without_a_key_apart_from_the_others() {
    let service = Service::start().await;
    let client = service.client();
    let call = |number: u32| client.send_s3(BUCKET, "", number);
    try_join_all([call(1), call(2).id("a"), call(3).id("b"), call(4)]).await.unwrap();
    assert_eq!(json!(service.payloads()), json!([[1], [2, 3], [4]]));
    let keys: Vec<bool> = service.seen().iter().map(|seen| seen.key().is_some()).collect();
    assert_eq!(keys, [true, false, true]);
    assert!(service.seen()[1].body.contains("\"id\":\"b\""));
}

#[tokio::test]
async fn lines_of_one_place_travel_together_as_they_are() {
    let service = Service::start().await;
    let client = service.client();
    let named = client.event("n 1");
    let calls = [
        named.send_s3(BUCKET, "a b/", Text("GET / \"200\"\r")),
        named.send_s3(BUCKET, "a b/", Text("")),
        named.send_s3(BUCKET, "a b/", Text(b"last")),
        client.send_s3(BUCKET, "other", Text("x")),
    ];
    let ids = try_join_all(calls).await.unwrap();
    assert_eq!(ids, [id_of(1), id_of(2), id_of(3), id_of(1)]);
    let seen = service.seen();
    assert_eq!(seen[0].target, "/v1/s3/my-bucket?prefix=a%20b%2F&event=n%201");
    assert_eq!(seen[0].header("content-type"), Some("text/plain"));
    assert_eq!(seen[0].body, "GET / \"200\"\r\n\nlast\n");
    assert!(seen[0].key().is_some());
    assert_eq!((&*seen[1].target, &*seen[1].body), ("/v1/s3/my-bucket?prefix=other", "x\n"));
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn a_call_that_is_wrong_sends_nothing() {
    let service = Service::start().await;
    let client = service.client();
    for (call, field) in [
        (client.send_s3(BUCKET, "", Text("a\nb")), "payload"),
        (client.send_s3(BUCKET, "", Json("{")), "payload"),
        (client.send_s3(BUCKET, "", Text("a")).id("i"), "id"),
    ] {
        match call.await {
            Err(SendError::Invalid { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{other:?}"),
        }
    }
    client.close().await;
    assert_eq!(service.seen().len(), 0);
}

#[tokio::test]
async fn a_base_path_of_the_address_is_kept() {
    let service = Service::start().await;
    let client = Client::connect(&format!("http://{}/minutelog/", service.address())).unwrap();
    client.send_s3(BUCKET, "", 1).await.unwrap();
    assert_eq!(service.seen()[0].target, "/minutelog/v1/send/s3");
}
