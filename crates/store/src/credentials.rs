//! Credentials that are looked up again while the process lives.
//!
//! AWS's default chain reads the environment and the profile's files once, and keeps what it found
//! for as long as the chain exists: keys that somebody renews in `~/.aws/credentials` would only be
//! seen after a restart. So each lookup here makes a chain of its own, and what names no end of its
//! own is given one. In between, the SDK keeps what it got.

use std::time::{Duration, UNIX_EPOCH};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use model::{Clock as _, SystemClock, UnixMillis};

/// How long credentials hold that don't say it themselves. A lookup reads a file or two.
const LOOKED_UP_AFTER: Duration = Duration::from_secs(30);

/// AWS's default chain, made anew for each lookup.
#[derive(Debug)]
pub(crate) struct Renewing {
    pub(crate) http: SharedHttpClient,
    pub(crate) region: Region,
    pub(crate) limits: TimeoutConfig,
}

impl Renewing {
    async fn look_up(&self) -> provider::Result {
        let config = ProviderConfig::default()
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_http_client(self.http.clone())
            .with_timeout_config(self.limits.clone())
            .with_region(Some(self.region.clone()));
        let chain =
            DefaultCredentialsChain::builder().configure(config).region(self.region.clone());
        let found = chain.build().await.provide_credentials().await?;
        Ok(with_an_end(found, SystemClock.now()))
    }
}

impl ProvideCredentials for Renewing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.look_up())
    }
}

fn with_an_end(mut credentials: Credentials, now: UnixMillis) -> Credentials {
    let end = UNIX_EPOCH + Duration::from_millis(now.after(LOOKED_UP_AFTER).as_millis());
    credentials.expiry_mut().get_or_insert(end);
    credentials
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_end_is_given_one() {
        let seconds = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let now = UnixMillis::from_seconds(1000);
        for (end, expected) in [(None, 1030), (Some(seconds(9000)), 9000)] {
            let credentials = Credentials::new("id", "secret", None, end, "test");
            assert_eq!(with_an_end(credentials, now).expiry(), Some(seconds(expected)));
        }
    }
}
