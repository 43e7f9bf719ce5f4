use proptest::prelude::*;

use super::*;

/// A conversation and what each side has seen of it, fed in chunks.
struct Between {
    conversation: Conversation,
    from_app: Vec<u8>,
    from_upstream: Vec<u8>,
    app: Vec<u8>,
    upstream: Vec<u8>,
}

impl Between {
    fn new(capabilities: &str) -> Self {
        let capabilities: Vec<String> = capabilities.split(' ').map(str::to_owned).collect();
        Self {
            conversation: Conversation::new(&capabilities, Mask::default()),
            from_app: Vec::new(),
            from_upstream: Vec::new(),
            app: Vec::new(),
            upstream: Vec::new(),
        }
    }

    fn app(&mut self, octets: impl AsRef<[u8]>) -> &mut Self {
        self.from_app.extend_from_slice(octets.as_ref());
        self.settle()
    }

    fn upstream(&mut self, octets: impl AsRef<[u8]>) -> &mut Self {
        self.from_upstream.extend_from_slice(octets.as_ref());
        self.settle()
    }

    fn settle(&mut self) -> &mut Self {
        loop {
            let Self { conversation, from_app, from_upstream, app, upstream } = self;
            let up = judge(from_app, upstream, |input| conversation.from_app(input));
            let down = judge(from_upstream, app, |input| conversation.from_upstream(input));
            if !up && !down && !conversation.take_news() {
                return self;
            }
        }
    }

    #[track_caller]
    fn app_saw(&mut self, expected: &str) -> &mut Self {
        assert_eq!(String::from_utf8_lossy(&std::mem::take(&mut self.app)), expected);
        self
    }

    #[track_caller]
    fn upstream_saw(&mut self, expected: &str) -> &mut Self {
        assert_eq!(String::from_utf8_lossy(&std::mem::take(&mut self.upstream)), expected);
        self
    }
}

fn judge(input: &mut Vec<u8>, out: &mut Vec<u8>, mut verdict: impl FnMut(&[u8]) -> Act) -> bool {
    let mut acted = false;
    loop {
        match verdict(input) {
            Act::Pass(octets) => out.extend(input.drain(..octets)),
            Act::Drop(octets) => drop(input.drain(..octets)),
            Act::Replace(octets, ours) => {
                input.drain(..octets);
                out.extend(ours);
            }
            Act::Wait => return acted,
        }
        acted = true;
    }
}

const PLAIN: &str = "IMAP4rev1 IDLE";

#[test]
fn commands_and_responses_pass_as_they_are() {
    let mut between = Between::new(PLAIN);
    between.app("a SELECT \"x{5}y\"\r\nb UID FETCH 1:* (BODY[])\r\n");
    between.upstream_saw("a SELECT \"x{5}y\"\r\nb UID FETCH 1:* (BODY[])\r\n");
    let said = "* 1 EXISTS\r\n* OK [UIDVALIDITY 3] see {3}\r\na OK [READ-WRITE] done {9}\r\n\
                * 1 FETCH (BODY[] {12}\r\na OK\r\n* BYE\r BODY[1] NIL)\r\nb OK\r\n";
    between.upstream(said).app_saw(said);
    assert!(!between.conversation.busy() && !between.conversation.finished());
}

#[test]
fn capabilities_are_rewritten_wherever_upstream_says_them() {
    let mut between = Between::new(PLAIN);
    between.app("a CAPABILITY\r\n").upstream_saw("a CAPABILITY\r\n");
    between
        .upstream("* Capability  IMAP4rev1 AUTH=PLAIN COMPRESS=DEFLATE LITERAL- MOVE\r\n* OK [capability IMAP4rev1 STARTTLS]\r\na OK [CAPABILITY IMAP4rev1 SASL-IR] fine {3}\r\n")
        .app_saw("* Capability IMAP4rev1 MOVE LITERAL+ ID\r\n* OK [capability IMAP4rev1 LITERAL+ ID]\r\na OK [CAPABILITY IMAP4rev1 LITERAL+ ID] fine {3}\r\n");
}

