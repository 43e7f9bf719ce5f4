//! The demo's submission server: the grammar and session of [`crate::proto::smtp`], with a driver that delivers into
//! INBOX.

use std::io;
use std::sync::Arc;

use imap_codec::imap_types::flag::Flag;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::mailbox::{LARGEST_MESSAGE, Refusal};
use super::{Account, UPLOADS_FULL, now};
use crate::mail::Deadlines;
use crate::net::Buffered;
use crate::proto::line::{Line, LineFramer};
use crate::proto::sasl::Offer;
use crate::proto::smtp::data::Decoder;
use crate::proto::smtp::session::{Answer, LONGEST_LINE, Request, Step};
use crate::proto::smtp::{Capabilities, Reply, Session};

/// Replies that may wait for one write; beyond it they are sent before the next command is obeyed.
const UNSENT: usize = 16 * 1024;

/// Serves one app until it leaves.
pub(super) async fn serve<S>(stream: S, account: Arc<Account>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (session, greeting) = Session::new();
    let mut app = Buffered::new(stream);
    app.queue(&greeting.encode());
    let framer = LineFramer::new(LONGEST_LINE);
    let (deadlines, since) = (Deadlines::default(), Instant::now());
    Conversation { app, framer, session, account, deadlines, since }.run().await
}

