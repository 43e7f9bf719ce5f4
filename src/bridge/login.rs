//! From what an app says at login to an account and a credentials.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::refusal::LoginError;
use super::told::Told;
use crate::auth::{Credentials, Denied, Gate, Pass, Proof, Purpose, Reached, Slow, Standing, Stores};
use crate::mail::{Account, Secret};
use crate::upstream::UpstreamError;

/// Every account by every name an app may log in as, for one connection.
#[derive(Clone, Debug)]
pub struct Accounts {
    doors: Arc<Doors>,
    standing: Standing,
}

#[derive(Debug)]
struct Doors {
    entries: Vec<Entry>,
    /// For wrong passwords and names of nobody alike: what is waited tells nothing about the name (RFC 1939 §13).
    slow: Slow,
    nobody_told: Told,
}

#[derive(Debug)]
struct Entry {
    account: Arc<Account>,
    gate: Gate,
    told: Told,
    /// Places for apps that keep a connection upstream of their own; `None` where no limit is known.
    seats: Option<Arc<Semaphore>>,
}

/// Octets of a login name with a folder behind it: more than an address has (RFC 5321 §4.5.3.1). Each slash is looked at,
/// and a line of nothing but slashes must not keep a processor busy.
const LONGEST_NAME: usize = 512;

/// Connections of the provider's limit that are left for our own: POP3 sessions, `check`.
const OURS: u32 = 2;

/// How long an app waits for a place: one that has just closed a connection opens the next at once.
const SEAT_WAIT: Duration = Duration::from_secs(3);

/// A place among the connections the provider allows; free again when dropped.
#[derive(Debug)]
pub struct Seat {
    _permit: Option<OwnedSemaphorePermit>,
    last: bool,
}

impl Seat {
    /// No other was left when it was taken.
    pub fn is_last(&self) -> bool {
        self.last
    }
}

impl Entry {
    fn new(account: Arc<Account>, stores: &Stores) -> Self {
        let limit = account.imap_connections.map(|limit| limit.saturating_sub(OURS).max(1));
        let seats = limit.map(|limit| Arc::new(Semaphore::new(usize::try_from(limit).unwrap_or(usize::MAX))));
        Self { account, gate: Gate::new(stores.clone()), told: Told::default(), seats }
    }
}

/// An app that may go on: ask upstream with `credentials`, then tell [`Accounts`] how that went.
///
/// Drop it at once where upstream gave no verdict (it could not be reached): other connections with the same
/// password wait for one.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Whose mail.
    pub account: Arc<Account>,
    /// What upstream is shown.
    pub credentials: Credentials,
    pass: Pass,
}

impl Admitted {
    /// For what an earlier login of the account left.
    pub fn proof(&self) -> &Proof {
        &self.pass.proof
    }

    /// What comes of asking upstream. A login that waited in vain for another's verdict has only what is left of the time
    /// that apps wait for an answer.
    ///
    /// # Errors
    /// The attempt's, or [`UpstreamError::TimedOut`].
    pub async fn in_time<T>(
        &self,
        attempt: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<T, UpstreamError> {
        let Some(by) = self.pass.answered_by else { return attempt.await };
        let after = by.saturating_duration_since(Instant::now());
        let late = Err(UpstreamError::TimedOut { command: "login", after });
        timeout_at(by, attempt).await.unwrap_or(late)
    }
}

impl Accounts {
    /// Takes the configured accounts; there is no state folder.
    pub fn new(accounts: impl IntoIterator<Item = Arc<Account>>) -> Self {
        Self::with_stores(accounts, &Stores::new(None))
    }

    /// Takes the configured accounts, and where their gates keep what they keep.
    pub fn with_stores(accounts: impl IntoIterator<Item = Arc<Account>>, stores: &Stores) -> Self {
        let entries = accounts.into_iter().map(|account| Entry::new(account, stores)).collect();
        let doors = Doors { entries, slow: Slow::default(), nobody_told: Told::default() };
        Self { doors: Arc::new(doors), standing: Standing::default() }
    }

