//! What it means that S3 does not give an object, and what is told of a bucket that is not there.

use std::collections::BTreeMap;

use model::Bucket;
use store::Trouble;

use crate::human;
use crate::objects::State;

/// So many buckets are told as one each; the objects of any further one are told one by one.
const MAX_BUCKETS: usize = 10_000;

/// What stands between a receipt and its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// A permission or credentials.
    Denied,
    /// The bucket does not exist: of its objects nothing is known.
    NoBucket,
}

/// The state of an object that S3 does not give, what is said of it, and what a person must mend.
pub(crate) fn unread(trouble: &Trouble) -> (State, String, Option<Obstacle>) {
    let message = &trouble.message;
    if trouble.has_code("NoSuchBucket") {
        let what = "cannot be compared: there is no such bucket";
        return (State::Unknown, what.to_owned(), Some(Obstacle::NoBucket));
    }
    if trouble.is_delete_marker {
        let what = "it was deleted, and the bucket keeps the version before";
        return (State::Missing, what.to_owned(), None);
    }
    if trouble.status == Some(404) {
        return (State::Missing, "nothing stands under its key".to_owned(), None);
    }
    if trouble.is_denied() {
        // S3, "GetObject": without s3:ListBucket, what is missing is answered by 403 as well.
        let what = format!("cannot be compared: needs s3:GetObject: {message}");
        return (State::Unknown, what, Some(Obstacle::Denied));
    }
    if trouble.is_of_credentials() {
        let what = format!("cannot be compared: mend the credentials: {message}");
        return (State::Unknown, what, Some(Obstacle::Denied));
    }
    if trouble.has_code("InvalidObjectState") {
        let what = "it is archived: restore it, and run this again";
        return (State::Unknown, what.to_owned(), None);
    }
    (State::Unknown, format!("could not be read: {message}"), None)
}

/// The buckets that do not exist, each with how many receipts could not be checked for that.
#[derive(Debug, Default)]
pub(crate) struct NoBuckets(BTreeMap<Bucket, u64>);

impl NoBuckets {
    /// Counts a receipt whose bucket does not exist; `false` where there are too many buckets.
    pub(crate) fn count(&mut self, bucket: &Bucket) -> bool {
        if let Some(receipts) = self.0.get_mut(bucket) {
            *receipts += 1;
            return true;
        }
        if self.0.len() == MAX_BUCKETS {
            return false;
        }
        self.0.insert(bucket.clone(), 1);
        true
    }

    /// Whether every bucket exists.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each bucket with what is said of it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Bucket, String)> {
        self.0.iter().map(|(bucket, receipts)| {
            let receipts = human::count(*receipts, "receipt");
            (bucket, format!("the bucket does not exist: {receipts} could not be checked"))
        })
    }

    /// As in `bucket a does not exist`.
    pub(crate) fn summary(&self) -> String {
        match (self.0.keys().next(), self.0.len()) {
            (Some(bucket), 1) => format!("bucket {bucket} does not exist"),
            (Some(bucket), _) => format!("bucket {bucket} and others do not exist"),
            (None, _) => "every bucket exists".to_owned(),
        }
    }
}
