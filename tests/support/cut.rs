//! A way to a server that can be cut: connections through it break, or fall silent, and the next ones work.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::bridge::Remote;

/// Carries octets to a server; gone when dropped.
pub struct Cut {
    to: Remote,
    port: u16,
    cuts: watch::Sender<u64>,
    silences: watch::Sender<u64>,
    /// Octets that came from the server.
    heard: Arc<AtomicU64>,
    /// Connections so far.
    taken: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Cut {
    /// Listens on 127.0.0.1.
    pub async fn before(to: &Remote) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (cuts, cut) = watch::channel(0);
        let (silences, silence) = watch::channel(0);
        let server = to.port;
        let heard = Arc::<AtomicU64>::default();
        let counted = heard.clone();
        let taken = Arc::<AtomicUsize>::default();
        let accepted = taken.clone();
        let serving = tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                let mut cut = cut.clone();
                cut.mark_unchanged();
                let mut silence = silence.clone();
                silence.mark_unchanged();
                let counted = counted.clone();
                tokio::spawn(async move {
                    let Ok(mut there) = TcpStream::connect(("127.0.0.1", server)).await else { return };
                    let ((mut from_app, mut to_app), (mut from_server, mut to_server)) =
                        (here.split(), there.split());
                    let nobody = AtomicU64::new(0);
                    let both = async {
                        tokio::join!(
                            carry(&mut from_app, &mut to_server, &nobody),
                            carry(&mut from_server, &mut to_app, &counted),
                        )
                    };
                    let carried = async {
                        tokio::select! {
                            _ = both => {}
                            _ = silence.changed() => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = carried => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { to: to.clone(), port, cuts, silences, heard, taken, serving }
    }

    /// The server, by this way.
    pub fn remote(&self) -> Remote {
        Remote { port: self.port, ..self.to.clone() }
    }

    /// Octets that the server sent, TLS and all.
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::SeqCst)
    }

    /// How many connections there were so far.
    pub fn connections(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Ends all connections there are.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// From now on all connections there are carry nothing, and neither end hears of it.
    pub fn silence(&self) {
        self.silences.send_modify(|silences| *silences += 1);
    }
}

impl Cut {
    /// From now on there is no new connection; those there are stay.
    pub async fn refuse(&mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Counts octets before they are handed on.
async fn carry(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    count: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let octets = from.read(&mut buffer).await?;
        if octets == 0 {
            return to.shutdown().await;
        }
        count.fetch_add(octets as u64, Ordering::SeqCst);
        to.write_all(&buffer[..octets]).await?;
    }
}
