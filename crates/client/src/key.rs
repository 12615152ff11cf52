//! Idempotency keys.

use std::fmt::Write as _;

use fastrand::Rng;

/// Makes keys that no other client makes, and chance for what needs only that.
#[derive(Debug)]
pub(crate) struct Keys {
    client: String,
    made: u64,
    rng: Rng,
}

impl Keys {
    /// From 128 random bits, which are this client's alone.
    pub(crate) fn new(random: [u8; 16]) -> Self {
        let mut client = String::with_capacity(32);
        for byte in random {
            write!(client, "{byte:02x}").expect("a string takes everything");
        }
        let [low, high] = [0, 8].map(|at| {
            let half: Vec<u8> = random.iter().skip(at).take(8).copied().collect();
            half.try_into().map(u64::from_le_bytes).unwrap_or_default()
        });
        Self { client, made: 0, rng: Rng::with_seed(low ^ high) }
    }

    /// One that was not there before.
    pub(crate) fn next(&mut self) -> String {
        self.made += 1;
        format!("{}-{}", self.client, self.made)
    }

    /// A number from 0 to 1.
    pub(crate) fn chance(&mut self) -> f64 {
        self.rng.f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_are_taken_by_the_service() {
        let (mut one, mut other) = (Keys::new([7; 16]), Keys::new([8; 16]));
        let keys = [one.next(), one.next(), other.next()];
        assert_eq!(keys[0], "07070707070707070707070707070707-1");
        assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2], "{keys:?}");
    }
}
