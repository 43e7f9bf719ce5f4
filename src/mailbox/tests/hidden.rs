//! `delete = "hide"`: what is deleted stays upstream and is not shown any more.

use std::path::Path;

use super::*;
use crate::mail::{Numbering, UidValidity};
use crate::proto::pop3::UniqueIds;
use crate::store::{Hidden, Runs, Veil, Views};

/// The mailbox with these UIDs, numbered `uid_validity`.
fn opened(uid_validity: u32, uids: &[u32]) -> String {
    let rows: String = uids
        .iter()
        .enumerate()
        .map(|(at, uid)| format!("S: * {} FETCH (UID {uid} RFC822.SIZE 10)\n", at + 1))
        .collect();
    format!(
        "C: $a EXAMINE \"INBOX\"\nC: $b UID FETCH 1:* (UID RFC822.SIZE)\nS: * {} EXISTS\n\
         S: * OK [UIDVALIDITY {uid_validity}] x\nS: * OK [PERMANENTFLAGS ()] read-only\nS: $a OK x\n{rows}S: $b OK x\n",
        uids.len()
    )
}

/// Hints are asked for, and these are there.
fn hints(range: &str, found: &str) -> String {
    format!("C: $a UID SEARCH UID {range} KEYWORD $FootbridgeHidden\nS: * SEARCH{found}\nS: $a OK x\n")
}

fn selected(uid_validity: u32, flags: &str) -> String {
    format!(
        "C: $a SELECT \"INBOX\"\nS: * OK [UIDVALIDITY {uid_validity}] x\nS: * OK [PERMANENTFLAGS ({flags})] x\n\
         S: $a OK [READ-WRITE] x\n"
    )
}

fn marked(set: &str) -> String {
    format!("C: $a UID STORE {set} +FLAGS.SILENT ($FootbridgeHidden)\nS: $a OK x\n")
}

fn joined(parts: &[&str]) -> &'static str {
    parts.concat().leak()
}

