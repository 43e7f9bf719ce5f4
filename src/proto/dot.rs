//! Dot-stuffing, both ways (RFC 1939 §3, RFC 5321 §4.5.2).