#[test]
fn a_list_without_end_is_replaced_by_the_one_the_app_knows() {
    let mut between = Between::new(PLAIN);
    let long = format!("* CAPABILITY IMAP4rev1{}", " X-LONG".repeat(3_000));
    between.upstream(&long).upstream("more\r\n* 1 EXISTS\r\n");
    between.app_saw("* CAPABILITY IMAP4rev1 IDLE LITERAL+ ID\r\n* 1 EXISTS\r\n");
    between.upstream(long.replace("* CAPABILITY", "* OK [CAPABILITY")).upstream("] x\r\n");
    between.app_saw("* OK [CAPABILITY IMAP4rev1 IDLE LITERAL+ ID] done\r\n");
}

#[test]
fn what_would_end_the_framing_is_answered_by_us_in_its_turn() {
    // RFC 3501 §5.5: the answers keep the order of the commands.
    let mut between = Between::new(PLAIN);
    between
        .app("a NOOP\r\nb COMPRESS DEFLATE\r\nc NOOP\r\n")
        .upstream_saw("a NOOP\r\nc NOOP\r\n")
        .app_saw("");
    between.upstream("* 1 FETCH (BODY[] {2}\r\n").upstream("ab").app_saw("* 1 FETCH (BODY[] {2}\r\nab");
    between.upstream(")\r\na OK\r\n");
    between.app_saw(")\r\na OK\r\nb BAD the bridge does not take this command after login\r\n");
    between.upstream("c OK\r\n").app_saw("c OK\r\n");
}

#[test]
fn a_forbidden_command_is_eaten_with_its_literals() {
    // RFC 7888 §4; after a synchronising literal the next line is a command (RFC 3501 §7.5).
    let mut between = Between::new(PLAIN);
    between.app("a LOGIN {3+}\r\nx\r\n {2+}\r\nyy\r\nb LOGIN {5}\r\nc NOOP\r\n").upstream_saw("c NOOP\r\n");
    let bad = "BAD the bridge does not take this command after login\r\n";
    between.app_saw(&format!("a {bad}b {bad}"));
}

#[test]
fn the_twentieth_bad_command_in_a_row_is_the_last() {
    let mut between = Between::new(PLAIN);
    for _ in 0..19 {
        between.app("a STARTTLS\r\n");
    }
    between.app("b NOOP\r\n").upstream("b OK\r\n");
    for _ in 0..19 {
        between.app("a STARTTLS\r\n");
    }
    assert!(!between.conversation.finished());
    between.app("a STARTTLS\r\n");
    assert!(between.conversation.finished());
    assert!(between.app.ends_with(b"* BYE too many bad commands\r\n"));
}

#[test]
fn the_apps_id_stays_here() {
    let mut between = Between::new("IMAP4rev1 ID");
    between.app("a ID (\"name\" {3+}\r\nfoo)\r\n").upstream_saw("");
    let version = env!("CARGO_PKG_VERSION");
    between.app_saw(&format!(
        "* ID (\"name\" \"footbridge\" \"version\" \"{version}\")\r\na OK ID completed\r\n"
    ));
    between.app("b ID (\"name\" {3}\r\nc NOOP\r\n").upstream_saw("c NOOP\r\n");
    assert!(between.app.starts_with(b"b NO "));
}

#[test]
fn a_synchronising_literal_waits_for_upstreams_plus() {
    let mut between = Between::new(PLAIN);
    between.app("a APPEND x {4}\r\nb OK").upstream_saw("a APPEND x {4}\r\n").app_saw("");
    between.upstream("+ go\r\n").app_saw("+ go\r\n").upstream_saw("b OK");
    between.app("\r\n").upstream_saw("\r\n").upstream("a OK\r\n").app_saw("a OK\r\n");
}

