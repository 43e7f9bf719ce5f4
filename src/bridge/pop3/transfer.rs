//! RETR and TOP: a message on its way from upstream to the app.
//!
//! ```text
//!  body announced ──▶ first octets ──▶ +OK ──▶ ... octets as they come ... ──▶ dot, after the last
//!        └─ fails ─────────┴─▶ -ERR, the session goes on            └─ fails ─▶ closed, no dot, nothing else
//! ```
//!
//! A body whose first chunk is all of it is answered only when upstream has closed it properly: what proves wrong
//! is then `-ERR`, and the app keeps its session.

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::app::{App, End};
use super::provider::Octets;
use crate::proto::dot::{DotEncoder, unstuffed_octets};
use crate::proto::pop3::{Reply, TopCutter};
use crate::upstream::UpstreamError;

/// Why a message did not go out whole.
#[derive(Debug)]
pub(super) enum Failure {
    /// The body broke before the app was sent an octet of the answer.
    NotBegun(UpstreamError),
    /// The app has a part of it: only the end of the connection tells it so.
    Broken(UpstreamError),
    /// It is the app's end that failed.
    App(End),
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        Self::App(end)
    }
}

/// A message that went out whole.
pub(super) struct Sent {
    /// Upstream's octets.
    pub(super) octets: u64,
    /// What POP3 counts of them (RFC 1939 §11).
    pub(super) unstuffed: u64,
}

/// Sends a whole message; `listed` is its size as LIST told it. The dot waits for whoever vouches for the message once all
/// of it is here.
pub(super) async fn whole<S, B>(
    app: &mut App<S>,
    mut body: B,
    listed: u64,
    vouched: impl Future<Output = Result<(), UpstreamError>>,
) -> Result<Sent, Failure>
where
    S: AsyncWrite + Unpin,
    B: Octets,
{
    let beginning = begin(app, &mut body).await?;
    let mut vouched = Some(vouched);
    if let Some(vouched) = vouched.take_if(|_| beginning.complete) {
        app.meanwhile(vouched).await?.map_err(Failure::NotBegun)?;
    }
    app.reply(&beginning.announcement(listed)).await?;
    let mut encoder = DotEncoder::new();
    let mut flow = Flow::new(beginning, &mut body);
    while let Some(chunk) = flow.next(app).await? {
        send(app, &mut encoder, &chunk).await?;
    }
    if let Some(vouched) = vouched {
        app.meanwhile(vouched).await?.map_err(Failure::Broken)?;
    }
    app.send(encoder.finish()).await?;
    Ok(Sent { octets: body.octets(), unstuffed: encoder.unstuffed(body.octets()) })
}

/// Sends a message's headers and so many lines as they come, for a count that may mean all of it.
pub(super) async fn top<S, B>(app: &mut App<S>, mut body: B, lines: u32) -> Result<(), Failure>
where
    S: AsyncWrite + Unpin,
    B: Octets,
{
    let beginning = begin(app, &mut body).await?;
    app.reply(&Reply::ok("")).await?;
    let (mut encoder, mut cutter) = (DotEncoder::new(), TopCutter::new(lines));
    let mut flow = Flow::new(beginning, &mut body);
    while !cutter.is_complete()
        && let Some(chunk) = flow.next(app).await?
    {
        send(app, &mut encoder, cutter.take(&chunk)).await?;
    }
    Ok(app.send(encoder.finish()).await?)
}

/// Sends as much of a message's beginning as TOP asks for.
pub(super) async fn held_top<S>(app: &mut App<S>, beginning: &[u8], lines: u32) -> Result<(), End>
where
    S: AsyncWrite + Unpin,
{
    let mut encoder = DotEncoder::new();
    app.reply(&Reply::ok("")).await?;
    send(app, &mut encoder, TopCutter::new(lines).take(beginning)).await?;
    app.send(encoder.finish()).await
}

async fn send<S>(app: &mut App<S>, encoder: &mut DotEncoder, octets: &[u8]) -> Result<(), End>
where
    S: AsyncWrite + Unpin,
{
    for piece in encoder.encode(octets) {
        app.send(piece).await?;
    }
    Ok(())
}

/// What is known before the app hears anything.
struct Beginning {
    first: Bytes,
    /// `first` is all there is, and upstream has closed it.
    complete: bool,
}

impl Beginning {
    /// Names octets only where they are exact and what LIST said: the app counts line ends as CRLF, and may take
    /// the number for a promise.
    fn announcement(&self, listed: u64) -> Reply {
        if self.complete && unstuffed_octets(&self.first) == listed {
            Reply::ok(&format!("{listed} octets"))
        } else {
            Reply::ok("")
        }
    }
}

async fn begin<S, B>(app: &mut App<S>, body: &mut B) -> Result<Beginning, Failure>
where
    S: AsyncWrite + Unpin,
    B: Octets,
{
    let first = app.meanwhile(body.chunk()).await?.map_err(Failure::NotBegun)?.unwrap_or_default();
    if length(&first) < body.octets() && !first.is_empty() {
        return Ok(Beginning { first, complete: false });
    }
    let behind = match first.is_empty() {
        true => None,
        false => app.meanwhile(body.chunk()).await?.map_err(Failure::NotBegun)?,
    };
    if behind.is_some() || length(&first) != body.octets() {
        return Err(Failure::NotBegun(not_as_announced()));
    }
    Ok(Beginning { first, complete: true })
}

/// A body as a run of chunks that ends as announced or not at all.
struct Flow<'a, B> {
    body: &'a mut B,
    beginning: Option<Beginning>,
    complete: bool,
    octets: u64,
}

impl<'a, B: Octets> Flow<'a, B> {
    fn new(beginning: Beginning, body: &'a mut B) -> Self {
        Self { body, complete: beginning.complete, beginning: Some(beginning), octets: 0 }
    }

    async fn next<S>(&mut self, app: &mut App<S>) -> Result<Option<Bytes>, Failure>
    where
        S: AsyncWrite + Unpin,
    {
        let chunk = match self.beginning.take() {
            Some(beginning) => Some(beginning.first),
            None if self.complete => None,
            None => app.meanwhile(self.body.chunk()).await?.map_err(Failure::Broken)?,
        };
        self.octets += chunk.as_ref().map_or(0, length);
        if self.octets > self.body.octets() || (chunk.is_none() && self.octets < self.body.octets()) {
            return Err(Failure::Broken(not_as_announced()));
        }
        Ok(chunk)
    }
}

fn length(chunk: &Bytes) -> u64 {
    u64::try_from(chunk.len()).unwrap_or(u64::MAX)
}

/// The literal was not as long as it said; whoever reads on would take the wrong octets for mail.
fn not_as_announced() -> UpstreamError {
    UpstreamError::Lost { command: "FETCH" }
}
