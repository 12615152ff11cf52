//! A store in memory with S3's semantics: what is not there is not there, a conditional put is
//! atomic, a checksum that doesn't fit refuses the bytes, and an upload that is gone is gone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectInput, DeleteObjectOutput, ETag, GetBucketLocationInput, GetBucketLocationOutput,
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, MultipartUpload, PutObjectInput, PutObjectOutput, Timestamp,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::body::{body, check, crc32, etag};
use super::lock;

/// S3, "Amazon S3 multipart upload limits": every part but the last.
const SMALLEST_PART_BYTES: usize = 5 * 1024 * 1024;

/// An object as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) content_type: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) etag: String,
    /// From how many parts it was made; 0 for one put.
    pub(crate) parts: usize,
}

impl Stored {
    /// Somebody else's.
    fn foreign(bucket: &str, key: &str, size: usize) -> Self {
        Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            content_type: None,
            metadata: BTreeMap::new(),
            bytes: Arc::new(vec![b'?'; size]),
            etag: "foreign".to_owned(),
            parts: 0,
        }
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.etag == "foreign"
    }
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) blank: Stored,
    pub(super) parts: BTreeMap<i32, (String, Vec<u8>)>,
    pub(super) begun: Option<Timestamp>,
}

/// What the store holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) buckets: BTreeMap<String, BTreeMap<String, Stored>>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// Keys that were put a second time without a condition, with other bytes where the store
    /// knows no conditions.
    pub(super) overwritten: Vec<String>,
    /// What objects are stamped by.
    pub(super) counter: Arc<AtomicU64>,
    /// What it said when each was stored, by bucket and key.
    pub(super) stamps: BTreeMap<(String, String), u64>,
    /// What the store is made to be like.
    pub(super) manner: Manner,
    pub(super) made: u64,
}

/// What a store can be like.
#[derive(Debug, Default)]
pub(super) struct Manner {
    /// The error that operations, and permissions that are none, are answered with.
    pub(super) refused: BTreeMap<&'static str, &'static str>,
    /// The regions of buckets that are not in `us-east-1`.
    pub(super) regions: BTreeMap<String, String>,
    /// The date in the answer to `GetBucketLocation`.
    pub(super) date: Option<String>,
    /// `If-None-Match` is taken for nothing.
    pub(super) ignores_conditions: bool,
    /// S3's checksums are taken for nothing, and none is shown.
    pub(super) ignores_checksums: bool,
}

impl Manner {
    fn allow(&self, what: &str) -> S3Result<()> {
        let code = self.refused.get(what).and_then(|code| S3ErrorCode::from_bytes(code.as_bytes()));
        code.map_or(Ok(()), |code| Err(s3s::S3Error::with_message(code, "by script")))
    }
}

impl Contents {
    fn bucket(&mut self, name: &str) -> S3Result<&mut BTreeMap<String, Stored>> {
        self.buckets.get_mut(name).ok_or_else(|| s3_error!(NoSuchBucket, "no bucket {name}"))
    }

    fn upload(&mut self, id: &str, key: &str) -> S3Result<&mut Upload> {
        let upload = self.uploads.get_mut(id).filter(|upload| upload.blank.key == key);
        upload.ok_or_else(|| s3_error!(NoSuchUpload, "no upload {id}"))
    }

    /// Puts somebody else's bytes where nothing stands.
    pub(super) fn store_foreign(&mut self, bucket: &str, key: &str, size: usize) {
        if let Ok(objects) = self.bucket(bucket) {
            let foreign = || Stored::foreign(bucket, key, size);
            objects.entry(key.to_owned()).or_insert_with(foreign);
        }
    }

