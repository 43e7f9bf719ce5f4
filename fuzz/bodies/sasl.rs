//! SASL: the first line is the initial response (none, if it is empty), the others are answers. An offer has nothing
//! that could end another protocol's line, and is never printed.

use footbridge::proto::sasl::{Exchange, Mechanism, Progress};

pub fn run(input: &[u8]) {
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        let mut lines = input.split(|octet| *octet == b'\n');
        let initial = lines.next().filter(|line| !line.is_empty());
        let (mut exchange, mut progress) = Exchange::begin(mechanism, initial);
        // Two answers are the longest there is: name and password.
        let mut challenges = 0;
        while let Progress::Challenge(challenge) = progress {
            assert!(challenge.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'='));
            challenges += 1;
            assert!(challenges <= 2);
            let Some(line) = lines.next() else { return };
            progress = exchange.answer(line);
        }
        if let Progress::Offer(offer) = progress {
            assert!(!offer.login.is_empty() && !offer.login.chars().any(char::is_control));
            assert!(!offer.secret.expose().iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
            assert!(format!("{offer:?}").ends_with("secret: <secret> }"));
        }
    }
}
