//! Puts one sealed object into S3 and says what became of it.
//!
//! A [`Store`] gets an [`Object`]: a range of a file on disk, the key it belongs under, and the
//! checksums that the seal computed. It answers with a [`Confirmation`], after which the bytes on
//! disk may go, or with a [`PutError`] that says whether the object may stand in S3 all the same
//! ([`PutError::Unknown`]) and what has to happen next ([`Class`]). The store keeps no state of its
//! own between two puts, and knows nothing of the log.
//!
//! [`S3Store`] speaks to S3 and to what is compatible with it. [`MemoryStore`] and [`FaultyStore`]
//! take its place in tests.
//!
//! People who mend things ask more: [`Probe`] asks a bucket one question at a time and leaves nothing
//! behind, [`Download`] reads an object back. Delivery uses neither, and needs no permission for them.
//!
//! # Invariants
//! - **S1** An object whose checksums contradict each other is never sent.
//! - **S2** Bytes on disk that no longer match the seal's checksum never become an object: the last
//!   piece of a body is held back until the checksum of all of it is right.
//! - **S3** Nothing that stands under a key is overwritten: each request that makes an object
//!   appear carries `If-None-Match: *`, unless that is switched off for a store that lacks it.
//! - **S4** An object is confirmed only by an answer that names its `ETag`, or because it stands
//!   under its key, which no other object can have. An empty or garbled answer confirms nothing.
//! - **S5** A put that was sent and not answered is [`PutError::Unknown`], never `NotStored`.
//! - **S6** Every call has a time limit.
//! - **S7** A multipart upload that failed is aborted, and what an earlier life left behind under
//!   the same key is aborted before a new upload begins.

mod answer;
mod body;
mod classify;
mod config;
mod connect;
mod content_md5;
mod credentials;
mod download;
mod error;
mod faulty;
mod memory;
mod multipart;
mod object;
mod parts;
mod policy;
mod probe;
mod s3;
mod sealed;
mod standing;
mod target;
mod trouble;
mod uploads;
mod whole;

pub use config::{BucketConfig, Limits, S3Config, StaticCredentials};
pub use download::{Download, Head};
pub use error::{Class, ConnectError, PutError};
pub use faulty::{Fault, FaultyStore};
pub use memory::{MemoryStore, StoredObject};
pub use object::{BLOCK_BYTES, Confirmation, MULTIPART_ABOVE_BYTES, Object, Proof};
pub use policy::bucket_policy;
pub use probe::{Aside, Probe, Seen};
pub use s3::S3Store;
pub use trouble::{Trouble, TroubleKind};
pub use uploads::Unfinished;

/// Where sealed objects go.
#[async_trait::async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Puts one object, whole or not at all.
    ///
    /// May be called again with the same object after any error, and after a crash: it MUST then
    /// either store the same bytes under the same key or find them there
    /// ([`Proof::AlreadyThere`]). It MUST NOT change an object that stands under the key. A future
    /// that is dropped leaves the object's fate unknown, and at most an unfinished multipart
    /// upload, which the next put of the same object aborts.
    async fn put(&self, object: &Object) -> Result<Confirmation, PutError>;
}
