//! footbridge: a local mail bridge.
//!
//! Old mail apps speak plain POP3, IMAP and SMTP to localhost; footbridge speaks TLS IMAP and
//! submission to the provider. *App* is the program on this machine, *upstream* the provider.
//!
//! ```text
//!  app ══ server ══ bridge ══ mailbox ══ upstream ══ provider
//!                     ║          ║
//!                   proto      store            net, mail: the ground everybody stands on
//! ```
//!
//! # The rooms
//!
//! | room | what it is | may use |
//! |---|---|---|
//! | [`cli`] | one file a command | everything at the door |
//! | [`config`] | the TOML, field for field, and what survived of it | provider, net, mail |
//! | [`provider`] | the provider table, compiled in and typed | mail |
//! | [`server`] | listeners, limits, shutdown, the control socket | bridge, store, net, config, mail |
//! | [`bridge`] | the drivers, who await both sides | proto, mailbox, upstream, store, auth, net, mail |
//! | [`mailbox`] | what POP3 asks of a mailbox: listing, bodies, removal | upstream, auth, store, proto, net, mail |
//! | [`proto`] | octets to meaning and back; no I/O, no clock, no log | mail |
//! | [`upstream`] | the conversations with the provider | net, auth, proto, mail |
//! | [`auth`] | whose password or token may go where | net, store, mail |
//! | [`store`] | bodies once fetched, in memory and on the disk; what mailboxes held; what is hidden of them; unique-ids that outlive their numbering; the state folder | mail |
//! | [`net`] | names, addresses, connect, TLS on both sides | store, mail |
//! | [`demo`] | a provider inside the process, to try the bridge (feature `demo`) | net, proto, mail |
//! | [`mail`] | nouns | |
//!
//! Arrows point one way, there are no circles; `tests/tidy.rs` reads them from the `use` lines.
//!
//! # The journeys of one message
//!
//! **POP3 `RETR 7`.** `bridge::pop3` reads a line, `proto::pop3::Session` turns it into a request for a
//! body, `mailbox` has it in the cache, or on the shelf of what it read ahead, or asks `upstream::imap`; `+OK` goes
//! out once the literal's length has come, the octets stream through dot-stuffing to the app as they arrive, and into
//! the cache when complete. An app that went from 6 to 7 will want 8: from the second message in a row on,
//! `mailbox::ahead` has `upstream::imap`'s window ask for all that follow, several in a command, as far as memory goes.
//!
//! **`QUIT` after `DELE`.** `mailbox::removal` selects the mailbox again; the same UIDVALIDITY or nothing
//! happens; `UID MOVE`, or `UID STORE` and `UID EXPUNGE`; upstream's tagged OK; then `+OK`. What fails is
//! answered `-ERR`, and nothing is done later behind the app's back.
//! The Trash is looked up in that same flight, not at login, which a long list of folders would make dear for
//! every mailbox check; `check` tells of a missing one beforehand, and QUIT then removes nothing.
//! With `delete = "hide"` nothing goes upstream but a hint: `store::views` has which UIDs POP3 apps are not shown, on the
//! disk before `+OK`.
//!
//! **IMAP after login.** Lines and literals are spliced both ways; capabilities are rewritten, all else
//! passes untouched.
//!
//! **SMTP `DATA`.** The envelope is settled upstream first, then the octets stream; the final dot goes
//! upstream only after the app's own `CRLF.CRLF`.
//!
//! **A POP3 login.** `store::ledger` tells the mailbox as it stood the last time, while `upstream::imap` logs in; EXAMINE
//! and one UID FETCH of what came since are one flight, and where the numbers do not add up a SEARCH tells what is left, or
//! all is listed anew. The ledger is written behind the app's back, and never believed without upstream; a login that comes
//! meanwhile reads what is yet to be written. An exact size, and a body in the cache, are those of the message of which
//! upstream tells the same RFC822.SIZE: UIDs have been handed out again under the same UIDVALIDITY, by mailboxes restored
//! from a backup, and so the last known message's size is asked for with what is new. Where upstream has another
//! UIDVALIDITY, `mailbox::names` compares what the ledger knows of each message's identity with what upstream says of it
//! now, and what is the same keeps its unique-id: in `store::carried`, on the disk before it is shown.
//! The session upstream is the one of the login before, where `mailbox` holds it still and this login would show upstream
//! the same: then the flight is all there is. It has five seconds for its first octet; then a fresh one takes over.
//! Where its folder is the same too, `+OK` goes out as the flight begins, and the first command that needs the maildrop
//! waits for it: `proto::pop3::Session` has a TRANSACTION whose maildrop is coming, and `bridge::pop3` sees to it that it
//! comes while the app is silent. When the app leaves, the session is held again, its folder open for reading only; where
//! the app has not waited for the flight, the next login does.
//!
//! # The invariants
//!
//! 1. A message is named by (account, mailbox, UIDVALIDITY, UID), never by a sequence number.
//! 2. Nothing is removed upstream unless the app said `DELE` and then `QUIT` on that same connection.
//! 3. A body that is not complete is never ended with `CRLF.CRLF`, cached, padded or cut.
//! 4. `250` after the final dot means that upstream said `250`.
//! 5. Whatever a peer controls has a limit, checked before memory is taken.
//! 6. CR, LF and NUL never pass from one protocol's argument into another protocol's command line.
//! 7. Nothing upstream says before TLS is believed.
//!
//! # Decisions that the facts changed
//!
//! - **async-imap conducts, and hears nothing it could choke on.** One unknown line ends its session, and one kind of
//!   line makes its parser panic. Mending such lines one by one leaves the next one out, so the stream under it shows
//!   it greeting, continuation requests and completions in canonical words only; everything else upstream says is read
//!   by `proto::imap::scan` into `upstream::imap`'s own record.
//! - **Spliced IMAP connections are counted only where the provider's limit is known.** Where it is not, the provider
//!   refuses for itself, in words the app is shown; a limit guessed by us would turn away an app that the provider
//!   would have served.
//! - **What is held is named by a keyed hash of what its login showed upstream**, a password or the second of a sign-in,
//!   and goes only to a login that would show the same and of which upstream took it last: whoever changes a password,
//!   or signs in anew, starts anew. A password that upstream alone judges is shown to it again 5 minutes and 20 seconds
//!   after its login, however often the session was taken over since: else one that was changed at the provider would be
//!   good here for as long as an app looks for mail with it. POP3 sessions in use are not counted out: an app that opens a
//!   fourth is let in, but beside three of them (two where the provider's limit is known) none is held, and one that is
//!   held is given up when an IMAP app takes the last connection, or is refused one.
//! - **A session that nobody asks listens**, held or not, so that its end is found when it comes; one that was left alone
//!   for ten seconds has five for its first octet. A connection that vanished without a word so costs an app that paused
//!   five seconds and not the 55 of a silence in mid-transfer. A connection to send through, which may be silent for five
//!   minutes over MAIL, answers NOOP within these five seconds first.
//! - **A connection is given up when this computer no longer has the address it uses**, in mid-command too: TCP would go
//!   on trying for a quarter of an hour. One look in four seconds while there are connections, rather than the system's own
//!   news, for which each system has another way. What the system has not sent by then is thrown away with the connection:
//!   a laptop comes back to where it was, and a removal that was answered `-ERR` must not reach the provider then.
//! - **A mailbox check is answered from memory only where the user says so** (`watch`), and by default not even where
//!   IDLE says nothing. IDLE tells late: Dovecot half a second after the change, which is how long it collects them,
//!   servers that look now and then by as long as that is, and some never. A check that believed it would show a mailbox
//!   that upstream has no longer, to a user who presses the button because the message is known to be there. Over a
//!   session that is held the truth costs one round trip, and the login does not wait for it: its `+OK` says nothing of
//!   the mailbox, only that upstream took this password. What upstream thinks of it by now, and whether the folder is
//!   still there, the app may so hear one command later than from PASS, in the same words and with the same code, as the
//!   last it hears. Whatever might be news to a login is still waited for: a fresh one, and one for another folder than
//!   was open last.
//! - **A watch vouches for a listing, it does not keep one.** The ledger has the mailbox as it was listed; the session
//!   that watches it knows how many messages that were, which was the last, and that upstream has told of nothing since.
//!   So a watch takes no memory a message, and all that follows a listing is the same with and without it, but that
//!   nothing is taken for gone because it is not in it. Each IDLE begins behind a NOOP: servers need not tell in IDLE what
//!   they could have told before. What any other session of the account has heard or done makes the next look ask.
//! - **A wait that upstream asks for is the whole account's, a quarter of an hour at most**, and a minute where
//!   `[THROTTLED]` names none: no login and no FETCH of ours goes upstream before that, nor does a session that is lost
//!   come back. `[LIMIT]` without a time is none, since it ends when another connection does. An IMAP app that is logged
//!   in hears upstream itself and goes on as it likes, but the others wait where it was throttled; submission is asked what
//!   the app asks.
//! - **New connections to one server follow one another**, 64 at once and 32 a second beyond that, two a second where it
//!   fails, unevenly spaced: a provider that restarts is not met by all the apps of all the bridges in one moment. The
//!   bridge itself never reconnects unasked, so it needs no back-off besides.
//! - **lettre is shown the last line of a reply.** It parses a reply anew with every line of it, so a long one costs
//!   the square of its length; the lines themselves are recorded beside it and reach the app as they were.
//! - **A listing builds on the last UID that is known, not on UIDNEXT.** Both name the same new messages, and a server
//!   whose UIDNEXT runs ahead then hides none. One that gives no UIDNEXT, or takes it back, is listed whole each time.
//! - **The ledger is opened by the first POP3 login, not by `run`.** Who uses IMAP and submission alone has no such file
//!   and no state folder for it, and starting waits for no disk.
//! - **A UIDVALIDITY that comes back is another one.** RFC 3501 forbids it, and where unique-ids are carried from one to the
//!   next it would give a message the unique-id of another. So `UIDVALIDITY-TIMES.UID` is what is not proven the same
//!   then, and no body that was kept before is shown; a mailbox of which nothing was ever carried goes by server facts
//!   alone, as it would on another machine.
//! - **The oauth2 crate is shown canonical answers only.** It is strict where token servers are not (lives as text,
//!   errors under status 200, HTML), and its error for what it cannot read carries the body, tokens included; so each
//!   answer is put into the form of RFC 6749 §5 beneath it, and what is none is told by its status alone.
//! - **Read-ahead opens as wide as it gets.** A window that begins small and doubles costs a round trip for each doubling:
//!   five from 256 KiB to 8 MiB, as many as the whole login. So the second message in a row asks for up to 8 MiB at once.
//!   An app that leaves early costs what came until then, which stays in the cache; the session ends where more than
//!   64 KiB are still on their way. A message far outside the window gets a fresh session in place of that one rather
//!   than a second beside it: the provider counts both, and what was on its way is no longer what the app is after.
//! - **The newest first, a UID a command.** A set is answered upwards whatever its order (RFC 3501 §6.4.8 has none), so
//!   that an app which goes down would wait for the whole of it. The same once a set was refused for the sake of one of
//!   its messages: by itself each is refused in its own place, and holds up no other.
//! - **A message of a set is whole when its FETCH response has ended as one**, not when the command is done, as it is
//!   where one message was asked for by itself. An app that does not pipeline asks for the next message only when it has
//!   this one: waiting for the set would hold up each message by all the others of it.
//! - **What is hidden is no part of the ledger.** The ledger may be lost, is written when there is time, and is not
//!   believed without upstream; what is hidden nobody else knows. So it has files of its own, one a mailbox, synced
//!   before QUIT is answered. The keyword upstream is asked for only where such a file knows nothing of a mailbox,
//!   which costs one round trip in a mailbox's first login and none in any later one. The file has also which keywords
//!   are yet to be set: a bridge may be killed between the two.
//! - **BODY=8BITMIME from an app that was offered it before AUTH is taken even where upstream lacks 8BITMIME**, and is
//!   not passed on: apps do not ask again after AUTH. Content that really is 8-bit is refused when it comes.
//! - **The local authority signs for ten years and is forgotten.** A key that is kept to renew a certificate could speak
//!   for any site wherever a system passes over an authority's name constraints; a key that is not kept would make
//!   users trust a new authority every two years. So it signs five certificates at once, each valid where the one
//!   before ends, and its key is dropped: they renew themselves, and what is on the disk speaks for this computer only.
//! - **Where TLS is on, an app on a plain port is greeted 50 ms late.** Only an app that begins TLS speaks before the
//!   greeting. A shorter look would miss some: curl reads its authorities between connect and ClientHello, 8 ms in the
//!   median and 47 at the most on a busy computer. One that was greeted too soon cannot be saved, a fault that would
//!   come and go; 50 ms are little beside the login at the provider that follows. A ClientHello behind the greeting
//!   ends the connection, and the log names the cure; ports with TLS never look.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::todo,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap
    )
)]

pub mod auth;
pub mod bridge;
pub mod cli;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod mail;
pub mod mailbox;
pub mod net;
pub mod proto;
pub mod provider;
pub mod server;
pub mod store;
pub mod upstream;