fn provider(state: &Path, scripts: &[&'static str]) -> Provider {
    let mut provider = Provider::new(scripts).delete(Delete::Hide);
    provider.resources.views = Views::in_folder(state);
    provider
}

/// What one session is shown, and what comes of its QUIT after DELE of `deleted`.
async fn session(provider: Provider, deleted: &[u32]) -> (Vec<u32>, String) {
    let (mut mailbox, listing) = provider.open().await.unwrap();
    let shown = listing.messages.iter().map(|message| message.uid.get()).collect();
    let deleted: Vec<Uid> = deleted.iter().map(|number| uid(*number)).collect();
    let outcome = mailbox.update(&[], &deleted).await;
    mailbox.close().await;
    provider.kept().await;
    (shown, outcome.map_or_else(|error| error.to_string(), |()| "Ok".to_owned()))
}

async fn check(state: &Path, script: &[&str], deleted: &[u32]) -> (Vec<u32>, String) {
    session(provider(state, &[joined(script)]), deleted).await
}

/// What is hidden, whatever is known of keywords.
async fn hidden(state: &Path) -> Hidden {
    match Views::in_folder(state).view(&account(), "INBOX").read().await {
        Hidden::These(veil) => Hidden::These(Veil { hidden: veil.hidden, ..Veil::new(veil.numbering) }),
        unknown => unknown,
    }
}

fn runs(uids: &[u32]) -> Runs {
    uids.iter().map(|number| uid(*number)).collect()
}

fn numbering(uid_validity: u32) -> Numbering {
    Numbering::first(UidValidity::new(uid_validity).unwrap())
}

fn these(uid_validity: u32, uids: &[u32]) -> Hidden {
    Hidden::These(Veil { hidden: runs(uids), ..Veil::new(numbering(uid_validity)) })
}

/// The file of what is hidden.
fn file(state: &Path) -> std::path::PathBuf {
    let paths = std::fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    { paths }.find(|path| path.to_string_lossy().contains("/hidden-")).unwrap()
}

fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let state = outer.path().join("state");
    (outer, state)
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_is_not_shown_again_and_hints_are_asked_for_once() {
    let (_outer, state) = place();
    let all = opened(7, &[3, 4, 9]);
    let first = check(
        &state,
        &[&all, &hints("3:9", ""), &selected(7, r"\Seen \Deleted \*"), &marked("3:4")],
        &[4, 3],
    )
    .await;
    assert_eq!(first, (vec![3, 4, 9], "Ok".to_owned()));
    // Not one command more than any other login has.
    assert_eq!(check(&state, &[&all], &[]).await, (vec![9], "Ok".to_owned()));
    let more = opened(7, &[3, 4, 9, 10]);
    let last = check(&state, &[&more, &selected(7, r"\*"), &marked("9")], &[9]).await;
    assert_eq!(last, (vec![9, 10], "Ok".to_owned()));
    assert_eq!(hidden(&state).await, these(7, &[3, 4, 9]));
}

/// RFC 3501 §7.1 PERMANENTFLAGS: without `\*` only the flags named can be kept.
#[tokio::test(start_paused = true)]
async fn the_keyword_is_set_only_where_it_is_kept_and_its_refusal_is_no_fault() {
    let selected_read_only = selected(7, r"\*").replace("READ-WRITE", "READ-ONLY");
    for rest in [
        selected(7, r"\Seen \Deleted").as_str(),
        selected(7, "").as_str(),
        selected_read_only.as_str(),
        "C: $a SELECT \"INBOX\"\nS: * OK [UIDVALIDITY 7] x\nS: $a OK x\n",
        "C: $a SELECT \"INBOX\"\nS: $a NO not now\n",
        "C: $a SELECT \"INBOX\"\nEOF\n",
        "EOF\n",
        &(selected(7, r"\Seen $footbridgehidden") + &marked("4")),
        &(selected(7, r"\*")
            + "C: $a UID STORE 4 +FLAGS.SILENT ($FootbridgeHidden)\nS: $a NO [LIMIT] too many keywords\n"),
        &(selected(7, r"\*") + "C: $a UID STORE 4 +FLAGS.SILENT ($FootbridgeHidden)\nEOF\n"),
        // It says nothing for ever: the app need not wait for that.
        "C: $a SELECT \"INBOX\"\n",
        &(selected(7, r"\*") + "C: $a UID STORE 4 +FLAGS.SILENT ($FootbridgeHidden)\n"),
    ] {
        let (_outer, state) = place();
        let heard = check(&state, &[&opened(7, &[3, 4]), &hints("3:4", ""), rest], &[4]).await;
        assert_eq!(heard, (vec![3, 4], "Ok".to_owned()), "{rest}");
        assert_eq!(hidden(&state).await, these(7, &[4]), "{rest}");
    }
}

/// Shows a mailbox to an app that leaves, and says which of its keywords are owed then.
async fn looked(provider: &Provider) -> Runs {
    let (mailbox, _) = provider.open().await.unwrap();
    mailbox.leave().await;
    match provider.resources.views.view(&provider.account, "INBOX").read().await {
        Hidden::These(veil) => veil.owed,
        _ => Runs::default(),
    }
}

/// A bridge that is killed, a connection that is lost, a refusal for now.
#[tokio::test(start_paused = true)]
async fn a_keyword_that_could_not_be_set_is_set_with_the_next_thing_that_is_hidden() {
    let all = opened(7, &[3, 4, 9]);
    let refused = marked("4").replace("OK x", "NO not now");
    for failing in [
        &*(selected(7, r"\*") + &refused),
        &(selected(7, r"\*") + &marked("4").replace("S: $a OK x", "EOF")),
        "EOF\n",
    ] {
        let (_outer, state) = place();
        check(&state, &[&all, &hints("3:9", ""), failing], &[4]).await;
        let next = [&all, &*selected(7, r"\*"), &marked("4,9")];
        assert_eq!(check(&state, &next, &[9]).await, (vec![3, 9], "Ok".to_owned()), "{failing}");
        let last = [&all, &*selected(7, r"\*"), &marked("3")];
        assert_eq!(check(&state, &last, &[3]).await, (vec![3], "Ok".to_owned()), "{failing}");
        assert_eq!(looked(&provider(&state, &[joined(&[&all])])).await, runs(&[]));
    }
}

/// The app does not wait for it, and where nothing is owed nothing is asked.
#[tokio::test(start_paused = true)]
async fn a_keyword_that_is_owed_is_set_once_an_app_has_left() {
    let all = opened(7, &[3, 4]);
    let set = joined(&[&all, &selected(7, r"\*"), &marked("4")]);
    let refused = joined(&[&all, &selected(7, r"\*"), &marked("4").replace("OK x", "NO not now")]);
    let not_kept = joined(&[&all, &selected(7, r"\Seen")]);
    let nothing = joined(&[&all]);
    for (scripts, owed) in [
        (&[set, nothing][..], &[runs(&[]), runs(&[])][..]),
        // Where it is never kept it is not owed.
        (&[not_kept, nothing], &[runs(&[]), runs(&[])]),
        // What is refused is not asked for by each session that looks.
        (&[refused, nothing, nothing], &[runs(&[4]), runs(&[4]), runs(&[4])]),
    ] {
        let (_outer, state) = place();
        check(&state, &[&all, &hints("3:4", ""), "EOF\n"], &[4]).await;
        let bridge = provider(&state, scripts);
        for owed in owed {
            assert_eq!(looked(&bridge).await, *owed);
        }
        bridge.kept().await;
        // Another run has another try.
        if owed.contains(&runs(&[4])) {
            assert_eq!(looked(&provider(&state, &[set])).await, runs(&[]));
        }
    }
}

/// Apps that come back at once see the mailbox before the session before has noted what it set.
#[tokio::test(start_paused = true)]
async fn what_the_session_before_has_set_is_not_set_again() {
    let (_outer, state) = place();
    let all = opened(7, &[3, 4]);
    let script = joined(&[&all, &hints("3:4", ""), &selected(7, r"\*"), &marked("4")]);
    let (before, after) = (provider(&state, &[script]), provider(&state, &[joined(&[&all])]));
    let (mut mailbox, _) = before.open().await.unwrap();
    mailbox.update(&[], &[uid(4)]).await.unwrap();
    let (next, listing) = after.open().await.unwrap();
    assert_eq!(listing.messages.len(), 1);
    mailbox.leave().await;
    next.leave().await;
    before.kept().await;
    after.kept().await;
}

/// What is known again without its keyword gets it, for the next time.
#[tokio::test(start_paused = true)]
async fn a_keyword_that_a_renumbering_lost_is_set_again() {
    let first =
        with_ids(7, &[(3, "Ma"), (4, "Mb")], 1) + &hints("3:4", "") + &selected(7, r"\*") + &marked("3:4");
    let then = with_ids(8, &[(13, "Ma"), (14, "Mb")], 5)
        + &hints("13:14", " 14")
        + &selected(8, r"\*")
        + &marked("13");
    let scripts = [first, then].map(|script| &*script.leak());
    let (provider, _folder) = Provider::new(&scripts).ledger();
    let provider = provider.delete(Delete::Hide);
    let (mut mailbox, _) = provider.open().await.unwrap();
    mailbox.update(&[], &[uid(3), uid(4)]).await.unwrap();
    mailbox.leave().await;
    provider.resources.ledger.written().await;
    assert_eq!(looked(&provider).await, runs(&[]));
    provider.kept().await;
}

/// Where upstream keeps no keyword and tells no EMAILID, the header that went by is all there is, and it is not retrieved
/// again: it is in the ledger before the message is hidden.
#[tokio::test(start_paused = true)]
async fn what_a_bridge_hid_that_was_killed_then_is_known_again_by_its_header() {
    let header = r"Message-ID: <1@x>\r\n\r\n";
    let listed = |uid_validity: u32, from: u32, uids: [u32; 2]| {
        let rows = format!(
            "S: * 1 FETCH (UID {} RFC822.SIZE 27)\nS: * 2 FETCH (UID {} RFC822.SIZE 10)\n",
            uids[0], uids[1]
        );
        // The last one that is known comes, too.
        let last = (from - 1).max(1);
        let (at_once, again) = match from {
            1 => (rows, String::new()),
            _ => (String::new(), format!("C: $z UID FETCH 1:* (UID RFC822.SIZE)\n{rows}S: $z OK x\n")),
        };
        format!(
            "C: $a EXAMINE \"INBOX\"\nC: $b UID FETCH {last}:* (UID RFC822.SIZE)\nS: * 2 EXISTS\n\
             S: * OK [UIDVALIDITY {uid_validity}] x\nS: * OK [UIDNEXT {}] x\nS: $a OK x\n{at_once}S: $b OK x\n{again}",
            uids[1] + 1
        )
    };
    let retrieved = format!(
        "C: $r UID FETCH 3 (UID BODY.PEEK[])\nR: * 1 FETCH (UID 3 BODY[] {{27}}\\r\\n{header}body\\r\\n)\\r\\n\nS: $r OK x\n"
    );
    let looked_at = format!(
        "C: $h UID FETCH 13 (UID BODY.PEEK[HEADER])\nR: * 1 FETCH (UID 13 BODY[HEADER] {{21}}\\r\\n{header})\\r\\n\nS: $h OK x\n"
    );
    let first = joined(&[&listed(7, 1, [3, 4]), &hints("3:4", ""), &retrieved, &selected(7, "")]);
    let then = joined(&[&listed(8, 5, [13, 14]), &looked_at, &hints("13:14", "")]);
    let (killed, folder) = Provider::new(&[first]).delete(Delete::Hide).ledger();
    let (mut mailbox, listing) = killed.open().await.unwrap();
    let messages = listing.messages.iter().map(|message| (message.uid, message.octets));
    let maildrop = crate::proto::pop3::Maildrop::new(UniqueIds::inbox(listing.names.clone()), messages);
    whole(&mut mailbox.retrieve_and_learn(uid(3), &maildrop).await.unwrap()).await.1.unwrap();
    mailbox.update(&[], &[uid(3)]).await.unwrap();
    // What is on the disk now is all that is left of it.
    let left = tempfile::tempdir().unwrap();
    let state = left.path().join("state");
    crate::store::Folder::open(&state).unwrap();
    for entry in std::fs::read_dir(folder.path().join("state")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, state.join(path.file_name().unwrap())).unwrap();
    }
    let mut bridge = Provider::new(&[then]).delete(Delete::Hide);
    bridge.use_folder(&left);
    let (other, listing) = bridge.open().await.unwrap();
    assert_eq!(listing.messages.iter().map(|message| message.uid.get()).collect::<Vec<_>>(), [14]);
    other.close().await;
    mailbox.close().await;
    killed.kept().await;
    bridge.kept().await;
    assert_eq!(hidden(&state).await, these(8, &[13]));
}

