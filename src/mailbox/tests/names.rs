//! Unique-ids of a mailbox that upstream renumbers.

use super::*;
use crate::proto::pop3::UniqueIds;

/// A listing with these messages: UID, size, and EMAILID or none.
fn with_ids(uid_validity: u32, from: u32, messages: &[(u32, u32, &str)]) -> String {
    numbered("K: IMAP4rev1 OBJECTID", " EMAILID", uid_validity, from, messages, "")
}

/// The same where upstream tells no EMAILID; `rest` comes behind the listing.
fn without_ids(uid_validity: u32, from: u32, messages: &[(u32, u32)], rest: &str) -> String {
    let messages: Vec<_> = messages.iter().map(|(uid, octets)| (*uid, *octets, "")).collect();
    numbered("", "", uid_validity, from, &messages, rest)
}

fn numbered(
    first: &str,
    item: &str,
    uid_validity: u32,
    from: u32,
    messages: &[(u32, u32, &str)],
    rest: &str,
) -> String {
    let rows: String = (1..)
        .zip(messages)
        .map(|(number, (uid, octets, id))| {
            let id = if id.is_empty() { String::new() } else { format!(" EMAILID ({id})") };
            format!("S: * {number} FETCH (UID {uid} RFC822.SIZE {octets}{id})\n")
        })
        .collect();
    let next = messages.last().map_or(1, |(uid, ..)| uid + 1);
    // The last one that is known comes, too.
    let last = (from - 1).max(1);
    // Where the ledger knows another numbering it is found out behind the flight.
    let (at_once, again) = if from == 1 {
        (rows.clone(), String::new())
    } else {
        (String::new(), format!("C: $z UID FETCH 1:* (UID RFC822.SIZE{item})\n{rows}S: $z OK done\n"))
    };
    format!(
        "{first}\nC: $a EXAMINE \"INBOX\"\nC: $b UID FETCH {last}:* (UID RFC822.SIZE{item})\nS: * {} EXISTS\n\
         S: * OK [UIDVALIDITY {uid_validity}] numbers\nS: * OK [UIDNEXT {next}] next\nS: $a OK done\n{at_once}\
         S: $b OK done\n{again}{rest}",
        messages.len()
    )
}

