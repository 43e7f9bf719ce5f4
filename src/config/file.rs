//! The TOML, field for field; unknown keys are refused.