/// Another machine's, or a state folder that is lost.
#[tokio::test(start_paused = true)]
async fn the_keyword_counts_where_no_file_does_and_never_again() {
    let (_outer, state) = place();
    let all = opened(7, &[3, 4, 9]);
    let first = check(&state, &[&all, &hints("3:9", " 4 9")], &[]).await;
    assert_eq!(first, (vec![3], "Ok".to_owned()));
    assert_eq!(hidden(&state).await, these(7, &[4, 9]));
    assert_eq!(check(&state, &[&all], &[]).await.0, [3]);
    // A server that cannot search for it.
    let (_outer, state) = place();
    let refused = "C: $a UID SEARCH UID 3:9 KEYWORD $FootbridgeHidden\nS: $a BAD what is that\n";
    assert_eq!(check(&state, &[&all, refused], &[]).await.0, [3, 4, 9]);
    assert_eq!(check(&state, &[&all], &[]).await.0, [3, 4, 9]);
    // An empty mailbox has no hints, and may have some later.
    let (_outer, state) = place();
    let empty = opened(7, &[]);
    assert_eq!(check(&state, &[&empty], &[]).await.0, [0; 0]);
    assert_eq!(hidden(&state).await, Hidden::Nothing);
    // Many messages: an answer stays below what a response may have.
    let many: Vec<u32> = (1..=50_001).collect();
    let both = hints("1:50000", " 1 50000") + &hints("50001:50001", " 50001");
    let shown = check(&state, &[&opened(7, &many), &both], &[]).await.0;
    assert_eq!((shown.len(), shown.first(), shown.last()), (49_998, Some(&2), Some(&49_999)));
}

