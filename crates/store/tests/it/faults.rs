//! What the store makes of an S3 that refuses, is silent, or loses its answers.

use std::time::{Duration, Instant};

use model::Destination;
use store::{
    Class, Fault, FaultyStore, Limits, MemoryStore, Proof, PutError, S3Config, S3Store, Store as _,
};

use crate::sealed::{Sealed, seal};
use crate::server::{Act, Server};

fn is_unknown(error: &PutError, class: Class) -> bool {
    matches!(error, PutError::Unknown { .. }) && error.class() == class
}

fn is_not_stored(error: &PutError, class: Class) -> bool {
    matches!(error, PutError::NotStored { .. }) && error.class() == class
}

#[tokio::test]
async fn refusals_have_their_class_whatever_the_way() {
    let server = Server::start().await;
    let store = server.store().await;
    for (status, code, class) in [
        (404, "NoSuchBucket", Class::ParkBucket),
        (301, "PermanentRedirect", Class::ParkBucket),
        (403, "AccessDenied", Class::Park),
        (501, "NotImplemented", Class::Park),
        (503, "SlowDown", Class::Retry),
        (409, "ConditionalRequestConflict", Class::Retry),
    ] {
        let small = Sealed::small(1);
        server.refuse("PutObject", status, code);
        let error = store.put(&small.object).await.unwrap_err();
        assert!(is_not_stored(&error, class), "{error}");
        for part in ["my-bucket", code, "by script"] {
            assert!(error.message().contains(part), "{error}");
        }
        // Classes don't depend on the call; two codes in parts are enough, and large objects slow.
        let calls = ["CreateMultipartUpload", "CompleteMultipartUpload"];
        for call in calls.into_iter().filter(|_| matches!(status, 403 | 404)) {
            let large = Sealed::large(1);
            server.refuse(call, status, code);
            let error = store.put(&large.object).await.unwrap_err();
            assert!(is_not_stored(&error, class), "{call}: {error}");
            assert_eq!(server.read(&large.object), None);
        }
    }
    assert_eq!(server.unfinished_uploads(), 0);
}

#[tokio::test]
async fn the_region_of_a_redirect_is_told() {
    let server = Server::start().await;
    let body = "<Error><Code>PermanentRedirect</Code></Error>".to_owned();
    server.script("PutObject", Act::Answer(301, "x-amz-bucket-region: eu-west-1", body));
    let error = server.store().await.put(&Sealed::small(1).object).await.unwrap_err();
    assert!(error.message().contains("the bucket is in region eu-west-1"), "{error}");
}

#[tokio::test]
async fn a_wrong_key_is_a_matter_for_a_person_and_shows_no_secret() {
    let server = Server::start().await;
    let mut config = server.config();
    let secret = "not-the-secret-of-the-server";
    if let Some(keys) = config.credentials.as_mut() {
        keys.secret_access_key = secret.into();
    }
    let store = S3Store::connect(config, Vec::new()).await.unwrap();
    let error = store.put(&Sealed::small(1).object).await.unwrap_err();
    assert!(is_not_stored(&error, Class::Park), "{error}");
    assert!(!format!("{error:?} {store:?}").contains(secret));
}

#[tokio::test]
async fn s5_a_lost_answer_is_unknown_and_found_by_the_next_put() {
    let server = Server::start().await;
    let store = server.store().await;
    for (sealed, call) in
        [(Sealed::small(1), "PutObject"), (Sealed::large(1), "CompleteMultipartUpload")]
    {
        // Looking is refused both times, as by a policy with no more than the five permissions.
        server.script(call, Act::LoseAnswer);
        server.refuse("HeadObject", 403, "");
        let error = store.put(&sealed.object).await.unwrap_err();
        assert!(is_unknown(&error, Class::Retry), "{error}");
        server.refuse("HeadObject", 403, "");
        let found = store.put(&sealed.object).await.unwrap();
        assert_eq!((found.proof, found.etag), (Proof::AlreadyThere, None));
        assert!(server.read(&sealed.object) == Some(sealed.bytes));
    }
    assert_eq!(server.unfinished_uploads(), 0);
}

