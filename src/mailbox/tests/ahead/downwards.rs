//! An app that takes the newest message first, or turns round.

use std::fmt::Write;

use super::*;

/// The app asks for each of these by itself, in one flight, and has these answers.
fn asked_singly(uids: &[u32], part: &str, answers: &[String]) -> String {
    let tags = ["$c", "$d", "$e", "$f", "$g"];
    let mut text = String::new();
    for (tag, uid) in tags.iter().zip(uids) {
        let _ = writeln!(text, "C: {tag} UID FETCH {uid} (UID BODY.PEEK[{part}])");
    }
    for (tag, answer) in tags.iter().zip(answers) {
        let _ = writeln!(text, "{answer}\nS: {tag} OK x");
    }
    text
}

#[tokio::test(start_paused = true)]
async fn an_app_that_takes_the_newest_first_is_read_ahead_the_same_way() {
    // Some delete as they go.
    let down = [15, 14, 13, 12, 11].map(|uid| (uid, FIVE[uid as usize - 11].1));
    let answers: Vec<String> = down[1..].iter().map(|(uid, text)| body(*uid, text)).collect();
    let rest = asked("15", &[body(15, "five")]) + &asked_singly(&[14, 13, 12, 11], "", &answers);
    check(Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]), &down).await;
    let provider = Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]);
    let mut app = App::open(&provider).await;
    for (number, text) in down {
        assert_eq!(app.retr(number).await, text);
        app.delete(number);
    }
    app.mailbox.close().await;
    provider.kept().await;
    // Headers and some lines, too.
    let part = |uid: u32| format!("R: * 1 FETCH (UID {uid} BODY[]<0> {{8}}\\r\\na: b\\r\\n\\r\\n)\\r\\n");
    let first = format!("C: $c UID FETCH 15 (UID BODY.PEEK[]<0.16384>)\n{}\nS: $c OK x\n", part(15));
    let answers: Vec<String> = down[1..].iter().map(|(uid, _)| part(*uid)).collect();
    let rest = first + &asked_singly(&[14, 13, 12, 11], "]<0.16384>", &answers).replace(">])", ">)");
    let provider = Provider::new(&[opened(&[20_000_000; 5], &rest)]);
    let mut app = App::open(&provider).await;
    for (number, _) in down {
        assert_eq!(app.top(number, 0).await, "a: b\r\n\r\n");
    }
    app.mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn an_app_that_turns_round_is_followed_where_that_costs_no_session() {
    // Up to the end, which ends the window; then down over what is new to it.
    let rest = asked("14", &[body(14, "four")])
        + &asked("15", &[body(15, "five")])
        + &asked("13", &[body(13, "three")])
        + &asked_singly(&[12, 11], "", &[body(12, "two"), body(11, "one")]);
    let expected = [(14, "four"), (15, "five"), (14, "four"), (13, "three"), (12, "two"), (11, "one")];
    let mut provider = Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]);
    check(provider, &expected).await;
    // Much is still on its way up: a message below it is one to be fetched by itself, over the session that is left.
    let sizes = [3, 3, 3, 3, 300_000];
    let rest = asked("13", &[body(13, "three")])
        + "C: $c UID FETCH 14:15 (UID BODY.PEEK[])\n"
        + &body(14, "four")
        + "\nR: * 1 FETCH (UID 15 BODY[] {300000}\\r\\nth";
    let again = reopened(&(asked("12", &[body(12, "two")]) + &asked("11", &[body(11, "one")])));
    provider = Provider::new(&[opened(&sizes, &rest), again]);
    check(provider, &[(13, "three"), (14, "four"), (13, "three"), (12, "two"), (11, "one")]).await;
}