/// RFC 3501 §7.1.2: NO says nothing of the next time, BAD (§7.1.3) that upstream cannot do it.
#[tokio::test(start_paused = true)]
async fn a_search_for_hints_that_is_refused_once_is_made_again() {
    let all = opened(7, &[3, 4, 9]);
    let refused = "C: $a UID SEARCH UID 3:9 KEYWORD $FootbridgeHidden\nS: $a NO Mailbox is being indexed\n";
    let (_outer, state) = place();
    assert_eq!(check(&state, &[&all, refused], &[]).await.0, [3, 4, 9]);
    assert_eq!(check(&state, &[&all, &hints("3:9", " 4")], &[]).await.0, [3, 9]);
    assert_eq!(check(&state, &[&all], &[]).await.0, [3, 9]);
    // What is hidden meanwhile is no answer either.
    let (_outer, state) = place();
    let quit = selected(7, "");
    assert_eq!(check(&state, &[&all, refused, &quit], &[3]).await, (vec![3, 4, 9], "Ok".to_owned()));
    assert_eq!(check(&state, &[&all, refused], &[]).await.0, [4, 9]);
    assert_eq!(check(&state, &[&all, &hints("3:9", " 4")], &[]).await.0, [9]);
    assert_eq!(check(&state, &[&all], &[]).await.0, [9]);
}