/// A login whose listing is from the ledger.
fn unchanged(uid_validity: u32, messages: &[(u32, u32, &str)]) -> String {
    let last = messages.last().map_or(0, |(uid, ..)| *uid);
    with_ids(uid_validity, last + 1, &[])
        .replace("* 0 EXISTS", &format!("* {} EXISTS", messages.len()))
        .replace("UIDNEXT 1]", &format!("UIDNEXT {}]", last + 1))
        .split("C: $z")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// UIDL of a session.
async fn unique_ids(provider: &Provider) -> String {
    let (mailbox, listing) = provider.open().await.unwrap();
    mailbox.close().await;
    provider.resources.ledger.written().await;
    shown(&listing)
}

fn shown(listing: &Listing) -> String {
    let ids = UniqueIds::inbox(listing.names.clone());
    let mut shown = Vec::new();
    for message in &listing.messages {
        ids.write(message.uid, &mut shown);
        shown.push(b' ');
    }
    String::from_utf8(shown).unwrap().trim_end().to_owned()
}

/// UIDL when the mailbox was found like this, one time after the other, the bridge started anew in between.
async fn each(scripts: &[String]) -> Vec<String> {
    let leaked: Vec<&'static str> = scripts.iter().map(|script| &*script.clone().leak()).collect();
    let (mut provider, folder) = Provider::new(&leaked).ledger();
    let mut all = Vec::new();
    for _ in scripts {
        all.push(unique_ids(&provider).await);
        provider.resources.ledger.close().await;
        provider.use_folder(&folder);
    }
    provider.kept().await;
    all
}

/// RFC 8474 §5.1: the same EMAILID is the same message; whoever had it alone and has it alone keeps the unique-id
/// (RFC 1939 §7), through any number of renumberings.
#[tokio::test(start_paused = true)]
async fn what_is_the_same_by_emailid_keeps_its_unique_id() {
    let first = [(3, 30, "M3"), (5, 50, "M5"), (8, 80, "M8"), (9, 80, "M8"), (11, 10, "Ma"), (12, 10, "")];
    let second = [
        (1, 80, "M8"),
        (2, 30, "M3"),
        (3, 10, "Ma"),
        (4, 10, "Ma"),
        (5, 60, "M6"),
        (6, 50, "M5"),
        (7, 9, ""),
    ];
    let third = [(20, 60, "M6"), (21, 50, "M5"), (22, 80, "M8"), (23, 7, "M7")];
    let heard = each(&[
        with_ids(7, 1, &first),
        with_ids(8, 13, &second),
        unchanged(8, &second),
        with_ids(9, 8, &third),
        unchanged(9, &third),
    ])
    .await;
    assert_eq!(
        heard,
        [
            "7.3 7.5 7.8 7.9 7.11 7.12",
            "8.1 7.3 8.3 8.4 8.5 7.5 8.7",
            "8.1 7.3 8.3 8.4 8.5 7.5 8.7",
            "8.5 7.5 8.1 9.23",
            "8.5 7.5 8.1 9.23",
        ]
    );
}

/// What the messages were may not be on the disk yet, for the first login was a moment ago.
#[tokio::test(start_paused = true)]
async fn what_is_the_same_keeps_its_unique_id_also_where_the_ledger_is_not_written_yet() {
    let scripts = [
        with_ids(7, 1, &[(3, 30, "M3"), (5, 50, "M5")]),
        with_ids(8, 6, &[(1, 50, "M5"), (2, 60, "M6")]),
        with_ids(9, 3, &[(1, 60, "M6"), (2, 50, "M5")]),
    ];
    let scripts: Vec<&'static str> = scripts.into_iter().map(|script| &*script.leak()).collect();
    let (provider, _folder) = Provider::new(&scripts).ledger();
    let _held_up = provider.resources.ledger.hold_up().await;
    for ids in ["7.3 7.5", "7.5 8.2", "8.2 7.5"] {
        let (mailbox, listing) = provider.open().await.unwrap();
        assert_eq!(shown(&listing), ids);
        mailbox.close().await;
    }
    provider.kept().await;
}

/// A disk that was asleep takes seconds. A listing does not wait so long for it, unique-ids do.
#[tokio::test(start_paused = true)]
async fn what_is_the_same_keeps_its_unique_id_also_where_the_disk_is_slow() {
    let (first, second) = ([(3, 30, "M3"), (5, 50, "M5")], [(1, 50, "M5"), (2, 60, "M6")]);
    let scripts = [with_ids(7, 1, &first), with_ids(8, 1, &second), with_ids(8, 1, &second)];
    let scripts: Vec<&'static str> = scripts.into_iter().map(|script| &*script.leak()).collect();
    let (provider, _folder) = Provider::new(&scripts).ledger();
    assert_eq!(unique_ids(&provider).await, "7.3 7.5");
    for _ in 0..2 {
        let held_up = provider.resources.ledger.hold_up_reading().await;
        let slow = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(held_up);
        };
        let (ids, ()) = tokio::join!(unique_ids(&provider), slow);
        assert_eq!(ids, "7.5 8.2");
    }
    provider.kept().await;
}

/// What the ledger knows goes with an account that is removed, and what its programs know does not.
#[tokio::test(start_paused = true)]
async fn an_account_that_is_removed_and_added_again_has_its_unique_ids() {
    let (first, second) = ([(3, 30, "M3"), (5, 50, "M5")], [(1, 50, "M5"), (2, 60, "M6")]);
    let scripts = [
        with_ids(7, 1, &first),
        with_ids(8, 6, &second),
        with_ids(8, 1, &second),
        with_ids(9, 3, &[(1, 60, "M6"), (2, 50, "M5")]),
    ];
    let scripts: Vec<&'static str> = scripts.into_iter().map(|script| &*script.leak()).collect();
    let (mut provider, folder) = Provider::new(&scripts).ledger();
    assert_eq!(unique_ids(&provider).await, "7.3 7.5");
    assert_eq!(unique_ids(&provider).await, "7.5 8.2");
    let forgotten = provider.resources.ledger.forget("ana@example.org").await.unwrap();
    assert_eq!(forgotten.mailboxes, 1);
    provider.resources.ledger.close().await;
    provider.use_folder(&folder);
    assert_eq!(unique_ids(&provider).await, "7.5 8.2");
    assert_eq!(unique_ids(&provider).await, "8.2 7.5");
    provider.kept().await;
}

