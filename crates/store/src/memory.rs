//! A store in memory, for the tests of whoever uses a store.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use model::{Bucket, Destination, Digest, Minute, ObjectKey};

use crate::Store;
use crate::body::unreadable;
use crate::error::{Class, PutError};
use crate::object::{BLOCK_BYTES, Confirmation, Object, Proof};
use crate::sealed::SealedBytes;

/// An object as [`MemoryStore`] keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Its bucket and prefix.
    pub destination: Destination,
    /// Its key.
    pub key: ObjectKey,
    /// The minute in its metadata.
    pub minute: Minute,
    /// The number of events in its metadata.
    pub events: u64,
    /// The digest of the lines in its metadata.
    pub lines_digest: Digest,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A store that keeps its objects in memory: as strict as S3 about checksums, and never overwriting.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<(Bucket, ObjectKey), StoredObject>>,
}

impl MemoryStore {
    /// A store without objects.
    pub fn new() -> Self {
        Self::default()
    }

    /// All that was put, by bucket and key.
    pub fn objects(&self) -> Vec<StoredObject> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.values().cloned().collect()
    }

    fn keep(&self, object: &Object, bytes: Bytes) -> Result<Confirmation, PutError> {
        let stored = StoredObject {
            destination: object.destination.clone(),
            key: object.key.clone(),
            minute: object.minute,
            events: object.events,
            lines_digest: object.lines_digest,
            bytes,
        };
        let etag = Some(format!("\"{:08x}\"", object.crc32));
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (object.destination.bucket().clone(), object.key.clone());
        match objects.get(&name) {
            None => {
                objects.insert(name, stored);
                Ok(object.confirmed(etag, Proof::Answered))
            }
            Some(standing) if *standing == stored => {
                Ok(object.confirmed(etag, Proof::AlreadyThere))
            }
            Some(_) => Err(PutError::NotStored {
                class: Class::Park,
                message: format!("another object stands under the key {}", object.key),
            }),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn put(&self, object: &Object) -> Result<Confirmation, PutError> {
        object.check()?;
        let wanted = object.clone();
        let bytes = tokio::task::spawn_blocking(move || read(&wanted))
            .await
            .expect("reading a file does not panic")?;
        self.keep(object, bytes)
    }
}

/// Reads the bytes of an object, block by block, and checks each block.
fn read(object: &Object) -> Result<Bytes, PutError> {
    let failed = |error: &std::io::Error| unreadable(object, error);
    let mut file =
        SealedBytes::open(&object.path, &object.extents).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    let mut left = object.length;
    for crc32 in &object.block_crc32 {
        let length = left.min(BLOCK_BYTES);
        let mut block = Vec::new();
        let count =
            (&mut file).take(length).read_to_end(&mut block).map_err(|error| failed(&error))?;
        if u64::try_from(count) != Ok(length) || crc32fast::hash(&block) != *crc32 {
            return Err(object.damaged("not what the seal's checksum says"));
        }
        bytes.append(&mut block);
        left -= length;
    }
    Ok(bytes.into())
}
