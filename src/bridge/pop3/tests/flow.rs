//! What an app gets when all is well.

use super::*;

const DOTS: &[u8] = b"Subject: dots\r\n\r\n.\r\n..a\r\nb";

pub(super) fn two() -> Script {
    Script::new([Mail::of(b"Subject: one\r\n\r\nhello\r\n"), Mail::of(DOTS)])
}

#[tokio::test(start_paused = true)]
async fn rfc1939_4_the_greeting_waits_for_nobody() {
    let script = two();
    let mut talk = talk(&script);
    let greeting = talk.line().await;
    assert!(greeting.starts_with("+OK") && greeting.len() <= 512);
    assert_eq!(script.seen().passwords.len(), 0);
}

pub(super) const EVERYTHING: &str =
    "STAT\r\nLIST\r\nUIDL\r\nRETR 2\r\nTOP 1 0\r\nDELE 1\r\nNOOP\r\nRETR 1\r\nBAD\r\nQUIT\r\n";

pub(super) const ANSWERS: &str = "+OK 2 49\r\n+OK 2 messages (49 octets)\r\n1 23\r\n2 26\r\n.\r\n+OK\r\n1 7.10\r\n2 7.11\r\n.\r\n\
    +OK\r\nSubject: dots\r\n\r\n..\r\n...a\r\nb\r\n.\r\n+OK\r\nSubject: one\r\n\r\n.\r\n\
    +OK marked deleted\r\n+OK\r\n-ERR the message is marked deleted\r\n-ERR unknown command\r\n+OK bye\r\n";

