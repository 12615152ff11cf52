//! A store in memory with S3's semantics: what is not there is not there, a conditional put is
//! atomic, a checksum that doesn't fit refuses the bytes, and an upload that is gone is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::TryStreamExt as _;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag,
    GetBucketLocationInput, GetBucketLocationOutput, HeadObjectInput, HeadObjectOutput,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, MultipartUpload, PutObjectInput,
    PutObjectOutput, StreamingBlob, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

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

#[derive(Debug)]
pub(super) struct Upload {
    blank: Stored,
    parts: BTreeMap<i32, (String, Vec<u8>)>,
}

/// What the store holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) buckets: BTreeMap<String, BTreeMap<String, Stored>>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// Keys that were put a second time without a condition.
    pub(super) overwritten: Vec<String>,
    made: u64,
}

impl Contents {
    fn bucket(&mut self, name: &str) -> S3Result<&mut BTreeMap<String, Stored>> {
        self.buckets.get_mut(name).ok_or_else(|| s3_error!(NoSuchBucket, "no bucket {name}"))
    }

    fn upload(&mut self, id: &str, key: &str) -> S3Result<&mut Upload> {
        let upload = self.uploads.get_mut(id).filter(|upload| upload.blank.key == key);
        upload.ok_or_else(|| s3_error!(NoSuchUpload, "no upload {id}"))
    }

    fn store(&mut self, object: Stored, only_new: bool) -> S3Result<()> {
        let (bucket, key) = (object.bucket.clone(), object.key.clone());
        if self.bucket(&bucket)?.contains_key(&key) {
            if only_new {
                return Err(s3_error!(PreconditionFailed, "{key} exists"));
            }
            self.overwritten.push(format!("{bucket}/{key}"));
        }
        self.bucket(&bucket)?.insert(key, object);
        Ok(())
    }
}

/// The store.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(pub(super) Arc<Mutex<Contents>>);

#[async_trait::async_trait]
impl S3 for Memory {
    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let bytes = checked(input.body, input.checksum_crc32.as_deref()).await?;
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
        Ok(S3Response::new(HeadObjectOutput {
            content_length: i64::try_from(object.bytes.len()).ok(),
            checksum_crc32: Some(crc32(&object.bytes)),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            metadata: Some(object.metadata.clone().into_iter().collect()),
            ..HeadObjectOutput::default()
        }))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        lock(&self.0).bucket(&request.input.bucket)?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let mut contents = lock(&self.0);
        contents.bucket(&input.bucket)?;
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
        contents.uploads.insert(id.clone(), Upload { blank, parts: BTreeMap::new() });
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
        let input = request.input;
        let bytes = checked(input.body, input.checksum_crc32.as_deref()).await?;
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
        let input = request.input;
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

/// The bytes of a body, if its checksum is the one that was sent with it.
async fn checked(body: Option<StreamingBlob>, checksum: Option<&str>) -> S3Result<Vec<u8>> {
    let body = body.ok_or_else(|| s3_error!(IncompleteBody, "no body"))?;
    let bytes = body
        .try_fold(Vec::new(), async |mut bytes, piece| {
            bytes.extend_from_slice(&piece);
            Ok(bytes)
        })
        .await
        .map_err(|error| s3_error!(IncompleteBody, "{error}"))?;
    if checksum.is_some_and(|checksum| checksum != crc32(&bytes)) {
        return Err(s3_error!(BadDigest, "another checksum"));
    }
    Ok(bytes)
}

fn etag(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().chars().take(32).collect()
}

/// The CRC-32 in S3's form: base64 of its four bytes, the highest first.
fn crc32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let number = u64::from(crc32fast::hash(bytes)) << 4;
    let digits = (0..6).rev().map(|place| (number >> (6 * place)) & 63);
    let digits = digits.filter_map(|digit| DIGITS.get(usize::try_from(digit).ok()?));
    digits.map(|digit| char::from(*digit)).chain("==".chars()).collect()
}