#[tokio::test]
async fn an_object_whose_answer_is_lost_is_found_at_once_where_we_may_look() {
    let server = Server::start().await;
    let store = server.store().await;
    for (sealed, call) in
        [(Sealed::small(1), "PutObject"), (Sealed::large(1), "CompleteMultipartUpload")]
    {
        server.script(call, Act::LoseAnswer);
        let confirmation = store.put(&sealed.object).await.unwrap();
        assert_eq!(confirmation.proof, Proof::AlreadyThere);
        assert!(server.read(&sealed.object) == Some(sealed.bytes));
    }
}

#[tokio::test]
async fn s4_a_completion_of_200_with_an_error_or_nothing_inside_confirms_nothing() {
    let server = Server::start().await;
    let store = server.store().await;
    let large = Sealed::large(1);
    server.refuse("CompleteMultipartUpload", 200, "InternalError");
    let error = store.put(&large.object).await.unwrap_err();
    assert!(is_unknown(&error, Class::Retry), "{error}");
    assert!(error.message().contains("InternalError"), "{error}");

    for (call, sealed) in [("CompleteMultipartUpload", &large), ("PutObject", &Sealed::small(1))] {
        server.script(call, Act::Answer(200, "server: proxy", String::new()));
        let error = store.put(&sealed.object).await.unwrap_err();
        assert!(is_unknown(&error, Class::Retry), "{call}: {error}");
    }
    assert_eq!(server.read(&large.object), None);
}

#[tokio::test]
async fn s4_a_conflict_with_what_is_not_there_confirms_nothing() {
    let server = Server::start().await;
    let store = server.store().await;
    for (call, sealed) in
        [("PutObject", Sealed::small(1)), ("CompleteMultipartUpload", Sealed::large(1))]
    {
        // The look that follows finds nothing.
        server.refuse(call, 412, "PreconditionFailed");
        let error = store.put(&sealed.object).await.unwrap_err();
        assert!(is_unknown(&error, Class::Retry), "{call}: {error}");
        assert_eq!(store.put(&sealed.object).await.unwrap().proof, Proof::Answered);
    }
}

#[tokio::test]
async fn s7_a_success_waits_for_the_abort_of_its_upload() {
    let server = Server::start().await;
    let store = server.store().await;
    let large = Sealed::large(1);
    server.script("CompleteMultipartUpload", Act::LoseAnswer);
    server.refuse("HeadObject", 403, "");
    store.put(&large.object).await.unwrap_err();
    // The next upload meets the object, and is of no more use.
    for _ in 0..3 {
        server.refuse("AbortMultipartUpload", 500, "InternalError");
    }
    let error = store.put(&large.object).await.unwrap_err();
    assert!(is_unknown(&error, Class::Retry), "{error}");
    assert_eq!(store.put(&large.object).await.unwrap().proof, Proof::AlreadyThere);
    // Who may not abort is not kept waiting.
    server.refuse("AbortMultipartUpload", 403, "AccessDenied");
    assert_eq!(store.put(&large.object).await.unwrap().proof, Proof::AlreadyThere);
}

#[tokio::test]
async fn an_upload_that_is_gone_may_have_been_completed() {
    let server = Server::start().await;
    let large = Sealed::large(1);
    server.refuse("CompleteMultipartUpload", 404, "NoSuchUpload");
    let error = server.store().await.put(&large.object).await.unwrap_err();
    assert!(is_unknown(&error, Class::Retry), "{error}");
}

