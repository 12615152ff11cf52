//! Each refusal names its place and its key; what is accepted arrives as it was written.

use super::*;
use crate::config::{AuthMode, ByteCount, GzipLevel};

const HASH: &str = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

fn load_text(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("minutelog.toml");
    fs::write(&path, text).unwrap();
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    load(Some(&path), environment, None)
        .map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

#[track_caller]
fn refused(text: &str, begins: &str, contains: &str) {
    let error = load_text(text, &[]).unwrap_err();
    assert!(error.starts_with(begins), "{error}\n  should begin with {begins}");
    assert!(error.contains(contains), "{error}\n  should contain {contains}");
}

#[test]
fn without_a_file_all_keys_have_their_defaults() {
    let loaded = load(None, [], None).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(load_text("", &[]).unwrap().config, Config::default());
}

#[test]
fn the_contract_s_file_is_accepted() {
    let text = format!(
        r#"
data_dir = "/var/lib/minutelog"
[log]
interval = "60s"
max_bytes = "10GiB"
[ingest]
listen = "127.0.0.1:9600"
ops_listen = "127.0.0.1:9601"
auth = "tokens"
max_event_bytes = "1MiB"
max_request_bytes = "16MiB"
max_destinations_per_minute = 100000
idempotency_window = "15m"
[flusher]
ops_listen = "127.0.0.1:9602"
gzip_level = "auto"
upload_concurrency = 16
receipt_retention = "7d"
[s3]
region = "us-east-1"
endpoint = "http://127.0.0.1:9000"
path_style = true
[[bucket]]
name = "my-bucket"
region = "eu-west-1"
expected_owner = "123456789012"
storage_class = "STANDARD_IA"
sse = "aws:kms"
kms_key_id = "key"
acl = "bucket-owner-full-control"
tags = {{ team = "data" }}
role_arn = "arn:aws:iam::123456789012:role/minutelog"
external_id = "secret"
[[token]]
name = "checkout"
hash = "{HASH}"
allow = ["my-bucket/test/*", "other-bucket/*"]
"#
    );
    let loaded = load_text(&text, &[]).unwrap();
    assert_eq!(loaded.config.flusher.gzip_level, GzipLevel::Auto);
    assert_eq!(loaded.check_for_ingest(), Ok(()));
    let shown = toml::to_string(&loaded.config).unwrap();
    assert!(!shown.contains("secret") && !shown.contains(HASH), "{shown}");
}

#[test]
fn what_is_shown_reads_back() {
    let config = Config::default();
    let shown = toml::to_string(&config).unwrap();
    assert_eq!(load_text(&shown, &[]).unwrap().config, config);
}

#[test]
fn not_toml() {
    refused("data_dir = \"x\"\n[log\n", "minutelog.toml:2: ", "");
    refused(
        "[log]\ninterval = \"1s\"\ninterval = \"2s\"\n",
        "minutelog.toml:3: ",
        "key `interval`",
    );
}

#[test]
fn no_such_file() {
    let error = load(Some(Path::new("/nonexistent.toml")), [], None).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent.toml: "), "{error}");
}

#[test]
fn unknown_keys() {
    refused("dada_dir = \"x\"\n", "minutelog.toml:1: dada_dir: ", "unknown field `dada_dir`");
    refused("\n[ingest]\nlisten_on = 1\n", "minutelog.toml:3: ingest.listen_on: ", "unknown field");
    refused("[s4]\n", "minutelog.toml:1: s4: ", "unknown field");
    refused(
        "[[bucket]]\nname = \"abc\"\nacll = 1\n",
        "minutelog.toml:3: bucket[0].acll: ",
        "unknown",
    );
}

#[test]
fn wrong_types() {
    refused("[log]\nmax_bytes = true\n", "minutelog.toml:2: log.max_bytes: ", "invalid type");
    refused("[s3]\npath_style = \"yes\"\n", "minutelog.toml:2: s3.path_style: ", "true or false");
    refused(
        "[flusher]\nupload_concurrency = -1\n",
        "minutelog.toml:2: flusher.upload_concurrency: ",
        "-1",
    );
    refused("log = 1\n", "minutelog.toml:1: log: ", "expected a table");
    refused("data_dir = 1\n", "minutelog.toml:1: data_dir: ", "expected a path in quotes");
    refused("bucket = 1\n", "minutelog.toml:1: bucket: ", "expected a list");
    refused("token = [1]\n", "minutelog.toml:1: token[0]: ", "expected a table");
    refused("[s3]\nregion = []\n", "minutelog.toml:2: s3.region: ", "expected a text in quotes");
    refused("[log]\ninterval = {}\n", "minutelog.toml:2: log.interval: ", "a table, expected");
    refused("[ingest]\nauth = 1\n", "minutelog.toml:2: ingest.auth: ", "a text in quotes");
    let count = "[ingest]\nmax_destinations_per_minute = 4294967296\n";
    let begins = "minutelog.toml:2: ingest.max_destinations_per_minute: ";
    refused(count, begins, "a whole number from 0 to 4294967295");
}

#[test]
fn values_that_cannot_be_read() {
    for (section, key, value) in [
        ("log", "interval", "\"7s\""),
        ("log", "max_bytes", "\"ten\""),
        ("ingest", "listen", "\"localhost\""),
        ("ingest", "auth", "\"open\""),
        ("flusher", "gzip_level", "0"),
        ("flusher", "gzip_level", "10"),
        ("flusher", "gzip_level", "\"best\""),
        ("flusher", "receipt_retention", "\"week\""),
        ("flusher", "keep_delivered", "7"),
        ("s3", "region", "\"\""),
        ("s3", "endpoint", "\"127.0.0.1:9000\""),
        ("s3", "endpoint", "\"http://user:secret@host\""),
    ] {
        let text = format!("[{section}]\n\n{key} = {value}\n");
        refused(&text, &format!("minutelog.toml:3: {section}.{key}: "), "");
    }
    for (key, value) in [
        ("name", "\"My_Bucket\""),
        ("expected_owner", "\"12\""),
        ("storage_class", "\"cheap\""),
        ("sse", "\"des\""),
        ("acl", "\"all\""),
        ("role_arn", "\"minutelog\""),
    ] {
        let name = if key == "name" { "" } else { "name = \"abc\"\n" };
        let text = format!("[[bucket]]\n{name}{key} = {value}\n");
        let line = text.lines().count();
        refused(&text, &format!("minutelog.toml:{line}: bucket[0].{key}: "), "");
    }
}

#[test]
fn a_listener_is_an_ip_address_and_a_port() {
    for key in ["ingest.listen", "ingest.ops_listen", "flusher.ops_listen"] {
        let (section, name) = key.split_once('.').unwrap();
        for value in ["\"localhost:9600\"", "\"127.0.0.1\"", "\"\"", "9600"] {
            let text = format!("[{section}]\n{name} = {value}\n");
            let shown = value.trim_matches('"');
            let why =
                format!("\"{shown}\" is no address to listen on: give an IP address and a port");
            refused(&text, &format!("minutelog.toml:2: {key}: "), &why);
        }
    }
}

#[test]
fn impossible_values() {
    for (section, line, contains) in [
        ("log", "max_bytes = \"63MiB\"", "at least 64MiB"),
        ("log", "run_bytes = \"255KiB\"", "at least 256KiB"),
        ("ingest", "max_event_bytes = \"17MiB\"", "at most 16MiB"),
        ("ingest", "max_event_bytes = 0", "at least 1B"),
        ("ingest", "max_request_bytes = \"512KiB\"", "max_event_bytes"),
        ("ingest", "max_destinations_per_minute = 0", "at least 1"),
        ("ingest", "ops_listen = \"127.0.0.1:9600\"", "same address"),
        ("flusher", "ops_listen = \"0.0.0.0:9601\"", "same address"),
        ("flusher", "upload_concurrency = 0", "1 to 1024"),
        ("flusher", "upload_concurrency = 5000", "1 to 1024"),
        ("flusher", "receipt_retention = \"0s\"", "at least 1s"),
        ("flusher", "receipt_retention = \"14m\"", "a window of 15m"),
        ("flusher", "keep_delivered = \"8d\"", "longer than the receipts"),
        ("ingest", "idempotency_window = \"0s\"", "at least 1s"),
        ("ingest", "idempotency_window = \"8d\"", "receipts are kept, 7d"),
    ] {
        let key = line.split(' ').next().unwrap();
        let begins = format!("minutelog.toml:2: {section}.{key}: ");
        refused(&format!("[{section}]\n{line}\n"), &begins, contains);
    }
    refused("data_dir = \"\"\n", "minutelog.toml:1: data_dir: ", "name a directory");
}

#[test]
fn an_event_must_fit_into_a_request() {
    refused(
        "[ingest]\nmax_request_bytes = \"1MiB\"\nmax_event_bytes = \"2MiB\"\n",
        "minutelog.toml:3: ingest.max_event_bytes: ",
        "does not fit",
    );
}

#[test]
fn auth_none_is_for_loopback() {
    let open = "[ingest]\nlisten = \"0.0.0.0:9600\"\nauth = \"none\"\n";
    refused(open, "minutelog.toml:3: ingest.auth: ", "insecure = true");
    let ops = "[ingest]\nops_listen = \"0.0.0.0:9601\"\nauth = \"none\"\n";
    refused(ops, "minutelog.toml:3: ingest.auth: ", "ingest.ops_listen");
    let flusher = "[ingest]\nauth = \"none\"\n[flusher]\nops_listen = \"0.0.0.0:9602\"\n";
    refused(flusher, "minutelog.toml:2: ingest.auth: ", "flusher.ops_listen");
    let insecure = flusher.replace("[flusher]", "insecure = true\n[flusher]");
    assert!(load_text(&insecure, &[]).is_ok());
    let loaded = load_text(&format!("{open}insecure = true\n"), &[]).unwrap();
    assert_eq!(loaded.config.ingest.auth, AuthMode::None);
    assert!(load_text("[ingest]\nauth = \"none\"\n", &[]).is_ok());
}

#[test]
fn auth_tokens_needs_a_token_when_ingest_starts() {
    let loaded = load_text("[ingest]\nauth = \"tokens\"\n", &[]).unwrap();
    let error = loaded.check_for_ingest().unwrap_err().to_string();
    assert!(error.contains("minutelog.toml:2: ingest.auth: "), "{error}");
    let error = load(None, [], None).unwrap().check_for_ingest().unwrap_err().to_string();
    assert!(error.starts_with("configuration: ingest.auth: "), "{error}");
}

#[test]
fn buckets_fit_themselves_and_each_other() {
    let bucket = "[[bucket]]\nname = \"abc\"\n";
    refused(&format!("{bucket}{bucket}"), "minutelog.toml:4: bucket[1].name: ", "already");
    refused(
        &format!("{bucket}external_id = \"x\"\n"),
        "minutelog.toml:3: bucket[0].external_id: ",
        "role_arn",
    );
    refused(
        &format!("{bucket}kms_key_id = \"x\"\n"),
        "minutelog.toml:3: bucket[0].kms_key_id: ",
        "aws:kms",
    );
    refused(
        &format!("{bucket}sse = \"aws:kms\"\nkms_key_id = \"\"\n"),
        "minutelog.toml:4: bucket[0].kms_key_id: ",
        "empty",
    );
    refused(
        &format!("{bucket}tags = {{ \"\" = \"x\" }}\n"),
        "minutelog.toml:3: bucket[0].tags: ",
        "characters",
    );
    let tags: Vec<_> = (0..11).map(|n| format!("t{n} = \"\"")).collect();
    refused(
        &format!("{bucket}tags = {{ {} }}\n", tags.join(", ")),
        "minutelog.toml:3: bucket[0].tags: ",
        "at most 10",
    );
    refused(
        "[[bucket]]\nregion = \"eu-west-1\"\n",
        "minutelog.toml:1: bucket[0]: ",
        "missing field `name`",
    );
}

#[test]
fn tokens_fit_themselves_and_each_other() {
    let token = |name: &str, hash: &str, allow: &str| {
        format!("[[token]]\nname = \"{name}\"\nhash = \"{hash}\"\nallow = [{allow}]\n")
    };
    let other = HASH.replace("af13", "af14");
    let first = token("a", HASH, "\"abc/*\"");
    refused(
        &format!("{first}{}", token("a", &other, "\"abc/*\"")),
        "minutelog.toml:6: token[1].name: ",
        "second token a",
    );
    refused(
        &format!("{first}{}", token("b", HASH, "\"abc/*\"")),
        "minutelog.toml:7: token[1].hash: ",
        "the same",
    );
    refused(&token("a", HASH, ""), "minutelog.toml:4: token[0].allow: ", "reaches nothing");
    refused(&token("a b", HASH, "\"abc/*\""), "minutelog.toml:2: token[0].name: ", "no name");
    refused(&token("a", "sha256:00", "\"abc/*\""), "minutelog.toml:3: token[0].hash: ", "blake3:");
    refused(&token("a", HASH, "\"abc/*/x\""), "minutelog.toml:4: token[0].allow: ", "abc/*/x");
    refused(&token("a", HASH, "\"abc/x\", \"A/*\""), "minutelog.toml:4: token[0].allow: ", "A/*");
    let mistaken = load_text(&token("a", "ml_secret", "\"abc/*\""), &[]).unwrap_err();
    assert!(!mistaken.contains("ml_secret"), "{mistaken}");
}

#[test]
fn the_environment_beats_the_file_and_the_flag_beats_both() {
    let environment = [
        ("MINUTELOG__DATA_DIR", "/from/environment"),
        ("MINUTELOG__LOG__MAX_BYTES", "1GiB"),
        ("MINUTELOG__FLUSHER__UPLOAD_CONCURRENCY", "3"),
        ("MINUTELOG__S3__PATH_STYLE", "true"),
        ("MINUTELOG__S3__REGION", "1"),
        ("MINUTELOG__BUCKET", "[{ name = \"abc\" }]"),
        ("MINUTELOG_LOG", "debug"),
    ];
    let file = "data_dir = \"/from/file\"\n[log]\ninterval = \"5s\"\nmax_bytes = \"2GiB\"\n";
    let config = load_text(file, &environment).unwrap().config;
    assert_eq!(config.data_dir, Path::new("/from/environment"));
    assert_eq!(config.log.interval.to_string(), "5s");
    assert_eq!(config.log.max_bytes, ByteCount::from_gib(1));
    assert_eq!(config.flusher.upload_concurrency, 3);
    assert!(config.s3.path_style);
    assert_eq!(config.s3.region.unwrap().as_str(), "1");
    assert_eq!(config.buckets.len(), 1);

    let environment = [("MINUTELOG__DATA_DIR".into(), "/from/environment".into())];
    let flag = load(None, environment, Some(Path::new("/from/flag"))).unwrap();
    assert_eq!(flag.config.data_dir, Path::new("/from/flag"));
}

#[test]
fn refusals_of_the_environment_name_the_variable() {
    for (name, value, key) in [
        ("MINUTELOG__LOG__INTERVAL", "7s", "log.interval"),
        ("MINUTELOG__LOG__MAX_BYTES", "1MiB", "log.max_bytes"),
        ("MINUTELOG__INGEST__LISTEN", "here", "ingest.listen"),
        ("MINUTELOG__FLUSHER__UPLOAD_CONCURRENCY", "-1", "flusher.upload_concurrency"),
        ("MINUTELOG__INGEST__LISTEM", "127.0.0.1:1", "ingest.listem"),
        ("MINUTELOG__NONSENSE", "1", "nonsense"),
        ("MINUTELOG__BUCKET", "[{ name = \"abc\" }, { name = \"abc\" }]", "bucket[1].name"),
    ] {
        let error = load_text("[log]\nmax_bytes = \"2GiB\"\n", &[(name, value)]).unwrap_err();
        let begins = format!("environment variable {name}: {key}: ");
        assert!(error.starts_with(&begins), "{error}\n  should begin with {begins}");
    }
}

#[test]
fn tls_is_given_whole_or_not_at_all() {
    let tls = |lines: &str| format!("[ingest.tls]\n{lines}");
    refused(
        &tls("certificate = \"a\"\n"),
        "minutelog.toml:2: ingest.tls.certificate: ",
        "ingest.tls.private_key",
    );
    refused(
        &tls("private_key = \"a\"\n"),
        "minutelog.toml:2: ingest.tls.private_key: ",
        "ingest.tls.certificate",
    );
    refused(&tls("client_ca = \"a\"\n"), "minutelog.toml:2: ingest.tls.client_ca: ", "too");
    refused(&tls("client_ca = \"\"\n"), "minutelog.toml:2: ingest.tls.client_ca: ", "empty");
    refused(&tls("key = \"a\"\n"), "minutelog.toml:2: ingest.tls.key: ", "unknown field");
    let environment = [
        ("MINUTELOG__INGEST__TLS__CERTIFICATE", "/nonexistent/cert.pem"),
        ("MINUTELOG__INGEST__TLS__PRIVATE_KEY", "/nonexistent/key.pem"),
        ("MINUTELOG__INGEST__AUTH", "none"),
    ];
    let loaded = load_text("", &environment).unwrap();
    assert!(loaded.config.ingest.tls.files().is_some());
    let error = loaded.check_for_ingest().unwrap_err().to_string();
    let begins = "environment variable MINUTELOG__INGEST__TLS__CERTIFICATE: \
                  ingest.tls.certificate: /nonexistent/cert.pem: ";
    assert!(error.starts_with(begins), "{error}");
}

#[test]
fn client_certificates_are_no_tokens() {
    let text = "[ingest]\nlisten = \"0.0.0.0:9600\"\nauth = \"none\"\n\
                [ingest.tls]\ncertificate = \"a\"\nprivate_key = \"b\"\nclient_ca = \"c\"\n";
    refused(text, "minutelog.toml:3: ingest.auth: ", "insecure = true");
}

#[test]
fn limits_of_a_token_beat_those_of_all() {
    let text = format!(
        "[ingest.limits]\nconnection = {{ requests_per_minute = 600 }}\n\
         token = {{ bytes_per_minute = \"1GiB\", destinations_per_minute = 7 }}\n\
         [[token]]\nname = \"a\"\nhash = \"{HASH}\"\nallow = [\"abc/*\"]\n\
         limits = {{ destinations_per_minute = 9 }}\n"
    );
    let config = load_text(&text, &[]).unwrap().config;
    assert_eq!(config.ingest.limits.connection.rates().requests_per_minute, Some(600));
    let rates = config.tokens[0].limits.or(&config.ingest.limits.token).rates();
    assert_eq!(rates.bytes_per_minute, Some(1 << 30));
    assert_eq!((rates.destinations_per_minute, rates.requests_per_minute), (Some(9), None));
    let shown = toml::to_string(&config).unwrap();
    assert!(shown.contains("destinations_per_minute = 9"), "{shown}");
}

#[test]
fn limits_that_refuse_all_or_take_too_much_memory() {
    for (key, value) in [
        ("requests_per_minute", "0"),
        ("bytes_per_minute", "\"0B\""),
        ("destinations_per_minute", "0"),
    ] {
        for section in ["connection", "token"] {
            let text = format!("[ingest.limits.{section}]\n{key} = {value}\n");
            let begins = format!("minutelog.toml:2: ingest.limits.{section}.{key}: ");
            refused(&text, &begins, "at least 1");
        }
    }
    let token = format!("[[token]]\nname = \"a\"\nhash = \"{HASH}\"\nallow = [\"abc/*\"]\n");
    let zero = format!("{token}limits = {{ requests_per_minute = 0 }}\n");
    refused(&zero, "minutelog.toml:5: token[0].limits.requests_per_minute: ", "at least 1");
    refused(
        "[ingest.limits]\nconnection = { destinations_per_minute = 1001 }\n",
        "minutelog.toml:2: ingest.limits.connection.destinations_per_minute: ",
        "at most 10000000",
    );
    refused(
        &format!("{token}limits = {{ destinations_per_minute = 10000001 }}\n"),
        "configuration: ingest.limits.token.destinations_per_minute: ",
        "at most 10000000",
    );
    for count in ["0", "1000001"] {
        let text = format!("[ingest]\nmax_connections = {count}\n");
        refused(&text, "minutelog.toml:2: ingest.max_connections: ", "1 to 1000000");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let token = "ml_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let block = |name: &str, hash: &str, allow: &str| {
        format!("[[token]]\nname = \"{name}\"\nhash = \"{hash}\"\nallow = [\"{allow}\"]\n")
    };
    for text in [
        block(token, HASH, "abc/*"),
        block("a", token, "abc/*"),
        block("a", HASH, token),
        format!("{token} = 1\n"),
        format!("[ingest]\nauth = \"{token}\"\n"),
        format!("[[bucket]]\nname = \"{token}\"\n"),
        format!("token = \"{token}\"\n"),
    ] {
        let error = load_text(&text, &[]).unwrap_err();
        assert!(!error.contains("0123456789abcdef"), "{error}");
    }
    // A list that is not well formed is read as a text.
    let secret = "the-external-id";
    let bucket = format!("[{{ name = \"abc\", external_id = \"{secret}\" }}");
    for (name, value) in [
        ("MINUTELOG__BUCKET", bucket),
        ("MINUTELOG__TOKEN", format!("[{{ name = \"a\", hash = \"{token}\"")),
        ("MINUTELOG__TOKEN", token.to_owned()),
        ("MINUTELOG__BUCKET", format!("[{{ name = \"abc\", external_id = [\"{secret}\"] }}]")),
        ("MINUTELOG__S3__ENDPOINT", format!("http://user:{secret}@host")),
    ] {
        let error = load_text("", &[(name, &*value)]).unwrap_err();
        assert!(!error.contains(secret) && !error.contains("0123456789abcdef"), "{error}");
    }
    let file = format!("[s3]\nendpoint = \"http://user:{secret}@host\"\n");
    let error = load_text(&file, &[]).unwrap_err();
    assert!(!error.contains(secret), "{error}");
}
