//! IMAP as far as a bridge has to understand it (RFC 3501, RFC 9051).
