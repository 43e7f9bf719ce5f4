//! Submission (RFC 5321, RFC 6409, RFC 4954).
