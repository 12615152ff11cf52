//! Tokens that are nearly right, and destinations that a right one does not reach.

use tests::{Objects, Setup, Site};

use super::raw::{Attack, Expect, post_whole};

const TOKEN: &str = "mlog_0123456789abcdefghijABCDEFGHIJ";
const SEND: &str = "/v1/send/s3";

/// Tries them all; returns how many were refused. One request in their midst is in order, and is
/// all that arrives.
pub(super) fn run() -> u64 {
    let hash = blake3::hash(TOKEN.as_bytes());
    let rest = format!(
        "[[token]]\nname = \"t\"\nhash = \"blake3:{hash}\"\nallow = [\"my-bucket/test/*\", \"my-bucket/one\"]\n"
    );
    let site = Site::with(&Setup { ingest: String::new(), rest, ..Setup::default() });
    let ingest = site.ingest();
    let attacks = attacks();
    for attack in &attacks {
        attack.run(ingest.address());
    }
    let good = ingest.client().with_token(TOKEN);
    good.send("my-bucket", "test/a", "1");
    good.send("my-bucket", "one/", "2");
    assert_eq!(ingest.terminate(), Some(0));
    site.flush_once().exits(0);
    let objects = Objects::read(&site.s3);
    let arrived: Vec<_> = objects.0.iter().flat_map(|object| &object.lines).collect();
    assert_eq!(arrived.len(), 2, "{arrived:?}");
    attacks.len() as u64
}

fn attacks() -> Vec<Attack> {
    let body = |prefix: &str| {
        format!(r#"{{"bucket":"my-bucket","prefix":"{prefix}","payload":"smuggled"}}"#)
    };
    let refused = |name: &str, headers: &str| {
        let bytes = post_whole(SEND, headers, body("test"));
        Attack::new(name, bytes, Expect::Problem(401, "unauthorized"))
    };
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let mut attacks = vec![
        refused("no token", ""),
        refused("an empty token", &bearer("")),
        refused("another scheme", &format!("Authorization: Basic {TOKEN}\r\n")),
        refused("no scheme", &format!("Authorization: {TOKEN}\r\n")),
        refused("two tokens", &bearer("a").repeat(2)),
        refused("a token and a right one", &[bearer("a"), bearer(TOKEN)].concat()),
        refused("a list of tokens", &bearer(&format!("a, {TOKEN}"))),
        refused("the token in quotes", &bearer(&format!("\"{TOKEN}\""))),
        refused("the token's hash", &bearer(&blake3::hash(TOKEN.as_bytes()).to_string())),
        refused("the token in upper case", &bearer(&TOKEN.to_uppercase())),
        refused("the token twice", &bearer(&TOKEN.repeat(2))),
        refused("a token of 50 KB", &bearer(&"a".repeat(50_000))),
        refused("a token that is no text", "Authorization: Bearer \u{e9}\u{e9}\r\n"),
        refused("the token in another header", &format!("X-Authorization: Bearer {TOKEN}\r\n")),
        refused("the token and more", &bearer(&format!("{TOKEN}a"))),
    ];
    for end in 1..TOKEN.len() {
        attacks.push(refused(&format!("{end} bytes of it"), &bearer(&TOKEN[..end])));
        let mut near = TOKEN.as_bytes().to_vec();
        near[end] ^= 1;
        let near = String::from_utf8(near).expect("the lowest bit leaves ASCII ASCII");
        attacks.push(refused(&format!("byte {end} changed"), &bearer(&near)));
    }
    let path = format!("/v1/send/s3?token={TOKEN}&access_token={TOKEN}");
    let in_query = post_whole(&path, "", body("test"));
    attacks.push(Attack::new(
        "the token in the query",
        in_query,
        Expect::Problem(401, "unauthorized"),
    ));
    attacks.extend(out_of_reach(&bearer(TOKEN)));
    attacks
}

fn out_of_reach(token: &str) -> Vec<Attack> {
    let reach = |bucket: &str, prefix: &str, status, slug| {
        let body = format!(r#"{{"bucket":"{bucket}","prefix":"{prefix}","payload":"smuggled"}}"#);
        let expect = Expect::Problem(status, slug);
        Attack::new(format!("{bucket}/{prefix}"), post_whole(SEND, token, body), expect)
    };
    let denied = (403, "destination-not-allowed");
    let mut attacks: Vec<Attack> = [
        ("my-bucket", ""),
        ("my-bucket", "tes"),
        ("my-bucket", "test2"),
        ("my-bucket", "test."),
        ("my-bucket", "Test"),
        ("my-bucket", "one/two"),
        ("my-bucket", "a/test/b"),
        ("my-bucket", "*"),
        ("my-bucket2", "test"),
        ("my-bucke", "test"),
        ("other-bucket", "test"),
    ]
    .map(|(bucket, prefix)| reach(bucket, prefix, denied.0, denied.1))
    .into();
    attacks.push(reach("my-bucket", "test/../secret", 422, "invalid-prefix"));
    attacks.push(reach("my-bucket/test", "", 422, "invalid-bucket"));
    // One destination in reach does not open the way for the next.
    let good = r#"{"bucket":"my-bucket","prefix":"test","payload":"smuggled"}"#;
    let both = format!("[{good},{}]", good.replace("test", "secret"));
    let both = post_whole(SEND, token, both);
    attacks.push(Attack::new("one of two", both, Expect::Problem(403, "destination-not-allowed")));
    for prefix in ["secret", "test%2f..%2fsecret", "test%252f..%252fsecret"] {
        let bytes = post_whole(
            &format!("/v1/s3/my-bucket?prefix={prefix}"),
            &format!("Content-Type: text/plain\r\n{token}"),
            "smuggled",
        );
        let expect = if prefix.contains("%2f") {
            Expect::Problem(422, "invalid-prefix")
        } else {
            Expect::Problem(403, "destination-not-allowed")
        };
        attacks.push(Attack::new(format!("query {prefix}"), bytes, expect));
    }
    attacks
}