#[test]
fn after_a_refused_synchronising_literal_the_next_line_is_a_command() {
    let mut between = Between::new(PLAIN);
    between.app("a APPEND x {400}\r\n").upstream("a NO [OVERQUOTA] full\r\n");
    between.app("b STARTTLS\r\nc NOOP\r\n").upstream_saw("a APPEND x {400}\r\nc NOOP\r\n");
    between.app_saw("a NO [OVERQUOTA] full\r\nb BAD the bridge does not take this command after login\r\n");
}

#[test]
fn a_non_synchronising_literal_is_made_synchronising_where_upstream_lacks_it() {
    // RFC 7888 §3: upstream without LITERAL+ must never see `{n+}`.
    let mut between = Between::new(PLAIN);
    between.app("a APPEND x {4+}\r\nabcd (x) ~{2+}\r\n").upstream_saw("a APPEND x {4}\r\n");
    between
        .upstream("* 1 EXISTS\r\n+ ok {7}\r\n")
        .app_saw("* 1 EXISTS\r\n")
        .upstream_saw("abcd (x) ~{2}\r\n");
    between.upstream("+\r\n").app("zz\r\nb NOOP\r\n").upstream_saw("zz\r\nb NOOP\r\n");
    between.upstream("a OK\r\n").app_saw("a OK\r\n");
}

#[test]
fn a_refused_one_is_eaten_with_the_rest_of_its_command() {
    // RFC 7888 §4.
    let mut between = Between::new(PLAIN);
    between.app("a APPEND x {4+}\r\nab").upstream("a NO [TRYCREATE] none\r\n");
    between.app("cd {3+}\r\nxyz)\r\nb NOOP\r\n").upstream_saw("a APPEND x {4}\r\nb NOOP\r\n");
    between.app_saw("a NO [TRYCREATE] none\r\n");
}

#[test]
fn the_literal_of_a_line_without_a_tag_is_never_a_command() {
    let mut between = Between::new(PLAIN);
    between.app("a+ APPEND x {14+}\r\nz DELETE INBOX\r\nb NOOP\r\n").upstream_saw("a+ APPEND x {14}\r\n");
    between.upstream("* BAD tag\r\n").app_saw("* BAD tag\r\n").upstream_saw("b NOOP\r\n");
}

#[test]
fn upstreams_own_kind_of_literal_is_used() {
    let big = "x".repeat(4097);
    let mut between = Between::new("IMAP4rev1 LITERAL+");
    between.app(format!("a X {{4097+}}\r\n{big}\r\n")).upstream_saw(&format!("a X {{4097+}}\r\n{big}\r\n"));
    let mut between = Between::new("IMAP4rev1 LITERAL-");
    between.app("a X {3+}\r\nabc {4097+}\r\n").upstream_saw("a X {3+}\r\nabc {4097}\r\n");
}

#[test]
fn idle_passes_and_silence_in_it_is_no_fault() {
    let mut between = Between::new(PLAIN);
    between.app("a IDLE\r\n").upstream_saw("a IDLE\r\n");
    assert_eq!(between.conversation.running(), Some(("IDLE", Patience::Prompt)));
    between.upstream("+ idling\r\n* 3 EXISTS\r\n").app_saw("+ idling\r\n* 3 EXISTS\r\n");
    assert_eq!((between.conversation.running(), between.conversation.idling()), (None, Some(1)));
    between.app("DONE\r\nb NOOP\r\n").upstream_saw("DONE\r\nb NOOP\r\n");
    assert_eq!(between.conversation.idling(), None);
    between.upstream("a OK\r\nb OK\r\n").app_saw("a OK\r\nb OK\r\n");
    assert!(!between.conversation.busy());
}

#[test]
fn a_command_in_idle_is_upstreams_to_refuse() {
    let mut between = Between::new(PLAIN);
    between.app("a IDLE\r\n").upstream("+ idling\r\n").app("b LOGIN x y\r\n");
    between.upstream_saw("a IDLE\r\nb LOGIN x y\r\n").upstream("a BAD expected DONE\r\n");
    between.app("c NOOP\r\n").upstream_saw("c NOOP\r\n");
}

