//! A session upstream is held for the next login, and for nobody else.

use super::*;
use crate::auth::{Gate, Pass, Purpose, Standing};
use crate::mail::{Deadlines, Secret};
use crate::proto::pop3::{Maildrop, UniqueIds};

pub(super) const HOLD: Duration = Duration::from_secs(300);

const ONE: &str = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY 7] x
        S: $a OK x
        S: * 1 FETCH (UID 5 RFC822.SIZE 50)
        S: $b OK x"#;

const TWO: &str = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 2 EXISTS
        S: * OK [UIDVALIDITY 7] x
        S: $a OK x
        S: * 1 FETCH (UID 5 RFC822.SIZE 50)
        S: * 2 FETCH (UID 6 RFC822.SIZE 60)
        S: $b OK x"#;

/// Heard, and never answered.
const SILENCE: &str = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)"#;

const LOGOUT: &str = r#"
        C: $a LOGOUT
        S: * BYE x
        S: $a OK x
        EOF"#;

/// A provider behind a gate, which plays a script of these pieces in each session.
pub(super) struct Behind {
    gate: Gate,
    pub(super) provider: Provider,
}

impl Behind {
    pub(super) fn new(scripts: &[&[&str]]) -> Self {
        let scripts: Vec<&'static str> = scripts.iter().map(|pieces| &*pieces.join("\n").leak()).collect();
        Self { gate: Gate::default(), provider: Provider::new(&scripts) }
    }

    /// A login with a password that upstream takes, where it is asked. How many messages there are.
    pub(super) async fn log_in(&self, password: &str) -> (Mailbox, usize) {
        let pass = self.admit(password).await;
        let claim = self.claim(&pass);
        let (mailbox, listing) = self.provider.open_with(Some(claim)).await.unwrap();
        self.gate.accepted(&pass);
        (mailbox, listing.messages.len())
    }

    async fn admit(&self, password: &str) -> Pass {
        let (offered, standing) = (Secret::new(password), Standing::default());
        self.gate.admit(&account(), &offered, Purpose::Reading, &standing).await.unwrap()
    }

    /// The same before anything is known of the mailbox.
    async fn begin(&self, password: &str) -> Result<Opening, UpstreamError> {
        let pass = self.admit(password).await;
        let opening = self.provider.begin(Some(self.claim(&pass))).await?;
        self.gate.accepted(&pass);
        Ok(opening)
    }

    fn claim(&self, pass: &Pass) -> Claim {
        let deadlines = Deadlines { hold: HOLD, ..Deadlines::default() };
        Claim::new(&self.provider.account, pass.proof.clone(), &deadlines)
    }

    /// Looks how many messages there are and leaves.
    pub(super) async fn check(&self, password: &str) -> usize {
        let (mailbox, messages) = self.log_in(password).await;
        mailbox.leave().await;
        messages
    }

    /// The bridge knows itself which of the app's passwords are right.
    pub(super) fn with_a_stored_secret(mut self) -> Self {
        self.provider.account.secret = SecretSource::Vault;
        self
    }

