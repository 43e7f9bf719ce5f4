//! SASL mechanisms the apps use: PLAIN (RFC 4616) and LOGIN.