struct Conversation<S> {
    app: Buffered<S>,
    framer: LineFramer,
    session: Session,
    account: Arc<Account>,
    deadlines: Deadlines,
    since: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let line = self.framer.take(self.app.input());
            let gathers = matches!(&line, Some(Line::Whole(line)) if self.session.gathers(line));
            if self.session.is_gathering() && !gathers {
                let settled = self.session.settle();
                self.follow(settled).await?;
            }
            let step = match line {
                Some(Line::Whole(line)) => self.session.handle_line(&line),
                Some(Line::TooLong) => self.session.handle_too_long(),
                None if self.more().await? => continue,
                None => return Ok(()),
            };
            let goes_on = self.follow(step).await?;
            if self.app.queued() > UNSENT {
                self.app.flush_moving(self.deadlines.app_stall).await?;
            }
            if !goes_on {
                return self.app.shutdown_moving(self.deadlines.app_stall).await;
            }
        }
    }

    /// Sends what waits, then reads; `false` when the app is gone.
    async fn more(&mut self) -> io::Result<bool> {
        self.app.flush_moving(self.deadlines.app_stall).await?;
        let until = match self.session.is_logged_in() {
            true => Instant::now() + self.deadlines.smtp_idle,
            false => self.since + self.deadlines.app_login,
        };
        Ok(timeout_at(until, self.app.fill()).await.unwrap_or(Ok(0))? > 0)
    }

    /// Does what the session wants until it wants another line; `false` when that is over.
    async fn follow(&mut self, step: Step) -> io::Result<bool> {
        let mut step = step;
        loop {
            step = match step {
                Step::Gathered => return Ok(true),
                Step::Reply(reply) => {
                    self.app.queue(&reply.encode());
                    return Ok(true);
                }
                Step::Replies(replies) => {
                    replies.iter().for_each(|reply| self.app.queue(&reply.encode()));
                    return Ok(true);
                }
                Step::Finish(reply) | Step::BeginTls(reply) => {
                    self.app.queue(&reply.encode());
                    return Ok(false);
                }
                Step::Ask(request) => self.session.resume(self.answer(request)),
                Step::Receive { reply, .. } => {
                    self.app.queue(&reply.encode());
                    let answer = Answer::Received(self.receive().await?);
                    self.session.resume(answer)
                }
            };
        }
    }

    fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Login(Offer { login, secret }) if self.account.admits(&login, &secret) => {
                Answer::LoggedIn(capabilities())
            }
            Request::Login(_) => {
                Answer::NotLoggedIn(Reply::new(535, 7, 8, "the demo has another address or password"))
            }
            Request::Envelope(envelope) => {
                let good = Reply::new(250, 1, 5, "it will arrive in the demo's INBOX");
                Answer::Recipients(vec![good; envelope.recipients.len()])
            }
            Request::Data => Answer::Data(Reply::bare(354, "go ahead, a dot alone ends it")),
        }
    }

    /// The message to its end; what is too large, or finds no room, is read and thrown away.
    async fn receive(&mut self) -> io::Result<Reply> {
        let (mut decoder, mut stuffed) = (Decoder::default(), Vec::new());
        let mut room = self.account.upload(0);
        loop {
            let decoded = decoder.decode(self.app.input());
            let more = u32::try_from(decoded.octets.len()).ok().and_then(|more| self.account.upload(more));
            match (&mut room, more) {
                (Some(room), Some(more)) if decoder.octets() <= u64::from(LARGEST_MESSAGE) => {
                    room.merge(more);
                    stuffed.extend_from_slice(&decoded.octets);
                }
                _ => (room, stuffed) = (None, Vec::new()),
            }
            if decoded.ended {
                break;
            }
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if decoder.octets() > u64::from(LARGEST_MESSAGE) {
            return Ok(Reply::new(552, 3, 4, "this is more than the demo takes"));
        }
        if room.is_none() {
            return Ok(Reply::new(452, 3, 1, UPLOADS_FULL));
        }
        Ok(self.deliver(&unstuffed(&stuffed)))
    }

    fn deliver(&self, octets: &[u8]) -> Reply {
        let added =
            self.account.with(|store| store.add("INBOX", octets.into(), Vec::<Flag<'static>>::new(), now()));
        match added {
            Ok(_) => Reply::new(250, 6, 0, "it arrived in the demo's INBOX"),
            Err(refusal @ Refusal::Full) => Reply::new(452, 2, 2, refusal.clause()),
            Err(refusal) => Reply::new(554, 6, 0, refusal.clause()),
        }
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        size: true,
        largest: Some(u64::from(LARGEST_MESSAGE)),
        eight_bit_mime: true,
        smtputf8: true,
        dsn: false,
        pipelining: true,
        enhanced_status_codes: true,
        ..Capabilities::default()
    }
}

/// Without the dots that stand before a dot at a line's start (RFC 5321 §4.5.2).
fn unstuffed(stuffed: &[u8]) -> Vec<u8> {
    let lines = stuffed.split_inclusive(|octet| *octet == b'\n');
    lines.flat_map(|line| line.strip_prefix(b".").unwrap_or(line)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::mailbox::Store;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    async fn said(input: &str) -> (String, Arc<Account>) {
        let mut store = Store::default();
        store.create("INBOX", None).unwrap();
        let account = Arc::new(Account::new(store));
        let (mut app, provider) = duplex(1 << 20);
        app.write_all(input.as_bytes()).await.unwrap();
        app.shutdown().await.unwrap();
        serve(provider, account.clone()).await.unwrap();
        let mut said = String::new();
        app.read_to_string(&mut said).await.unwrap();
        (said, account)
    }

    /// RFC 4616: NUL, the login, NUL, the password.
    const LOGIN: &str = "EHLO x\r\nAUTH PLAIN AGRlbW9AZm9vdGJyaWRnZS50ZXN0AGRlbW8=\r\n";

    #[tokio::test]
    async fn a_submitted_message_arrives_as_it_was() {
        let body = "Subject: x\r\n\r\n..dot\r\n...\r\nend\r\n.\r\n";
        let (said, account) =
            said(&format!("{LOGIN}MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n{body}QUIT\r\n"))
                .await;
        assert!(said.contains("\r\n354 ") && said.contains("250 2.6.0") && said.contains("221 "), "{said}");
        account.with(|store| {
            let octets = &store.folder("INBOX").unwrap().messages()[0].octets;
            assert_eq!(&octets[..], b"Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n");
        });
    }

    #[tokio::test]
    async fn a_wrong_password_and_a_nul_are_refused() {
        let (heard, _) = said("EHLO x\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b.test>\r\nQUIT\r\n").await;
        assert!(heard.contains("535 5.7.8") && heard.contains("530 "), "{heard}");
        let nul =
            format!("{LOGIN}MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\na\0b\r\n.\r\nQUIT\r\n");
        let (heard, account) = said(&nul).await;
        assert!(
            heard.contains("554 5.6.0")
                && account.with(|store| store.folder("INBOX").unwrap().messages().is_empty())
        );
    }

    #[tokio::test]
    async fn a_message_that_finds_no_room_is_read_and_refused_for_now() {
        let mut store = Store::default();
        store.create("INBOX", None).unwrap();
        let account = Arc::new(Account::new(store));
        let others: Vec<_> = (0..4).map(|_| account.upload(LARGEST_MESSAGE).unwrap()).collect();
        let (mut app, provider) = duplex(1 << 20);
        let mail = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n";
        app.write_all(format!("{LOGIN}{mail}QUIT\r\n").as_bytes()).await.unwrap();
        serve(provider, account.clone()).await.unwrap();
        let mut said = String::new();
        app.read_to_string(&mut said).await.unwrap();
        assert!(said.contains("452 4.3.1 other messages") && said.contains("221 "), "{said}");
        assert!(account.with(|store| store.folder("INBOX").unwrap().messages().is_empty()));
        drop(others);
    }
}
