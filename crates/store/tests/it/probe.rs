//! What people ask of a bucket, and what asking leaves behind.

use std::sync::Arc;

use model::{Bucket, ManualClock, Prefix, UnixMillis};
use store::{Aside, BucketConfig, Probe, S3Store, Store as _, TroubleKind};

use crate::sealed::Sealed;
use crate::server::{Act, Server, bucket};

const NOW_SECONDS: u64 = 1_795_342_505;

fn probe(store: &S3Store) -> Probe {
    let clock = Arc::new(ManualClock::new(UnixMillis::from_seconds(NOW_SECONDS)));
    let (name, prefix) = (Bucket::new("my-bucket").unwrap(), Prefix::new("a/b").unwrap());
    store.probe(&name, &prefix, "nonce", clock)
}

#[tokio::test]
async fn an_upload_that_is_begun_and_aborted_leaves_nothing() {
    let server = Server::start().await;
    let store = server.store().await;
    // A bucket of s3s-fs comes into being with an object.
    store.put(&Sealed::small(1).object).await.unwrap();
    let probe = probe(&store);
    assert_eq!(probe.location().await.unwrap(), "us-east-1");
    let id = probe.begin_upload(Aside::Nothing).await.unwrap();
    assert_eq!(server.unfinished_uploads(), 1);
    probe.abort_upload(&id).await.unwrap();
    assert_eq!(server.unfinished_uploads(), 0);
    let seen = probe.seen();
    assert_eq!(seen.server, server.config().endpoint);
    assert!(seen.latency.is_some() && seen.ahead_seconds.is_some(), "{seen:?}");
}

#[tokio::test]
async fn a_probe_sends_what_is_configured_and_what_is_asked_aside() {
    let server = Server::start().await;
    let of_bucket = BucketConfig {
        expected_owner: Some("123456789012".into()),
        acl: Some("bucket-owner-full-control".into()),
        tags: [("team".into(), "data".into())].into(),
        sse: Some("AES256".into()),
        ..bucket()
    };
    let store = S3Store::connect(server.config(), vec![of_bucket]).await.unwrap();
    let probe = probe(&store);
    assert!(probe.has_acl() && probe.has_tags());
    for aside in [Aside::Nothing, Aside::Acl, Aside::Tags] {
        server.refuse("CreateMultipartUpload", 403, "AccessDenied");
        assert!(probe.begin_upload(aside).await.unwrap_err().is_denied());
    }
    let seen = server.seen();
    let sent = |name| seen.iter().map(|seen| seen.header(name).is_some()).collect::<Vec<_>>();
    assert_eq!(sent("x-amz-acl"), [false, true, false]);
    assert_eq!(sent("x-amz-tagging"), [false, false, true]);
    for name in ["x-amz-expected-bucket-owner", "x-amz-server-side-encryption"] {
        assert_eq!(sent(name), [true; 3], "{name}");
    }
    assert!(seen.iter().all(|seen| seen.uri.path().ends_with("a/b/.minutelog-doctor/nonce")));
}

#[tokio::test]
async fn unfinished_uploads_of_ours_are_counted_page_by_page() {
    let server = Server::start().await;
    let store = server.store().await;
    let ours = Sealed::small(1).object.key;
    let upload = |key: &str, day: u32| {
        let begun = format!("2026-11-{day:02}T00:00:00.000Z");
        format!("<Upload><Key>{key}</Key><Initiated>{begun}</Initiated></Upload>")
    };
    let page = |more: &str, uploads: String| {
        let body =
            format!("<ListMultipartUploadsResult>{more}{uploads}</ListMultipartUploadsResult>");
        server.script("ListMultipartUploads", Act::Answer(200, "x-amz-request-id: 1", body));
    };
    let more = "<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>\
                <NextUploadIdMarker>u</NextUploadIdMarker>";
    page(more, upload(ours.as_str(), 20) + &upload("of/somebody/else", 1));
    page("", upload("a/.minutelog-doctor/nonce", 19));
    let found = probe(&store).unfinished_uploads().await.unwrap();
    let oldest = UnixMillis::from_seconds(NOW_SECONDS - NOW_SECONDS % 86_400 - 3 * 86_400);
    assert_eq!((found.count, found.oldest, found.are_more), (2, Some(oldest), false));
    let second = server.seen()[1].uri.query().unwrap().to_owned();
    assert!(second.contains("key-marker=k") && second.contains("upload-id-marker=u"), "{second}");

    for _ in 0..10 {
        page(more, String::new());
    }
    assert!(probe(&store).unfinished_uploads().await.unwrap().are_more);
}

#[tokio::test]
async fn answers_are_told_apart() {
    let server = Server::start().await;
    let store = server.store().await;
    let probe = probe(&store);
    let redirect = "x-amz-bucket-region: eu-west-1";
    let body = "<Error><Code>PermanentRedirect</Code></Error>".to_owned();
    server.script("GetBucketLocation", Act::Answer(301, redirect, body));
    let moved = probe.location().await.unwrap_err();
    assert_eq!((moved.kind, moved.region.as_deref()), (TroubleKind::Refused, Some("eu-west-1")));
    assert!(!moved.may_pass() && !moved.is_denied());
    server.refuse("GetBucketLocation", 503, "SlowDown");
    assert!(probe.location().await.unwrap_err().may_pass());
    let date = "date: Sun, 22 Nov 2026 10:25:05 GMT";
    let body = "<LocationConstraint>EU</LocationConstraint>".to_owned();
    server.script("GetBucketLocation", Act::Answer(200, date, body));
    let other = self::probe(&store);
    assert_eq!(other.location().await.unwrap(), "eu-west-1");
    assert_eq!(other.seen().ahead_seconds, Some(600));
    let config = store::S3Config { endpoint: Some("http://127.0.0.1:1".into()), ..server.config() };
    let nowhere = S3Store::connect(config, Vec::new()).await.unwrap();
    let trouble = self::probe(&nowhere).location().await.unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::NotConnected);
}

#[tokio::test]
async fn what_is_written_is_conditional_and_can_be_deleted() {
    let server = Server::start().await;
    let store = server.store().await;
    let probe = probe(&store);
    probe.put().await.unwrap();
    assert_eq!(probe.put().await.unwrap_err().status, Some(412));
    probe.delete().await.unwrap();
    probe.put().await.unwrap();
}

#[tokio::test]
async fn an_object_is_read_back_piece_by_piece() {
    let server = Server::start().await;
    let store = server.store().await;
    for sealed in [Sealed::small(1), Sealed::large(2)] {
        let object = &sealed.object;
        let etag = store.put(object).await.unwrap().etag;
        let bucket = object.destination.bucket();
        let mut download = store.download(bucket, &object.key, object.length).await.unwrap();
        assert_eq!(download.head().length, Some(object.length));
        assert_eq!(download.head().etag, etag);
        let digest = download.head().metadata.get("minutelog-blake3").cloned();
        assert_eq!(digest, Some(object.lines_digest.to_string()));
        let mut bytes = Vec::new();
        while let Some(piece) = download.next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert!(bytes == sealed.bytes);
    }
    let other = Sealed::small(3).object;
    let bucket = other.destination.bucket();
    let absent = store.download(bucket, &other.key, other.length).await.unwrap_err();
    assert_eq!(absent.status, Some(404));
    server.refuse("GetObject", 403, "AccessDenied");
    assert!(store.download(bucket, &other.key, 1).await.unwrap_err().is_denied());
}