    fn store(&mut self, object: Stored, only_new: bool) -> S3Result<()> {
        let (bucket, key) = (object.bucket.clone(), object.key.clone());
        let no_conditions = self.manner.ignores_conditions;
        if let Some(there) = self.bucket(&bucket)?.get(&key) {
            let same_bytes = there.bytes == object.bytes;
            if only_new && !no_conditions {
                return Err(s3_error!(PreconditionFailed, "{key} exists"));
            }
            if !(no_conditions && same_bytes) {
                self.overwritten.push(format!("{bucket}/{key}"));
            }
        }
        let stamp = self.counter.load(Ordering::SeqCst);
        self.stamps.insert((bucket.clone(), key.clone()), stamp);
        self.bucket(&bucket)?.insert(key, object);
        Ok(())
    }
}

/// The store.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(pub(super) Arc<Mutex<Contents>>);

impl Memory {
    /// Takes no notice of a checksum where the store knows none.
    fn forget(&self, checksum: &mut Option<String>) {
        if lock(&self.0).manner.ignores_checksums {
            *checksum = None;
        }
    }
}

#[async_trait::async_trait]
impl S3 for Memory {
    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let mut input = request.input;
        self.forget(&mut input.checksum_crc32);
        let bytes = body(input.body).await?;
        check(&bytes, input.checksum_crc32.as_deref(), input.content_md5.as_deref())?;
        let etag = etag(&bytes);
        let object = Stored {
            bucket: input.bucket,
            key: input.key,
            content_type: input.content_type,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
            bytes: Arc::new(bytes),
            etag: etag.clone(),
            parts: 0,
        };
        let only_new = input.if_none_match.is_some_and(|condition| condition.is_any());
        lock(&self.0).store(object, only_new)?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_crc32: input.checksum_crc32,
            ..PutObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let HeadObjectInput { bucket, key, .. } = request.input;
        let mut contents = lock(&self.0);
        let object = contents.bucket(&bucket)?.get(&key);
        let object = object.ok_or_else(|| s3_error!(NoSuchKey, "no object {key}"))?;
        let mut checksum_crc32 = Some(crc32(&object.bytes));
        let (size, e_tag) = (object.bytes.len(), Some(ETag::Strong(object.etag.clone())));
        let metadata = Some(object.metadata.clone().into_iter().collect());
        if contents.manner.ignores_checksums {
            checksum_crc32 = None;
        }
        Ok(S3Response::new(HeadObjectOutput {
            content_length: i64::try_from(size).ok(),
            checksum_crc32,
            e_tag,
            metadata,
            ..HeadObjectOutput::default()
        }))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let bucket = request.input.bucket;
        let mut contents = lock(&self.0);
        contents.bucket(&bucket)?;
        contents.manner.allow("GetBucketLocation")?;
        let region = contents.manner.regions.get(&bucket).cloned();
        let output = GetBucketLocationOutput { location_constraint: region.map(Into::into) };
        let date = contents.manner.date.as_ref().and_then(|date| date.parse().ok());
        let headers = date.map(|date| (http::header::DATE, date));
        Ok(S3Response::with_headers(output, headers.into_iter().collect()))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let GetObjectInput { bucket, key, .. } = request.input;
        let mut contents = lock(&self.0);
        contents.manner.allow("GetObject")?;
        let object = contents.bucket(&bucket)?.get(&key);
        let object = object.ok_or_else(|| s3_error!(NoSuchKey, "no object {key}"))?;
        Ok(S3Response::new(GetObjectOutput {
            body: Some(s3s::Body::from(object.bytes.to_vec()).into()),
            content_length: i64::try_from(object.bytes.len()).ok(),
            content_type: object.content_type.clone(),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            metadata: Some(object.metadata.clone().into_iter().collect()),
            ..GetObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let DeleteObjectInput { bucket, key, .. } = request.input;
        let mut contents = lock(&self.0);
        contents.manner.allow("DeleteObject")?;
        contents.bucket(&bucket)?.remove(&key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let mut contents = lock(&self.0);
        contents.bucket(&input.bucket)?;
        if input.acl.is_some() {
            contents.manner.allow("PutObjectAcl")?;
        }
        if input.tagging.is_some() {
            contents.manner.allow("PutObjectTagging")?;
        }
        contents.made += 1;
        let id = format!("upload-{}", contents.made);
        let blank = Stored {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            content_type: input.content_type,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
            bytes: Arc::default(),
            etag: String::new(),
            parts: 0,
        };
        contents.uploads.insert(id.clone(), Upload { blank, parts: BTreeMap::new(), begun: None });
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let mut input = request.input;
        self.forget(&mut input.checksum_crc32);
        let bytes = body(input.body).await?;
        check(&bytes, input.checksum_crc32.as_deref(), input.content_md5.as_deref())?;
        let etag = etag(&bytes);
        let mut contents = lock(&self.0);
        let upload = contents.upload(&input.upload_id, &input.key)?;
        upload.parts.insert(input.part_number, (etag.clone(), bytes));
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_crc32: input.checksum_crc32,
            ..UploadPartOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let mut input = request.input;
        self.forget(&mut input.checksum_crc32);
        let mut contents = lock(&self.0);
        let upload = contents.upload(&input.upload_id, &input.key)?;
        let named = input.multipart_upload.and_then(|parts| parts.parts).unwrap_or_default();
        let named: Vec<_> = named
            .into_iter()
            .map(|part| (part.part_number.unwrap_or(0), part.e_tag, part.checksum_crc32))
            .collect();
        if named.is_empty() || !named.is_sorted_by(|(left, ..), (right, ..)| left < right) {
            return Err(s3_error!(InvalidPartOrder, "parts are named in order"));
        }
        let (mut bytes, count) = (Vec::new(), named.len());
        for (at, (number, tag, checksum)) in named.into_iter().enumerate() {
            let (etag, part) = upload
                .parts
                .get(&number)
                .filter(|(etag, _)| tag.as_ref().map(ETag::value) == Some(etag))
                .ok_or_else(|| s3_error!(InvalidPart, "part {number} is another"))?;
            if checksum.is_some_and(|checksum| checksum != crc32(part)) {
                return Err(s3_error!(InvalidPart, "part {number}, {etag}: another checksum"));
            }
            if at + 1 < count && part.len() < SMALLEST_PART_BYTES {
                return Err(s3_error!(EntityTooSmall, "part {number}"));
            }
            bytes.extend_from_slice(part);
        }
        if input.checksum_crc32.as_ref().is_some_and(|checksum| *checksum != crc32(&bytes)) {
            return Err(s3_error!(BadDigest, "the whole has another checksum"));
        }
        let etag = format!("{}-{count}", etag(&bytes));
        let blank = upload.blank.clone();
        let object = Stored { bytes: Arc::new(bytes), etag: etag.clone(), parts: count, ..blank };
        let only_new = input.if_none_match.is_some_and(|condition| condition.is_any());
        contents.store(object, only_new)?;
        contents.uploads.remove(&input.upload_id);
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(etag)),
            checksum_crc32: input.checksum_crc32,
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let AbortMultipartUploadInput { upload_id, key, .. } = request.input;
        let mut contents = lock(&self.0);
        contents.upload(&upload_id, &key)?;
        contents.uploads.remove(&upload_id);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let ListMultipartUploadsInput { bucket, prefix, .. } = request.input;
        let mut contents = lock(&self.0);
        contents.bucket(&bucket)?;
        let prefix = prefix.unwrap_or_default();
        let uploads = contents.uploads.iter().filter(|(_, upload)| {
            upload.blank.bucket == bucket && upload.blank.key.starts_with(&prefix)
        });
        let uploads = uploads.map(|(id, upload)| MultipartUpload {
            key: Some(upload.blank.key.clone()),
            upload_id: Some(id.clone()),
            initiated: upload.begun.clone(),
            ..MultipartUpload::default()
        });
        let uploads = Some(uploads.collect());
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(bucket),
            uploads,
            ..ListMultipartUploadsOutput::default()
        }))
    }
}