/// What is hidden of another state folder, and cannot be written down at the login, is with the first QUIT that can.
#[tokio::test(start_paused = true)]
async fn hints_that_could_not_be_kept_are_not_lost_by_the_first_thing_that_is_hidden() {
    let (_outer, state) = place();
    let view = Views::in_folder(&state).view(&account(), "INBOX");
    view.hide(numbering(7), runs(&[1]), Runs::default()).await.unwrap();
    let file = file(&state);
    std::fs::remove_file(&file).unwrap();
    // What stands where the new file would be written, as a full disk would.
    let obstacle = state.join(format!(".{}.new", file.file_name().unwrap().to_str().unwrap()));
    std::fs::create_dir(&obstacle).unwrap();
    let all = opened(7, &[3, 4, 9]);
    let script = joined(&[&all, &hints("3:9", " 4"), &selected(7, "")]);
    for (room, outcome, left) in
        [(false, "what is deleted cannot be hidden", Hidden::Nothing), (true, "Ok", these(7, &[3, 4]))]
    {
        let provider = provider(&state, &[script]);
        let (mut mailbox, listing) = provider.open().await.unwrap();
        assert_eq!(listing.messages.iter().map(|message| message.uid.get()).collect::<Vec<_>>(), [3, 9]);
        if room {
            std::fs::remove_dir(&obstacle).unwrap();
        }
        let said =
            mailbox.update(&[], &[uid(3)]).await.map_or_else(|error| error.to_string(), |()| "Ok".to_owned());
        assert!(said.starts_with(outcome), "{said}");
        mailbox.close().await;
        provider.kept().await;
        assert_eq!(hidden(&state).await, left);
    }
    assert_eq!(check(&state, &[&all], &[]).await.0, [9]);
}

/// RFC 3501 §2.3.1.1: under another UIDVALIDITY the file means nothing, and the keyword brings back what it meant.
#[tokio::test(start_paused = true)]
async fn a_renumbered_mailbox_is_hidden_by_its_keywords() {
    let (_outer, state) = place();
    let before = [opened(7, &[3, 4, 9]), hints("3:9", ""), selected(7, r"\*"), marked("3:4")].concat();
    check(&state, &[&before], &[3, 4]).await;
    let after = [opened(8, &[3, 4, 5]), hints("3:5", " 5"), selected(8, r"\*"), marked("3")].concat();
    let heard = check(&state, &[&after], &[3]).await;
    assert_eq!(heard, (vec![3, 4], "Ok".to_owned()));
    assert_eq!(hidden(&state).await, these(8, &[3, 5]));
    // Renumbered under an open session: nothing is hidden by a number that means something else.
    let renumbered = [opened(8, &[3, 4, 5]), selected(9, r"\*")];
    let heard = check(&state, &[&renumbered[0], &renumbered[1]], &[4]).await;
    assert_eq!(heard, (vec![4], "the mailbox was renumbered".to_owned()));
    assert_eq!(hidden(&state).await, these(8, &[3, 5]));
}

/// The mailbox where upstream tells EMAILID (RFC 8474 §5.1), listed from UID `from` on, and then whole if that is not 1.
fn with_ids(uid_validity: u32, messages: &[(u32, &str)], from: u32) -> String {
    let rows: String = (1..)
        .zip(messages)
        .map(|(at, (uid, id))| format!("S: * {at} FETCH (UID {uid} RFC822.SIZE 10 EMAILID ({id}))\n"))
        .collect();
    let (count, next) = (messages.len(), messages.last().unwrap().0 + 1);
    // The last one that is known comes, too.
    let last = (from - 1).max(1);
    let (at_once, again) = if from == 1 {
        (rows, String::new())
    } else {
        let again = "C: $z UID FETCH 1:* (UID RFC822.SIZE EMAILID)";
        (String::new(), format!("{again}\n{rows}S: $z OK x\n"))
    };
    format!(
        "K: IMAP4rev1 OBJECTID\nC: $a EXAMINE \"INBOX\"\nC: $b UID FETCH {last}:* (UID RFC822.SIZE EMAILID)\n\
         S: * {count} EXISTS\nS: * OK [UIDVALIDITY {uid_validity}] x\nS: * OK [UIDNEXT {next}] x\nS: $a OK x\n\
         {at_once}S: $b OK x\n{again}"
    )
}

