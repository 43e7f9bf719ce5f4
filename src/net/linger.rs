//! The end of a connection whose peer may still be talking.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// A mail app hangs up as soon as it has read our last words; one that does not is not waited for.
const LINGER: Duration = Duration::from_secs(1);

/// What is thrown away in one read: whoever sends a message meanwhile is read to the end quickly.
const READ: usize = 16 * 1024;

/// Takes in and throws away what a peer still says, after our last words and the end of our direction, until it hangs
/// up or a second is over.
///
/// A socket that is closed with octets unread is reset (RFC 1122 §4.2.2.13), and a reset takes words from the peer
/// that it has not read yet.
pub async fn linger<S: AsyncRead + Unpin>(io: &mut S) {
    let mut octets = vec![0; READ];
    let emptied = async { while io.read(&mut octets).await.is_ok_and(|taken| taken > 0) {} };
    // The time is over or the peer is gone: either way there is no more to do.
    let _ = timeout(LINGER, emptied).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn everything_is_taken_until_the_peer_hangs_up() {
        let (mut near, mut far) = duplex(10);
        let speaking = tokio::spawn(async move {
            far.write_all(&[7; 100_000]).await.expect("it is read");
        });
        let begun = Instant::now();
        linger(&mut near).await;
        assert!(speaking.await.is_ok() && begun.elapsed() < LINGER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stays_is_left() {
        let (mut near, _far) = duplex(10);
        let begun = Instant::now();
        linger(&mut near).await;
        assert_eq!(begun.elapsed(), LINGER);
    }
}
