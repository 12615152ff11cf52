//! What no single value can tell: limits, and values that must fit each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::place::{ConfigError, Places};
use super::s3::{BucketConfig, Sse};
use super::{AuthMode, ByteCount, Config, limits, stream, tls};

const MIN_LOG_BYTES: ByteCount = ByteCount::from_mib(64);
const MIN_RUN_BYTES: ByteCount = ByteCount::new(256 * 1024);
const MAX_EVENT_BYTES: ByteCount = ByteCount::new(model::MAX_EVENT_BYTES as u64);
const MAX_UPLOAD_CONCURRENCY: usize = 1024;
/// S3's documentation, "Categorizing your objects using tags".
const MAX_TAGS: usize = 10;
const MAX_TAG_KEY_CHARACTERS: usize = 128;
const MAX_TAG_VALUE_CHARACTERS: usize = 256;

type Checked = Result<(), ConfigError>;

/// Checks everything that holds for all commands.
pub(crate) fn check(config: &Config, places: &Places) -> Checked {
    if config.data_dir.as_os_str().is_empty() {
        return Err(places.refuse(&["data_dir"], "empty: name a directory"));
    }
    if config.log.max_bytes < MIN_LOG_BYTES {
        let why = format!("{} is too little: give at least {MIN_LOG_BYTES}", config.log.max_bytes);
        return Err(places.refuse(&["log.max_bytes"], why));
    }
    if config.log.run_bytes < MIN_RUN_BYTES {
        let why = format!("{} is too little: give at least {MIN_RUN_BYTES}", config.log.run_bytes);
        return Err(places.refuse(&["log.run_bytes"], why));
    }
    check_request_limits(config, places)?;
    check_flusher(config, places)?;
    check_listeners(config, places)?;
    check_auth(config, places)?;
    tls::check(config, places)?;
    limits::check(config, places)?;
    check_buckets(config, places)?;
    stream::check(config, places)?;
    check_tokens(config, places)
}

/// Checks that ingest, with `auth = "tokens"`, knows a token or an access key.
pub(crate) fn somebody_can_send(config: &Config, places: &Places) -> Checked {
    let nobody = config.tokens.is_empty() && config.access_keys.is_empty();
    if config.ingest.auth == AuthMode::Tokens && nobody {
        return Err(places.refuse(
            &["ingest.auth"],
            "\"tokens\" without a [[token]], so nobody could send: make one with `minutelog admin token NAME`",
        ));
    }
    Ok(())
}

fn check_request_limits(config: &Config, places: &Places) -> Checked {
    let event = config.ingest.max_event_bytes;
    let request = config.ingest.max_request_bytes;
    if event > MAX_EVENT_BYTES {
        let why = format!("{event} is too much: give at most {MAX_EVENT_BYTES}");
        return Err(places.refuse(&["ingest.max_event_bytes"], why));
    }
    if event == ByteCount::new(0) {
        return Err(
            places.refuse(&["ingest.max_event_bytes"], "no event is that small: give at least 1B")
        );
    }
    if event > request {
        let why = format!(
            "an event of {event} (max_event_bytes) does not fit into a request of {request} (max_request_bytes): lower the one or raise the other"
        );
        return Err(places.refuse(&["ingest.max_event_bytes", "ingest.max_request_bytes"], why));
    }
    if config.ingest.max_destinations_per_minute == 0 {
        let key = "ingest.max_destinations_per_minute";
        return Err(places.refuse(&[key], "0 would refuse every event: give at least 1"));
    }
    Ok(())
}

fn check_flusher(config: &Config, places: &Places) -> Checked {
    let uploads = config.flusher.upload_concurrency;
    if !(1..=MAX_UPLOAD_CONCURRENCY).contains(&uploads) {
        let why = format!("{uploads} uploads at a time: give 1 to {MAX_UPLOAD_CONCURRENCY}");
        return Err(places.refuse(&["flusher.upload_concurrency"], why));
    }
    if config.flusher.receipt_retention.as_duration().is_zero() {
        let why =
            "no time at all: give at least 1s, receipts are what tells that an event was delivered";
        return Err(places.refuse(&["flusher.receipt_retention"], why));
    }
    let (keep, retention) = (&config.flusher.keep_delivered, &config.flusher.receipt_retention);
    if keep.as_duration() > retention.as_duration() {
        let why = format!(
            "sealed bytes would be kept for {keep} (keep_delivered), longer than the receipts that say what they are, {retention} (receipt_retention): lower the one or raise the other"
        );
        let keys = ["flusher.keep_delivered", "flusher.receipt_retention"];
        return Err(places.refuse(&keys, why));
    }
    check_idempotency(config, places)
}