#[tokio::test]
async fn a_part_that_fails_is_sent_again_and_three_times_fail_the_upload() {
    let server = Server::start().await;
    let store = server.store().await;
    let large = Sealed::large(1);
    server.refuse("UploadPart", 500, "InternalError");
    store.put(&large.object).await.unwrap();
    assert_eq!(server.calls().iter().filter(|call| **call == "UploadPart").count(), 3 + 1);

    for _ in 0..9 {
        server.refuse("UploadPart", 500, "InternalError");
    }
    let error = store.put(&Sealed::large(2).object).await.unwrap_err();
    assert!(is_not_stored(&error, Class::Retry), "{error}");
    assert_eq!(server.unfinished_uploads(), 0);
}

#[tokio::test]
async fn s6_silence_ends_at_the_limit() {
    let server = Server::start().await;
    let limits = Limits {
        base: Duration::from_millis(300),
        read: Duration::from_millis(300),
        ..Limits::default()
    };
    let config = S3Config { limits, ..server.config() };
    let store = S3Store::connect(config, Vec::new()).await.unwrap();
    let start = Instant::now();
    server.script("PutObject", Act::Silence);
    let error = store.put(&Sealed::small(1).object).await.unwrap_err();
    assert!(is_unknown(&error, Class::Retry), "{error}");
    server.script("ListMultipartUploads", Act::Silence);
    let error = store.put(&Sealed::large(1).object).await.unwrap_err();
    assert!(is_not_stored(&error, Class::Retry), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_that_is_down_stores_nothing() {
    let server = Server::start().await;
    let store = server.store().await;
    drop(server);
    for sealed in [Sealed::small(1), Sealed::large(1)] {
        let error = store.put(&sealed.object).await.unwrap_err();
        assert!(is_not_stored(&error, Class::Retry), "{error}");
    }
}

#[tokio::test]
async fn s7_what_an_earlier_life_left_is_aborted() {
    let server = Server::start().await;
    let store = server.store().await;
    let large = Sealed::large(1);
    server.refuse("CompleteMultipartUpload", 500, "InternalError");
    store.put(&large.object).await.unwrap_err();
    assert_eq!(server.unfinished_uploads(), 1);
    let left = server.seen().iter().find_map(crate::server::Seen::upload_id).unwrap();
    let key = &large.object.key;
    let upload =
        |key: &str, id: &str| format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>");
    let list = format!(
        "<ListMultipartUploadsResult>{}{}</ListMultipartUploadsResult>",
        upload(key.as_str(), &left),
        upload(&format!("{key}.longer"), "someone-else's"),
    );
    server.script("ListMultipartUploads", Act::Answer(200, "server: script", list));
    assert_eq!(store.put(&large.object).await.unwrap().proof, Proof::Answered);
    assert_eq!(server.unfinished_uploads(), 0);
    let aborted = server.seen();
    let aborted = aborted.iter().filter(|seen| seen.call == "AbortMultipartUpload");
    assert_eq!(aborted.filter_map(crate::server::Seen::upload_id).collect::<Vec<_>>(), [left]);
}

#[tokio::test]
async fn the_faulty_store_follows_its_script() {
    let store = FaultyStore::new(MemoryStore::new());
    let (one, two) = (Sealed::small(1), seal("other-bucket", "", b"two".into(), 2));
    let refusal = PutError::NotStored { class: Class::ParkBucket, message: "no".into() };
    let destination = Destination::parse("other-bucket", "").unwrap();
    store.script_for(destination, Fault::Refuse(refusal.clone()));
    store.script(Fault::LoseAnswer);
    let error = store.put(&one.object).await.unwrap_err();
    assert!(is_unknown(&error, Class::Retry), "{error}");
    assert_eq!(store.put(&two.object).await, Err(refusal));
    assert_eq!(store.put(&one.object).await.unwrap().proof, Proof::AlreadyThere);
    assert_eq!(store.inner().objects().len(), 1);
    assert_eq!(store.tries(), [&one, &two, &one].map(|sealed| sealed.object.key.clone()));
}