    /// The same accounts for a connection that has come as far as this.
    pub fn on(&self, standing: Standing) -> Self {
        Self { doors: self.doors.clone(), standing }
    }

    /// How far this connection has come.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// For an app that wants to read: looks the account up (any case) and passes its gate. A refusal is logged here.
    ///
    /// With `secret = "app"` a name that exists costs a round trip to the provider and one that does not costs
    /// none: who measures that learns which names exist here.
    pub async fn admit(&self, login: &str, offered: &Secret) -> Result<Admitted, LoginError> {
        self.admit_for(login, offered, Purpose::Reading).await
    }

    /// The same for a POP3 app, whose login name may have a folder behind a slash, `ana@example.org/Folder Name`: that
    /// comes second. An account whose whole name it is goes first, then the one with the longest name.
    pub async fn admit_to_folder(
        &self,
        login: &str,
        offered: &Secret,
    ) -> Result<(Admitted, Option<String>), LoginError> {
        let (entry, folder) = self.find_with_folder(login);
        let admitted = self.admit_entry(entry, offered, Purpose::Reading).await?;
        Ok((admitted, folder.map(str::to_owned)))
    }

    /// The same for an app that wants to submit.
    pub async fn admit_submission(&self, login: &str, offered: &Secret) -> Result<Admitted, LoginError> {
        self.admit_for(login, offered, Purpose::Submission).await
    }

    async fn admit_for(
        &self,
        login: &str,
        offered: &Secret,
        purpose: Purpose,
    ) -> Result<Admitted, LoginError> {
        self.admit_entry(self.find(login), offered, purpose).await
    }

    fn find(&self, login: &str) -> Option<&Entry> {
        let folded = login.to_lowercase();
        self.doors.entries.iter().find(|entry| entry.account.logins.contains(&folded))
    }

    /// A slash with nothing behind it names no folder.
    fn find_with_folder<'l>(&self, login: &'l str) -> (Option<&Entry>, Option<&'l str>) {
        let whole = self.find(login);
        if whole.is_some() {
            return (whole, None);
        }
        let slashes = login.char_indices().take_while(|(at, _)| *at <= LONGEST_NAME);
        let mut slashes = slashes.filter(|(_, c)| *c == '/').collect::<Vec<_>>().into_iter().rev();
        let found = slashes.find_map(|(at, _)| {
            let (name, folder) = (login.get(..at)?, login.get(at + 1..)?);
            Some((self.find(name)?, folder))
        });
        match found {
            Some((entry, folder)) => (Some(entry), Some(folder).filter(|folder| !folder.is_empty())),
            None => (None, None),
        }
    }

    async fn admit_entry(
        &self,
        entry: Option<&Entry>,
        offered: &Secret,
        purpose: Purpose,
    ) -> Result<Admitted, LoginError> {
        if offered.expose().is_empty() {
            let address = entry.map(|entry| entry.account.address.clone());
            let error = LoginError::NothingGiven { address };
            // No guess, so that it is not slowed and costs no try, and nothing a provider should see and count.
            entry.map_or(&self.doors.nobody_told, |entry| &entry.told).tell(&error);
            return Err(error);
        }
        let asked = Instant::now();
        self.standing.reach(Reached::OnTrial);
        let Some(Entry { account, gate, told, .. }) = entry else {
            self.standing.reach(Reached::Guessed);
            self.doors.slow.wrong(asked).await;
            let error = LoginError::NoAccount;
            self.doors.nobody_told.tell(&error);
            return Err(error);
        };
        match gate.admit(account, offered, purpose, &self.standing).await {
            Ok(pass) => {
                told.over();
                Ok(Admitted { account: account.clone(), credentials: pass.credentials.clone(), pass })
            }
            Err(denied) => {
                match denied {
                    Denied::Wrong | Denied::NoPassword { .. } => {
                        self.standing.reach(Reached::Guessed);
                        self.doors.slow.wrong(asked).await;
                    }
                    Denied::Resting { .. } | Denied::TooMany { .. } => self.standing.reach(Reached::Guessed),
                    _ => self.standing.reach(Reached::Silent),
                }
                let error = LoginError::Denied { address: account.address.clone(), denied };
                told.tell(&error);
                Err(error)
            }
        }
    }

