//! TRANSACTION: what is asked of the maildrop (RFC 1939 §5, §7).

use super::Step;
use crate::proto::pop3::maildrop::{ListingKind, NotThere};
use crate::proto::pop3::{Code, Command, Listing, Maildrop, Reply};

/// Without the ways to log in, which are over.
const CAPABILITIES: &[&str] =
    &["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "UTF8 USER", "LANG"];

/// One command other than QUIT while the maildrop is still coming; the command itself where it has to wait.
pub(super) fn before_maildrop(command: Command) -> Result<Step, Command> {
    match command {
        Command::Rset => Ok(Step::Reply(Reply::ok("no message is marked deleted"))),
        command => without_maildrop(command),
    }
}

/// One command that is none of the maildrop's; the command itself where it is.
fn without_maildrop(command: Command) -> Result<Step, Command> {
    let reply = match command {
        Command::Noop => Reply::ok(""),
        Command::Capa => Reply::lines("", CAPABILITIES),
        Command::Lang(language) => lang(language.as_deref()),
        Command::User(_)
        | Command::Pass(_)
        | Command::AuthList
        | Command::Auth { .. }
        | Command::Stls
        | Command::Utf8 => Reply::err("already logged in"),
        command => return Err(command),
    };
    Ok(Step::Reply(reply))
}

/// One command other than QUIT.
pub(super) fn transaction(maildrop: &mut Maildrop, command: Command) -> Step {
    let outcome = match command {
        Command::Stat => Ok(Step::Reply(Reply::ok(&format!("{} {}", maildrop.count(), maildrop.octets())))),
        Command::List(None) => Ok(Step::List(all(maildrop), Listing::new(ListingKind::Scan))),
        Command::Uidl(None) => Ok(Step::List(Reply::ok(""), Listing::new(ListingKind::UniqueId))),
        Command::List(Some(number)) => maildrop
            .message(number)
            .map(|(_, octets)| listed(|line| maildrop.write_scan_listing(number, octets, line))),
        Command::Uidl(Some(number)) => maildrop
            .message(number)
            .map(|(uid, _)| listed(|line| maildrop.write_unique_id_listing(number, uid, line))),
        Command::Retr(number) => {
            maildrop.message(number).map(|(uid, octets)| Step::Retrieve { number, uid, octets })
        }
        Command::Top(number, lines) => {
            maildrop.message(number).map(|(uid, _)| Step::Top { number, uid, lines })
        }
        Command::Dele(number) => {
            maildrop.mark_deleted(number).map(|()| Step::Reply(Reply::ok("marked deleted")))
        }
        Command::Rset => {
            maildrop.unmark_all();
            Ok(Step::Reply(all(maildrop)))
        }
        command => {
            Ok(without_maildrop(command).unwrap_or_else(|_| Step::Reply(Reply::err("not in this state"))))
        }
    };
    outcome.unwrap_or_else(|not_there| Step::Reply(not_there.into()))
}

/// LANG (RFC 6856 §3): there is one language, and `i-default` (RFC 2277 §4.5) is it. Its tag stands before the text.
pub(super) fn lang(language: Option<&[u8]>) -> Reply {
    match language.map(<[u8]>::to_ascii_lowercase).as_deref() {
        None => Reply::lines("languages follow", &["en English"]),
        Some(b"*" | b"en" | b"i-default") => Reply::ok("en English it is"),
        Some(_) => Reply::err("there is no such language here; en is"),
    }
}

fn all(maildrop: &Maildrop) -> Reply {
    Reply::ok(&format!("{} messages ({} octets)", maildrop.count(), maildrop.octets()))
}

fn listed(write: impl FnOnce(&mut Vec<u8>)) -> Step {
    let mut line = Vec::new();
    write(&mut line);
    Step::Reply(Reply::ok(&String::from_utf8_lossy(&line)))
}

impl From<NotThere> for Reply {
    fn from(not_there: NotThere) -> Self {
        match not_there {
            NotThere::NoSuchMessage => Reply::err("no such message"),
            NotThere::Deleted => Reply::err("the message is marked deleted"),
            NotThere::Broken => Reply::err_with(
                Code::SysTemp,
                "the message did not arrive whole, so it is kept; retrieve it again first",
            ),
        }
    }
}
