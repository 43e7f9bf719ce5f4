use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, DuplexStream, ReadBuf, ReadHalf, WriteHalf, duplex, split};
use tokio::task::JoinHandle;

use super::*;
use crate::config;
use crate::proto::imap::capability::Mask;

/// An app and an upstream with a splice between them.
struct Between {
    app: DuplexStream,
    upstream: DuplexStream,
    stopping: CancellationToken,
    splice: JoinHandle<Facts>,
    meter: Meter,
    backoff: Backoff,
}

fn account() -> Arc<Account> {
    let text = "[[account]]\naddress = \"ana@gmx.net\"\n";
    let settings = config::parse(text, Path::new("test.toml")).expect("a good configuration");
    settings.accounts.into_iter().next().expect("one account")
}

fn between(capabilities: &str, buffer: usize) -> Between {
    let (app, app_side) = duplex(buffer);
    between_ends(app, app_side, capabilities, buffer)
}

fn between_ends<A>(app: DuplexStream, app_side: A, capabilities: &str, buffer: usize) -> Between
where
    A: AsyncRead + AsyncWrite + QuickAck + Unpin + Send + 'static,
{
    let (upstream, upstream_side) = duplex(buffer);
    let capabilities: Vec<String> = capabilities.split(' ').map(str::to_owned).collect();
    let conversation = Conversation::new(&capabilities, Mask::default());
    let stopping = CancellationToken::new();
    let token = stopping.clone();
    let splice = Splice::new(
        Buffered::new(app_side),
        Buffered::new(upstream_side),
        conversation,
        Deadlines::default(),
    );
    let meter = Meter::allowing(1_000_000);
    let backoff = Backoff::default();
    let splice = splice.counted_on(meter.clone()).backing_off(backoff.clone());
    let splice = tokio::spawn(async move { splice.run(&account(), &token).await });
    Between { app, upstream, stopping, splice, meter, backoff }
}

async fn say(peer: &mut DuplexStream, octets: impl AsRef<[u8]>) {
    peer.write_all(octets.as_ref()).await.expect("the splice reads");
}

/// Reads exactly these octets.
async fn hear(peer: &mut DuplexStream, expected: &str) {
    let mut heard = vec![0; expected.len()];
    let read = timeout(Duration::from_secs(3600), peer.read_exact(&mut heard)).await;
    let heard = String::from_utf8_lossy(&heard);
    assert!(matches!(read, Ok(Ok(_))), "{expected:?} did not come, {heard:?} did");
    assert_eq!(heard, expected);
}

/// Reads to the end.
async fn rest(peer: &mut DuplexStream) -> String {
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).await.expect("an orderly end");
    String::from_utf8(rest).expect("text")
}

#[tokio::test(start_paused = true)]
async fn octets_pass_both_ways_and_logout_ends_it() {
    let Between { mut app, mut upstream, splice, meter, .. } = between("IMAP4rev1", 4096);
    say(&mut app, "a SELECT INBOX\r\n").await;
    hear(&mut upstream, "a SELECT INBOX\r\n").await;
    say(&mut upstream, "* 1 EXISTS\r\na OK [READ-WRITE] \r\n").await;
    hear(&mut app, "* 1 EXISTS\r\na OK [READ-WRITE] \r\n").await;
    say(&mut app, "b LOGOUT\r\n").await;
    hear(&mut upstream, "b LOGOUT\r\n").await;
    say(&mut upstream, "* BYE\r\nb OK\r\n").await;
    assert_eq!(rest(&mut app).await, "* BYE\r\nb OK\r\n");
    let facts = splice.await.expect("no panic");
    assert!(matches!(facts.ending, Ending::Finished) && facts.logout);
    assert_eq!((facts.up, facts.down, meter.counted()), (26, 45, 45));
}

