//! DATA: what passes, what ends a message, and what happens when either side is gone.

use std::time::Duration;

use super::*;
use crate::bridge::shown::Shown;
use crate::mail::account::BareNewline;

#[tokio::test(start_paused = true)]
async fn a_message_passes_as_it_is_and_gets_upstreams_answer() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.begin(&mut upstream).await;
    let message = "Subject: x\r\nBcc: c@d\r\n\r\n..dots\r\n\0 and no more\r\n.\r\n";
    scene.app.sends(message.as_bytes()).await;
    assert_eq!(upstream.message().await, message);
    assert!(scene.app.is_silent().await, "250 is upstream's to say");
    upstream.says("250 2.0.0 queued as 1").await;
    scene.app.hears("250 2.0.0 queued as 1").await;
    // The same connection serves the next one.
    scene.begin(&mut upstream).await;
    scene.app.sends(b".\r\n").await;
    assert_eq!(upstream.message().await, ".\r\n");
    upstream.says("554-5.6.0 an empty\r\n554 5.6.0 message").await;
    assert_eq!(scene.app.reply().await, ["554-5.6.0 an empty", "554 5.6.0 message"]);
}

#[tokio::test(start_paused = true)]
async fn two_whole_transactions_in_one_write_rfc_2920_section_3_2() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    let one = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";
    scene.app.sends(format!("{one}x\r\n.\r\n{one}y\r\n.\r\nQUIT\r\n").as_bytes()).await;
    for text in ["x\r\n.\r\n", "y\r\n.\r\n"] {
        upstream.hears("MAIL FROM:<a@b>").await;
        upstream.hears("RCPT TO:<c@d>").await;
        upstream.says("250 ok\r\n250 ok").await;
        upstream.answers("DATA", "354 go").await;
        assert_eq!(upstream.message().await, text);
        upstream.says("250 queued").await;
    }
    upstream.answers("QUIT", "221 bye").await;
    let rest = scene.app.rest().await;
    let codes: Vec<&str> = rest.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "250", "354", "250", "250", "250", "354", "250", "221"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_apps_own_crlf_dot_crlf_ends_a_message() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.begin(&mut upstream).await;
    scene.app.sends(b"a\n.\nMAIL FROM:<x@y>\r\n.\nb\r.\r\r\n.\r\nNOOP\r\n").await;
    assert_eq!(upstream.message().await, "a\r\n..\r\nMAIL FROM:<x@y>\r\n\r\nb\r\n..\r\n\r\n.\r\n");
    upstream.says("250 2.0.0 queued").await;
    scene.app.hears("250 2.0.0 queued").await;
    scene.app.hears("250 2.0.0 ok").await;
}

