//! Whom we trust upstream: roots and rustls configurations.