#[test]
fn idle_is_renewed_unseen() {
    let mut between = Between::new(PLAIN);
    between.app("a IDLE\r\n").upstream("+ idling\r\n").app_saw("+ idling\r\n").upstream_saw("a IDLE\r\n");
    for round in 1..=3 {
        between.conversation.renew_idle();
        let answered = if round == 1 { "a".to_owned() } else { format!("footbridge{}", round - 1) };
        between.settle().upstream_saw("DONE\r\n");
        between.upstream(format!("* 4 EXISTS\r\n{answered} OK done\r\n")).app_saw("* 4 EXISTS\r\n");
        between.upstream_saw(&format!("footbridge{round} IDLE\r\n")).upstream("+ idling\r\n").app_saw("");
        assert_eq!(between.conversation.idling(), Some(round + 1));
    }
    between.app("DONE\r\n").upstream_saw("DONE\r\n");
    between.upstream("footbridge3 OK [X] done\r\n").app_saw("a OK [X] done\r\n");
    assert!(!between.conversation.busy());
}

#[test]
fn the_apps_done_during_a_renewal_waits_for_its_end() {
    let mut between = Between::new(PLAIN);
    between.app("a IDLE\r\n").upstream("+\r\n").app_saw("+\r\n");
    between.conversation.renew_idle();
    between.app("DONE\r\nb NOOP\r\n").upstream_saw("a IDLE\r\nDONE\r\n");
    between.upstream("a OK\r\n").app_saw("").upstream_saw("footbridge1 IDLE\r\n");
    between.upstream("+\r\n").app_saw("").upstream_saw("DONE\r\nb NOOP\r\n");
    between.upstream("footbridge1 OK\r\nb OK\r\n").app_saw("a OK\r\nb OK\r\n");
}

#[test]
fn a_renewal_may_cross_the_end_that_upstream_makes_of_idle() {
    for refused in ["DONE BAD unknown command\r\n", "* BAD unknown command\r\n"] {
        let mut between = Between::new(PLAIN);
        between.app("a IDLE\r\n").upstream("+\r\n").app_saw("+\r\n");
        between.conversation.renew_idle();
        between.settle().upstream("a OK idle for long enough\r\n").app_saw("");
        between.upstream_saw("a IDLE\r\nDONE\r\nfootbridge1 IDLE\r\n");
        between.upstream(refused).upstream("+\r\n* 3 EXISTS\r\n").app_saw("* 3 EXISTS\r\n");
        between.app("DONE\r\n").upstream_saw("DONE\r\n");
        between.upstream("footbridge1 OK\r\n* BAD hm\r\n").app_saw("a OK\r\n* BAD hm\r\n");
    }
}

#[test]
fn a_renewal_that_upstream_refuses_ends_the_apps_idle() {
    let mut between = Between::new(PLAIN);
    between.app("a IDLE\r\n").upstream("+\r\n").app_saw("+\r\n");
    between.conversation.renew_idle();
    between.settle().upstream("a OK\r\n").upstream("footbridge1 NO not now\r\n").app_saw("a NO not now\r\n");
    between.app("b NOOP\r\n").upstream("b OK\r\n").app_saw("b OK\r\n");
}

#[test]
fn logout_ends_with_its_tagged_ok_and_a_bye_alone_at_once() {
    let mut between = Between::new(PLAIN);
    between.app("a LOGOUT\r\n").upstream("* BYE bye\r\n");
    assert!(!between.conversation.finished());
    between.upstream("a OK\r\n").app_saw("* BYE bye\r\na OK\r\n");
    assert!(between.conversation.finished() && between.conversation.logout_seen());
    let mut between = Between::new(PLAIN);
    between.upstream("* BYE [UNAVAILABLE] later\r\n").app_saw("* BYE [UNAVAILABLE] later\r\n");
    assert!(between.conversation.finished());
}