#[tokio::test(start_paused = true)]
async fn where_upstream_throttles_an_app_the_account_waits() {
    // RFC 9051 §7.1: THROTTLED; the app hears it in upstream's own words, however they come.
    let Between { mut app, mut upstream, backoff, .. } = between("IMAP4rev1", 4096);
    say(&mut app, "a FETCH 1 BODY[]\r\n").await;
    hear(&mut upstream, "a FETCH 1 BODY[]\r\n").await;
    say(&mut upstream, "* OK throttled, but not you\r\na NO Request is throttled. Suggested Backoff Ti")
        .await;
    hear(&mut app, "* OK throttled, but not you\r\na NO Request is throttled. Suggested Backoff Ti").await;
    assert!(backoff.allows().is_ok());
    say(&mut upstream, "me: 299961 milliseconds\r\n").await;
    hear(&mut app, "me: 299961 milliseconds\r\n").await;
    let refusal = backoff.allows().expect_err("a wait").to_string();
    assert!(refusal.contains("Request is throttled"), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_hangs_up_leaves_upstream_without_a_word() {
    // RFC 2683 §3.1.2: closing without LOGOUT must expunge nothing.
    let Between { mut app, mut upstream, splice, .. } = between("IMAP4rev1", 4096);
    say(&mut app, "a STORE 1 +FLAGS (\\Deleted)\r\n").await;
    hear(&mut upstream, "a STORE 1 +FLAGS (\\Deleted)\r\n").await;
    say(&mut upstream, "a OK\r\n").await;
    hear(&mut app, "a OK\r\n").await;
    drop(app);
    assert_eq!(rest(&mut upstream).await, "");
    assert!(matches!(splice.await.expect("no panic").ending, Ending::AppGone));
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_app_still_gets_its_answers() {
    let Between { mut app, mut upstream, .. } = between("IMAP4rev1", 4096);
    say(&mut app, "a NOOP\r\nb FETCH 1 BODY[]\r\nc APPEND x {9}\r\nabc").await;
    app.shutdown().await.expect("open");
    hear(&mut upstream, "a NOOP\r\nb FETCH 1 BODY[]\r\nc APPEND x {9}\r\n").await;
    say(&mut upstream, "a OK\r\n* 1 FETCH (BODY[] {2}\r\n").await;
    say(&mut upstream, "ab)\r\nb OK\r\nc NO\r\n").await;
    assert_eq!(rest(&mut app).await, "a OK\r\n* 1 FETCH (BODY[] {2}\r\nab)\r\nb OK\r\nc NO\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_app_that_reads_slowly_gets_its_answers_whole() {
    let Between { mut app, mut upstream, .. } = between("IMAP4rev1", 64);
    say(&mut app, "a FETCH 1 BODY[]\r\n").await;
    app.shutdown().await.expect("open");
    hear(&mut upstream, "a FETCH 1 BODY[]\r\n").await;
    let answer = format!("* 1 FETCH (BODY[] {{1500}}\r\n{})\r\na OK\r\n", "x".repeat(1500));
    let said = answer.clone();
    let upstream = tokio::spawn(async move {
        say(&mut upstream, said).await;
        upstream
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(rest(&mut app).await, answer);
    drop(upstream.await.expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_still_sending_hears_the_last_words() {
    let Between { mut app, upstream, .. } = between("IMAP4rev1 LITERAL+", 256);
    drop(upstream);
    // Were the stream closed at once it would be reset, and the words with it.
    say(&mut app, stream(true, &[2_000_000])).await;
    assert!(rest(&mut app).await.starts_with("* BYE [UNAVAILABLE] "));
}

#[tokio::test(start_paused = true)]
async fn upstream_lost_is_a_bye_with_its_sentence() {
    // RFC 3501 §7.1.5, RFC 5530 §3.
    let Between { mut app, upstream, splice, .. } = between("IMAP4rev1", 4096);
    drop(upstream);
    let said = rest(&mut app).await;
    assert!(said.starts_with("* BYE [UNAVAILABLE] ana@gmx.net: "), "{said}");
    assert_eq!(said.matches("\r\n").count(), 1);
    assert!(matches!(splice.await.expect("no panic").ending, Ending::Upstream(UpstreamError::Lost { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_upstream_said_last_still_arrives() {
    let Between { mut app, mut upstream, .. } = between("IMAP4rev1", 4096);
    say(&mut upstream, "* BYE [UNAVAILABLE] maintenance\r\n").await;
    drop(upstream);
    assert_eq!(rest(&mut app).await, "* BYE [UNAVAILABLE] maintenance\r\n");
}

#[tokio::test(start_paused = true)]
async fn upstream_lost_in_a_literal_or_line_ends_it_at_once() {
    // RFC 3501 §4.3: the announced octets cannot come, and nothing else may stand in their place.
    for part in ["* 1 FETCH (BODY[] {9}\r\nabc", "* 1 FETCH (BODY[] {3}\r\nabc", "* 1 FETCH (FLAGS"] {
        let Between { mut app, mut upstream, .. } = between("IMAP4rev1", 4096);
        say(&mut upstream, part).await;
        drop(upstream);
        assert_eq!(rest(&mut app).await, part);
    }
}

#[tokio::test(start_paused = true)]
async fn a_literal_of_another_length_than_it_says_ends_it_too() {
    let Between { mut app, mut upstream, .. } = between("IMAP4rev1", 4096);
    say(&mut upstream, "* 1 FETCH (BODY[] {3}\r\nabcdef)\r\na OK\r\n").await;
    assert_eq!(rest(&mut app).await, "* 1 FETCH (BODY[] {3}\r\nabc");
}

#[tokio::test(start_paused = true)]
async fn silence_of_a_running_command_is_a_fault_and_slowness_is_none() {
    let Between { mut app, mut upstream, .. } = between("IMAP4rev1", 4096);
    say(&mut app, "a FETCH 1 BODY[]\r\n").await;
    hear(&mut upstream, "a FETCH 1 BODY[]\r\n").await;
    for octet in "* 1 FETCH (BODY[] {1}\r\n".chars() {
        tokio::time::sleep(Duration::from_secs(50)).await;
        say(&mut upstream, octet.to_string()).await;
    }
    hear(&mut app, "* 1 FETCH (BODY[] {1}\r\n").await;
    say(&mut upstream, "x)\r\n").await;
    hear(&mut app, "x)\r\n").await;
    let silent = Instant::now();
    let said = rest(&mut app).await;
    assert!(said.starts_with("* BYE [UNAVAILABLE] ana@gmx.net: ") && said.contains("FETCH"), "{said}");
    assert!(silent.elapsed() <= Duration::from_secs(90));
    assert_eq!(rest(&mut upstream).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_search_may_take_minutes() {
    let Between { mut app, mut upstream, .. } = between("IMAP4rev1", 4096);
    say(&mut app, "a UID SEARCH TEXT x\r\n").await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    say(&mut upstream, "* SEARCH\r\na OK\r\n").await;
    hear(&mut app, "* SEARCH\r\na OK\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_session_lives_thirty_minutes_at_least() {
    // RFC 3501 §5.4.
    let Between { mut app, mut upstream, .. } = between("IMAP4rev1", 4096);
    tokio::time::sleep(Duration::from_secs(30 * 60)).await;
    say(&mut app, "a NOOP\r\n").await;
    hear(&mut upstream, "a NOOP\r\n").await;
    say(&mut upstream, "a OK\r\n").await;
    hear(&mut app, "a OK\r\n").await;
    assert_eq!(rest(&mut app).await, "* BYE the app was silent for too long\r\n");
    assert_eq!(rest(&mut upstream).await, "");
}

#[tokio::test(start_paused = true)]
async fn an_app_idles_for_hours_and_upstream_hears_of_it_every_half_hour() {
    // RFC 2177 §3.
    let Between { mut app, mut upstream, .. } = between("IMAP4rev1 IDLE", 4096);
    say(&mut app, "a IDLE\r\n").await;
    hear(&mut upstream, "a IDLE\r\n").await;
    say(&mut upstream, "+ idling\r\n").await;
    hear(&mut app, "+ idling\r\n").await;
    let mut tag = "a".to_owned();
    for round in 1..=20 {
        let begun = Instant::now();
        hear(&mut upstream, "DONE\r\n").await;
        assert!(begun.elapsed() < Duration::from_secs(29 * 60));
        say(&mut upstream, format!("{tag} OK done\r\n* {round} EXISTS\r\n")).await;
        tag = format!("footbridge{round}");
        hear(&mut upstream, &format!("{tag} IDLE\r\n")).await;
        say(&mut upstream, "+ idling\r\n").await;
        hear(&mut app, &format!("* {round} EXISTS\r\n")).await;
    }
    say(&mut app, "DONE\r\n").await;
    hear(&mut upstream, "DONE\r\n").await;
    say(&mut upstream, format!("{tag} OK done\r\n")).await;
    hear(&mut app, "a OK done\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_died_during_idle_is_found_by_the_renewal() {
    let Between { mut app, mut upstream, .. } = between("IMAP4rev1 IDLE", 4096);
    say(&mut app, "a IDLE\r\n").await;
    say(&mut upstream, "+ idling\r\n").await;
    hear(&mut app, "+ idling\r\n").await;
    assert!(rest(&mut app).await.starts_with("* BYE [UNAVAILABLE] "));
}

#[tokio::test(start_paused = true)]
async fn an_app_that_takes_nothing_is_let_go() {
    let Between { mut app, mut upstream, splice, .. } = between("IMAP4rev1", 64);
    say(&mut app, "a FETCH 1 BODY[]\r\n").await;
    let body = "x".repeat(1 << 20);
    let flood = tokio::spawn(async move {
        let written =
            upstream.write_all(format!("* 1 FETCH (BODY[] {{1048576}}\r\n{body})\r\n").as_bytes()).await;
        assert!(written.is_err());
    });
    let facts = splice.await.expect("no panic");
    assert!(matches!(facts.ending, Ending::AppStalled));
    assert!(facts.down <= 64);
    flood.await.expect("no panic");
    drop(app);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_said_between_responses() {
    let Between { mut app, mut upstream, stopping, splice, .. } = between("IMAP4rev1", 4096);
    say(&mut upstream, "* 1 FETCH (BODY[] {4}\r\nab").await;
    hear(&mut app, "* 1 FETCH (BODY[] {4}\r\nab").await;
    stopping.cancel();
    tokio::time::sleep(Duration::from_secs(2)).await;
    say(&mut upstream, "cd)\r\n* 2 FETCH (BODY[] {4}\r\n").await;
    assert_eq!(rest(&mut app).await, "cd)\r\n* BYE footbridge is stopping\r\n");
    assert!(matches!(splice.await.expect("no panic").ending, Ending::Stopping));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_no_literal_that_does_not_end() {
    let Between { mut app, mut upstream, stopping, .. } = between("IMAP4rev1", 4096);
    say(&mut upstream, "* 1 FETCH (BODY[] {4}\r\nab").await;
    hear(&mut app, "* 1 FETCH (BODY[] {4}\r\nab").await;
    stopping.cancel();
    let begun = Instant::now();
    assert_eq!(rest(&mut app).await, "");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn literal_plus_over_an_upstream_without_it_holds_the_app_back() {
    // RFC 7888 §3.
    let Between { mut app, mut upstream, .. } = between("IMAP4rev1", 64);
    let body = "y".repeat(300_000);
    let append = format!("a APPEND x {{300000+}}\r\n{body}\r\n");
    let mut app = {
        let sent = tokio::spawn(async move {
            say(&mut app, append).await;
            app
        });
        hear(&mut upstream, "a APPEND x {300000}\r\n").await;
        let more = timeout(Duration::from_secs(30), upstream.read_u8()).await;
        assert!(more.is_err(), "nothing goes up before upstream asks for it");
        say(&mut upstream, "+ go\r\n").await;
        hear(&mut upstream, &format!("{body}\r\n")).await;
        sent.await.expect("no panic")
    };
    say(&mut upstream, "a OK\r\n").await;
    hear(&mut app, "a OK\r\n").await;
}

/// An app's end that counts how often its octets were to be acknowledged at once.
struct Acknowledged(DuplexStream, Arc<AtomicUsize>);

impl QuickAck for Acknowledged {
    fn acknowledge_at_once(&self) {
        self.1.fetch_add(1, Relaxed);
    }
}

impl AsyncRead for Acknowledged {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, room)
    }
}

impl AsyncWrite for Acknowledged {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn pieces_of_a_literal_are_acknowledged_at_once_and_commands_are_not() {
    // RFC 1122 §4.2.3.2 and §4.2.3.4: acknowledgements may be delayed, and an app with Nagle's algorithm on waits for
    // one after each small piece.
    let (app, app_side) = duplex(4096);
    let count = Arc::new(AtomicUsize::new(0));
    let app_side = Acknowledged(app_side, count.clone());
    let Between { mut app, mut upstream, .. } = between_ends(app, app_side, "IMAP4rev1 LITERAL+", 4096);
    say(&mut app, "a NOOP\r\nb APPEND x {6}\r\n").await;
    hear(&mut upstream, "a NOOP\r\nb APPEND x {6}\r\n").await;
    say(&mut upstream, "a OK\r\n").await;
    hear(&mut app, "a OK\r\n").await;
    assert_eq!(count.load(Relaxed), 0, "the app waits for `+`, nothing comes");
    say(&mut upstream, "+ go\r\n").await;
    hear(&mut app, "+ go\r\n").await;
    for piece in ["ab", "cd"] {
        say(&mut app, piece).await;
        hear(&mut upstream, piece).await;
    }
    assert_eq!(count.load(Relaxed), 1, "it lasts until the app is told something");
    say(&mut upstream, "* 3 EXISTS\r\n").await;
    hear(&mut app, "* 3 EXISTS\r\n").await;
    say(&mut app, "ef").await;
    hear(&mut upstream, "ef").await;
    assert_eq!(count.load(Relaxed), 2);
    say(&mut app, "\r\n").await;
    hear(&mut upstream, "\r\n").await;
    say(&mut upstream, "b OK\r\n").await;
    hear(&mut app, "b OK\r\n").await;
    // RFC 7888 §4: nobody is asked for this one.
    say(&mut app, "c APPEND x {4+}\r\ngh").await;
    hear(&mut upstream, "c APPEND x {4+}\r\ngh").await;
    say(&mut app, "ij\r\nd NOOP\r\n").await;
    hear(&mut upstream, "ij\r\nd NOOP\r\n").await;
    assert_eq!(count.load(Relaxed), 3);
}

async fn speak(
    mut peer: WriteHalf<DuplexStream>,
    octets: Vec<u8>,
    sizes: Vec<usize>,
) -> WriteHalf<DuplexStream> {
    let (mut at, mut sizes) = (0, sizes.into_iter().cycle());
    while at < octets.len() {
        let end = (at + sizes.next().unwrap_or(1)).min(octets.len());
        peer.write_all(&octets[at..end]).await.expect("the splice reads");
        at = end;
    }
    peer
}

async fn listen(mut peer: ReadHalf<DuplexStream>, octets: usize) -> Vec<u8> {
    let mut heard = vec![0; octets];
    peer.read_exact(&mut heard).await.expect("all of it comes");
    heard
}

/// A stream of commands or responses with literals of these sizes, 8-bit and with lines that look like others.
fn stream(up: bool, sizes: &[usize]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        let body: Vec<u8> = b"\r\na OK {3}\r\n\0\xff* BYE\r\n".iter().copied().cycle().take(*size).collect();
        let head = if up {
            format!("t{number} APPEND x {{{size}+}}\r\n")
        } else {
            format!("* {number} FETCH (BODY[] {{{size}}}\r\n")
        };
        stream.extend_from_slice(head.as_bytes());
        stream.extend_from_slice(&body);
        stream.extend_from_slice(if up { b"\r\n" } else { b" FLAGS ())\r\n" });
    }
    stream
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn big_traffic_both_ways_through_small_buffers_arrives_to_the_octet(
        up in prop::collection::vec(0usize..100_000, 1..6),
        down in prop::collection::vec(0usize..100_000, 1..6),
        sizes in prop::collection::vec(1usize..20_000, 1..6),
        buffer in 1usize..3_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let Between { app, upstream, .. } = between("IMAP4rev1 LITERAL+", buffer);
            let (to_app, to_upstream) = (stream(false, &down), stream(true, &up));
            let ((app_read, app_write), (upstream_read, upstream_write)) = (split(app), split(upstream));
            let (at_app, at_upstream, ..) = tokio::join!(
                listen(app_read, to_app.len()),
                listen(upstream_read, to_upstream.len()),
                speak(app_write, to_upstream.clone(), sizes.clone()),
                speak(upstream_write, to_app.clone(), sizes.clone()),
            );
            assert!(at_app == to_app && at_upstream == to_upstream);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_that_reads_only_when_it_has_sent_all_does_not_lock_up() {
    // An app may send a whole APPEND before it looks at what came meanwhile.
    let Between { app, upstream, .. } = between("IMAP4rev1 LITERAL+", 256);
    let (to_app, to_upstream) = (stream(false, &[300_000]), stream(true, &[2_000_000]));
    let ((app_read, app_write), (upstream_read, upstream_write)) = (split(app), split(upstream));
    let told = tokio::spawn(speak(upstream_write, to_app.clone(), vec![1000]));
    let taken = tokio::spawn(listen(upstream_read, to_upstream.len()));
    let app_write = speak(app_write, to_upstream.clone(), vec![5000]).await;
    assert!(taken.await.expect("no panic") == to_upstream);
    assert!(listen(app_read, to_app.len()).await == to_app);
    drop((told.await.expect("no panic"), app_write));
}
