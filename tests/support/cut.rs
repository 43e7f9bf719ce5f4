//! A way to a server that can be cut: connections through it break, the next ones work.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::bridge::Remote;

/// Carries octets to a server; gone when dropped.
pub struct Cut {
    to: Remote,
    port: u16,
    cuts: watch::Sender<u64>,
    serving: JoinHandle<()>,
}

impl Cut {
    /// Listens on 127.0.0.1.
    pub async fn before(to: &Remote) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (cuts, cut) = watch::channel(0);
        let server = to.port;
        let serving = tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut cut = cut.clone();
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut there) = TcpStream::connect(("127.0.0.1", server)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut here, &mut there) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { to: to.clone(), port, cuts, serving }
    }

    /// The server, by this way.
    pub fn remote(&self) -> Remote {
        Remote { port: self.port, ..self.to.clone() }
    }

    /// Ends all connections there are.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