#[test]
fn last_words_only_between_responses() {
    let mut between = Between::new(PLAIN);
    let words = |between: &Between| {
        between.conversation.last_words("[UNAVAILABLE] ", "gone\r\n").map(String::from_utf8)
    };
    assert_eq!(words(&between), Some(Ok("* BYE [UNAVAILABLE] gone  \r\n".into())));
    between.upstream("* 1 FETCH (BODY[] {3}\r\nab");
    assert_eq!(words(&between), None);
    between.upstream("c");
    assert_eq!(words(&between), None);
    between.upstream(")\r\na O");
    assert!(words(&between).is_some());
    between.app("l LOGOUT\r\n");
    assert_eq!(words(&between), Some(Ok("* BYE [UNAVAILABLE] gone  \r\nl OK logged out\r\n".into())));
}

#[test]
fn a_literal_of_another_length_than_it_says_is_the_end() {
    // RFC 3501 §9: behind a literal a list goes on or ends, or the line does.
    for (said, lost) in [
        ("* 1 FETCH (BODY[] {3}\r\nabc)\r\n", false),
        ("* 1 FETCH (BODY[] {3}\r\nabc UID 1)\r\n", false),
        ("* LIST () \"/\" {3}\r\nabc\r\n", false),
        ("* 1 FETCH (BODY[] {0}\r\n)\r\n", false),
        ("* 1 FETCH (BODY[] {3}\r\nabcdef)\r\n", true),
        ("* 1 FETCH (BODY[] {5}\r\nabc)\r\na OK", true),
        ("* 1 FETCH (BODY[] {0}\r\nabc)\r\n", true),
    ] {
        let mut between = Between::new(PLAIN);
        for octet in said.split_inclusive(|_| true) {
            between.upstream(octet);
        }
        assert_eq!(between.conversation.lost_count(), lost, "{said}");
        assert!(!lost || !between.conversation.between_responses());
    }
}

#[test]
fn a_command_that_is_never_answered_keeps_nobody_waiting() {
    let mut between = Between::new(PLAIN);
    between.app("a SEARCH TEXT x\r\nb NOOP\r\nc ID NIL\r\n");
    assert_eq!(between.conversation.running(), Some(("SEARCH", Patience::Laborious)));
    between.upstream("b OK\r\n");
    assert_eq!(between.conversation.running(), None);
    assert!(between.app.ends_with(b"c OK ID completed\r\n"));
}

#[test]
fn what_hides_its_command_behind_a_long_tag_or_blanks_does_not_go_up() {
    let long = "x".repeat(2_000);
    let blank = " ".repeat(2_000);
    for line in [
        format!("{long} COMPRESS DEFLATE\r\n"),
        format!("{long} APPEND x {{3+}}\r\nabc\r\n"),
        format!("{long} APPEND x {{3}}\r\n"),
        format!("{} NOOP\r\n", "t".repeat(101)),
        format!("a{blank}COMPRESS DEFLATE\r\n"),
        format!("{blank}\r\n"),
    ] {
        let mut between = Between::new("IMAP4rev1 LITERAL+");
        for chunk in line.as_bytes().chunks(700) {
            between.app(chunk);
        }
        between.upstream_saw("").app("b NOOP\r\n").upstream_saw("b NOOP\r\n");
        let answer = "* BAD the bridge does not take this command after login\r\n";
        between.upstream("b OK\r\n").app_saw(&format!("{answer}b OK\r\n"));
    }
}

#[test]
fn no_more_commands_than_can_be_remembered_go_up() {
    let mut between = Between::new(PLAIN);
    between.app("a NOOP\r\n".repeat(COMMANDS + 1));
    assert_eq!(between.upstream.len(), COMMANDS * 8);
    between.upstream("a OK\r\n");
    assert_eq!(between.upstream.len(), (COMMANDS + 1) * 8);
}

