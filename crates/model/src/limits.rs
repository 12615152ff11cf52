//! The limits that no configuration can raise.

/// The largest payload of one event, in bytes. `ingest.max_event_bytes` can lower it.
pub const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// The longest prefix, in bytes of UTF-8. With the 102 bytes that [`ObjectKey`](crate::ObjectKey)
/// adds to it, a key stays well below the 1,024 bytes that S3 allows.
pub const MAX_PREFIX_BYTES: usize = 512;

/// The longest name that a caller may give to an event, in bytes of UTF-8.
pub const MAX_EVENT_NAME_BYTES: usize = 256;

/// The shortest bucket name: S3, "General purpose bucket naming rules".
pub const MIN_BUCKET_BYTES: usize = 3;

/// The longest bucket name: S3, "General purpose bucket naming rules".
pub const MAX_BUCKET_BYTES: usize = 63;
