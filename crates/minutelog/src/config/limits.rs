//! `[ingest.limits]`: what one connection, or all senders with one token, may do in a minute.

use serde::{Deserialize, Serialize};

use super::place::{ConfigError, Places};
use super::{ByteCount, Config};

/// A destination takes about 20 bytes for as long as it counts, so that all that can be counted
/// take no more than 200 MB.
const MAX_COUNTED_DESTINATIONS: u64 = 10_000_000;
const MAX_CONNECTIONS: u32 = 1_000_000;

/// `[ingest.limits]`: shares of a minute. Default: no limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsConfig {
    /// For each connection.
    #[serde(skip_serializing_if = "RateConfig::is_none")]
    pub(crate) connection: RateConfig,
    /// For each token and each access key that says nothing else.
    #[serde(skip_serializing_if = "RateConfig::is_none")]
    pub(crate) token: RateConfig,
}

/// What may be done in 60 s.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_field_names, reason = "these are the names in the file")]
pub(crate) struct RateConfig {
    /// Requests of any kind. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requests_per_minute: Option<u32>,
    /// Bytes of bodies after decompression. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_per_minute: Option<ByteCount>,
    /// Different destinations. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) destinations_per_minute: Option<u32>,
}

impl LimitsConfig {
    /// Whether nothing is limited.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl RateConfig {
    /// Whether nothing is limited.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What is said here, and for the rest what `defaults` say.
    pub(crate) fn or(&self, defaults: &Self) -> Self {
        Self {
            requests_per_minute: self.requests_per_minute.or(defaults.requests_per_minute),
            bytes_per_minute: self.bytes_per_minute.or(defaults.bytes_per_minute),
            destinations_per_minute: self
                .destinations_per_minute
                .or(defaults.destinations_per_minute),
        }
    }

    /// The same as ingest knows it.
    pub(crate) fn rates(&self) -> ingest::RateLimits {
        ingest::RateLimits {
            requests_per_minute: self.requests_per_minute,
            bytes_per_minute: self.bytes_per_minute.map(ByteCount::get),
            destinations_per_minute: self.destinations_per_minute,
        }
    }

    fn check(&self, section: &str, places: &Places) -> Result<(), ConfigError> {
        for (key, zero) in [
            ("requests_per_minute", self.requests_per_minute == Some(0)),
            ("bytes_per_minute", self.bytes_per_minute == Some(ByteCount::new(0))),
            ("destinations_per_minute", self.destinations_per_minute == Some(0)),
        ] {
            if zero {
                let why = "0 would refuse everything: give at least 1, or leave it out";
                return Err(places.refuse(&[&format!("{section}.{key}")], why));
            }
        }
        Ok(())
    }
}

/// Checks all limits, and that what is counted for them fits into memory.
pub(super) fn check(config: &Config, places: &Places) -> Result<(), ConfigError> {
    let limits = &config.ingest.limits;
    let connections = config.ingest.max_connections;
    if !(1..=MAX_CONNECTIONS).contains(&connections) {
        let why = format!("{connections} connections: give 1 to {MAX_CONNECTIONS}");
        return Err(places.refuse(&["ingest.max_connections"], why));
    }
    limits.connection.check("ingest.limits.connection", places)?;
    limits.token.check("ingest.limits.token", places)?;
    for (number, token) in config.tokens.iter().enumerate() {
        token.limits.check(&format!("token[{number}].limits"), places)?;
    }
    for (number, key) in config.access_keys.iter().enumerate() {
        key.limits.check(&format!("access_key[{number}].limits"), places)?;
    }
    let counted = |rate: &RateConfig| u64::from(rate.destinations_per_minute.unwrap_or(0));
    let by_connection = counted(&limits.connection) * u64::from(connections);
    if by_connection > MAX_COUNTED_DESTINATIONS {
        let why = format!(
            "{connections} connections (max_connections) with as many destinations each would be {by_connection} to count: lower one of them, so that there are at most {MAX_COUNTED_DESTINATIONS}"
        );
        return Err(places.refuse(&["ingest.limits.connection.destinations_per_minute"], why));
    }
    let of_tokens = config.tokens.iter().map(|it| &it.limits);
    let of_both = of_tokens.chain(config.access_keys.iter().map(|it| &it.limits));
    let by_token: u64 = of_both.map(|it| counted(&it.or(&limits.token))).sum();
    if by_token > MAX_COUNTED_DESTINATIONS {
        let why = format!(
            "all tokens and access keys together have {by_token} destinations to count: lower their limits, so that there are at most {MAX_COUNTED_DESTINATIONS}"
        );
        return Err(places.refuse(&["ingest.limits.token.destinations_per_minute"], why));
    }
    Ok(())
}
