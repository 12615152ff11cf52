//! Objects, read back over HTTP from the embedded S3 server.

use model::Bucket;

use crate::failure::{Code, Failure};

/// The bytes of an object as S3 gave them.
pub(super) type Bytes = Vec<u8>;

/// A client of the S3 server. Reading from it needs no signature.
pub(super) struct Reader {
    client: reqwest::Client,
    bucket_url: String,
    prefix: &'static str,
}

impl Reader {
    /// Reads below `prefix` in `bucket`.
    pub(super) fn new(s3_url: &str, bucket: &Bucket, prefix: &'static str) -> Self {
        let client = reqwest::Client::new();
        Self { client, bucket_url: format!("{s3_url}/{bucket}"), prefix }
    }

    /// The keys of the objects (`ListObjectsV2`, the first 1,000).
    pub(super) async fn list(&self) -> Result<Vec<String>, Failure> {
        let url = format!("{}?list-type=2&prefix={}", self.bucket_url, self.prefix);
        let xml = String::from_utf8_lossy(&self.fetch(&url).await?).into_owned();
        Ok(keys(&xml))
    }

    /// An object's bytes (`GetObject`).
    pub(super) async fn get(&self, key: &str) -> Result<Bytes, Failure> {
        self.fetch(&format!("{}/{key}", self.bucket_url)).await
    }

    async fn fetch(&self, url: &str) -> Result<Vec<u8>, Failure> {
        let failed =
            |why: String| Failure::new(Code::Unavailable, format!("GET {url}: {why}: try again"));
        let answer =
            self.client.get(url).send().await.map_err(|error| failed(error.to_string()))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| failed(error.to_string()))?;
        if status.is_success() {
            Ok(body.to_vec())
        } else {
            Err(failed(format!("{status} {}", String::from_utf8_lossy(&body))))
        }
    }
}

/// The keys in a `ListBucketResult`. Those of the demo have no character that XML escapes.
fn keys(xml: &str) -> Vec<String> {
    xml.split("<Key>")
        .skip(1)
        .filter_map(|rest| rest.split_once("</Key>"))
        .map(|(key, _)| key.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_out_of_a_listing() {
        let xml = "<ListBucketResult><Name>b</Name><Contents><Key>demo/a.gz</Key><Size>1</Size></Contents><Contents><Key>demo/b.gz</Key></Contents></ListBucketResult>";
        assert_eq!(keys(xml), ["demo/a.gz", "demo/b.gz"]);
        assert!(keys("<ListBucketResult></ListBucketResult>").is_empty());
    }
}