const FROM_APP: &str = "a SELECT x\r\nb UID FETCH 1 BODY[]\r\nc COMPRESS DEFLATE\r\nd APPEND x (\\Seen) {7+}\r\na\r\nb {1} {3+}\r\nxyz\r\n\
                        e CAPABILITY\r\nf ID (\"a\" \"b\")\r\ng STORE 1 +FLAGS (x{2+} y)\r\n\r\nh NOOP+}\r\n";
const FROM_UPSTREAM: &str = "* 2 EXISTS\r\na OK [READ-WRITE] {2}\r\n* 1 FETCH (UID 4 BODY[] {9}\r\nx\r\n+ {3}\r\n FLAGS ())\r\nb ok {1}\r\n\
                             * OK [CAPABILITY IMAP4rev1 LITERAL+ STARTTLS] x\r\nd OK\r\n* CAPABILITY IMAP4rev1 AUTH=X\r\ne OK\r\n* BYE";

proptest! {
    #[test]
    fn any_split_gives_the_same(
        app in prop::collection::vec(1usize..30, 1..12),
        upstream in prop::collection::vec(1usize..30, 1..12),
    ) {
        let whole = played(&[FROM_APP.len()], &[FROM_UPSTREAM.len()]);
        prop_assert_eq!(played(&app, &upstream), whole);
    }

    #[test]
    fn literals_are_made_synchronising_at_any_split(sizes in prop::collection::vec(1usize..9, 1..9)) {
        let mut between = Between::new(PLAIN);
        for chunk in chunks("a APPEND x {7+}\r\n{1+}\r\nx {1}+} {3+}\r\nxyz\r\nb NOOP\r\n", &sizes) {
            between.app(chunk);
        }
        for chunk in chunks("+ one\r\n", &sizes).into_iter().chain(chunks("+ two\r\na OK\r\n", &sizes)) {
            between.upstream(chunk);
        }
        between.upstream_saw("a APPEND x {7}\r\n{1+}\r\nx {1}+} {3}\r\nxyz\r\nb NOOP\r\n").app_saw("a OK\r\n");
    }

    #[test]
    fn any_octets_from_either_side_panic_nowhere(
        app in prop::collection::vec("[a-c +*{}0-9~\r\n\"]{0,9}|\r\n|a IDLE\r\n|DONE\r\n|b APPEND \\{3\\+\\}\r\n|c LOGIN|a LOGOUT\r\n", 0..12),
        upstream in prop::collection::vec("[a-c +*{}0-9\r\n]{0,9}|\r\n|\\* OK|\\* CAPABILITY|a OK\r\n|\\+ \r\n|\\* BYE\r\n|footbridge1 OK\r\n", 0..12),
        renew in any::<bool>(),
    ) {
        let mut between = Between::new(PLAIN);
        for (up, down) in app.iter().zip(&upstream) {
            between.app(up).upstream(down);
            if renew {
                between.conversation.renew_idle();
            }
        }
    }
}

/// Both streams in chunks of these sizes, upstream's after the app's: what each side saw.
fn played(app: &[usize], upstream: &[usize]) -> (String, String) {
    let mut between = Between::new("IMAP4rev1 LITERAL+");
    for chunk in chunks(FROM_APP, app) {
        between.app(chunk);
    }
    for chunk in chunks(FROM_UPSTREAM, upstream) {
        between.upstream(chunk);
    }
    (String::from_utf8(between.app).unwrap(), String::from_utf8(between.upstream).unwrap())
}

fn chunks<'a>(mut text: &'a str, sizes: &[usize]) -> Vec<&'a str> {
    let mut sizes = sizes.iter().copied().cycle();
    let mut chunks = Vec::new();
    while !text.is_empty() {
        let (chunk, rest) = text.split_at(sizes.next().unwrap_or(1).min(text.len()));
        chunks.push(chunk);
        text = rest;
    }
    chunks
}
