//! What minutelog is for: thirty events within a minute become one object with thirty lines.

use serde_json::json;
use tests::{Setup, Site, minute_of, until};

#[test]
fn thirty_events_of_a_minute_are_one_object_in_order() {
    let site = Site::with(&Setup { interval: "5s", ..Setup::default() });
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    let client = ingest.client();
    // A minute may end in the middle of them: then it is tried again under another prefix.
    let mut tries = 0;
    let (prefix, payloads, ids) = until("thirty events within one minute", || {
        tries += 1;
        let prefix = format!("test-{tries}");
        let payload = |n| format!(r#"{{"n":{n},"event":"order.created","total":{n}.50}}"#);
        let payloads: Vec<String> = (1..=30).map(payload).collect();
        let send = |payload: &String| client.send("my-bucket", &format!("{prefix}/"), payload);
        let ids: Vec<String> = payloads.iter().map(send).collect();
        let one_minute = ids.iter().all(|id| minute_of(id, 5) == minute_of(&ids[0], 5));
        one_minute.then_some((prefix, payloads, ids))
    });
    site.wait_until_drained();

    let objects = site.wait_for_objects(1);
    let objects = objects.of("my-bucket", &prefix);
    let [object] = objects[..] else { panic!("{} objects", objects.len()) };
    assert_eq!(object.lines, payloads);
    assert_eq!(object.minute, minute_of(&ids[0], 5));
    let put = site.s3.calls("PutObject").pop().expect("it was put");
    assert_eq!(put.header("if-none-match"), Some("*"));
    assert!(put.header("x-amz-checksum-crc32").is_some());

    for (line, id) in (1..).zip(&ids) {
        let document = site.event(&client, id);
        assert_eq!(document["id"], id.as_str());
        assert_eq!(document["dest"], json!({"delivered": 1, "total": 1}));
        let delivery = &document["deliveries"][0];
        assert_eq!(delivery["state"], "delivered", "{document}");
        assert_eq!(delivery["key"], object.key.as_str(), "{document}");
        assert_eq!((&delivery["line"], &delivery["error"]), (&json!(line), &json!(null)));
    }
    let listed = site.admin(&["events", "--id", &ids[29]]).exits(0).json();
    let one = site.event(&client, &ids[29]);
    assert_eq!(listed["events"], json!([one]));
    let all = site.admin(&["events", "--since", "15m", "--limit", "1000"]).exits(0).json();
    let all = all["events"].as_array().expect("a list");
    assert!(ids.iter().all(|id| all.iter().any(|row| row["id"] == id.as_str())), "{all:?}");

    let receipts = site.admin(&["receipts"]).exits(0).json();
    let receipts = receipts["receipts"].as_array().expect("a list");
    let receipt = receipts.iter().find(|receipt| receipt["key"] == object.key.as_str());
    let receipt = receipt.unwrap_or_else(|| panic!("no receipt for it in {receipts:?}"));
    assert_eq!(receipt["events"], 30);
    assert_eq!(receipt["bytes"], object.size);
    assert_eq!(ingest.terminate(), Some(0));
}
