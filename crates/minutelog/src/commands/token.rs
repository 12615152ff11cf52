//! `minutelog admin token`: makes a token. Only its hash is kept anywhere.

use std::fmt::Write as _;

use serde::Serialize;

use crate::args::Global;
use crate::args::admin::TokenArgs;
use crate::config::{TokenHash, TokenName};
use crate::failure::{Code, Failure};
use crate::output;

/// How many random bytes a token has.
const TOKEN_BYTES: usize = 32;

const EXAMPLE_ALLOW: &str = "my-bucket/test/*";

#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    token: &'a str,
    hash: String,
    config: &'a str,
}

/// Runs `admin token`.
pub(crate) fn run(global: &Global, args: &TokenArgs) -> Result<(), Failure> {
    let token = format!("ml_{}", random_hex::<TOKEN_BYTES>()?);
    let hash = TokenHash::of(&token);
    let block = block(&args.name, hash);
    if global.json {
        let name = args.name.as_str();
        let hash = hash.to_config();
        return output::print_json(&Document { name, token: &token, hash, config: &block });
    }
    output::print(&format!(
        "{token}\n\nThis token is shown once and kept nowhere. Clients send it as\n\n    Authorization: Bearer {token}\n\nPut its hash into the configuration, name what it may reach, and have ingest take it up (SIGHUP, `systemctl reload minutelog-ingest`):\n\n{block}"
    ))
}

fn block(name: &TokenName, hash: TokenHash) -> String {
    let hash = hash.to_config();
    format!("[[token]]\nname = \"{name}\"\nhash = \"{hash}\"\nallow = [\"{EXAMPLE_ALLOW}\"]\n")
}

/// `N` bytes from the system's source of randomness, as hex digits.
pub(crate) fn random_hex<const N: usize>() -> Result<String, Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        let what = format!("random bytes: {error}: check the system's source of randomness");
        Failure::new(Code::Unavailable, what)
    })?;
    let mut hex = String::with_capacity(2 * N);
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("a String takes all that is written");
    }
    Ok(hex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_block_is_a_configuration_that_knows_the_token() {
        let token = random_hex::<TOKEN_BYTES>().unwrap();
        let block = block(&"checkout".parse().unwrap(), TokenHash::of(&token));
        let config: Config = toml::from_str(&block).unwrap();
        assert_eq!(config.tokens.len(), 1);
        assert_eq!(config.tokens[0].hash.digest(), model::Digest::of(token.as_bytes()));
    }

    #[test]
    fn tokens_differ() {
        let (a, b) = (random_hex::<TOKEN_BYTES>().unwrap(), random_hex::<TOKEN_BYTES>().unwrap());
        assert_eq!(a.len(), 64);
        assert_ne!(a, b);
    }
}
