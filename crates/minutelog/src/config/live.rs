//! Which keys a running service takes up, and which wait for its next start.

use serde_json::Value;

use super::Config;

/// What a service takes up while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// Who may send what, where to, and how much.
    Ingest,
    /// How buckets are reached.
    Flusher,
}

impl Live {
    /// The configuration that holds where `running` did and `read` was read.
    pub(super) fn merged(self, running: &Config, read: &Config) -> Config {
        let mut config = running.clone();
        config.log_level.clone_from(&read.log_level);
        match self {
            Self::Ingest => {
                config.tokens.clone_from(&read.tokens);
                config.streams.clone_from(&read.streams);
                config.access_keys.clone_from(&read.access_keys);
                config.ingest.limits = read.ingest.limits.clone();
                config.ingest.max_event_bytes = read.ingest.max_event_bytes;
            }
            Self::Flusher => {
                config.s3 = read.s3.clone();
                config.buckets.clone_from(&read.buckets);
            }
        }
        config
    }

    /// Whether the service goes by a key at all.
    fn uses(self, key: &str) -> bool {
        let others: &[&str] = match self {
            Self::Ingest => &["flusher.", "s3.", "bucket"],
            Self::Flusher => &["ingest.", "log.", "token", "stream", "access_key"],
        };
        key == "ingest.idempotency_window" || !others.iter().any(|start| key.starts_with(start))
    }

    /// The keys that the service goes by and that two configurations have other values for, in order.
    pub(super) fn differences(self, a: &Config, b: &Config) -> Vec<String> {
        let [a, b] = [a, b].map(|config| {
            serde_json::to_value(config).expect("what was read as a tree is written as one")
        });
        let mut keys = Vec::new();
        compare("", &a, &b, &mut keys);
        keys.retain(|key| self.uses(key));
        keys.sort_unstable();
        keys
    }
}

fn compare(key: &str, a: &Value, b: &Value, keys: &mut Vec<String>) {
    let (Value::Object(a), Value::Object(b)) = (a, b) else {
        if a != b {
            keys.push(key.to_owned());
        }
        return;
    };
    let of_b = b.keys().filter(|name| !a.contains_key(*name));
    for name in a.keys().chain(of_b) {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        let of = |table: &serde_json::Map<_, _>| table.get(name).cloned().unwrap_or_default();
        compare(&key, &of(a), &of(b), keys);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::ByteCount;
    use super::super::load::{TakenUp, load_text};
    use super::*;

    const BEFORE: &str = r#"
        data_dir = "/a"
        [ingest]
        listen = "127.0.0.1:1"
        [s3]
        region = "eu-west-1"
        [[token]]
        name = "one"
        hash = "blake3:0000000000000000000000000000000000000000000000000000000000000001"
        allow = ["my-bucket/*"]
    "#;

    const AFTER: &str = r#"
        data_dir = "/a"
        log_level = "debug"
        [log]
        interval = "5m"
        [ingest]
        listen = "127.0.0.1:2"
        idempotency_window = "20m"
        limits = { connection = { requests_per_minute = 7 } }
        [flusher]
        upload_concurrency = 3
        [s3]
        region = "eu-west-2"
        [[bucket]]
        name = "my-bucket"
        [[token]]
        name = "two"
        hash = "blake3:0000000000000000000000000000000000000000000000000000000000000002"
        allow = ["my-bucket/*"]
    "#;

    fn taken_up(live: Live) -> (TakenUp, Config) {
        let read = |text| load_text(Some((Path::new("f"), text)), [], None).unwrap();
        let (before, after) = (read(BEFORE), read(AFTER));
        let taken = after.taken_up(&before.config, live).unwrap();
        assert_eq!(taken.config.ingest.listen, before.config.ingest.listen);
        assert_eq!(taken.config.log_level, after.config.log_level);
        (taken, after.config)
    }

    #[test]
    fn ingest_takes_up_who_may_send_and_says_what_waits() {
        let (TakenUp { config, changed, waiting }, read) = taken_up(Live::Ingest);
        assert_eq!(changed, ["ingest.limits", "log_level", "token"]);
        assert_eq!(config.tokens, read.tokens);
        assert_eq!(config.ingest.limits, read.ingest.limits);
        assert_eq!(config.s3.region.unwrap().as_str(), "eu-west-1");
        let expected = ["ingest.idempotency_window", "ingest.listen", "log.interval"];
        assert_eq!(waiting, expected);
    }

    #[test]
    fn the_flusher_takes_up_how_buckets_are_reached_and_says_what_waits() {
        let (TakenUp { config, changed, waiting }, read) = taken_up(Live::Flusher);
        assert_eq!(changed, ["bucket", "log_level", "s3.region"]);
        assert_eq!((&config.s3, &config.buckets), (&read.s3, &read.buckets));
        assert_eq!(config.tokens[0].name.as_str(), "one");
        let expected = ["flusher.upload_concurrency", "ingest.idempotency_window"];
        assert_eq!(waiting, expected);
    }

    #[test]
    fn a_limit_that_does_not_go_with_what_still_holds_waits_and_the_rest_is_taken_up() {
        let read = |text: &str| load_text(Some((Path::new("f"), text)), [], None).unwrap();
        let mut before = read(BEFORE).config;
        before.ingest.max_request_bytes = ByteCount::from_mib(2);
        let limits = "max_event_bytes = \"16MiB\"\nmax_request_bytes = \"32MiB\"\n";
        let token = &AFTER[AFTER.find("[[token]]").unwrap()..];
        let after = read(&format!("data_dir = \"/a\"\n[ingest]\n{limits}{token}"));
        let taken = after.taken_up(&before, Live::Ingest).unwrap();
        assert_eq!(taken.changed, ["token"]);
        let expected = ["ingest.listen", "ingest.max_event_bytes", "ingest.max_request_bytes"];
        assert_eq!(taken.waiting, expected);
    }

    #[test]
    fn a_configuration_by_which_nobody_could_send_is_refused() {
        let read = |text: &str| load_text(Some((Path::new("f"), text)), [], None).unwrap();
        let (before, after) =
            (read(BEFORE), read("data_dir = \"/a\"\n[ingest]\nauth = \"none\"\n"));
        let refused = after.taken_up(&before.config, Live::Ingest).unwrap_err();
        assert!(refused.to_string().contains("nobody could send"), "{refused}");
        assert!(after.taken_up(&before.config, Live::Flusher).is_ok());
    }

    #[test]
    fn an_empty_file_and_that_of_another_service_are_refused() {
        let read = |text: &str| load_text(Some((Path::new("f"), text)), [], None).unwrap();
        let before = read(BEFORE).config;
        for text in ["", "data_dir = \"/b\"\n"] {
            for live in [Live::Ingest, Live::Flusher] {
                let refused = read(text).taken_up(&before, live).unwrap_err().to_string();
                assert!(refused.contains("data_dir: another directory"), "{refused}");
            }
        }
    }
}