/// RFC 3501 §2.3.1.1 forbids it; if a server does it all the same, its numbers are no proof.
#[tokio::test(start_paused = true)]
async fn an_old_uidvalidity_that_comes_back_gives_no_unique_id_to_another_message() {
    let heard = each(&[
        with_ids(7, 1, &[(3, 30, "M3"), (5, 50, "M5")]),
        with_ids(8, 6, &[(3, 50, "M5"), (5, 60, "M6")]),
        with_ids(7, 6, &[(3, 60, "M6"), (5, 30, "M3"), (6, 50, "M5")]),
    ])
    .await;
    // M3 was not there the second time: that it is the same nobody remembers.
    assert_eq!(heard, ["7.3 7.5", "7.5 8.5", "8.5 7-1.5 7.5"]);
}

#[tokio::test(start_paused = true)]
async fn without_any_proof_all_unique_ids_are_new() {
    let heard =
        each(&[without_ids(7, 1, &[(3, 30), (5, 50)], ""), without_ids(8, 6, &[(3, 30), (5, 50)], "")]).await;
    assert_eq!(heard, ["7.3 7.5", "8.3 8.5"]);
}

/// What was shown once stays, even if it could have been better.
#[tokio::test(start_paused = true)]
async fn where_the_older_unique_ids_cannot_be_written_the_own_ones_are_shown_and_stay() {
    let (first, second) = ([(3, 30, "M3")], [(1, 30, "M3")]);
    let scripts = [with_ids(7, 1, &first), with_ids(8, 4, &second), unchanged(8, &second)];
    let scripts: Vec<&'static str> = scripts.into_iter().map(|script| &*script.leak()).collect();
    let (mut provider, folder) = Provider::new(&scripts).ledger();
    assert_eq!(unique_ids(&provider).await, "7.3");
    std::fs::write(folder.path().join("file"), "not a folder").unwrap();
    provider.resources.carried = Carried::in_folder(&folder.path().join("file"));
    assert_eq!(unique_ids(&provider).await, "8.1");
    provider.use_folder(&folder);
    assert_eq!(unique_ids(&provider).await, "8.1");
    provider.kept().await;
}

/// Two sessions that find it out at once show the same, whatever comes of the one that is slower.
#[tokio::test(start_paused = true)]
async fn sessions_that_find_it_out_together_show_the_same() {
    let (first, second) = ([(3, 30, "M3"), (5, 50, "M5")], [(1, 50, "M5"), (2, 30, "M3")]);
    let then = with_ids(8, 6, &second);
    let scripts = [with_ids(7, 1, &first), then.clone(), then];
    let scripts: Vec<&'static str> = scripts.into_iter().map(|script| &*script.leak()).collect();
    let (provider, _folder) = Provider::new(&scripts).ledger();
    assert_eq!(unique_ids(&provider).await, "7.3 7.5");
    let (one, other) = tokio::join!(provider.open(), provider.open());
    for opened in [one, other] {
        let (mailbox, listing) = opened.unwrap();
        assert_eq!(shown(&listing), "7.5 7.3");
        mailbox.close().await;
    }
    provider.kept().await;
}

/// A body that was cached belongs to the message as it was numbered then, also where the number comes back, which
/// RFC 3501 §2.3.1.1 forbids, and the size is the same.
#[tokio::test(start_paused = true)]
async fn a_cached_body_is_never_shown_under_another_uidvalidity() {
    let fetched = "C: $y UID FETCH 3 (UID BODY.PEEK[])\nR: * 1 FETCH (UID 3 BODY[] {3}\\r\\nold)\\r\\n\nS: $y OK done\n";
    let scripts = [
        with_ids(7, 1, &[(3, 3, "M3")]) + fetched,
        with_ids(8, 4, &[(3, 3, "M4"), (4, 3, "M3")]) + &fetched.replace("old", "new"),
        with_ids(7, 5, &[(3, 3, "M4"), (5, 3, "M5")]) + &fetched.replace("old", "new"),
        unchanged(7, &[(3, 3, "M4"), (5, 3, "M5")]),
    ];
    let scripts: Vec<&'static str> = scripts.into_iter().map(|script| &*script.leak()).collect();
    let (provider, _folder) = Provider::new(&scripts).ledger();
    for (expected, ids) in [("old", "7.3"), ("new", "8.3 7.3"), ("new", "8.3 7-1.5"), ("new", "8.3 7-1.5")] {
        let (mut mailbox, listing) = provider.open().await.unwrap();
        assert_eq!(shown(&listing), ids);
        let (body, end) = whole(&mut mailbox.body(uid(3)).await.unwrap()).await;
        end.unwrap();
        assert_eq!(body, expected.as_bytes());
        mailbox.close().await;
        provider.resources.ledger.written().await;
    }
    provider.kept().await;
}