#[tokio::test(start_paused = true)]
async fn data_goes_to_the_recipients_that_were_accepted_rfc_5321_section_3_3() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
    scene.app.says("RCPT TO:<a@b>\r\nRCPT TO:<c@d>").await;
    for line in ["MAIL FROM:<ana@example.org>", "RCPT TO:<a@b>", "RCPT TO:<c@d>"] {
        upstream.hears(line).await;
    }
    upstream.says("250 ok\r\n550 5.1.1 no such\r\n250 2.1.5 ok").await;
    scene.app.hears("550 5.1.1 no such").await;
    scene.app.hears("250 2.1.5 ok").await;
    scene.app.says("DATA").await;
    upstream.answers("DATA", "452 4.3.1 disk full").await;
    scene.app.hears("452 4.3.1 disk full").await;
    scene.exchange("DATA", "503 5.5.1 MAIL first").await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_mid_message_is_given_on_and_no_dot_is_sent() {
    let (mut scene, mut upstream) = logged_in(2, OFFERS).await;
    scene.begin(&mut upstream).await;
    scene.app.sends(b"a\r\n").await;
    upstream.hears("a").await;
    upstream.says("552 5.3.4 too big").await;
    assert_eq!(upstream.rest().await, "", "no dot, no QUIT");
    scene.app.sends(b"b\r\nQUIT\r\n.\r\n").await;
    scene.app.hears("552 5.3.4 too big").await;
    let mut upstream = {
        scene.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
        scene.app.says("RCPT TO:<a@b>").await;
        scene.next_upstream(OFFERS).await
    };
    upstream.hears("MAIL FROM:<ana@example.org>").await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_upstream_that_reads_no_more_is_heard_all_the_same() {
    let (mut scene, mut upstream) = logged_in(1, &["PIPELINING"]).await;
    scene.begin(&mut upstream).await;
    let since = tokio::time::Instant::now();
    let line = [b"x".repeat(998), b"\r\n".to_vec()].concat();
    // More than the pipe upstream holds.
    let app = async { scene.app.sends(&[line.repeat(4000), b".\r\n".to_vec()].concat()).await };
    let answer = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        upstream.says("552 5.3.4 too big").await;
    };
    tokio::join!(app, answer);
    scene.app.hears("552 5.3.4 too big").await;
    assert!(since.elapsed() < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn upstream_gone_in_mid_message() {
    let (mut scene, mut upstream) = logged_in(2, OFFERS).await;
    scene.begin(&mut upstream).await;
    scene.app.sends(b"a\r\n").await;
    upstream.hears("a").await;
    drop(upstream);
    scene.app.sends(b"b\r\n.\r\n").await;
    let reply = scene.app.line().await;
    assert!(reply.starts_with("451 4.4.2 the message was not sent: ana@example.org: "), "{reply}");
    assert_eq!(scene.connections_left(), 1, "no second attempt");
}

#[tokio::test(start_paused = true)]
async fn upstream_gone_behind_the_dot_may_have_sent_it_rfc_1047() {
    let (mut scene, mut upstream) = logged_in(2, OFFERS).await;
    scene.begin(&mut upstream).await;
    scene.app.sends(b"a\r\n.\r\n").await;
    assert_eq!(upstream.message().await, "a\r\n.\r\n");
    drop(upstream);
    let reply = scene.app.line().await;
    assert!(
        reply.starts_with("451 4.4.2 the message may have been sent, look before sending again"),
        "{reply}"
    );
    assert!(reply.contains("ana@example.org") && !reply.contains("try again"), "{reply}");
    assert_eq!(scene.connections_left(), 1, "no second attempt");
}

#[tokio::test(start_paused = true)]
async fn no_verdict_within_ten_minutes_may_have_sent_it_rfc_5321_section_4_5_3_2_6() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.begin(&mut upstream).await;
    let since = tokio::time::Instant::now();
    scene.app.sends(b"a\r\n.\r\n").await;
    let reply = scene.app.line().await;
    assert!(reply.starts_with("451 4.4.2 the message may have been sent"), "{reply}");
    assert!(since.elapsed() >= Duration::from_secs(600));
}

#[tokio::test(start_paused = true)]
async fn an_app_gone_in_mid_message_sends_nothing() {
    for last in ["a\r\n.\r", "a\r\n.", "a\r\n", "a\n.\n", ""] {
        let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
        scene.begin(&mut upstream).await;
        scene.app.sends(last.as_bytes()).await;
        drop(scene.app);
        let rest = upstream.rest().await;
        assert!(!format!("\r\n{rest}").contains("\r\n.\r\n") && !rest.contains("QUIT"), "{last:?}: {rest:?}");
        scene.served.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_gone_behind_the_dot_does_not_unsend_the_message() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.begin(&mut upstream).await;
    scene.app.sends(b"a\r\n.\r\n").await;
    drop(scene.app);
    assert_eq!(upstream.message().await, "a\r\n.\r\n");
    upstream.says("250 2.0.0 queued").await;
    let _ = scene.served.await.unwrap();
    assert_eq!(scene.unused.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_we_refuse_is_eaten_to_its_end_and_never_gets_a_dot() {
    let large = format!("{}\r\n.\r\n", "x".repeat(1000));
    let loops = format!("{}\r\nx\r\n.\r\n", "Received: x\r\n".repeat(101));
    for (offers, message, code) in [
        (OFFERS, large.as_str(), "552 5.3.4 "),
        (&["SIZE"][..], "\r\ncaf\u{e9}\r\n.\r\n", "554 5.6.3 "),
        (&["8BITMIME"][..], &loops, "554 5.4.6 "),
    ] {
        let (mut scene, mut upstream) = logged_in(1, offers).await;
        if offers.contains(&"PIPELINING") {
            scene.begin(&mut upstream).await;
        } else {
            scene.exchange("MAIL FROM:<a@b> BODY=8BITMIME", "250 2.1.0 ok").await;
            scene.app.says("RCPT TO:<a@b>").await;
            assert!(upstream.line().await.starts_with("MAIL FROM:<a@b>"));
            upstream.says("250 ok").await;
            upstream.answers("RCPT TO:<a@b>", "250 2.1.5 ok").await;
            scene.app.hears("250 2.1.5 ok").await;
            scene.app.says("DATA").await;
            upstream.answers("DATA", "354 go").await;
            scene.app.line().await;
        }
        scene.app.sends(message.as_bytes()).await;
        let reply = scene.app.line().await;
        assert!(reply.starts_with(code), "{reply}");
        assert!(!format!("\r\n{}", upstream.rest().await).contains("\r\n.\r\n"));
        scene.exchange("NOOP", "250 2.0.0 ok").await;
    }
}

#[tokio::test(start_paused = true)]
async fn bare_newlines_are_refused_where_the_account_says_so() {
    let mut account = account();
    account.smtp_options.bare_newline = BareNewline::Reject;
    let (mut scene, mut upstream) = logged_in_as(account, 1, OFFERS).await;
    scene.begin(&mut upstream).await;
    scene.app.sends(b"a\nb\r\n.\r\n").await;
    assert!(scene.app.line().await.starts_with("554 5.6.0 "));
    assert_eq!(upstream.rest().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_message_under_way_may_end_while_the_bridge_stops() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.begin(&mut upstream).await;
    scene.app.sends(b"a\r\n").await;
    scene.stopping.cancel();
    upstream.hears("a").await;
    scene.app.sends(b"b\r\n.\r\n").await;
    assert_eq!(upstream.message().await, "b\r\n.\r\n");
    upstream.says("250 2.0.0 queued").await;
    scene.app.hears("250 2.0.0 queued").await;
    scene.app.hears("421 4.3.2 the bridge is stopping, try again later").await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_end_in_time_is_not_sent_when_the_bridge_stops() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.begin(&mut upstream).await;
    scene.app.sends(b"a\r\n").await;
    scene.stopping.cancel();
    scene.app.hears("421 4.3.2 the bridge is stopping, try again later").await;
    assert_eq!(upstream.rest().await, "a\r\n", "no dot, no QUIT");
}

#[tokio::test(start_paused = true)]
async fn nor_is_one_that_upstream_does_not_take() {
    let (mut scene, mut upstream) = logged_in(1, &["PIPELINING"]).await;
    scene.begin(&mut upstream).await;
    // More than the pipe holds, and nobody reads at the other end.
    let (line, mut app) = ([b"x".repeat(998), b"\r\n".to_vec()].concat(), scene.app);
    let says = async { app.sends(&line.repeat(1500)).await };
    let stops = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        scene.stopping.cancel();
    };
    tokio::join!(says, stops);
    app.hears("421 4.3.2 the bridge is stopping, try again later").await;
    assert!(!upstream.rest().await.contains("\r\n.\r\n"));
}

#[tokio::test(start_paused = true)]
async fn an_app_silent_within_a_message_sends_nothing() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.begin(&mut upstream).await;
    scene.app.sends(b"a\r\n").await;
    scene.app.hears("421 4.4.2 silent for too long within a message, goodbye").await;
    assert_eq!(upstream.rest().await, "a\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_large_message_streams_through_whatever_upstream_reads() {
    let (mut scene, mut upstream) = logged_in(1, &["PIPELINING", "8BITMIME"]).await;
    scene.begin(&mut upstream).await;
    let line = format!(".{}\r\n", "x".repeat(70));
    let message = format!("{}.\r\n", line.repeat(100_000));
    let (heard, ()) = tokio::join!(upstream.message(), scene.app.sends(message.as_bytes()));
    assert!(heard == message, "the octets differ");
    upstream.says("250 ok").await;
    scene.app.hears("250 2.0.0 ok").await;
}

#[tokio::test(start_paused = true)]
async fn the_log_has_the_outcome_and_neither_secrets_nor_mail() {
    let log = Shown::begin();
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.begin(&mut upstream).await;
    scene.app.sends(b"Subject: canary\r\n\r\ncanary\r\n.\r\n").await;
    upstream.message().await;
    drop(scene.app);
    upstream.says("250 2.0.0 <bob@example.net> queued as 4711").await;
    let _ = scene.served.await.unwrap();
    let shown = log.text();
    for fact in ["queued as 4711", "code=250", "recipients=1", "messages=1", "command=\"RCPT\""] {
        assert!(shown.contains(fact), "{fact} in {shown}");
    }
    for canary in
        ["canary", "hunter2", "aHVudGVyMg", "bob@", "AGFuYQBodW50ZXIy", "AGFuYUBleGFtcGxlLm9yZwBodW50ZXIy"]
    {
        assert!(!shown.contains(canary), "{canary} in {shown}");
    }
}