    pub(super) async fn kept(self) {
        self.provider.resources.held.close().await;
        self.provider.kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_login_costs_one_flight_and_sees_what_came_meanwhile() {
    let behind = Behind::new(&[&[ONE, "S: * 2 EXISTS", TWO, ONE, LOGOUT]]).with_a_stored_secret();
    for messages in [1, 2, 1] {
        assert_eq!(behind.check("x").await, messages);
        tokio::time::sleep(HOLD - Duration::from_secs(1)).await;
    }
    behind.kept().await;
}

/// Is the mailbox of this login yet to come?
async fn is_coming(opening: Opening) -> bool {
    let coming = matches!(opening, Opening::Coming(_));
    opening.listed().await.unwrap().0.leave().await;
    coming
}

/// What the app is told at login is then what upstream said before, and no listing is.
#[tokio::test(start_paused = true)]
async fn a_login_that_has_the_session_of_its_folder_need_not_wait_for_the_flight() {
    let behind = Behind::new(&[&[ONE, TWO, LOGOUT]]);
    assert!(!is_coming(behind.begin("x").await.unwrap()).await, "upstream has yet to judge it");
    assert!(is_coming(behind.begin("x").await.unwrap()).await);
    behind.kept().await;
}

/// Upstream judges the password, or another one, and that the login waits for.
#[tokio::test(start_paused = true)]
async fn a_login_that_needs_a_session_of_its_own_waits_for_it() {
    let behind = Behind::new(&[&[ONE], &[TWO], &[ONE]]);
    assert_eq!(behind.check("x").await, 1);
    assert!(!is_coming(behind.begin("y").await.unwrap()).await);
    // The one that is held is in use.
    let Opening::Coming(in_use) = behind.begin("y").await.unwrap() else { panic!("it is held") };
    assert!(!is_coming(behind.begin("y").await.unwrap()).await);
    drop(in_use);
    behind.provider.resources.held.close().await;
}

/// It has yet to hear whether there is one.
#[tokio::test(start_paused = true)]
async fn a_login_for_another_folder_than_was_open_last_waits_for_it() {
    let archive = r#"
        C: $a EXAMINE "Archive"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 0 EXISTS
        S: * OK [UIDVALIDITY 8] x
        S: $a OK x
        S: $b OK x"#;
    let nowhere = r#"
        C: $a EXAMINE "Nowhere"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: $a NO [NONEXISTENT] x
        S: $b BAD x"#;
    let mut behind = Behind::new(&[&[ONE, archive, archive, TWO, nowhere], &[nowhere]]);
    assert_eq!(behind.check("x").await, 1);
    for (folder, coming) in [("Archive", false), ("Archive", true), ("INBOX", false)] {
        behind.provider.account.pop3.folder = folder.to_owned();
        assert_eq!(is_coming(behind.begin("x").await.unwrap()).await, coming, "{folder}");
    }
    behind.provider.account.pop3.folder = "Nowhere".to_owned();
    let error = behind.begin("x").await.err().unwrap();
    assert!(matches!(error, UpstreamError::NoFolder { .. }), "{error:?}");
    behind.kept().await;
}

/// What it is in the middle of is waited for by the next login, which is to hear whether the folder is there.
#[tokio::test(start_paused = true)]
async fn an_app_that_leaves_before_its_mailbox_has_come_leaves_its_session_all_the_same() {
    let late = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * OK [UIDVALIDITY 7] x
        S: $a OK x
        S: $b OK x"#;
    // Whether it has asked already, or not even that.
    for (asks, pieces) in [(true, &[ONE, late, TWO, ONE, LOGOUT][..]), (false, &[ONE, TWO, ONE, LOGOUT])] {
        let behind = Behind::new(&[pieces]);
        assert_eq!(behind.check("x").await, 1);
        let Opening::Coming(mut coming) = behind.begin("x").await.unwrap() else { panic!("it is held") };
        if asks {
            assert!(futures_util::poll!(std::pin::pin!(coming.arrival())).is_pending());
        }
        let held = behind.provider.resources.held.clone();
        assert_eq!(held.in_use(&behind.provider.account), 1);
        coming.leave().await;
        assert_eq!((held.in_use(&behind.provider.account), held.holds_any()), (0, true));
        assert!(!is_coming(behind.begin("x").await.unwrap()).await);
        assert!(is_coming(behind.begin("x").await.unwrap()).await);
        behind.kept().await;
    }
}

/// Neither the one that was of no use nor the one that was to take its place.
#[tokio::test(start_paused = true)]
async fn an_app_that_leaves_while_a_session_is_being_replaced_leaves_none() {
    let behind = Behind::new(&[&[ONE, SILENCE], &[SILENCE]]);
    assert_eq!(behind.check("x").await, 1);
    let Opening::Coming(mut coming) = behind.begin("x").await.unwrap() else { panic!("it is held") };
    assert!(tokio::time::timeout(Duration::from_secs(6), coming.arrival()).await.is_err(), "both are silent");
    coming.leave().await;
    let held = behind.provider.resources.held.clone();
    assert_eq!((held.in_use(&behind.provider.account), held.holds_any()), (0, false));
    behind.kept().await;
}

/// Else whoever changed it at the provider would never lock the old one out, as long as an app looks for mail with it.
#[tokio::test(start_paused = true)]
async fn a_password_that_upstream_alone_judges_is_shown_to_it_again_after_a_hold_time() {
    let behind = Behind::new(&[&[ONE, TWO, ONE, LOGOUT], &[TWO, LOGOUT]]);
    for (wait, messages) in [(0, 1), (HOLD.as_secs() / 2, 2), (HOLD.as_secs() / 2 - 1, 1), (2, 2)] {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        assert_eq!(behind.check("x").await, messages);
    }
    behind.kept().await;
    // Nor is one held that was in use for longer.
    let behind = Behind::new(&[&[ONE, LOGOUT], &[TWO, LOGOUT]]);
    let (mailbox, _) = behind.log_in("x").await;
    tokio::time::sleep(HOLD + Duration::from_secs(1)).await;
    mailbox.leave().await;
    assert!(!behind.provider.resources.held.holds_any());
    assert_eq!(behind.check("x").await, 2);
    behind.kept().await;
}

/// A sign-in that was taken back may be found out by a login alone.
#[tokio::test(start_paused = true)]
async fn a_session_is_not_taken_over_for_ever() {
    let looks = 12 * 60 * 60 / (HOLD.as_secs() - 1) + 1;
    let script: Vec<&str> = (0..looks).map(|_| ONE).chain([LOGOUT]).collect();
    let behind = Behind::new(&[&script, &[TWO, LOGOUT]]).with_a_stored_secret();
    for _ in 0..looks {
        assert_eq!(behind.check("x").await, 1);
        tokio::time::sleep(HOLD - Duration::from_secs(1)).await;
    }
    assert_eq!(behind.check("x").await, 2);
    behind.kept().await;
}

/// Upstream judges another one for itself, and what it took then is what is good from then on.
#[tokio::test(start_paused = true)]
async fn another_password_gets_a_session_of_its_own() {
    let behind = Behind::new(&[&[ONE], &[TWO, ONE], &[TWO]]);
    assert_eq!(behind.check("x").await, 1);
    assert_eq!(behind.check("y").await, 2);
    assert_eq!(behind.check("y").await, 1);
    assert_eq!(behind.check("x").await, 2, "no longer the one that upstream took last");
    behind.kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_password_that_upstream_has_refused_since_gets_a_session_of_its_own() {
    let behind = Behind::new(&[&[ONE], &[TWO]]);
    assert_eq!(behind.check("x").await, 1);
    behind.gate.refused(&behind.admit("x").await);
    tokio::time::sleep(Duration::from_secs(61)).await; // It may be shown again.
    assert_eq!(behind.check("x").await, 2);
    behind.kept().await;
}

/// As when a router has forgotten the connection: no end is ever said.
#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_for_five_seconds_is_replaced() {
    let behind = Behind::new(&[&[ONE, SILENCE], &[TWO]]);
    assert_eq!(behind.check("x").await, 1);
    let asked = tokio::time::Instant::now();
    assert_eq!(behind.check("x").await, 2);
    assert_eq!(asked.elapsed().as_secs(), 5);
    behind.kept().await;
}

/// Those five seconds are for the first octet: a long listing may take longer.
#[tokio::test(start_paused = true)]
async fn one_that_has_begun_to_answer_is_waited_for() {
    let behind = Behind::new(&[&[ONE, SILENCE, "S: * 2 EXISTS"]]);
    assert_eq!(behind.check("x").await, 1);
    let asked = tokio::time::Instant::now();
    // There is no second session.
    let patience = script::PATIENCE - Duration::from_secs(1);
    assert!(tokio::time::timeout(patience, behind.log_in("x")).await.is_err());
    assert_eq!(asked.elapsed(), patience);
    behind.kept().await;
}

/// RFC 3501 §7.1.5: with a BYE or without.
#[tokio::test(start_paused = true)]
async fn one_that_upstream_ends_is_forgotten() {
    for end in ["S: * BYE autologout\nEOF", "S: * BYE autologout", "EOF", "R: no IMAP\\r\\n"] {
        let behind = Behind::new(&[&[ONE, end], &[TWO]]);
        assert_eq!(behind.check("x").await, 1, "{end}");
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!behind.provider.resources.held.holds_any(), "{end}");
        assert_eq!(behind.check("x").await, 2, "{end}");
        behind.kept().await;
    }
}

/// RFC 5530: tokens end, and servers find out at the next command.
#[tokio::test(start_paused = true)]
async fn one_whose_login_counts_no_longer_is_replaced() {
    for refusal in
        ["NO [AUTHENTICATIONFAILED] AccessTokenExpired", "BAD User is authenticated but not connected."]
    {
        let refused = format!("{SILENCE}\nS: $a {refusal}\nS: $b BAD nothing selected");
        let behind = Behind::new(&[&[ONE, &refused], &[TWO]]);
        assert_eq!(behind.check("x").await, 1);
        assert_eq!(behind.check("x").await, 2, "{refusal}");
        behind.kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_comes_for_is_logged_out() {
    let behind = Behind::new(&[&[ONE, LOGOUT], &[TWO]]);
    assert_eq!(behind.check("x").await, 1);
    tokio::time::sleep(HOLD + Duration::from_secs(1)).await;
    assert!(!behind.provider.resources.held.holds_any());
    assert_eq!(behind.check("x").await, 2);
    behind.kept().await;
}

/// The clock that timers go by stands still meanwhile.
#[tokio::test(start_paused = true)]
async fn one_that_the_machine_overslept_is_replaced() {
    let behind = Behind::new(&[&[ONE], &[TWO]]);
    assert_eq!(behind.check("x").await, 1);
    behind.provider.resources.held.sleep(HOLD + Duration::from_secs(1));
    assert_eq!(behind.check("x").await, 2);
    behind.kept().await;
}

/// Servers that expunge when a mailbox is closed, or at a time-out, find it open for reading only.
#[tokio::test(start_paused = true)]
async fn after_an_update_the_mailbox_is_examined_before_it_is_held() {
    let update = r#"
        C: $a SELECT "INBOX"
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY 7] x
        S: $a OK [READ-WRITE] x
        C: $a UID STORE 5 +FLAGS.SILENT (\Seen)
        S: $a OK x"#;
    let examined = r#"
        C: $a EXAMINE "INBOX"
        S: * OK [UIDVALIDITY 7] x
        S: $a OK [READ-ONLY] x"#;
    let refused = r#"
        C: $a EXAMINE "INBOX"
        S: $a NO x"#;
    for (after, second) in [
        (&[examined, TWO][..], None),
        (&[refused, LOGOUT], Some(TWO)),
        (&["C: $a EXAMINE \"INBOX\""], Some(TWO)),
    ] {
        let first = [&[ONE, update], after].concat();
        let scripts: Vec<&[&str]> = [Some(first.as_slice()), second.as_ref().map(std::slice::from_ref)]
            .into_iter()
            .flatten()
            .collect();
        let behind = Behind::new(&scripts);
        let (mut mailbox, _) = behind.log_in("x").await;
        mailbox.update(&[uid(5)], &[]).await.unwrap();
        mailbox.leave().await;
        assert_eq!(behind.check("x").await, 2);
        behind.kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_removal_that_failed_none_is_held() {
    let refused = r#"
        C: $a SELECT "INBOX"
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY 7] x
        S: $a OK [READ-WRITE] x
        C: $a UID STORE 5 +FLAGS.SILENT (\Seen)
        S: $a NO x"#;
    let behind = Behind::new(&[&[ONE, refused, LOGOUT], &[TWO]]);
    let (mut mailbox, _) = behind.log_in("x").await;
    mailbox.update(&[uid(5)], &[]).await.unwrap_err();
    mailbox.leave().await;
    assert_eq!(behind.check("x").await, 2);
    behind.kept().await;
}

/// What an app is given that reads two messages of three one after the other, so that the third is read ahead.
async fn read_two(behind: &Behind) {
    let listing = [(4, 3), (5, 3), (6, 5)].map(|(number, octets)| (uid(number), octets));
    let maildrop = Maildrop::new(UniqueIds::inbox(UidValidity::new(7).unwrap()), listing);
    let (mut mailbox, _) = behind.log_in("x").await;
    for (number, expected) in [(4, b"one"), (5, b"two")] {
        let mut body = mailbox.retrieve(uid(number), &maildrop).await.unwrap();
        let (octets, end) = whole(&mut body).await;
        assert!(octets == expected && end.is_ok());
    }
    tokio::time::sleep(Duration::from_millis(1)).await; // Whatever upstream has to say comes.
    mailbox.leave().await;
}

const THREE: &str = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 3 EXISTS
        S: * OK [UIDVALIDITY 7] x
        S: $a OK x
        S: * 1 FETCH (UID 4 RFC822.SIZE 3)
        S: * 2 FETCH (UID 5 RFC822.SIZE 3)
        S: * 3 FETCH (UID 6 RFC822.SIZE 5)
        S: $b OK x
        C: $c UID FETCH 4 (UID BODY.PEEK[])
        R: * 1 FETCH (UID 4 BODY[] {3}\r\none)\r\n
        S: $c OK x
        C: $c UID FETCH 5:6 (UID BODY.PEEK[])
        R: * 2 FETCH (UID 5 BODY[] {3}\r\ntwo)\r\n"#;

const SIX: &str = r"R: * 3 FETCH (UID 6 BODY[] {5}\r\nthree)\r\n";

#[tokio::test(start_paused = true)]
async fn after_reading_ahead_it_is_held_where_all_has_come() {
    let behind = Behind::new(&[&[THREE, SIX, "S: $c OK x", ONE, LOGOUT]]);
    read_two(&behind).await;
    assert_eq!(behind.check("x").await, 1);
    behind.kept().await;
}

#[tokio::test(start_paused = true)]
async fn one_through_which_bodies_are_on_their_way_is_not_held() {
    let behind = Behind::new(&[&[THREE], &[TWO]]);
    read_two(&behind).await;
    assert!(!behind.provider.resources.held.holds_any());
    assert_eq!(behind.check("x").await, 2);
    behind.kept().await;
}

/// The command that brought the last body has no end.
#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_to_rest_is_replaced() {
    let behind = Behind::new(&[&[THREE, SIX], &[TWO]]);
    read_two(&behind).await;
    let asked = tokio::time::Instant::now();
    assert_eq!(behind.check("x").await, 2);
    assert_eq!(asked.elapsed().as_secs(), 3);
    behind.kept().await;
}

#[tokio::test(start_paused = true)]
async fn while_upstream_asks_to_be_left_alone_it_stays_held() {
    let behind = Behind::new(&[&[ONE, TWO]]);
    assert_eq!(behind.check("x").await, 1);
    let throttled = UpstreamError::Unavailable { text: "slow".into(), wait: Some(Duration::from_secs(30)) };
    let backoff = behind.provider.resources.backoffs.of(&behind.provider.account);
    backoff.heed(&Err::<(), _>(throttled));
    behind.provider.open().await.unwrap_err();
    assert!(behind.provider.resources.held.holds_any());
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(behind.check("x").await, 2);
    behind.kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_stops_holds_none() {
    let behind = Behind::new(&[&[ONE, LOGOUT], &[TWO, LOGOUT]]);
    let (late, _) = behind.log_in("x").await;
    let held = behind.provider.resources.held.clone();
    assert_eq!(behind.check("x").await, 2);
    held.close().await;
    assert!(!held.holds_any());
    late.leave().await;
    assert!(!held.holds_any());
    behind.kept().await;
}

/// One is idle at most, and none beside three that are in use; where the provider's limit is known, beside two.
#[tokio::test(start_paused = true)]
async fn sessions_upstream_are_few() {
    for (limit, most) in [(None, 3), (Some(15), 2)] {
        let scripts: Vec<&[&str]> = vec![&[ONE]; most + 1];
        let mut behind = Behind::new(&scripts);
        behind.provider.account.imap_connections = limit;
        let held = behind.provider.resources.held.clone();
        let mut open = Vec::new();
        for _ in 0..=most {
            open.push(behind.log_in("x").await.0);
        }
        for mailbox in open {
            assert!(!held.holds_any());
            mailbox.leave().await;
            if held.holds_any() {
                held.give_way(&behind.provider.account).await;
                assert!(!held.holds_any());
            } else {
                assert_eq!(held.in_use(&behind.provider.account), most);
            }
        }
        behind.kept().await;
    }
}

/// With a password of another's that upstream takes, too: what is held makes room for it.
#[tokio::test(start_paused = true)]
async fn one_that_is_held_makes_room_for_those_in_use() {
    let behind = Behind::new(&[&[ONE], &[ONE], &[ONE, LOGOUT], &[ONE]]);
    let held = behind.provider.resources.held.clone();
    let open = [behind.log_in("x").await, behind.log_in("x").await];
    behind.check("x").await;
    assert!(held.holds_any());
    let beside = behind.log_in("y").await;
    assert!(!held.holds_any());
    drop((open, beside));
    behind.kept().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_proves_nothing_takes_none_and_leaves_none() {
    let behind = Behind::new(&[&[ONE, TWO], &[TWO, LOGOUT]]);
    assert_eq!(behind.check("x").await, 1);
    let (mailbox, _) = behind.provider.open().await.unwrap();
    mailbox.leave().await;
    assert_eq!(behind.check("x").await, 2);
    behind.kept().await;
}
