//! Streams and access keys: each refusal names its place and its key, and no secret is ever shown.

use std::fs;

use super::super::load::{Loaded, load};
use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef01234567";

fn load_text(text: &str) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("minutelog.toml");
    fs::write(&path, text).unwrap();
    load(Some(&path), [], None)
        .map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

#[track_caller]
fn refused(text: &str, begins: &str, contains: &str) {
    let error = load_text(text).unwrap_err();
    assert!(error.starts_with(begins), "{error}\n  should begin with {begins}");
    assert!(error.contains(contains), "{error}\n  should contain {contains}");
    assert!(!error.contains("0123456789abcdef"), "{error}");
}

fn stream(name: &str) -> String {
    format!("[[stream]]\nname = \"{name}\"\nbucket = \"my-bucket\"\nprefix = \"p/\"\n")
}

fn key(id: &str, secret: &str, allow: &str) -> String {
    format!("[[access_key]]\nid = \"{id}\"\n{secret}\nallow = [{allow}]\n")
}

fn inline() -> String {
    format!("secret = \"{SECRET}\"")
}

#[test]
fn streams_and_keys_come_to_ingest_as_they_were_written() {
    let limits = "limits = { requests_per_minute = 7 }\n";
    let text = stream("orders") + &key("KEY_1", &inline(), "\"ord*\", \"views\"") + limits;
    let loaded = load_text(&text).unwrap();
    assert_eq!(loaded.check_for_ingest(), Ok(()), "a key is enough for somebody to send");
    let config = loaded.config;
    let stream = config.streams[0].stream();
    assert_eq!(
        (stream.name.as_str(), &*stream.destination.to_string()),
        ("orders", "my-bucket/p/")
    );
    let defaults = RateConfig { destinations_per_minute: Some(3), ..RateConfig::default() };
    let key = config.access_keys[0].access_key(&defaults).unwrap();
    assert_eq!((&*key.id, &*key.secret), ("KEY_1", SECRET));
    assert!(key.allow[0].matches("orders") && !key.allow[1].matches("orders"));
    assert_eq!(key.limits.requests_per_minute, Some(7));
    assert_eq!(key.limits.destinations_per_minute, Some(3));
    for shown in [toml::to_string(&config).unwrap(), format!("{config:?}{key:?}")] {
        assert!(shown.contains("KEY_1") && !shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let file = format!("secret_file = {:?}", path.display().to_string());
    let text = stream("orders") + &key("KEY", &file, "\"orders\"");
    let loaded = load_text(&text).unwrap();
    let check = || loaded.check_for_ingest().map_err(|error| error.to_string());
    let missing = check().unwrap_err();
    assert!(missing.contains("minutelog.toml:7: access_key[0].secret_file: "), "{missing}");
    for (content, good) in [
        (SECRET.to_owned(), true),
        (format!("{SECRET}\n"), true),
        (format!("{SECRET}\r\n"), true),
        (format!("{SECRET}\n\n"), false),
        (format!("{SECRET} "), false),
        (SECRET[..15].to_owned(), false),
        (SECRET.repeat(26), false),
        (String::new(), false),
    ] {
        fs::write(&path, &content).unwrap();
        let checked = check();
        assert_eq!(checked.is_ok(), good, "{content:?}: {checked:?}");
        if good {
            let key = loaded.config.access_keys[0].access_key(&RateConfig::default()).unwrap();
            assert_eq!(key.secret, SECRET);
        } else {
            assert!(!checked.unwrap_err().contains(&SECRET[..15]));
        }
    }
}

#[test]
fn streams_and_keys_fit_themselves_and_each_other() {
    let (orders, inline) = (stream("orders"), inline());
    refused(&format!("{orders}{orders}"), "minutelog.toml:6: stream[1].name: ", "second stream");
    refused(&stream("a b"), "minutelog.toml:2: stream[0].name: ", "1 to 64 letters");
    refused(
        "[[stream]]\nname = \"a\"\n",
        "minutelog.toml:1: stream[0]: ",
        "missing field `bucket`",
    );
    let bad = orders.replace("p/", "/p");
    refused(&bad, "minutelog.toml:4: stream[0].prefix: ", "");
    assert!(load_text(&(orders.clone() + "delimiter = \"newline\"\n")).is_ok());
    let delimiter = orders.clone() + "delimiter = \"none\"\n";
    refused(&delimiter, "minutelog.toml:5: stream[0].delimiter: ", "without a newline");

    let one = key("A", &inline, "\"orders\"");
    refused(&format!("{one}{one}"), "minutelog.toml:6: access_key[1].id: ", "second access key");
    refused(&key("A", "", "\"a\""), "minutelog.toml:2: access_key[0].id: ", "no secret");
    let both = format!("{inline}\nsecret_file = \"x\"");
    refused(&key("A", &both, "\"a\""), "minutelog.toml:4: access_key[0].secret_file: ", "one of");
    let empty = "secret_file = \"\"";
    refused(&key("A", empty, "\"a\""), "minutelog.toml:3: access_key[0].secret_file: ", "empty");
    let short = "secret = \"0123456789abcde\"";
    refused(&key("A", short, "\"a\""), "minutelog.toml:3: access_key[0].secret: ", "16 to 1024");
    refused(&key("A", &inline, ""), "minutelog.toml:4: access_key[0].allow: ", "reaches nothing");
    refused(&key("A", &inline, "\"a*b\""), "minutelog.toml:4: access_key[0].allow: ", "a*b");
    let swapped = key(&format!("{SECRET}/"), &inline, "\"a\"");
    refused(&swapped, "minutelog.toml:2: access_key[0].id: ", "no id of an access key");
    let zero = one + "limits = { requests_per_minute = 0 }\n";
    refused(&zero, "minutelog.toml:5: access_key[0].limits.requests_per_minute: ", "at least 1");
}

#[test]
fn what_can_not_have_been_meant_is_warned_of() {
    let warnings = |text: &str| load_text(text).unwrap().config.stream_warnings();
    let (orders, reaching) = (stream("orders"), key("A", &inline(), "\"ord*\""));
    assert_eq!(warnings(&format!("{orders}{reaching}")), [""; 0]);
    let nobody = warnings(&orders);
    assert!(nobody[0].starts_with("nobody can send to the stream orders: "), "{nobody:?}");
    let mistyped = warnings(&format!("{orders}{reaching}{}", key("B", &inline(), "\"order\"")));
    assert!(mistyped[0].starts_with("the access key B may send to \"order\""), "{mistyped:?}");
    let open = format!("[ingest]\nauth = \"none\"\n{orders}{reaching}");
    assert!(warnings(&open)[0].starts_with("access keys are not asked for: "));
    assert_eq!(warnings(&format!("[ingest]\nauth = \"none\"\n{orders}")), [""; 0]);
}
