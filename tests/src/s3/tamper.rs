//! What the owner of a bucket, or somebody else, may do to it behind minutelog's back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::memory::Upload;
use super::{S3Server, Stored, lock};

impl S3Server {
    /// Answers an operation, or what needs a permission of its own (`PutObjectAcl`), with an error
    /// of S3, from now on.
    pub fn refuse(&self, what: &'static str, code: &'static str) {
        lock(&self.contents).manner.refused.insert(what, code);
    }

    /// Ends that.
    pub fn allow(&self, what: &'static str) {
        lock(&self.contents).manner.refused.remove(what);
    }

    /// Moves a bucket to another region, in name.
    pub fn set_region(&self, bucket: &str, region: &str) {
        lock(&self.contents).manner.regions.insert(bucket.to_owned(), region.to_owned());
    }

    /// Has the store say that it is another time, as HTTP has it.
    pub fn set_date(&self, date: String) {
        lock(&self.contents).manner.date = Some(date);
    }

    /// Makes the store one that takes `If-None-Match` for nothing.
    pub fn ignore_conditions(&self) {
        lock(&self.contents).manner.ignores_conditions = true;
    }

    /// Leaves an upload behind that was begun so long ago.
    #[expect(clippy::disallowed_methods, reason = "it is a time of the store's, not of ours")]
    pub fn leave_upload(&self, bucket: &str, key: &str, age: Duration) {
        let mut contents = lock(&self.contents);
        contents.made += 1;
        let id = format!("upload-{}", contents.made);
        let blank = Stored {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            content_type: None,
            metadata: BTreeMap::new(),
            bytes: Arc::default(),
            etag: String::new(),
            parts: 0,
        };
        let begun = Some((SystemTime::now() - age).into());
        contents.uploads.insert(id, Upload { blank, parts: BTreeMap::new(), begun });
    }

    /// Changes the bytes of an object.
    pub fn change_bytes(&self, bucket: &str, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        self.change(bucket, key, |stored| change(Arc::make_mut(&mut stored.bytes)));
    }

    /// Changes the metadata of an object.
    pub fn set_metadata(&self, bucket: &str, key: &str, name: &str, value: &str) {
        self.change(bucket, key, |stored| {
            stored.metadata.insert(name.to_owned(), value.to_owned());
        });
    }

    /// Gives an object another `ETag`, as writing the same bytes again can.
    pub fn set_etag(&self, bucket: &str, key: &str, etag: &str) {
        self.change(bucket, key, |stored| etag.clone_into(&mut stored.etag));
    }

    /// Exchanges what stands under two keys.
    pub fn swap(&self, bucket: &str, one: &str, other: &str) {
        let mut contents = lock(&self.contents);
        let objects = contents.buckets.get_mut(bucket).expect("the bucket is there");
        let (first, second) = (objects[one].clone(), objects[other].clone());
        objects.insert(one.to_owned(), Stored { key: one.to_owned(), ..second });
        objects.insert(other.to_owned(), Stored { key: other.to_owned(), ..first });
    }

    /// Deletes an object.
    pub fn remove(&self, bucket: &str, key: &str) {
        let mut contents = lock(&self.contents);
        let objects = contents.buckets.get_mut(bucket).expect("the bucket is there");
        objects.remove(key).expect("the object is there");
    }

    /// The keys in a bucket.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        lock(&self.contents).buckets[bucket].keys().cloned().collect()
    }

    fn change(&self, bucket: &str, key: &str, change: impl FnOnce(&mut Stored)) {
        let mut contents = lock(&self.contents);
        let objects = contents.buckets.get_mut(bucket).expect("the bucket is there");
        change(objects.get_mut(key).expect("the object is there"));
    }
}