const HEADER: &str = "Message-ID: <N@x>\\r\\nSubject: a\\r\\n\\r\\n";
/// Octets of such a header and of "body" with a line end.
const OCTETS: u32 = 39;

/// RETR of messages whose headers go by; by their names for the test.
fn retrieved(messages: &[(u32, &str)]) -> String {
    messages
        .iter()
        .map(|(uid, name)| {
            let header = HEADER.replace('N', name);
            format!(
                "C: $r UID FETCH {uid} (UID BODY.PEEK[])\n\
                 R: * 1 FETCH (UID {uid} BODY[] {{{OCTETS}}}\\r\\n{header}body\\r\\n)\\r\\n\nS: $r OK done\n"
            )
        })
        .collect()
}

/// The headers that are asked for after a renumbering, and what comes.
fn looked_at(set: &str, messages: &[(u32, &str)]) -> String {
    let came: String = messages
        .iter()
        .map(|(uid, name)| {
            let header = HEADER.replace('N', name);
            format!("R: * 1 FETCH (UID {uid} BODY[HEADER] {{33}}\\r\\n{header})\\r\\n\n")
        })
        .collect();
    format!("C: $h UID FETCH {set} (UID BODY.PEEK[HEADER])\n{came}S: $h OK done\n")
}

/// UIDL when the mailbox was found like this, one time after the other; these messages were retrieved in the first.
async fn each_after_retrieving(uids: &[u32], scripts: &[String]) -> Vec<String> {
    let leaked: Vec<&'static str> = scripts.iter().map(|script| &*script.clone().leak()).collect();
    let (provider, _folder) = Provider::new(&leaked).ledger();
    let maildrop = Maildrop::new(UniqueIds::inbox(UidValidity::FIRST), []);
    let (mut mailbox, listing) = provider.open().await.unwrap();
    for number in uids {
        let mut body = mailbox.retrieve_and_learn(uid(*number), &maildrop).await.unwrap();
        whole(&mut body).await.1.unwrap();
    }
    mailbox.close().await;
    provider.resources.ledger.written().await;
    let mut all = vec![shown(&listing)];
    for _ in 1..scripts.len() {
        all.push(unique_ids(&provider).await);
    }
    provider.kept().await;
    all
}

/// Where upstream tells no identity: the header that the app was sent, and the size.
#[tokio::test(start_paused = true)]
async fn what_is_the_same_by_its_header_keeps_its_unique_id_again_and_again() {
    let all = OCTETS;
    let heard = each_after_retrieving(
        &[3, 5],
        &[
            without_ids(7, 1, &[(3, all), (5, all), (8, 80)], &retrieved(&[(3, "3"), (5, "5")])),
            // What is of another size needs no look.
            without_ids(
                8,
                9,
                &[(1, 80), (2, all), (3, all), (4, all)],
                &looked_at("2:4", &[(4, "9"), (2, "5"), (3, "3")]),
            ),
            without_ids(9, 5, &[(1, all), (2, all)], &looked_at("1:2", &[(1, "3"), (2, "9")])),
        ],
    )
    .await;
    assert_eq!(heard, ["7.3 7.5 7.8", "8.1 7.5 7.3 8.4", "7.3 8.4"]);
}

