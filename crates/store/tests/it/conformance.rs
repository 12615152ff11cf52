//! What every store has to keep, run on each of them.

use store::{Class, Confirmation, FaultyStore, MemoryStore, Object, Proof, PutError, Store};

use crate::sealed::{Sealed, seal};
use crate::server::Server;

/// A store, and a way to see what stands in it that doesn't go through it.
struct Subject<'a> {
    store: &'a dyn Store,
    read: &'a (dyn Fn(&Object) -> Option<Vec<u8>> + Sync),
}

async fn every_promise(subject: &Subject<'_>) {
    a_put_object_stands_there_to_the_byte(subject).await;
    a_second_put_finds_the_first(subject).await;
    what_stands_there_is_not_changed(subject).await;
    damaged_bytes_never_become_an_object(subject).await;
    prefixes_of_every_form_reach_their_key(subject).await;
    puts_do_not_disturb_each_other(subject).await;
}

fn confirmed(sealed: &Sealed, answer: Result<Confirmation, PutError>, proof: Proof) {
    let confirmation = answer.unwrap();
    assert_eq!(confirmation.proof, proof);
    assert!(confirmation.etag.is_some_and(|etag| !etag.is_empty()));
    assert!(confirmation.checksum.starts_with("crc32:"), "{}", confirmation.checksum);
    assert_eq!(confirmation.checksum.len(), "crc32:".len() + 8, "{}", sealed.object.key);
}

async fn a_put_object_stands_there_to_the_byte(subject: &Subject<'_>) {
    for sealed in [Sealed::small(1), Sealed::large(1)] {
        confirmed(&sealed, subject.store.put(&sealed.object).await, Proof::Answered);
        assert!((subject.read)(&sealed.object) == Some(sealed.bytes));
    }
}

async fn a_second_put_finds_the_first(subject: &Subject<'_>) {
    for sealed in [Sealed::small(2), Sealed::large(2)] {
        confirmed(&sealed, subject.store.put(&sealed.object).await, Proof::Answered);
        confirmed(&sealed, subject.store.put(&sealed.object).await, Proof::AlreadyThere);
        assert!((subject.read)(&sealed.object) == Some(sealed.bytes));
    }
}

async fn what_stands_there_is_not_changed(subject: &Subject<'_>) {
    for (first, second) in
        [(Sealed::small(3), Sealed::large(3)), (Sealed::large(4), Sealed::small(4))]
    {
        subject.store.put(&first.object).await.unwrap();
        let usurper = Object { key: first.object.key.clone(), ..second.object.clone() };
        let refused = subject.store.put(&usurper).await.unwrap_err();
        assert!(matches!(refused, PutError::NotStored { class: Class::Park, .. }), "{refused}");
        assert!((subject.read)(&first.object) == Some(first.bytes));
    }
}

async fn damaged_bytes_never_become_an_object(subject: &Subject<'_>) {
    for (sealed, position) in [
        (Sealed::small(5), 0),
        (Sealed::small(6), 149_999),
        (Sealed::large(5), 1),
        (Sealed::large(6), 20 * 1024 * 1024),
    ] {
        sealed.flip(position);
        let refused = subject.store.put(&sealed.object).await.unwrap_err();
        assert!(matches!(refused, PutError::NotStored { class: Class::Damaged, .. }), "{refused}");
        assert_eq!((subject.read)(&sealed.object), None);
    }
    let gone = Sealed::small(7);
    std::fs::remove_dir_all(gone.directory()).unwrap();
    let refused = subject.store.put(&gone.object).await.unwrap_err();
    assert_eq!(refused.class(), Class::Damaged);
}

async fn prefixes_of_every_form_reach_their_key(subject: &Subject<'_>) {
    for prefix in ["", "a/b/c", "with space", "plus+and&", "ü/日本", "100%", "a=b?c#d", "q'\"<>"]
    {
        let sealed = seal("my-bucket", prefix, prefix.repeat(3).into_bytes(), 8);
        let sealed =
            if prefix.is_empty() { seal("my-bucket", "", b"top".into(), 8) } else { sealed };
        confirmed(&sealed, subject.store.put(&sealed.object).await, Proof::Answered);
        assert_eq!((subject.read)(&sealed.object), Some(sealed.bytes), "{prefix}");
    }
}

async fn puts_do_not_disturb_each_other(subject: &Subject<'_>) {
    let all: Vec<Sealed> = (10..26)
        .map(|nonce| seal("my-bucket", "many", vec![nonce; 1000 + usize::from(nonce)], nonce))
        .collect();
    let puts = all.iter().map(|sealed| subject.store.put(&sealed.object));
    for answer in futures::future::join_all(puts).await {
        assert_eq!(answer.unwrap().proof, Proof::Answered);
    }
    for sealed in all {
        assert_eq!((subject.read)(&sealed.object), Some(sealed.bytes));
    }
}

fn read(store: &MemoryStore, object: &Object) -> Option<Vec<u8>> {
    let mut all = store.objects().into_iter();
    let found = all.find(|o| o.key == object.key && o.destination == object.destination)?;
    assert_eq!((found.minute, found.events), (object.minute, object.events));
    Some(found.bytes.to_vec())
}

#[tokio::test]
async fn the_store_in_memory_keeps_every_promise() {
    let store = MemoryStore::new();
    every_promise(&Subject { store: &store, read: &|object| read(&store, object) }).await;
}

#[tokio::test]
async fn the_faulty_store_without_faults_keeps_every_promise() {
    let store = FaultyStore::new(MemoryStore::new());
    every_promise(&Subject { store: &store, read: &|object| read(store.inner(), object) }).await;
}

#[tokio::test]
async fn the_store_in_s3_keeps_every_promise() {
    let server = Server::start().await;
    let store = server.store().await;
    every_promise(&Subject { store: &store, read: &|object| server.read(object) }).await;
    assert_eq!(server.unfinished_uploads(), 0);
}