/// Upstream takes no keyword and tells EMAILID (RFC 8474 §5.1): what keeps its unique-id stays hidden.
#[tokio::test(start_paused = true)]
async fn a_renumbered_mailbox_is_hidden_by_what_proves_a_message_the_same() {
    let first = with_ids(7, &[(3, "Ma"), (4, "Mb"), (9, "Mc")], 1) + &hints("3:9", "") + &selected(7, "");
    // One of the hidden ones is gone, one is somewhere else, and the one that was shown has its old number.
    let then = with_ids(8, &[(3, "Mx"), (4, "Mb"), (5, "Mc")], 10) + &hints("3:5", "");
    let last = with_ids(8, &[(3, "Mx"), (4, "Mb"), (5, "Mc")], 6);
    let last = last.split("C: $z").next().unwrap();
    let (provider, folder) = Provider::new(&[joined(&[&first]), joined(&[&then]), joined(&[last])]).ledger();
    let provider = provider.delete(Delete::Hide);
    let (mut mailbox, _) = provider.open().await.unwrap();
    mailbox.update(&[], &[uid(3), uid(9)]).await.unwrap();
    mailbox.close().await;
    for _ in 0..2 {
        provider.resources.ledger.written().await;
        let (mailbox, listing) = provider.open().await.unwrap();
        assert_eq!(listing.messages.iter().map(|message| message.uid.get()).collect::<Vec<_>>(), [3, 4]);
        mailbox.close().await;
    }
    provider.kept().await;
    assert_eq!(hidden(&folder.path().join("state")).await, these(8, &[5]));
}

/// What is hidden stays hidden through any number of renumberings, as unique-ids stay, and also where upstream comes back
/// to a UIDVALIDITY that it had, which it should never do (RFC 3501 §2.3.1.1).
#[tokio::test(start_paused = true)]
async fn what_is_hidden_stays_hidden_when_the_mailbox_is_renumbered_twice() {
    let logins = |numberings: &[u32]| {
        let mut from = 1;
        let mut scripts = Vec::new();
        for (at, uid_validity) in (0u32..).zip(numberings) {
            let (one, two) = (at * 10 + 3, at * 10 + 4);
            let listed = with_ids(*uid_validity, &[(one, "Ma"), (two, "Mb")], from);
            let quit = if at == 0 { selected(*uid_validity, "") } else { String::new() };
            scripts.push(joined(&[&listed, &hints(&format!("{one}:{two}"), ""), &quit]));
            from = two + 1;
        }
        scripts
    };
    for numberings in [&[7, 8, 9][..], &[7, 8, 9, 10], &[7, 8, 7, 9, 8, 7]] {
        let (provider, _folder) = Provider::new(&logins(numberings)).ledger();
        let provider = provider.delete(Delete::Hide);
        let (mut mailbox, _) = provider.open().await.unwrap();
        mailbox.update(&[], &[uid(3)]).await.unwrap();
        mailbox.close().await;
        for _ in 1..numberings.len() {
            provider.resources.ledger.written().await;
            let (mailbox, listing) = provider.open().await.unwrap();
            let ids = UniqueIds::inbox(listing.names.clone());
            let mut shown = Vec::new();
            listing.messages.iter().for_each(|message| ids.write(message.uid, &mut shown));
            assert_eq!(String::from_utf8(shown).unwrap(), "7.4", "{numberings:?}");
            mailbox.close().await;
        }
        provider.kept().await;
    }
}

/// What is known again is on the disk before upstream is asked for anything more.
#[tokio::test(start_paused = true)]
async fn a_login_that_is_lost_behind_a_renumbering_shows_nothing_again() {
    let listed = |at: u32, from| with_ids(7 + at, &[(at * 10 + 3, "Ma"), (at * 10 + 4, "Mb")], from);
    let first = listed(0, 1) + &hints("3:4", "") + &selected(7, "");
    let second = listed(1, 5) + &hints("13:14", "");
    let lost = listed(2, 15) + "C: $a UID SEARCH UID 23:24 KEYWORD $FootbridgeHidden\nEOF\n";
    let last = listed(2, 25).split("C: $z").next().unwrap().to_owned() + &hints("23:24", "");
    let lost_again = "C: $a EXAMINE \"INBOX\"\nEOF\n".to_owned();
    let scripts = [first, second, lost, lost_again, last].map(|script| &*script.leak());
    let (provider, _folder) = Provider::new(&scripts).ledger();
    let provider = provider.delete(Delete::Hide);
    let (mut mailbox, _) = provider.open().await.unwrap();
    mailbox.update(&[], &[uid(3)]).await.unwrap();
    mailbox.close().await;
    provider.resources.ledger.written().await;
    provider.open().await.unwrap().0.close().await;
    provider.resources.ledger.written().await;
    assert!(matches!(provider.open().await, Err(UpstreamError::Lost { .. })));
    provider.resources.ledger.written().await;
    let (mailbox, listing) = provider.open().await.unwrap();
    assert_eq!(listing.messages.iter().map(|message| message.uid.get()).collect::<Vec<_>>(), [24]);
    mailbox.close().await;
    provider.kept().await;
}