/// RFC 1939 §7: a unique-id that goes to another message hides it. Headers may be the same, so each doubt counts.
#[tokio::test(start_paused = true)]
async fn where_a_header_leaves_a_doubt_the_unique_id_is_new() {
    let all = OCTETS;
    let first = |others: &[(u32, u32)], retr: &[(u32, &str)]| {
        without_ids(7, 1, &[&[(3, all)], others].concat(), &retrieved(retr))
    };
    let two = [(1, all), (2, all)];
    for (why, uids, first, then, expected) in [
        (
            "another one of that size was never seen",
            vec![3],
            first(&[(5, all)], &[(3, "3")]),
            without_ids(8, 6, &[(1, all)], ""),
            "8.1",
        ),
        (
            "two had the same header",
            vec![3, 5],
            first(&[(5, all)], &[(3, "3"), (5, "3")]),
            without_ids(8, 6, &[(1, all)], ""),
            "8.1",
        ),
        (
            "two have it now",
            vec![3],
            first(&[], &[(3, "3")]),
            without_ids(8, 4, &two, &looked_at("1:2", &[(1, "3"), (2, "3")])),
            "8.1 8.2",
        ),
        (
            "one of that size is not shown",
            vec![3],
            first(&[], &[(3, "3")]),
            without_ids(8, 4, &two, &looked_at("1:2", &[(1, "3")])),
            "8.1 8.2",
        ),
        (
            "one has two headers",
            vec![3],
            first(&[], &[(3, "3")]),
            without_ids(8, 4, &two[..1], &looked_at("1", &[(1, "3"), (1, "4")])),
            "8.1",
        ),
        (
            "the header is another one",
            vec![3],
            first(&[], &[(3, "3")]),
            without_ids(8, 4, &two[..1], &looked_at("1", &[(1, "4")])),
            "8.1",
        ),
        (
            "the headers are refused",
            vec![3],
            first(&[], &[(3, "3")]),
            without_ids(8, 4, &two[..1], "C: $h UID FETCH 1 (UID BODY.PEEK[HEADER])\nS: $h NO not now\n"),
            "8.1",
        ),
        (
            "the size is another one",
            vec![3],
            first(&[], &[(3, "3")]),
            without_ids(8, 4, &[(1, all + 1)], ""),
            "8.1",
        ),
    ] {
        assert_eq!(each_after_retrieving(&uids, &[first, then]).await[1], expected, "{why}");
    }
}

/// A size that is not told may be that of another message with this header.
#[tokio::test(start_paused = true)]
async fn where_not_all_sizes_are_told_no_header_proves_anything() {
    let first = without_ids(7, 1, &[(3, OCTETS)], &retrieved(&[(3, "3")]));
    let then = without_ids(8, 4, &[(1, OCTETS), (2, 5)], "").replace("(UID 2 RFC822.SIZE 5)", "(UID 2)");
    assert_eq!(each_after_retrieving(&[3], &[first, then]).await[1], "8.1 8.2");
}

/// A provider that moves to another server renumbers, and that server may tell identities.
#[tokio::test(start_paused = true)]
async fn a_header_that_was_seen_counts_also_where_upstream_tells_identities_now() {
    let heard = each_after_retrieving(
        &[3, 5],
        &[
            without_ids(7, 1, &[(3, OCTETS), (5, OCTETS)], &retrieved(&[(3, "3"), (5, "5")])),
            with_ids(8, 6, &[(1, OCTETS, "M5"), (2, OCTETS, "M3")])
                + &looked_at("1:2", &[(1, "5"), (2, "3")]),
            with_ids(9, 3, &[(1, OCTETS, "M3"), (2, OCTETS, "M5")]),
        ],
    )
    .await;
    assert_eq!(heard, ["7.3 7.5", "7.5 7.3", "7.3 7.5"]);
}

/// RFC 8474 §5.1: the same EMAILID is the same content, so a server that gives it to messages of two sizes is not
/// believed.
#[tokio::test(start_paused = true)]
async fn an_emailid_of_two_sizes_proves_nothing() {
    let heard = each(&[
        with_ids(7, 1, &[(3, 30, "M0"), (4, 40, "M4")]),
        with_ids(8, 5, &[(1, 31, "M0"), (2, 40, "M4")]),
    ])
    .await;
    assert_eq!(heard, ["7.3 7.4", "8.1 7.4"]);
}

/// The app waits for its login: a provider that does not answer costs it no more than some seconds.
#[tokio::test(start_paused = true)]
async fn headers_that_do_not_come_are_not_waited_for_long() {
    let first = without_ids(7, 1, &[(3, OCTETS)], &retrieved(&[(3, "3")]));
    let silent = without_ids(8, 4, &[(1, OCTETS)], "C: $h UID FETCH 1 (UID BODY.PEEK[HEADER])\n");
    let scripts = [&*first.leak(), &*silent.leak()];
    let (provider, _folder) = Provider::new(&scripts).ledger();
    let maildrop = Maildrop::new(UniqueIds::inbox(UidValidity::FIRST), []);
    let (mut mailbox, _) = provider.open().await.unwrap();
    let mut body = mailbox.retrieve_and_learn(uid(3), &maildrop).await.unwrap();
    whole(&mut body).await.1.unwrap();
    mailbox.close().await;
    provider.resources.ledger.written().await;
    let before = tokio::time::Instant::now();
    let (mailbox, listing) = provider.open().await.unwrap();
    assert_eq!(shown(&listing), "8.1");
    assert!(before.elapsed() <= Duration::from_secs(21), "{:?}", before.elapsed());
    drop(mailbox);
    provider.kept().await;
}