    /// Upstream took the credentials.
    pub fn accepted(&self, admitted: &Admitted) {
        self.standing.reach(Reached::Right);
        if let Some(gate) = self.gate(admitted) {
            gate.accepted(&admitted.pass);
        }
    }

    /// Upstream refused the credentials.
    pub fn refused(&self, admitted: &Admitted) {
        self.standing.reach(Reached::Guessed);
        if let Some(gate) = self.gate(admitted) {
            gate.refused(&admitted.pass);
        }
    }

    /// Logs why upstream did not let the app in.
    pub fn tell(&self, admitted: &Admitted, error: &UpstreamError) {
        if let Some(entry) = self.entry(admitted) {
            entry.told.tell_fault(error, &admitted.account);
        }
    }

    /// A place for an app's own connection upstream; `None` when all that the provider allows are taken, for which
    /// providers lock accounts or cut old connections.
    ///
    /// Where no limit is known there is none of ours. Such servers say so themselves, with `[LIMIT]` or like words, and
    /// lock nobody; a guess of ours would turn apps away that the server would let in, for nothing.
    pub async fn seat(&self, admitted: &Admitted) -> Option<Seat> {
        let Some(seats) = self.entry(admitted).and_then(|entry| entry.seats.clone()) else {
            return Some(Seat { _permit: None, last: false });
        };
        let permit = timeout(SEAT_WAIT, seats.clone().acquire_owned()).await.ok()?.ok()?;
        Some(Seat { _permit: Some(permit), last: seats.available_permits() == 0 })
    }

    fn gate(&self, admitted: &Admitted) -> Option<&Gate> {
        self.entry(admitted).map(|entry| &entry.gate)
    }

