//! Submission to the provider (RFC 6409) over lettre's low level.