/// RFC 3501 §2.3.1.1 forbids it: the UIDs of a UIDVALIDITY that came back are other messages'. Nobody looked at what is
/// hidden when it had another one.
#[tokio::test(start_paused = true)]
async fn a_uidvalidity_that_came_back_hides_no_other_message() {
    let first = with_ids(7, &[(3, "Ma"), (4, "Mb")], 1) + &hints("3:4", "") + &selected(7, "");
    let away = with_ids(8, &[(13, "Mb")], 5);
    let back = with_ids(7, &[(3, "Mz"), (4, "Mb")], 14) + &hints("3:4", "");
    let scripts = [first, away, back].map(|script| &*script.leak());
    let (mut provider, _folder) = Provider::new(&scripts).ledger();
    let mut shown = Vec::new();
    for (delete, hides) in [(Delete::Hide, &[uid(3)][..]), (Delete::Keep, &[]), (Delete::Hide, &[])] {
        provider.account.pop3.delete = delete;
        let (mut mailbox, listing) = provider.open().await.unwrap();
        shown.push(listing.messages.iter().map(|message| message.uid.get()).collect::<Vec<_>>());
        mailbox.update(&[], hides).await.unwrap();
        mailbox.close().await;
        provider.resources.ledger.written().await;
    }
    provider.kept().await;
    assert_eq!(shown, [vec![3, 4], vec![13], vec![3, 4]]);
}

