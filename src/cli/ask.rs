//! Asks for secrets: without echo on a terminal, else line by line from standard input. Never from arguments, which
//! every program on this machine can read.

use std::io::{self, BufRead, IsTerminal};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::mail::Secret;

/// The longest line taken: refresh tokens, and addresses with a code in them, have some 2,500 octets.
const LONGEST: usize = 16 * 1024;

/// Asks with this prompt; `None` where nobody has one to give. `stopping` comes from [`super::run::signals`]: only
/// with a handler for Ctrl-C does the terminal get its echo back.
///
/// # Errors
/// There is no terminal any more, the line is too long, or the user has stopped it.
pub(super) async fn hidden(prompt: String, stopping: &CancellationToken) -> io::Result<Option<Secret>> {
    let terminal = Terminal::as_it_is();
    let asked = tokio::task::spawn_blocking(move || {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(line(&mut stdin.lock())?.filter(|line| !line.expose().is_empty()));
        }
        let typed = Zeroizing::new(rpassword::prompt_password(prompt)?);
        Ok((!typed.is_empty()).then(|| Secret::new(typed.as_bytes())))
    });
    let answer = stopping.run_until_cancelled(asked).await;
    if stopping.is_cancelled() {
        // Whoever reads in the thread left behind will not do it.
        terminal.restore();
    }
    let stopped = || Err(io::ErrorKind::Interrupted.into());
    answer.map_or_else(stopped, |answer| answer.unwrap_or_else(|_| stopped()))
}

/// Lines of standard input, as they are pasted, until it ends.
pub(super) fn lines() -> mpsc::Receiver<Secret> {
    let (sender, lines) = mpsc::channel(1);
    // A thread of its own, which may read for ever: the process ends without it.
    std::thread::spawn(move || {
        while let Ok(Some(line)) = line(&mut io::stdin().lock()) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next line without its end; `None` behind the last one.
fn line(input: &mut impl BufRead) -> io::Result<Option<Secret>> {
    // Room for all of it at once: a vector that grows leaves copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    let read = io::Read::take(&mut *input, LONGEST as u64 + 1).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.len() > LONGEST {
        if line.last() != Some(&b'\n') {
            input.skip_until(b'\n')?;
        }
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long"));
    }
    let end = line.strip_suffix(b"\n").unwrap_or(&line);
    Ok(Some(Secret::new(end.strip_suffix(b"\r").unwrap_or(end))))
}

/// How the terminal stood before it was asked to echo nothing.
struct Terminal(#[cfg(unix)] Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Terminal {
    fn as_it_is() -> Self {
        Self(rustix::termios::tcgetattr(io::stdin()).ok())
    }

    fn restore(&self) {
        if let Some(modes) = &self.0 {
            // One that has gone needs none.
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, modes);
        }
    }
}

/// There the console's modes come back with the process's end.
#[cfg(not(unix))]
impl Terminal {
    fn as_it_is() -> Self {
        Self()
    }

    fn restore(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_an_account_and_then_no_more() {
        let mut input = b" first \r\n\nthird".as_slice();
        let mut next = || line(&mut input).expect("memory").map(|secret| secret.expose().to_vec());
        assert_eq!(next().as_deref(), Some(b" first ".as_slice()));
        assert_eq!(next().as_deref(), Some(b"".as_slice()));
        assert_eq!(next().as_deref(), Some(b"third".as_slice()));
        assert_eq!(next(), None);
    }

    /// The rest of a long one must not be taken for the next account's.
    #[test]
    fn a_line_that_is_too_long_is_a_fault_and_not_cut() {
        for (length, fits) in
            [(LONGEST - 1, true), (LONGEST, false), (LONGEST + 1, false), (3 * LONGEST, false)]
        {
            let text = [vec![b'x'; length], b"\nnext\n".to_vec()].concat();
            let mut input = text.as_slice();
            assert_eq!(line(&mut input).is_ok(), fits, "{length}");
            let next = line(&mut input).expect("memory").expect("another line");
            assert_eq!(next.expose(), b"next", "{length}");
        }
    }
}
