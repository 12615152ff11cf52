//! Why an object is not confirmed, and what has to happen next.

use model::Bucket;

/// What has to happen after a put that failed. In no case is data dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Try again after a while: it may go by itself.
    Retry,
    /// The destination is refused for a reason that only a person can mend.
    Park,
    /// The whole bucket is refused for a reason that only a person can mend, whatever the prefix.
    ParkBucket,
    /// The bytes on disk no longer match the seal's checksums.
    Damaged,
}

/// A put that was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The object does not stand in S3 because of this put.
    #[error("not stored: {message}")]
    NotStored {
        /// What to do next.
        class: Class,
        /// What happened, why, and what to do. Holds no secrets.
        message: String,
    },
    /// The object may stand in S3, or may not: the answer did not come.
    #[error("stored or not, the answer did not come: {message}")]
    Unknown {
        /// What to do next.
        class: Class,
        /// What happened, why, and what to do. Holds no secrets.
        message: String,
    },
}

impl PutError {
    /// What to do next.
    pub fn class(&self) -> Class {
        match self {
            Self::NotStored { class, .. } | Self::Unknown { class, .. } => *class,
        }
    }

    /// What happened, why, and what to do.
    pub fn message(&self) -> &str {
        match self {
            Self::NotStored { message, .. } | Self::Unknown { message, .. } => message,
        }
    }

    /// The same failure of a request that could not make the object appear, such as that of a part.
    pub(crate) fn before_completion(self) -> Self {
        match self {
            Self::NotStored { class, message } | Self::Unknown { class, message } => {
                Self::NotStored { class, message }
            }
        }
    }
}

/// A configuration that no client can be made of. Nothing in it depends on S3 being reachable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Two entries for one bucket.
    #[error("bucket {0}: configured twice")]
    Twice(Bucket),
    /// A value that S3 doesn't know or allow.
    #[error("bucket {bucket}: {key}: {why}")]
    Value {
        /// The bucket whose entry holds it.
        bucket: Bucket,
        /// The key in the configuration.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// An endpoint that is not the address of a web server.
    #[error("endpoint {0}: must begin with http:// or https://, followed by a host")]
    Endpoint(String),
}
