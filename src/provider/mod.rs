//! What each provider is like: `config/providers.toml` compiled in and typed. No I/O.
