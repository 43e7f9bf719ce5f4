//! An account's command: one program at a time, however many logins want its answer.
//!
//! ```text
//!  a right bridge password ──────────────────────────▶ ask: the program that runs already, or a new one
//!  what may be the secret itself ── as at the last answer, a minute long ──▶ right
//!                                └─ another, and asked within 5 seconds ──▶ wrong
//!                                └─ else ──▶ ask
//! ```
//!
//! So guesses start a program every five seconds at most, whoever is right does not wait behind them, and a secret that
//! was changed is noticed within that time. Between programs only a keyed hash of the answer is kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::stored;
use super::verdicts::{Mark, Verdicts};
use crate::mail::Secret;
use crate::mail::account::SecretSource;

/// Something wrong has the command asked again after this: a program may ask its user, or take seconds of a processor.
/// Whoever changed the secret waits no longer than an app waits for its answer.
const AGAIN: Duration = Duration::from_secs(5);

/// How long the same secret is right without the command being asked: a mail app opens a handful of connections, and
/// a secret that was taken back at its source is soon worth nothing here.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What the command of one account said; a clone is the same one.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    running: Option<watch::Receiver<Option<Answer>>>,
    last: Option<Last>,
}

/// The secret, or why there is none.
type Answer = Result<Secret, String>;

struct Last {
    at: Instant,
    answer: Result<Mark, String>,
}

/// What the last answer tells about an offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recalled {
    /// It is the secret.
    Same,
    /// It is not, and the command said so a moment ago.
    Other,
    /// The command failed a moment ago.
    Failed(String),
    /// Nothing: the command has to be asked.
    Nothing,
}

impl Asked {
    /// Looks at what is remembered.
    pub(super) fn recall(&self, offered: &Secret, verdicts: &Verdicts) -> Recalled {
        let state = self.state();
        let Some(Last { at, answer }) = &state.last else { return Recalled::Nothing };
        let age = at.elapsed();
        match answer {
            Ok(mark) if age < REMEMBERED && verdicts.is_of(offered, mark) => Recalled::Same,
            Ok(_) if age < AGAIN => Recalled::Other,
            Err(reason) if age < AGAIN => Recalled::Failed(reason.clone()),
            _ => Recalled::Nothing,
        }
    }

    /// The command's answer: of the program that runs, or of a new one. Who does not wait for it ends no program that
    /// others wait for.
    ///
    /// # Errors
    /// One plain clause without the secret.
    pub(super) async fn ask(&self, command: &Arc<[String]>, verdicts: &Verdicts) -> Answer {
        let mut running = self.running(command, verdicts);
        let answer = running.wait_for(Option::is_some).await.map(|answer| answer.clone());
        answer.ok().flatten().unwrap_or_else(|| Err("the command was lost".to_owned()))
    }

    fn running(&self, command: &Arc<[String]>, verdicts: &Verdicts) -> watch::Receiver<Option<Answer>> {
        let mut state = self.state();
        // Where nobody can send any more the task was lost.
        if let Some(running) = state.running.as_ref().filter(|running| running.has_changed().is_ok()) {
            return running.clone();
        }
        let (tell, running) = watch::channel(None);
        state.running = Some(running.clone());
        let (asked, verdicts, source) =
            (self.clone(), verdicts.clone(), SecretSource::Command(command.clone()));
        tokio::spawn(async move {
            let answer = stored::given(&source).await;
            let answer = answer.and_then(|secret| secret.ok_or_else(|| "none is given".to_owned()));
            let mark = answer.as_ref().map(|secret| verdicts.mark(secret)).map_err(Clone::clone);
            let mut state = asked.state();
            state.running = None;
            state.last = Some(Last { at: Instant::now(), answer: mark });
            drop(state);
            tell.send_replace(Some(answer));
        });
        running
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asked")
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A command that notes each of its runs in a file, and prints what another file says.
    struct Scene {
        folder: tempfile::TempDir,
        command: Arc<[String]>,
        asked: Asked,
        verdicts: Verdicts,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let place = folder.path().display();
            let script = format!("echo run >> '{place}/runs'; cat '{place}/secret'");
            let command = Arc::new(["sh".to_owned(), "-c".to_owned(), script]);
            let scene = Self { folder, command, asked: Asked::default(), verdicts: Verdicts::new() };
            scene.change("one");
            scene
        }

        fn change(&self, secret: &str) {
            std::fs::write(self.folder.path().join("secret"), secret).expect("written");
        }

        fn runs(&self) -> usize {
            std::fs::read_to_string(self.folder.path().join("runs")).map_or(0, |runs| runs.lines().count())
        }

        fn recall(&self, offered: &str) -> Recalled {
            self.asked.recall(&Secret::new(offered), &self.verdicts)
        }

        async fn ask(&self) -> Result<Vec<u8>, String> {
            // A program takes its own time.
            tokio::time::resume();
            let answer = self.asked.ask(&self.command, &self.verdicts).await;
            tokio::time::pause();
            answer.map(|secret| secret.expose().to_vec())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_has_one_program_run() {
        let scene = Scene::new();
        assert_eq!(scene.recall("one"), Recalled::Nothing);
        tokio::time::resume();
        let crowd = (0..200).map(|_| scene.asked.ask(&scene.command, &scene.verdicts));
        let answers = futures_util::future::join_all(crowd).await;
        assert!(answers.iter().all(|answer| matches!(answer, Ok(secret) if secret.expose() == b"one")));
        assert_eq!(scene.runs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_right_one_is_remembered_a_minute_and_a_wrong_one_asks_again_after_five_seconds() {
        let scene = Scene::new();
        assert_eq!(scene.ask().await.as_deref(), Ok(b"one".as_slice()));
        scene.change("two");
        assert_eq!((scene.recall("one"), scene.recall("two")), (Recalled::Same, Recalled::Other));
        tokio::time::advance(AGAIN).await;
        assert_eq!((scene.recall("one"), scene.recall("two")), (Recalled::Same, Recalled::Nothing));
        assert_eq!(scene.ask().await.as_deref(), Ok(b"two".as_slice()));
        assert_eq!((scene.recall("one"), scene.recall("two")), (Recalled::Other, Recalled::Same));
        tokio::time::advance(REMEMBERED).await;
        assert_eq!((scene.recall("one"), scene.recall("two")), (Recalled::Nothing, Recalled::Nothing));
        assert_eq!(scene.runs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_fails_is_asked_again_after_five_seconds() {
        let scene = Scene::new();
        std::fs::remove_file(scene.folder.path().join("secret")).expect("there");
        let reason = scene.ask().await.expect_err("it fails");
        assert_eq!(scene.recall("one"), Recalled::Failed(reason));
        tokio::time::advance(AGAIN).await;
        assert_eq!(scene.recall("one"), Recalled::Nothing);
    }

    /// A guesser who leaves would otherwise have one program after the other killed and started.
    #[tokio::test]
    async fn who_leaves_takes_no_program_along() {
        let scene = Scene::new();
        let leaving = scene.asked.ask(&scene.command, &scene.verdicts);
        assert!(futures_util::FutureExt::now_or_never(leaving).is_none());
        let answer = scene.asked.ask(&scene.command, &scene.verdicts).await;
        assert!(answer.is_ok_and(|secret| secret.expose() == b"one"));
        assert_eq!(scene.runs(), 1);
    }
}