/// What was delivered is known by its receipts: a window that reaches beyond them would miss
/// repeats.
fn check_idempotency(config: &Config, places: &Places) -> Checked {
    let window = &config.ingest.idempotency_window;
    let retention = &config.flusher.receipt_retention;
    if window.as_duration().is_zero() {
        let why = "no time at all: give at least 1s, no client tries again sooner";
        return Err(places.refuse(&["ingest.idempotency_window"], why));
    }
    if window.as_duration() > retention.as_duration() {
        let why = format!(
            "a window of {window} (ingest.idempotency_window) is longer than receipts are kept, {retention} (flusher.receipt_retention): lower the one or raise the other"
        );
        let keys = ["ingest.idempotency_window", "flusher.receipt_retention"];
        return Err(places.refuse(&keys, why));
    }
    Ok(())
}

fn listeners(config: &Config) -> [(&'static str, SocketAddr); 3] {
    [
        ("ingest.listen", config.ingest.listen),
        ("ingest.ops_listen", config.ingest.ops_listen),
        ("flusher.ops_listen", config.flusher.ops_listen),
    ]
}

fn check_listeners(config: &Config, places: &Places) -> Checked {
    let listeners = listeners(config);
    for (number, (key, address)) in listeners.iter().enumerate() {
        for (other_key, other) in listeners.iter().skip(number + 1) {
            if overlap(*address, *other) {
                let why = format!(
                    "{key} and {other_key} are the same address, {other}: give each its own port"
                );
                return Err(places.refuse(&[other_key, key], why));
            }
        }
    }
    Ok(())
}

/// Whether two listeners would get in each other's way. Port 0 is a free one, each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || any)
}

fn check_auth(config: &Config, places: &Places) -> Checked {
    let ingest = &config.ingest;
    if ingest.auth != AuthMode::None || ingest.insecure {
        return Ok(());
    }
    for (key, address) in listeners(config) {
        if !address.ip().is_loopback() {
            let why = format!(
                "\"none\" lets everybody send, and {key} = \"{address}\" is not on loopback: use auth = \"tokens\", or say insecure = true"
            );
            return Err(places.refuse(&["ingest.auth"], why));
        }
    }
    Ok(())
}

fn check_buckets(config: &Config, places: &Places) -> Checked {
    let mut seen = BTreeMap::new();
    for (number, bucket) in config.buckets.iter().enumerate() {
        if let Some(first) = seen.insert(&bucket.name, number) {
            let why = format!(
                "{} has a [[bucket]] already, number {}: make them one",
                bucket.name,
                first + 1
            );
            return Err(places.refuse(&[&format!("bucket[{number}].name")], why));
        }
        check_bucket(bucket)
            .map_err(|(key, why)| places.refuse(&[&format!("bucket[{number}].{key}")], why))?;
    }
    Ok(())
}

/// Checks one bucket alone; a refusal is the key and the reason.
fn check_bucket(bucket: &BucketConfig) -> Result<(), (&'static str, String)> {
    if bucket.external_id.is_some() && bucket.role_arn.is_none() {
        return Err(("external_id", "used to assume a role only: give role_arn too".into()));
    }
    if let Some(key) = &bucket.kms_key_id {
        if key.is_empty() {
            return Err(("kms_key_id", "empty: name a key, or leave it out".into()));
        }
        if !matches!(bucket.sse, Some(Sse::Kms | Sse::KmsDsse)) {
            return Err(("kms_key_id", "used by KMS only: give sse = \"aws:kms\" too".into()));
        }
    }
    if bucket.tags.len() > MAX_TAGS {
        return Err(("tags", format!("{} tags: give at most {MAX_TAGS}", bucket.tags.len())));
    }
    for (key, value) in &bucket.tags {
        let fits = (1..=MAX_TAG_KEY_CHARACTERS).contains(&key.chars().count())
            && value.chars().count() <= MAX_TAG_VALUE_CHARACTERS;
        if !fits {
            let why = format!(
                "tag {key:?}: a key has 1 to {MAX_TAG_KEY_CHARACTERS} characters, a value at most {MAX_TAG_VALUE_CHARACTERS}"
            );
            return Err(("tags", why));
        }
    }
    Ok(())
}

fn check_tokens(config: &Config, places: &Places) -> Checked {
    let mut names = BTreeMap::new();
    let mut hashes = BTreeMap::new();
    for (number, token) in config.tokens.iter().enumerate() {
        let refuse =
            |key: &str, why: String| Err(places.refuse(&[&format!("token[{number}].{key}")], why));
        if names.insert(&token.name, number).is_some() {
            return refuse(
                "name",
                format!("a second token {}: give each its own name", token.name),
            );
        }
        if let Some(first) = hashes.insert(token.hash, number) {
            return refuse(
                "hash",
                format!(
                    "the same as that of [[token]] number {}: make a token for each with `minutelog admin token`",
                    first + 1
                ),
            );
        }
        if token.allow.is_empty() {
            return refuse(
                "allow",
                "empty, so it reaches nothing: name destinations, as in \"my-bucket/test/*\""
                    .into(),
            );
        }
    }
    Ok(())
}
