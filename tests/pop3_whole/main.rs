//! A mailbox stays whole under POP3 sessions, whatever else happens to it and to the bridge: real Dovecot, the bridge as
//! a process, sessions and instants drawn at random.
//!
//! `FOOTBRIDGE_SESSIONS` and `FOOTBRIDGE_ROUNDS` say how many, `FOOTBRIDGE_SEED` draws the same ones again; a failure
//! prints its seed. What two processes do at the same time is not repeated by it to the instant.

#[path = "../support/mod.rs"]
mod support;

mod killed;
mod model;

use std::hash::{BuildHasher, RandomState};

/// Numbers that look random (splitmix64), the same ones for the same seed.
struct Dice(u64);

impl Dice {
    /// Of the seed in the environment, else of a new one; `name` tells apart what uses them.
    fn new(name: &str) -> Self {
        let drawn = RandomState::new().hash_one(name) >> 32;
        let seed = number("FOOTBRIDGE_SEED").unwrap_or(drawn);
        println!("{name}: FOOTBRIDGE_SEED={seed}");
        Self(name.bytes().fold(seed, |mixed, octet| mixed.wrapping_mul(31).wrapping_add(u64::from(octet))))
    }

    /// Others that follow from these.
    fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// Any number below `sides`.
    fn below(&mut self, sides: usize) -> usize {
        let sides = u64::try_from(sides).expect("64 bits");
        usize::try_from(self.next() % sides).expect("below a usize")
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A number that the environment gives.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// How many of something: as the environment says, else `usual`, shared evenly by two tests.
fn half_of(name: &str, usual: u64) -> u64 {
    number(name).unwrap_or(usual).div_ceil(2)
}

/// The number that a message of these tests has in its first line, `Subject: 12`.
fn number_of(octets: &[u8]) -> usize {
    let line = octets.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let digits = String::from_utf8_lossy(line).trim_start_matches("Subject: ").to_owned();
    digits.parse().unwrap_or_else(|_| panic!("no message of ours: {:?}", line.escape_ascii().to_string()))
}
