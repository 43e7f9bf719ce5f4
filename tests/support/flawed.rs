//! A way to a server on which something goes wrong once, at a chosen octet of what the server says.
//!
//! TLS ends here on both sides, so that octets are counted as the protocol has them.

use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use super::bridge::Remote;
use super::scripted::Upstream;
use super::wire::Wire;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The connection breaks.
    Reset,
    /// The server's direction ends politely.
    Ends,
    /// The server says nothing more on this connection.
    Silence,
    /// These octets come in between.
    Noise(Vec<u8>),
}

/// Carries octets to a server; dropped, it takes no more connections.
pub struct Flawed {
    remote: Remote,
    said: Arc<Mutex<Said>>,
    accepting: JoinHandle<()>,
}

struct Said {
    /// Octets that came from the server, over all connections.
    octets: usize,
    /// Where the flaw is, as long as it was not reached.
    flaw: Option<(usize, Flaw)>,
}

impl Flawed {
    /// Behind `after` octets there is the flaw, or with `None` nowhere.
    pub async fn before(server: &Remote, flaw: Option<(usize, Flaw)>) -> Self {
        let upstream = Upstream::good().await;
        let remote = upstream.remote();
        let said = Arc::new(Mutex::new(Said { octets: 0, flaw }));
        let (plan, port) = (said.clone(), server.port);
        let accepting = tokio::spawn(async move {
            loop {
                // A handshake that fails is that connection's affair.
                if let Ok(wire) = upstream.accept().await {
                    let plan = plan.clone();
                    tokio::spawn(async move {
                        if let Ok(server) = Wire::connect_tls(port).await {
                            carry(wire, server, &plan).await;
                        }
                    });
                }
            }
        });
        Self { remote, said, accepting }
    }

    /// The server, by this way.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Octets that came from the server so far.
    pub fn said(&self) -> usize {
        self.said.lock().expect("nobody panics with it").octets
    }
}

impl Drop for Flawed {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut bridge: Wire, mut server: Wire, said: &Mutex<Said>) {
    let mut silent = false;
    while bridge.end().is_none() && server.end().is_none() {
        tokio::select! {
            () = bridge.fill() => {}
            () = server.fill() => {}
        }
        let asked = bridge.take(bridge.heard().len()).unwrap_or_default();
        if server.send(&asked).await.is_err() {
            break;
        }
        let mut told = server.take(server.heard().len()).unwrap_or_default();
        let flaw = said.lock().expect("nobody panics with it").hear(&mut told);
        if !silent && bridge.send(&told).await.is_err() {
            break;
        }
        match flaw {
            None | Some(Flaw::Noise(_)) => {}
            Some(Flaw::Reset) => return bridge.reset_on_drop(),
            Some(Flaw::Ends) => break,
            Some(Flaw::Silence) => silent = true,
        }
    }
    let _ = tokio::join!(bridge.finish(), server.finish());
}

impl Said {
    /// What becomes of octets from the server, and the flaw if it is among them.
    fn hear(&mut self, told: &mut Vec<u8>) -> Option<Flaw> {
        let before = self.octets;
        self.octets += told.len();
        let (after, flaw) = self.flaw.take_if(|(after, _)| *after < before + told.len())?;
        let behind = told.split_off(after - before);
        if let Flaw::Noise(noise) = &flaw {
            told.extend_from_slice(noise);
            told.extend(behind);
        }
        Some(flaw)
    }
}
