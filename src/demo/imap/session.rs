//! One IMAP session: which command is legal when, and what is answered (RFC 3501 §3, §6).
//!
//! Pure: commands and the store in, responses out. The driver is `super`.

use std::sync::Arc;

use imap_codec::imap_types::auth::{AuthMechanism, AuthenticateData};
use imap_codec::imap_types::command::{Command, CommandBody};
use imap_codec::imap_types::core::{IString, NString, Tag, Vec1};
use imap_codec::imap_types::extensions::namespace::Namespace;
use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::response::{
    Capability, Code, CommandContinuationRequest, Data, Greeting, GreetingKind, Response, Status,
};

use super::messages::Fetching;
use super::response::{Outcome, code, delimiter, name_of, tagged, text};
use super::view::View;
use crate::demo::Account;
use crate::demo::mailbox::{Refusal, Store};
use crate::mail::Secret;
use crate::proto::sasl::{Exchange, Mechanism, Progress};

/// Commands that are none, before the connection is closed.
const MISTAKES: u32 = 20;

/// What the app is answered, and what comes next.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) responses: Vec<Response<'static>>,
    pub(super) next: Next,
}

/// What comes next: something from the app, or the rest of the answer.
#[derive(Debug)]
pub(super) enum Next {
    Command,
    /// To be told message by message; then [`Session::fetched`].
    Fetch(Fetching),
    Authentication,
    Idle,
    Over,
}

/// The state machine.
pub(super) struct Session {
    account: Arc<Account>,
    state: State,
    mistakes: u32,
}

enum State {
    NotAuthenticated,
    Authenticated,
    Selected(View),
}

impl Session {
    /// A session and its greeting.
    pub(super) fn new(account: Arc<Account>) -> (Self, Greeting<'static>) {
        let greeting = Greeting {
            kind: GreetingKind::Ok,
            code: Some(Code::Capability(capabilities())),
            text: text("the footbridge demo"),
        };
        (Self { account, state: State::NotAuthenticated, mistakes: 0 }, greeting)
    }

    /// Whether the app is logged in.
    pub(super) fn is_logged_in(&self) -> bool {
        !matches!(self.state, State::NotAuthenticated)
    }

    /// Counts one more mistake and says whether that is enough.
    pub(super) fn mistakes_are_enough(&mut self) -> bool {
        self.mistakes += 1;
        self.mistakes > MISTAKES
    }

