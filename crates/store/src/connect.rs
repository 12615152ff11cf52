//! The clients: one for each way to reach S3 that the configuration names.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::config::{BucketConfig, Limits, S3Config, StaticCredentials};
use crate::credentials::Renewing;
use crate::error::ConnectError;

/// Where no one says which region: S3's first, and what stores that have no regions take.
const FALLBACK_REGION: &str = "us-east-1";

/// How long AWS's default chain may take over the region. Away from AWS it asks an instance
/// metadata service that isn't there.
const REGION_LIMIT: Duration = Duration::from_secs(3);

/// How long `AssumeRole` and its like may take for one try.
const CREDENTIALS_LIMIT: Duration = Duration::from_secs(10);

/// S3 closes idle connections after some 20 seconds (AWS says no exact number); ours go before, so
/// that no request is sent into one that is closing.
const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// How long a body may stand still before it is given up.
const STALL_LIMIT: Duration = Duration::from_secs(20);

/// What one client differs from another in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Way {
    region: Option<String>,
    endpoint: Option<String>,
    path_style: bool,
    role: Option<(String, Option<String>)>,
}

/// Makes clients, each way's once.
#[derive(Debug)]
pub(crate) struct Clients {
    shared: SdkConfig,
    config: S3Config,
    made: HashMap<Way, Client>,
}

impl Clients {
    /// Reads what AWS's default chain says. Asks for no credentials yet: they are fetched, and
    /// missed, when the first object is put.
    pub(crate) async fn new(config: S3Config) -> Result<Self, ConnectError> {
        check_endpoint(config.endpoint.as_deref())?;
        let http: SharedHttpClient = HttpBuilder::new()
            .tls_provider(Provider::rustls(CryptoMode::Ring))
            .pool_idle_timeout(IDLE_LIMIT)
            .build_https();
        let limits = base_limits(&config.limits, CREDENTIALS_LIMIT);
        let loader = || {
            let loader = aws_config::defaults(BehaviorVersion::latest());
            loader.http_client(http.clone()).timeout_config(limits.clone())
        };
        let region = match &config.region {
            Some(region) => Region::new(region.clone()),
            None => default_region(loader()).await,
        };
        let shared = loader().region(region.clone());
        let shared = match &config.credentials {
            Some(keys) => shared.credentials_provider(fixed(keys)),
            None => shared.credentials_provider(Renewing {
                http: http.clone(),
                region,
                limits: limits.clone(),
            }),
        };
        let shared = shared.load().await;
        Ok(Self { shared, config, made: HashMap::new() })
    }

    /// The client for a bucket; without one, the client for all that nothing is configured for.
    pub(crate) async fn get(
        &mut self,
        bucket: Option<&BucketConfig>,
    ) -> Result<Client, ConnectError> {
        let endpoint = bucket.and_then(|bucket| bucket.endpoint.clone());
        check_endpoint(endpoint.as_deref())?;
        let role = bucket.and_then(|bucket| bucket.role_arn.clone());
        let external_id = bucket.and_then(|bucket| bucket.external_id.clone());
        let way = Way {
            region: bucket.and_then(|bucket| bucket.region.clone()),
            endpoint: endpoint.or_else(|| self.config.endpoint.clone()),
            path_style: bucket
                .and_then(|bucket| bucket.path_style)
                .unwrap_or(self.config.path_style),
            role: role.map(|role| (role, external_id)),
        };
        if let Some(client) = self.made.get(&way) {
            return Ok(client.clone());
        }
        let client = self.make(&way).await;
        self.made.insert(way, client.clone());
        Ok(client)
    }

    async fn make(&self, way: &Way) -> Client {
        let mut builder = aws_sdk_s3::config::Builder::from(&self.shared)
            .force_path_style(way.path_style)
            // The seal knows the checksums. Left to itself the SDK would add its own, in a trailer.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled()
                    .upload_enabled(true)
                    .grace_period(STALL_LIMIT)
                    .build(),
            )
            // Whoever calls `put` waits and tries again; a part is the one exception.
            .retry_config(RetryConfig::disabled())
            .timeout_config(base_limits(&self.config.limits, self.config.limits.read));
        if let Some(region) = &way.region {
            builder = builder.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &way.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        if let Some((role, external_id)) = &way.role {
            let mut provider =
                AssumeRoleProvider::builder(role).session_name("minutelog").configure(&self.shared);
            if let Some(external_id) = external_id {
                provider = provider.external_id(external_id);
            }
            builder = builder.credentials_provider(provider.build().await);
        }
        Client::from_conf(builder.build())
    }
}

fn fixed(keys: &StaticCredentials) -> Credentials {
    Credentials::new(&keys.access_key_id, &keys.secret_access_key, None, None, "configured")
}

fn base_limits(limits: &Limits, attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(limits.connect)
        .operation_attempt_timeout(attempt)
        .build()
}

async fn default_region(loader: ConfigLoader) -> Region {
    let found = tokio::time::timeout(REGION_LIMIT, loader.load()).await.ok();
    let region = found.and_then(|found| found.region().cloned());
    region.unwrap_or_else(|| Region::from_static(FALLBACK_REGION))
}

fn check_endpoint(endpoint: Option<&str>) -> Result<(), ConnectError> {
    let Some(endpoint) = endpoint else { return Ok(()) };
    let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(()),
        _ => Err(ConnectError::Endpoint(endpoint.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Bucket;

    fn config() -> S3Config {
        S3Config {
            region: Some("us-east-1".into()),
            credentials: Some(StaticCredentials {
                access_key_id: "id".into(),
                secret_access_key: "secret".into(),
            }),
            ..S3Config::default()
        }
    }

    #[tokio::test]
    async fn buckets_that_are_reached_alike_share_a_client() {
        let mut clients = Clients::new(config()).await.unwrap();
        let plain = BucketConfig::new(Bucket::new("my-bucket").unwrap());
        let far = BucketConfig { region: Some("eu-west-1".into()), ..plain.clone() };
        let role = BucketConfig {
            role_arn: Some("arn:aws:iam::123456789012:role/r".into()),
            external_id: Some("x".into()),
            ..plain.clone()
        };
        for bucket in [None, Some(&plain), Some(&far), Some(&far), Some(&role)] {
            clients.get(bucket).await.unwrap();
        }
        assert_eq!(clients.made.len(), 3);
    }

    #[tokio::test]
    async fn an_endpoint_is_the_address_of_a_web_server() {
        for bad in ["127.0.0.1:9000", "http://", "ftp://host", "https:///bucket"] {
            let config = S3Config { endpoint: Some(bad.into()), ..config() };
            let refused = Clients::new(config).await.unwrap_err();
            assert_eq!(refused, ConnectError::Endpoint(bad.into()));
        }
    }
}
