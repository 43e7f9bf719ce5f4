//! What gates keep on this machine: one for the life of the bridge, handed to each gate.

use std::path::Path;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::password::Passwords;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stores {
    /// What apps show us.
    pub passwords: Passwords,
}

impl Stores {
    /// Those of a state folder, which need not be there, or of none.
    pub fn new(state: Option<&Path>) -> Self {
        Self { passwords: Passwords::new(state) }
    }

    /// Writes down what is worth it, until the bridge stops.
    pub async fn keep(&self, stopping: CancellationToken) {
        self.passwords.keep(stopping).await;
    }

    /// Writes down the rest, once no session is left.
    pub async fn close(&self) {
        if let Err(fault) = self.passwords.write_uses().await {
            warn!("when bridge passwords were used last is not written: {fault}");
        }
    }
}