    /// What changed in the selected mailbox; for an app that idles.
    pub(super) fn news(&mut self, store: &Store) -> Vec<Response<'static>> {
        let mut responses = Vec::new();
        if let State::Selected(view) = &mut self.state {
            view.catch_up(store, true, &mut responses);
        }
        responses
    }

    /// Obeys one command.
    pub(super) fn obey(&mut self, command: Command<'static>, store: &mut Store) -> Turn {
        let Command { tag, body } = command;
        let mut responses = Vec::new();
        let body = match body {
            CommandBody::Logout => {
                responses.extend(Status::bye(None, text("goodbye")).map(Response::Status));
                responses.push(tagged(tag, Outcome::done("logged out")));
                return Turn { responses, next: Next::Over };
            }
            CommandBody::Authenticate { mechanism, initial_response } => {
                return self.begin_authentication(
                    tag,
                    &mechanism,
                    initial_response.as_ref().map(|data| data.declassify().to_vec()),
                );
            }
            CommandBody::Idle if self.is_logged_in() => {
                let waiting = CommandContinuationRequest::basic(None, text("idling"));
                responses.extend(waiting.map(Response::CommandContinuationRequest));
                responses.extend(self.news(store));
                return Turn { responses, next: Next::Idle };
            }
            body => body,
        };
        match (body, &mut self.state) {
            (CommandBody::Fetch { sequence_set, macro_or_item_names, uid }, State::Selected(view)) => {
                match super::messages::fetch(&sequence_set, macro_or_item_names, uid, view, store) {
                    Ok(fetching) => Turn { responses, next: Next::Fetch(fetching) },
                    Err(outcome) => self.end(tag, outcome, uid, responses, store),
                }
            }
            (body, _) => {
                let by_number = by_number(&body);
                let outcome = self.outcome(body, store, &mut responses);
                self.end(tag, outcome, !by_number, responses, store)
            }
        }
    }

    /// Everything that was asked for is told.
    pub(super) fn fetched(&mut self, tag: Tag<'static>, by_uid: bool, store: &Store) -> Turn {
        self.end(tag, Outcome::done("fetched"), by_uid, Vec::new(), store)
    }

    /// The news, and the tagged response.
    fn end(
        &mut self,
        tag: Tag<'static>,
        outcome: Outcome,
        expunges: bool,
        mut responses: Vec<Response<'static>>,
        store: &Store,
    ) -> Turn {
        if let State::Selected(view) = &mut self.state {
            view.catch_up(store, expunges, &mut responses);
        }
        responses.push(tagged(tag, outcome));
        Turn { responses, next: Next::Command }
    }

    fn outcome(
        &mut self,
        body: CommandBody<'static>,
        store: &mut Store,
        responses: &mut Vec<Response<'static>>,
    ) -> Outcome {
        match (body, &mut self.state) {
            (CommandBody::Capability, _) => {
                responses.push(Response::Data(Data::Capability(capabilities())));
                Outcome::done("that is all")
            }
            (CommandBody::Noop, _) => Outcome::done("done"),
            (CommandBody::Id { .. }, _) => {
                responses.push(Response::Data(Data::Id { parameters: id() }));
                Outcome::done("and who are you")
            }
            (CommandBody::Login { username, password }, State::NotAuthenticated) => {
                let password = Secret::new(password.declassify().as_ref());
                self.judge(&String::from_utf8_lossy(username.as_ref()), &password)
            }
            (_, State::NotAuthenticated) => Outcome::Bad("log in first"),
            (CommandBody::Login { .. }, _) => Outcome::Bad("logged in already"),
            (CommandBody::Namespace, _) => {
                responses.push(Response::Data(namespace()));
                Outcome::done("done")
            }
            (CommandBody::Select { mailbox }, _) => self.select(&mailbox, false, store, responses),
            (CommandBody::Examine { mailbox }, _) => self.select(&mailbox, true, store, responses),
            (CommandBody::Close, State::Selected(view)) => {
                view.close(store);
                self.state = State::Authenticated;
                Outcome::done("closed")
            }
            (CommandBody::Unselect, State::Selected(_)) => {
                self.state = State::Authenticated;
                Outcome::done("closed, nothing expunged")
            }
            (body, State::Selected(view)) => super::messages::obey(body, view, store, responses)
                .unwrap_or_else(|body| super::folders::obey(body, store, responses)),
            (body, State::Authenticated) => super::folders::obey(body, store, responses),
        }
    }

    fn select(
        &mut self,
        mailbox: &Mailbox<'_>,
        read_only: bool,
        store: &Store,
        responses: &mut Vec<Response<'static>>,
    ) -> Outcome {
        self.state = State::Authenticated; // A SELECT that fails leaves nothing selected (RFC 3501 §6.3.1).
        let Some(folder) = store.folder(&name_of(mailbox)) else {
            return Outcome::refused(Refusal::NoSuchFolder);
        };
        self.state = State::Selected(View::open(folder, read_only, responses));
        let code = if read_only { Code::ReadOnly } else { Code::ReadWrite };
        Outcome::Ok(Some(code), "selected")
    }

    fn begin_authentication(
        &mut self,
        tag: Tag<'static>,
        mechanism: &AuthMechanism<'_>,
        initial: Option<Vec<u8>>,
    ) -> Turn {
        if self.is_logged_in() {
            return Turn {
                responses: vec![tagged(tag, Outcome::Bad("logged in already"))],
                next: Next::Command,
            };
        }
        if *mechanism != AuthMechanism::Plain {
            return Turn {
                responses: vec![tagged(tag, Outcome::No(None, "the demo knows PLAIN"))],
                next: Next::Command,
            };
        }
        match initial {
            Some(octets) => self.answered(tag, &octets),
            None => {
                let request = CommandContinuationRequest::base64(Vec::new());
                Turn {
                    responses: vec![Response::CommandContinuationRequest(request)],
                    next: Next::Authentication,
                }
            }
        }
    }

    /// Goes on with what the app answered to the challenge.
    pub(super) fn authenticate(&mut self, tag: Tag<'static>, data: AuthenticateData<'_>) -> Turn {
        match data {
            AuthenticateData::Continue(octets) => self.answered(tag, octets.declassify()),
            AuthenticateData::Cancel => {
                Turn { responses: vec![tagged(tag, Outcome::Bad("cancelled"))], next: Next::Command }
            }
        }
    }

    fn answered(&mut self, tag: Tag<'static>, octets: &[u8]) -> Turn {
        use base64::Engine;
        let line = base64::engine::general_purpose::STANDARD.encode(octets);
        let outcome = match Exchange::begin(Mechanism::Plain, Some(line.as_bytes())) {
            (_, Progress::Offer(offer)) => self.judge(&offer.login, &offer.secret),
            _ => Outcome::Bad("this is no PLAIN response"),
        };
        Turn { responses: vec![tagged(tag, outcome)], next: Next::Command }
    }

    fn judge(&mut self, login: &str, password: &Secret) -> Outcome {
        if !self.account.admits(login, password) {
            return Outcome::No(code("AUTHENTICATIONFAILED"), "the demo has another address or password");
        }
        self.state = State::Authenticated;
        Outcome::Ok(Some(Code::Capability(capabilities())), "welcome")
    }
}

/// These answer with message sequence numbers, or take them: no EXPUNGE may come between (RFC 3501 §7.4.1).
fn by_number(body: &CommandBody<'_>) -> bool {
    matches!(body, CommandBody::Store { uid: false, .. } | CommandBody::Search { uid: false, .. })
}

fn capabilities() -> Vec1<Capability<'static>> {
    const ALL: [&str; 13] = [
        "IMAP4rev1",
        "AUTH=PLAIN",
        "SASL-IR",
        "LITERAL+",
        "ID",
        "IDLE",
        "NAMESPACE",
        "UIDPLUS",
        "MOVE",
        "UNSELECT",
        "SPECIAL-USE",
        "CHILDREN",
        "APPENDLIMIT=33554432",
    ];
    let rest = ALL
        .into_iter()
        .skip(1)
        .filter_map(|word| Some(Capability::from(imap_codec::imap_types::core::Atom::try_from(word).ok()?)));
    let all: Vec<_> = std::iter::once(Capability::Imap4Rev1).chain(rest).collect();
    Vec1::try_from(all).unwrap_or_else(|_| Vec1::from(Capability::Imap4Rev1))
}

fn namespace() -> Data<'static> {
    let personal = IString::try_from("").map(|prefix| Namespace::new(prefix, delimiter()));
    Data::Namespace { personal: personal.into_iter().collect(), other: Vec::new(), shared: Vec::new() }
}

fn id() -> Option<Vec<(IString<'static>, NString<'static>)>> {
    Some(vec![(IString::try_from("name").ok()?, NString::try_from("footbridge demo").ok()?)])
}