#[tokio::test(start_paused = true)]
async fn sessions_at_a_time_hide_what_each_of_them_deleted() {
    let (_outer, state) = place();
    let all = opened(7, &[1, 2, 3]);
    check(&state, &[&all, &hints("1:3", "")], &[]).await;
    let quit = |set: &str| joined(&[&all, &selected(7, r"\*"), &marked(set)]);
    let (one, two) = (provider(&state, &[quit("1")]), provider(&state, &[quit("2:3")]));
    let ((mut first, _), (mut second, listing)) = (one.open().await.unwrap(), two.open().await.unwrap());
    first.update(&[], &[uid(1)]).await.unwrap();
    assert_eq!(listing.messages.len(), 3, "as it was at its login");
    second.update(&[], &[uid(2), uid(3)]).await.unwrap();
    for (mailbox, provider) in [(first, one), (second, two)] {
        mailbox.close().await;
        provider.kept().await;
    }
    assert_eq!(hidden(&state).await, these(7, &[1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_forgotten_where_the_listing_proves_it() {
    for (quirks, left) in [(&[][..], vec![2, 6]), (&[Quirk::FolderCap], vec![1, 2, 6, 9])] {
        let (_outer, state) = place();
        let hide = [opened(7, &[1, 2, 9]), hints("1:9", ""), selected(7, "")].concat();
        check(&state, &[&hide], &[1, 2, 9]).await;
        let script = joined(&[&opened(7, &[2, 6]), &selected(7, "")]);
        let (shown, said) = session(provider(&state, &[script]).quirks(quirks), &[6]).await;
        assert_eq!((shown, said.as_str()), (vec![6], "Ok"));
        assert_eq!(hidden(&state).await, these(7, &left));
    }
}

/// RFC 3501 §2.3.1.1: a UID is never given again under the same UIDVALIDITY. A server that takes UIDNEXT back, or has
/// none, may give it to another message all the same, which must not be out of sight.
#[tokio::test(start_paused = true)]
async fn a_uid_that_may_be_given_again_hides_no_other_message() {
    let next = |uid: u32| format!("S: * OK [UIDVALIDITY 7] x\nS: * OK [UIDNEXT {uid}] x\n");
    let listed = |uids: &[u32], told: &str| opened(7, uids).replace("S: * OK [UIDVALIDITY 7] x\n", told);
    for (told, shown) in
        [(next(10), vec![3]), (next(4), vec![3, 9]), (next(1).replace("UIDNEXT 1", "X"), vec![3, 9])]
    {
        let (_outer, state) = place();
        let hide = [opened(7, &[3, 9]), hints("3:9", ""), selected(7, "")].concat();
        check(&state, &[&hide], &[9]).await;
        // Somebody else removes it; then there is one of its number again.
        assert_eq!(check(&state, &[&listed(&[3], &told)], &[]).await.0, [3]);
        assert_eq!(check(&state, &[&opened(7, &[3, 9])], &[]).await.0, shown, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_kept_in_mind_all_is_shown_and_quit_says_so() {
    // No state folder.
    let script = joined(&[&opened(7, &[3, 4]), &selected(7, r"\*")]);
    let (shown, said) = session(Provider::new(&[script]).delete(Delete::Hide), &[4]).await;
    assert_eq!(shown, [3, 4]);
    assert!(said.starts_with("what is deleted cannot be hidden: there is no state folder"), "{said}");
    // UIDs that end with the session (RFC 4315 §3, UIDNOTSTICKY).
    let (_outer, state) = place();
    let volatile = opened(7, &[3, 4]).replace("S: $a OK x", "S: $a NO x\nS: $a OK x");
    let volatile = volatile.replace("S: $a NO x\n", "S: * NO [UIDNOTSTICKY] x\n");
    let (shown, said) = check(&state, &[&volatile, &selected(7, r"\*")], &[4]).await;
    assert_eq!(shown, [3, 4]);
    assert!(said.contains("end with each session"), "{said}");
    assert_eq!(hidden(&state).await, Hidden::Nothing);
}

/// A file that cannot be believed while a session is open: nothing is hidden, and the keyword is not set either.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_damaged_under_a_session_hides_nothing_of_it() {
    let (_outer, state) = place();
    let all = opened(7, &[3, 4]);
    check(&state, &[&all, &hints("3:4", " 3")], &[]).await;
    let provider = provider(&state, &[joined(&[&all, &selected(7, r"\*")])]);
    let (mut mailbox, listing) = provider.open().await.unwrap();
    assert_eq!(listing.messages.len(), 1);
    std::fs::write(file(&state), "x").unwrap();
    let said = mailbox.update(&[], &[uid(4)]).await.unwrap_err().to_string();
    assert!(said.contains("damaged"), "{said}");
    mailbox.close().await;
    provider.kept().await;
    assert_eq!(hidden(&state).await, Hidden::Nothing);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_is_marked_before_it_is_hidden() {
    let (_outer, state) = place();
    let seen = "C: $a UID STORE 3 +FLAGS.SILENT (\\Seen)\n";
    let script =
        |answer: &str| joined(&[&opened(7, &[3, 4]), &hints("3:4", ""), &selected(7, r"\*"), seen, answer]);
    let refused = provider(&state, &[script("S: $a NO not now\n")]);
    let (mut mailbox, _) = refused.open().await.unwrap();
    assert!(mailbox.update(&[uid(3)], &[uid(3)]).await.is_err());
    mailbox.close().await;
    refused.kept().await;
    assert_eq!(hidden(&state).await, these(7, &[]));
    let rest = joined(&[
        &opened(7, &[3, 4]),
        &selected(7, r"\*"),
        seen,
        "S: $a OK x\n",
        &selected(7, r"\*"),
        &marked("3"),
    ]);
    let done = provider(&state, &[rest]);
    let (mut mailbox, _) = done.open().await.unwrap();
    mailbox.update(&[uid(3)], &[uid(3)]).await.unwrap();
    mailbox.close().await;
    done.kept().await;
    assert_eq!(hidden(&state).await, these(7, &[3]));
}

#[tokio::test(start_paused = true)]
async fn other_values_of_delete_show_it_again() {
    let (_outer, state) = place();
    let all = opened(7, &[3, 4]);
    check(&state, &[&all, &hints("3:4", " 3")], &[]).await;
    let keep = provider(&state, &[joined(&[&all])]).delete(Delete::Keep);
    assert_eq!(session(keep, &[]).await.0, [3, 4]);
    assert_eq!(check(&state, &[&all], &[]).await.0, [4]);
}

/// RFC 3501 §2.3.1.1: upstream says so behind SELECT, before anything was asked by UIDs.
#[tokio::test(start_paused = true)]
async fn no_hint_is_left_in_a_mailbox_that_is_renumbered_behind_select() {
    let (_outer, state) = place();
    let selected = selected(7, r"\*");
    let renumbered = selected
        .trim_end()
        .rsplit_once("S: $a")
        .map(|(before, answer)| format!("{before}R: $a{answer}\\r\\n* OK [UIDVALIDITY 8] renumbered\\r\\n"));
    let script = [&*opened(7, &[3, 4]), &hints("3:4", ""), &renumbered.unwrap()];
    // It is hidden here all the same: what is known again under the other numbering stays hidden there.
    assert_eq!(check(&state, &script, &[3]).await, (vec![3, 4], "Ok".to_owned()));
    assert_eq!(hidden(&state).await, these(7, &[3]));
}