#[tokio::test(start_paused = true)]
async fn rfc2449_6_6_commands_in_one_segment_are_answered_in_order() {
    let script = two();
    assert_eq!(session(&script, EVERYTHING).await, ANSWERS);
    let seen = script.seen();
    assert_eq!(seen.updates, [(vec![], vec![10])]);
    assert_eq!((seen.opened, seen.left, seen.closed), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn rfc2449_6_6_split_at_every_octet_gives_the_same() {
    let all = format!("{LOGIN}{EVERYTHING}");
    for at in 1..all.len() {
        let mut talk = talk(&two());
        let (first, second) = all.split_at(at);
        talk.send(first).await;
        tokio::time::sleep(seconds(1)).await; // Paused clock: until the driver waits.
        talk.send(second).await;
        let heard = talk.rest_text().await;
        assert!(heard.ends_with(ANSWERS), "split at {at}: {heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn rfc1939_3_lines_may_end_with_lf_alone() {
    assert_eq!(session(&two(), &EVERYTHING.replace("\r\n", "\n")).await, ANSWERS);
}

#[tokio::test(start_paused = true)]
async fn a_pipelining_app_hears_its_replies_in_one_write() {
    let mut talk = talk(&two()).logged_in().await;
    talk.send("STAT\r\nRETR 1\r\nRETR 2\r\nNOOP\r\n").await;
    let mut heard = [0; 4096];
    let octets = talk.app.read(&mut heard).await.expect("open");
    assert!(heard[..octets].ends_with(b"b\r\n.\r\n+OK\r\n"));
}

#[tokio::test(start_paused = true)]
async fn rfc1939_3_the_body_is_the_same_however_it_comes() {
    let text = b"A: b\r\n\r\n.x\ny\n.\r\n\0\xff\rz\r\n..";
    let whole = b"A: b\r\n\r\n..x\r\ny\r\n..\r\n\0\xff\rz\r\n...\r\n.\r\n";
    for cut in 0..=text.len() {
        let (first, second) = text.split_at(cut);
        let mut talk = talk(&Script::new([Mail::in_chunks(&[first, second])])).logged_in().await;
        talk.send("RETR 1\r\nQUIT\r\n").await;
        assert_eq!(talk.line().await, "+OK\r\n"); // Its octets, with line ends mended, are not those listed.
        assert_eq!(talk.rest().await, [whole.as_slice(), b"+OK bye\r\n"].concat(), "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn retr_names_octets_only_where_they_are_exact_and_as_listed() {
    let script =
        Script::new([Mail::of(b"one\r\n"), Mail::of(b"two\r\n"), Mail::of(b"three"), Mail::of(b"four")]);
    script.seen().mails[0].size = 999;
    script.seen().mails[3].size = 6; // As once it was seen: with the line end that it lacks.
    let heard = session(&script, "RETR 1\r\nRETR 2\r\nRETR 3\r\nRETR 4\r\n").await;
    let firsts: Vec<&str> = heard.lines().filter(|line| line.starts_with('+')).collect();
    assert_eq!(firsts, ["+OK", "+OK 5 octets", "+OK", "+OK 6 octets"]);
}

#[tokio::test(start_paused = true)]
async fn a_large_message_goes_through_octet_for_octet() {
    let line = [b'x'; 75];
    let text: Vec<u8> = (0..20_000).flat_map(|_| [line.as_slice(), b"\r\n"].concat()).collect();
    let chunks: Vec<&[u8]> = text.chunks(16_383).collect();
    let mut talk = talk(&Script::new([Mail::in_chunks(&chunks)])).logged_in().await;
    talk.send("RETR 1\r\nQUIT\r\n").await;
    assert_eq!(talk.rest().await, [b"+OK\r\n", text.as_slice(), b".\r\n+OK bye\r\n"].concat());
}

#[tokio::test(start_paused = true)]
async fn rfc1939_7_top_counts_lines_of_the_body() {
    let mail = Mail::of(b"A: b\r\n\r\n.one\r\ntwo\r\nthree");
    let script = Script::new([mail, Mail::of(b"A: b\r\n")]);
    let heard = session(&script, "TOP 1 1\r\nTOP 1 99\r\nTOP 1 99999999\r\nTOP 2 5\r\nTOP 1\r\n").await;
    let whole = "+OK\r\nA: b\r\n\r\n..one\r\ntwo\r\nthree\r\n.\r\n";
    let wanted = format!(
        "+OK\r\nA: b\r\n\r\n..one\r\n.\r\n{whole}{whole}+OK\r\nA: b\r\n.\r\n-ERR wrong arguments\r\n"
    );
    assert_eq!(heard, wanted);
    assert_eq!(script.seen().bodies, [10]); // Only where the count means all of it.
}

#[tokio::test(start_paused = true)]
async fn an_empty_message_is_an_empty_message() {
    assert_eq!(session(&Script::new([Mail::of(b"")]), "RETR 1\r\n").await, "+OK 0 octets\r\n.\r\n");
}

#[tokio::test(start_paused = true)]
async fn listings_of_a_hundred_thousand_messages_stream() {
    let script = Script::new(std::iter::repeat_with(|| Mail::of(b"x")).take(100_000));
    let mut talk = talk_with(&script, 1000, "").logged_in().await;
    talk.send("LIST\r\nUIDL\r\nQUIT\r\n").await;
    let heard = talk.rest_text().await;
    assert_eq!(heard.lines().count(), 200_005);
    assert!(heard.contains("\r\n100000 1\r\n.\r\n+OK\r\n1 7.10\r\n"));
    assert!(heard.ends_with("\r\n100000 7.100009\r\n.\r\n+OK bye\r\n"));
}

#[tokio::test(start_paused = true)]
async fn seen_is_set_as_the_account_says_and_only_at_quit() {
    for (setting, seen) in [("never", vec![]), ("retrieved", vec![11]), ("deleted", vec![10])] {
        let script = two();
        let mut talk = talk_with(&script, 4096, &format!("seen = \"{setting}\"")).logged_in().await;
        talk.send("RETR 2\r\nTOP 1 0\r\nDELE 1\r\nQUIT\r\n").await;
        talk.rest().await;
        assert_eq!(script.seen().updates, [(seen, vec![10])]);
    }
}

#[tokio::test(start_paused = true)]
async fn quit_with_nothing_to_do_asks_nobody() {
    let script = two();
    assert_eq!(
        session(&script, "RETR 1\r\nDELE 1\r\nRSET\r\nQUIT\r\n").await.lines().last(),
        Some("+OK bye")
    );
    assert_eq!(script.seen().updates, []);
}

#[tokio::test(start_paused = true)]
async fn two_sessions_have_a_maildrop_each() {
    let script = two();
    let (mut one, mut two) = (talk(&script).logged_in().await, talk(&script).logged_in().await);
    one.send("DELE 1\r\nQUIT\r\n").await;
    assert_eq!(one.rest_text().await, "+OK marked deleted\r\n+OK bye\r\n");
    two.send("STAT\r\nDELE 1\r\nQUIT\r\n").await;
    assert_eq!(two.rest_text().await, "+OK 2 49\r\n+OK marked deleted\r\n+OK bye\r\n");
    assert_eq!(script.seen().updates, [(vec![], vec![10]), (vec![], vec![10])]);
}
