//! What was delivered is delivered again, from what a flusher has kept.

use serde_json::json;
use tests::{Kind, Objects, Setup, Site};

const DATA: i32 = 65;

fn site() -> Site {
    let buckets = vec!["my-bucket", "my-copy"];
    Site::with(&Setup { buckets, ..Setup::long_minute() })
}

#[test]
fn lost_objects_come_back_and_copies_go_elsewhere() {
    let site = site();
    let ingest = site.ingest();
    for payload in ["1", "2"] {
        ingest.client().send("my-bucket", "p/", payload);
    }
    let keep = [("MINUTELOG__FLUSHER__KEEP_DELIVERED", "1h")];
    let flusher = site.start(Kind::Flusher, &keep);
    site.drain().exits(0);
    assert_eq!(site.admin(&["verify"]).exits(0).json()["damaged"], json!([]));
    let found = site.admin(&["replay", "--since", "1h", "--dry-run"]).exits(0).json();
    assert_eq!((&found["replayed"]["found"], &found["replayed"]["events"]), (&json!(1), &json!(2)));
    assert_eq!(site.s3.bytes().len(), 1, "a dry run sends nothing");
    let args = ["replay", "--since", "1h", "--bucket", "my-bucket", "--to-bucket", "my-copy"];
    for state in ["delivered", "there"] {
        let replayed = site.admin(&args).exits(0).json();
        assert_eq!(replayed["objects"][0]["state"], state, "{replayed}");
        let objects = Objects::read(&site.s3);
        assert_eq!(objects.lines("my-copy", "p/"), ["1", "2"]);
        assert_eq!(objects.lines("my-bucket", "p/"), ["1", "2"]);
        assert_eq!(site.s3.bytes().len(), 2);
    }
    assert_eq!((flusher.terminate(), ingest.terminate()), (Some(0), Some(0)));
    // Not kept any longer: the next flusher lets go of it.
    let flusher = site.flusher();
    let gone = || site.admin(&["replay", "--since", "1h", "--dry-run"]).code == Some(DATA);
    tests::wait_for("the sealed bytes to go", gone);
    assert_eq!(flusher.terminate(), Some(0));
}
