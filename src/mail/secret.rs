//! Values that must not be printed.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password or token: wiped when dropped, never printed, compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the octets over.
    pub fn new(octets: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(octets.into()))
    }

    /// The octets, for the one place that writes them to a peer.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The same as text, where it is UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether both hold the same octets; the time taken tells at most the length.
    pub fn same_as(&self, other: &Secret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// What upstream is shown at login.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A password, an app password among them.
    Password(Secret),
    /// An OAuth2 access token (RFC 6750).
    Token(Secret),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_no_octet_of_it() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "<secret>");
        let credential = Credential::Password(Secret::new("hunter2"));
        assert!(!format!("{credential:?}").contains("hunter2"));
    }

    #[test]
    fn same_as_compares_length_and_octets() {
        assert!(Secret::new("a b").same_as(&Secret::new("a b")));
        assert!(!Secret::new("a b").same_as(&Secret::new("a b ")));
        assert!(!Secret::new("a b").same_as(&Secret::new("a c")));
    }
}
