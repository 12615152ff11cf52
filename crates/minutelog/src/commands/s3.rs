//! The store that the configuration describes.

use crate::config::{BucketConfig, Config, S3Config};
use crate::failure::{Code, Failure};

/// Connects to S3, which sends it nothing yet; AWS's default chain may be asked for the region.
pub(crate) async fn connect(config: &Config) -> Result<store::S3Store, Failure> {
    connect_within(config, store::Limits::default()).await
}

/// The same where the default chain has named `region` before: it is not asked again, and what it would
/// answer in a bad moment changes nothing.
pub(crate) async fn connect_in(
    config: &Config,
    region: Option<&str>,
) -> Result<store::S3Store, Failure> {
    let s3 = defaults(&config.s3);
    let region = s3.region.clone().or_else(|| region.map(ToOwned::to_owned));
    connect_with(store::S3Config { region, ..s3 }, config).await
}

/// The same with other limits on how long calls may take.
pub(crate) async fn connect_within(
    config: &Config,
    limits: store::Limits,
) -> Result<store::S3Store, Failure> {
    connect_with(store::S3Config { limits, ..defaults(&config.s3) }, config).await
}

async fn connect_with(s3: store::S3Config, config: &Config) -> Result<store::S3Store, Failure> {
    let buckets = config.buckets.iter().map(bucket).collect();
    let connected = store::S3Store::connect(s3, buckets).await;
    connected.map_err(|error| Failure::new(Code::Config, format!("S3: {error}")))
}

fn defaults(s3: &S3Config) -> store::S3Config {
    store::S3Config {
        region: s3.region.as_ref().map(|region| region.as_str().to_owned()),
        endpoint: s3.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
        path_style: s3.path_style,
        checksums: s3.checksums,
        conditional_writes: s3.conditional_writes,
        ..store::S3Config::default()
    }
}

fn bucket(bucket: &BucketConfig) -> store::BucketConfig {
    store::BucketConfig {
        name: bucket.name.clone(),
        region: bucket.region.as_ref().map(|region| region.as_str().to_owned()),
        endpoint: bucket.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
        path_style: bucket.path_style,
        expected_owner: bucket.expected_owner.as_ref().map(|owner| owner.as_str().to_owned()),
        storage_class: bucket.storage_class.as_ref().map(|class| class.as_str().to_owned()),
        sse: bucket.sse.map(|sse| sse.as_str().to_owned()),
        kms_key_id: bucket.kms_key_id.clone(),
        acl: bucket.acl.map(|acl| acl.as_str().to_owned()),
        tags: bucket.tags.clone(),
        role_arn: bucket.role_arn.as_ref().map(|role| role.as_str().to_owned()),
        external_id: bucket.external_id.as_ref().map(|id| id.reveal().to_owned()),
    }
}