    fn entry(&self, admitted: &Admitted) -> Option<&Entry> {
        self.doors.entries.iter().find(|entry| Arc::ptr_eq(&entry.account, &admitted.account))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Refusal;
    use super::*;
    use crate::config;

    fn accounts(secret: &str) -> Accounts {
        let text = format!("[[account]]\naddress = \"Ana@gmx.net\"\nlogin = \"ana\"\nsecret = {secret}\n");
        let settings = config::parse(&text, Path::new("test.toml")).expect("a good configuration");
        Accounts::new(settings.accounts)
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_has_its_names_in_any_case() {
        let accounts = accounts("\"app\"");
        for login in ["ana@gmx.net", "ANA@GMX.NET", "ana", "Ana"] {
            let admitted = accounts.admit(login, &Secret::new("x")).await.expect(login);
            assert_eq!(admitted.account.address, "Ana@gmx.net");
            accounts.accepted(&admitted);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_behind_the_longest_name_and_a_slash_is_a_folder() {
        let of = |address: &str, login: &str| {
            format!("[[account]]\naddress = \"{address}\"\nprovider = \"gmx-net\"\nlogin = \"{login}\"\n")
        };
        let text = of("ana@gmx.net", "ana") + &of("ben@gmx.net", "ana/work") + &of("cy@gmx.net", "cy/");
        let settings = config::parse(&text, Path::new("test.toml")).expect("a good configuration");
        let accounts = Accounts::new(settings.accounts);
        for (login, address, folder) in [
            ("ana", "ana@gmx.net", None),
            ("ANA@gmx.net/Old Mail", "ana@gmx.net", Some("Old Mail")),
            ("ana/Entw\u{fc}rfe/2024.x", "ana@gmx.net", Some("Entw\u{fc}rfe/2024.x")),
            ("ana/Work", "ben@gmx.net", None),
            ("Ana/Work/Work", "ben@gmx.net", Some("Work")),
            ("ana/workshop", "ana@gmx.net", Some("workshop")),
            ("ana@gmx.net/", "ana@gmx.net", None),
            ("cy/", "cy@gmx.net", None),
            ("cy//x", "cy@gmx.net", Some("x")),
        ] {
            let (admitted, named) =
                accounts.admit_to_folder(login, &Secret::new("x")).await.expect("a good name");
            assert_eq!((admitted.account.address.as_str(), named.as_deref()), (address, folder), "{login}");
            accounts.accepted(&admitted);
        }
        for login in ["eve/INBOX", "/INBOX", "cy", "an/a"] {
            let error = accounts.admit_to_folder(login, &Secret::new("x")).await.expect_err("nobody");
            assert!(matches!(error, LoginError::NoAccount), "{login}");
        }
        // Only POP3 has no other way to name one.
        assert!(accounts.admit("ana/INBOX", &Secret::new("x")).await.is_err());
    }

    /// RFC 1939 §13: what stands behind the slash tells no more than the name before it.
    #[tokio::test(start_paused = true)]
    async fn a_folder_makes_nobody_and_a_wrong_password_no_less_alike() {
        async fn refused(login: &str) -> (Duration, Refusal, String) {
            let (accounts, start) = (accounts("{ env = \"CARGO_PKG_NAME\" }"), Instant::now());
            let error = accounts.admit_to_folder(login, &Secret::new("x")).await.expect_err("wrong");
            (start.elapsed(), error.refusal(), error.reply())
        }
        let nobody = refused("eve/INBOX").await;
        assert_eq!(nobody, refused("ana/Nowhere").await);
        assert!(nobody.0 > Duration::ZERO && !nobody.2.contains("INBOX"));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_and_a_wrong_password_look_alike_to_the_app() {
        let accounts = accounts("{ env = \"CARGO_PKG_NAME\" }");
        let nobody = accounts.admit("eve", &Secret::new("x")).await.expect_err("nobody");
        let wrong = accounts.admit("ana", &Secret::new("x")).await.expect_err("wrong");
        assert_eq!((nobody.refusal(), nobody.reply()), (wrong.refusal(), wrong.reply()));
        assert!(!wrong.reply().contains("gmx"));
    }

    /// RFC 1939 §13: what is waited for "wrong" depends on what was wrong before, here and there, and not on the name.
    #[tokio::test(start_paused = true)]
    async fn waits_tell_nobody_which_names_there_are() {
        async fn waits(names: &[&str]) -> Vec<Duration> {
            let accounts = accounts("{ env = \"CARGO_PKG_NAME\" }");
            let mut waits = Vec::new();
            for name in names {
                let start = Instant::now();
                assert!(accounts.admit(name, &Secret::new("x")).await.is_err());
                waits.push(start.elapsed());
                assert!(accounts.admit("ana", &Secret::new("footbridge")).await.is_ok());
                assert_eq!(start.elapsed(), waits.last().copied().unwrap_or_default(), "the right one waits");
            }
            waits
        }
        let known = waits(&["ana"; 5]).await;
        assert_eq!(known, [1, 2, 4, 4, 4].map(Duration::from_secs));
        for names in
            [["eve"; 5], ["eve", "ana", "mallory", "ana", "eve"], ["ana", "ana", "ana", "eve", "ana"]]
        {
            assert_eq!(waits(&names).await, known, "{names:?}");
        }
    }

    /// An empty password is no guess: no provider sees one, and it costs none of the three tries a minute, nor a wait.
    /// RFC 1939 §13: nor does it tell which names there are.
    #[tokio::test(start_paused = true)]
    async fn an_empty_password_is_answered_here_and_costs_nothing() {
        for secret in ["\"app\"", "{ env = \"CARGO_PKG_NAME\" }", "\"vault\""] {
            let (accounts, start, empty) = (accounts(secret), Instant::now(), Secret::new(""));
            for login in ["ana", "eve"].repeat(50) {
                let errors = [
                    accounts.admit(login, &empty).await.map(drop),
                    accounts.admit_submission(login, &empty).await.map(drop),
                    accounts.admit_to_folder(login, &empty).await.map(drop),
                ];
                for error in errors {
                    let error = error.expect_err("no password");
                    assert_eq!(error.refusal(), Refusal::Wrong);
                    assert_eq!(error.reply(), "no password was given; enter it in the mail program");
                }
            }
            assert_eq!(start.elapsed(), Duration::ZERO, "{secret}");
            assert_eq!(accounts.standing().reached(), Reached::Silent);
        }
        let accounts = accounts("\"app\"");
        for tried in ["one", "two", "three"] {
            assert!(accounts.admit("ana", &Secret::new("")).await.is_err());
            let admitted = accounts.admit("ana", &Secret::new(tried)).await.expect("one of three tries");
            accounts.refused(&admitted);
        }
        assert!(accounts.admit("ana", &Secret::new("four")).await.is_err());
    }

    /// Each waits for itself, the right one passes between them at once, and nothing is locked.
    #[tokio::test(start_paused = true)]
    async fn ten_thousand_wrong_ones_at_once_hold_up_no_right_one() {
        let accounts = accounts("{ env = \"CARGO_PKG_NAME\" }");
        let crowd = (0..10_000).map(|number| {
            let accounts = accounts.on(Standing::default());
            tokio::spawn(async move { accounts.admit("ana", &Secret::new(format!("wrong {number}"))).await })
        });
        let crowd = crowd.collect::<Vec<_>>();
        tokio::task::yield_now().await;
        let before = Instant::now();
        for _ in 0..100 {
            assert!(accounts.admit("ana", &Secret::new("footbridge")).await.is_ok());
        }
        assert_eq!(before, Instant::now());
        assert!(crowd.iter().all(|one| !one.is_finished()), "all of them wait");
        for one in crowd {
            assert!(matches!(
                one.await.expect("no panic"),
                Err(LoginError::Denied { denied: Denied::Wrong, .. })
            ));
        }
        assert!(before.elapsed() < Duration::from_secs(5));
        assert!(accounts.admit("ana", &Secret::new("footbridge")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_slowed_is_known_by_it_and_one_with_the_right_password_too() {
        let accounts = accounts("{ env = \"CARGO_PKG_NAME\" }");
        for name in ["ana", "eve"] {
            let (slowed, wrong) = (accounts.on(Standing::default()), Secret::new("x"));
            let mut wait = std::pin::pin!(slowed.admit(name, &wrong));
            assert!(futures_util::FutureExt::now_or_never(wait.as_mut()).is_none());
            assert_eq!(slowed.standing().reached(), Reached::Guessed);
        }
        let right = accounts.on(Standing::default());
        assert!(right.admit("ana", &Secret::new("footbridge")).await.is_ok());
        assert!(right.admit("ana", &Secret::new("x")).await.is_err());
        assert_eq!(right.standing().reached(), Reached::Right);
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_that_rests_is_wrong_and_its_user_learns_for_how_long() {
        let accounts = accounts("\"app\"");
        let admitted = accounts.admit("ana", &Secret::new("x")).await.expect("unknown");
        accounts.refused(&admitted);
        let error = accounts.admit("ana", &Secret::new("x")).await.expect_err("refused");
        assert_eq!(error.refusal(), Refusal::Wrong);
        let reply = error.reply();
        assert!(reply.starts_with("Ana@gmx.net: the provider refused this password"), "{reply}");
        assert!(reply.ends_with("this one again in 60 seconds"), "{reply}");
    }

    /// Apps give up after 30 seconds: what a login waited for another's verdict is not on top of its own attempt.
    #[tokio::test(start_paused = true)]
    async fn logins_that_wait_for_a_hanging_one_are_answered_in_time() {
        async fn hangs(accounts: Accounts, seconds: u64) -> (Duration, Result<(), UpstreamError>) {
            let start = Instant::now();
            let admitted = accounts.admit("ana", &Secret::new("x")).await.expect("unknown");
            let attempt = tokio::time::sleep(Duration::from_secs(seconds));
            let outcome = admitted
                .in_time(async {
                    attempt.await;
                    Ok(())
                })
                .await;
            (start.elapsed(), outcome)
        }
        for (first, later) in [(100, 0), (25, 0), (25, 6), (25, 24)] {
            let accounts = accounts("\"app\"");
            let first = tokio::spawn(hangs(accounts.clone(), first));
            tokio::time::sleep(Duration::from_secs(later)).await;
            let crowd = (0..5).map(|_| tokio::spawn(hangs(accounts.clone(), 100))).collect::<Vec<_>>();
            for one in crowd {
                let (took, outcome) = one.await.expect("no panic");
                assert_eq!(took.as_secs(), 28);
                let error = outcome.expect_err("late");
                assert!(matches!(error, UpstreamError::TimedOut { command: "login", .. }), "{error:?}");
                assert!(!error.is_verdict(&Credentials::Password(Secret::new("x"))));
            }
            assert!(first.await.expect("no panic").1.is_ok(), "who waited for nobody has all the time");
        }
    }

    /// The verdict came: the password is good, and the attempt is one like any other.
    #[tokio::test(start_paused = true)]
    async fn logins_that_waited_for_a_good_verdict_have_all_the_time() {
        let accounts = accounts("\"app\"");
        let first = accounts.admit("ana", &Secret::new("x")).await.expect("unknown");
        let other = accounts.clone();
        let second = tokio::spawn(async move { other.admit("ana", &Secret::new("x")).await });
        tokio::time::sleep(Duration::from_secs(19)).await;
        accounts.accepted(&first);
        let second = second.await.expect("no panic").expect("good");
        let attempt = tokio::time::sleep(Duration::from_secs(25));
        assert!(
            second
                .in_time(async {
                    attempt.await;
                    Ok(())
                })
                .await
                .is_ok()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_submission_leaves_reading_alone() {
        let accounts = accounts("\"app\"");
        let reading = accounts.admit("ana", &Secret::new("x")).await.expect("unknown");
        accounts.accepted(&reading);
        let submission = accounts.admit_submission("ana", &Secret::new("x")).await.expect("unknown");
        accounts.refused(&submission);
        assert!(accounts.admit("ana", &Secret::new("x")).await.is_ok());
        assert!(accounts.admit_submission("ana", &Secret::new("x")).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_apps_than_the_provider_allows_and_a_free_place_is_given_on() {
        let text = "[[account]]\naddress = \"ana@gmail.com\"\n";
        let settings = config::parse(text, Path::new("test.toml")).expect("a good configuration");
        let gmail = settings.accounts.first().expect("one account");
        assert_eq!((gmail.imap_connections, gmail.imap_down_a_day), (Some(15), Some(2_500_000_000)));
        let accounts = Accounts::new(settings.accounts);
        let admitted = accounts.admit("ana@gmail.com", &Secret::new("x")).await.expect("unknown");
        let mut seats = Vec::new();
        while let Some(seat) = accounts.seat(&admitted).await {
            seats.push(seat);
        }
        assert_eq!(seats.len(), 13);
        seats.pop();
        assert!(accounts.seat(&admitted).await.is_some());
    }

    #[test]
    fn a_reply_is_one_bounded_printable_line() {
        let reason = format!("the file /tmp/\r\n+OK\u{202e}{} cannot be read", "x".repeat(1000));
        let error = LoginError::Denied { address: "a@b".into(), denied: Denied::Unreadable { reason } };
        assert_eq!(error.refusal(), Refusal::NeedsUser);
        assert!(
            error.reply().len() <= 300 && error.reply().bytes().all(|octet| (0x20..0x7f).contains(&octet))
        );
    }
}
