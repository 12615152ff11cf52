//! What stands in the requests.

use store::{BucketConfig, Proof, S3Config, S3Store, Store as _};

use crate::sealed::Sealed;
use crate::server::{Act, Server, bucket};

fn configured() -> BucketConfig {
    BucketConfig {
        expected_owner: Some("123456789012".into()),
        storage_class: Some("STANDARD_IA".into()),
        sse: Some("aws:kms".into()),
        kms_key_id: Some("key-1".into()),
        acl: Some("bucket-owner-full-control".into()),
        tags: [("team".into(), "data & co".into())].into(),
        ..bucket()
    }
}

#[tokio::test]
async fn s3_every_request_that_makes_an_object_appear_is_conditional() {
    let server = Server::start().await;
    let store = server.store().await;
    store.put(&Sealed::small(1).object).await.unwrap();
    store.put(&Sealed::large(1).object).await.unwrap();
    let seen = server.seen();
    for call in ["PutObject", "CompleteMultipartUpload"] {
        let request = seen.iter().find(|seen| seen.call == call).unwrap();
        assert_eq!(request.header("if-none-match"), Some("*"), "{call}");
    }
}

#[tokio::test]
async fn what_is_configured_for_a_bucket_is_sent() {
    let server = Server::start().await;
    let store = S3Store::connect(server.config(), vec![configured()]).await.unwrap();
    let (small, large) = (Sealed::small(1), Sealed::large(1));
    // s3s-fs has two storage classes only.
    server.script("PutObject", Act::Answer(200, "etag: \"e\"", String::new()));
    assert_eq!(store.put(&small.object).await.unwrap().etag.as_deref(), Some("\"e\""));
    store.put(&large.object).await.unwrap();
    store.put(&large.object).await.unwrap();
    for seen in server.seen() {
        let owner = seen.header("x-amz-expected-bucket-owner");
        assert_eq!(owner, Some("123456789012"), "{}", seen.call);
    }
    for (call, object) in [("PutObject", &small.object), ("CreateMultipartUpload", &large.object)] {
        let seen = server.seen().into_iter().find(|seen| seen.call == call).unwrap();
        for (name, value) in [
            ("content-type", "application/gzip"),
            ("x-amz-meta-minutelog-minute", "2019-05-25T16:14:00Z"),
            ("x-amz-meta-minutelog-events", "30"),
            ("x-amz-meta-minutelog-blake3", &object.lines_digest.to_string()),
            ("x-amz-storage-class", "STANDARD_IA"),
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "key-1"),
            ("x-amz-acl", "bucket-owner-full-control"),
            ("x-amz-tagging", "team=data%20%26%20co"),
        ] {
            assert_eq!(seen.header(name), Some(value), "{call}");
        }
    }
    let calls = server.calls();
    for call in ["ListMultipartUploads", "UploadPart", "AbortMultipartUpload", "HeadObject"] {
        assert!(calls.contains(&call), "{call} of {calls:?}");
    }
}

#[tokio::test]
async fn checksums_of_the_seal_are_sent_in_headers() {
    let server = Server::start().await;
    let store = server.store().await;
    let (small, large) = (Sealed::small(1), Sealed::large(1));
    let confirmed = store.put(&small.object).await.unwrap();
    store.put(&large.object).await.unwrap();
    let sums: Vec<_> = server
        .seen()
        .into_iter()
        .map(|seen| (seen.call, seen.header("x-amz-checksum-crc32").map(str::to_owned)))
        .collect();
    let sum = confirmed.checksum.strip_prefix("crc32:").unwrap().to_owned();
    assert!(sums.contains(&("PutObject", Some(sum))), "{sums:?}");
    let parts = sums.iter().filter(|(call, sum)| *call == "UploadPart" && sum.is_some());
    assert_eq!(parts.count(), 3);
    for seen in server.seen() {
        assert_eq!(seen.header("content-encoding"), None, "{}", seen.call);
        assert_eq!(seen.header("x-amz-trailer"), None, "{}", seen.call);
        assert_eq!(seen.header("content-md5"), None, "{}", seen.call);
    }
}

#[tokio::test]
async fn a_store_that_lacks_checksums_and_conditions_gets_none() {
    let server = Server::start().await;
    let config = S3Config { checksums: false, conditional_writes: false, ..server.config() };
    let store = S3Store::connect(config, Vec::new()).await.unwrap();
    for sealed in [Sealed::small(1), Sealed::large(1)] {
        for _ in 0..2 {
            assert_eq!(store.put(&sealed.object).await.unwrap().proof, Proof::Answered);
        }
        assert!(server.read(&sealed.object) == Some(sealed.bytes));
    }
    for seen in server.seen() {
        for (name, _) in &seen.headers {
            assert!(!name.as_str().contains("checksum"), "{}: {name}", seen.call);
        }
        assert_eq!(seen.header("if-none-match"), None, "{}", seen.call);
        let moves_bytes = matches!(seen.call, "PutObject" | "UploadPart");
        assert_eq!(seen.header("content-md5").is_some(), moves_bytes, "{}", seen.call);
    }
}

#[tokio::test]
async fn a_bucket_can_live_elsewhere() {
    let (near, far) = (Server::start().await, Server::start().await);
    let elsewhere = BucketConfig { endpoint: far.config().endpoint, ..bucket() };
    let store = S3Store::connect(near.config(), vec![elsewhere]).await.unwrap();
    let (here, there) = (crate::sealed::seal("other", "", b"x".into(), 1), Sealed::small(1));
    store.put(&here.object).await.unwrap();
    store.put(&there.object).await.unwrap();
    assert_eq!((near.read(&here.object), far.read(&here.object)), (Some(here.bytes), None));
    assert_eq!((near.read(&there.object), far.read(&there.object)), (None, Some(there.bytes)));
}

#[tokio::test]
async fn a_bucket_is_configured_once() {
    let server = Server::start().await;
    let refused = S3Store::connect(server.config(), vec![bucket(), bucket()]).await.unwrap_err();
    assert_eq!(refused, store::ConnectError::Twice(bucket().name));
}