/// Headers that are on their way when the time to look at them is over hold up no message.
#[tokio::test(start_paused = true)]
async fn headers_that_go_on_coming_hold_up_no_message() {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    async fn hear(stream: &mut BufReader<tokio::io::DuplexStream>) -> Option<(String, String)> {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let (tag, command) = line.trim_end().split_once(' ')?;
        Some((tag.to_owned(), command.to_owned()))
    }
    /// A mailbox of one message, whose header comes an octet a second where `slow`.
    async fn serve(ours: tokio::io::DuplexStream, uid_validity: u32, slow: bool) {
        let mut stream = BufReader::new(ours);
        while let Some((tag, command)) = hear(&mut stream).await {
            let body = "Message-ID: <1@x>\r\n\r\nbody\r\n";
            let said = match command.as_str() {
                "EXAMINE \"INBOX\"" => {
                    format!("* 1 EXISTS\r\n* OK [UIDVALIDITY {uid_validity}] x\r\n* OK [UIDNEXT 4] x\r\n")
                }
                command if command.ends_with("RFC822.SIZE)") => {
                    format!("* 1 FETCH (UID 3 RFC822.SIZE {})\r\n", body.len())
                }
                command if command.ends_with("(UID BODY.PEEK[HEADER])") && slow => {
                    let _ = stream.write_all(b"* 1 FETCH (UID 3 BODY[HEADER] {1000000}\r\n").await;
                    while stream.write_all(b"x").await.is_ok() {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    return;
                }
                "UID FETCH 3 (UID BODY.PEEK[])" => {
                    format!("* 1 FETCH (UID 3 BODY[] {{{}}}\r\n{body})\r\n", body.len())
                }
                _ => String::new(),
            };
            let _ = stream.write_all(format!("{said}{tag} OK done\r\n").as_bytes()).await;
        }
    }
    let (provider, _folder) = Provider::new(&[]).ledger();
    let sessions = Arc::new(Mutex::new(vec![(8, false), (8, true), (7, false)]));
    let dial: Dial = Arc::new(move || {
        let (uid_validity, slow) = sessions.lock().unwrap().pop().expect("one session too many");
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(serve(ours, uid_validity, slow));
        Box::pin(async move { Ok(script::session_over(theirs)) })
    });
    let open = async || {
        let (account, resources) = (Arc::new(provider.account.clone()), provider.resources.clone());
        Mailbox::open_by(dial.clone(), account, resources, STALL, None).await?.listed().await
    };
    let maildrop = Maildrop::new(UniqueIds::inbox(UidValidity::FIRST), []);
    let (mut mailbox, _) = open().await.unwrap();
    whole(&mut mailbox.retrieve_and_learn(uid(3), &maildrop).await.unwrap()).await.1.unwrap();
    mailbox.close().await;
    provider.resources.ledger.written().await;
    let (mut mailbox, listing) = open().await.unwrap();
    assert_eq!(listing.uid_validity.get(), 8);
    let before = tokio::time::Instant::now();
    let body = tokio::time::timeout(Duration::from_secs(120), mailbox.body(uid(3))).await;
    assert!(body.is_ok(), "RETR still waits after {:?}", before.elapsed());
}

/// RFC 8474 §5.1: an EMAILID is one content's; one of two sizes is none, whichever of them is known to the octet.
#[tokio::test(start_paused = true)]
async fn an_emailid_of_two_sizes_proves_nothing_of_a_message_that_was_retrieved_either() {
    let fetched = "C: $y UID FETCH 3 (UID BODY.PEEK[])\nR: * 1 FETCH (UID 3 BODY[] {3}\\r\\nold)\\r\\n\nS: $y OK done\n";
    for (octets, expected) in [(5000, "8.1"), (3, "7.3")] {
        let scripts = [with_ids(7, 1, &[(3, 3, "M1")]) + fetched, with_ids(8, 4, &[(1, octets, "M1")])];
        let (provider, _folder) = Provider::new(&scripts.map(|script| &*script.leak())).ledger();
        let maildrop = Maildrop::new(UniqueIds::inbox(UidValidity::FIRST), []);
        let (mut mailbox, _) = provider.open().await.unwrap();
        whole(&mut mailbox.retrieve_and_learn(uid(3), &maildrop).await.unwrap()).await.1.unwrap();
        mailbox.learnt(uid(3), 5);
        mailbox.close().await;
        provider.resources.ledger.written().await;
        assert_eq!(unique_ids(&provider).await, expected);
        provider.kept().await;
    }
}
