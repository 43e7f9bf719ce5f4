//! Headers of many messages in one stream, each read and forgotten but for its identity.
//!
//! ```text
//!  B3 UID FETCH 1:80,90    (UID BODY.PEEK[HEADER])   ──▶ literals, hashed as they come
//!  B4 UID FETCH 200,301:40 (UID BODY.PEEK[HEADER])   in flight already; and so on, as long as there is time
//! ```

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::conversation::{Conversation, Octets};
use super::fetch::{Part, fits};
use super::listing::{Identities, one_each};
use crate::mail::{HeaderIdentity, Uid, UidValidity};
use crate::proto::imap::response::{self, Response, Status};
use crate::proto::imap::scan::Event;
use crate::proto::imap::{uid_set, value};
use crate::upstream::UpstreamError;

/// Messages a command names: what comes of it at the least when time is over.
const NAMED: usize = 100;

/// A command's set, in octets (RFC 2683 §3.2.1.5).
const SET: usize = 900;

/// Commands in flight.
const IN_FLIGHT: usize = 4;

/// Which headers, and how long.
#[derive(Clone, Debug)]
pub struct Headers {
    /// The messages, the first ones first, and the octets of each as RFC822.SIZE says.
    pub wanted: Vec<(Uid, u64)>,
    /// The numbering they belong to.
    pub uid_validity: UidValidity,
    /// Nothing is asked for any more from then on.
    pub until: Instant,
    /// Nor once so many octets have come.
    pub octets: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Looked {
    /// The messages whose headers came, in no order.
    pub at: Vec<Uid>,
    /// The identities of those whose headers say which message they are of, ascending, each UID once.
    pub identities: Identities,
}

impl<S: Octets> Conversation<S> {
    /// Looks at headers as long as it may; what was not looked at is no error.
    ///
    /// # Errors
    /// The mailbox was renumbered again, or the conversation is over.
    pub async fn headers(&mut self, headers: &Headers) -> Result<Looked, UpstreamError> {
        self.heard().open.numbered_by(headers.uid_validity)?;
        let sizes: HashMap<Uid, u64> = headers.wanted.iter().copied().collect();
        let mut looked = Looked::default();
        let mut tags = VecDeque::new();
        let mut rest = headers.wanted.chunks(NAMED);
        let mut octets = 0;
        self.wire_at_start();
        loop {
            while tags.len() < IN_FLIGHT
                && octets < headers.octets
                && Instant::now() < headers.until
                && let Some(part) = rest.next()
            {
                let uids: Vec<Uid> = part.iter().map(|(uid, _)| *uid).collect();
                let sets = uid_set::sets(&uids, SET, NAMED);
                tags.extend(sets.into_iter().map(|set| self.wire().queue(&Part::Header.command(set))));
            }
            let Some(tag) = tags.pop_front() else { break };
            octets += self.headers_until(&tag, &sizes, &mut looked).await?;
        }
        self.heard().open.numbered_by(headers.uid_validity)?;
        Ok(Looked { identities: one_each(looked.identities), ..looked })
    }

    /// Reads to the completion of the command with `tag`; how many octets of headers came.
    async fn headers_until(
        &mut self,
        tag: &str,
        sizes: &HashMap<Uid, u64>,
        looked: &mut Looked,
    ) -> Result<u64, UpstreamError> {
        self.wire().flush().await.map_err(|error| self.fault("FETCH", &error))?;
        let mut header: Option<HeaderIdentity> = None;
        let (mut literals, mut came) = (0u32, 0u64);
        loop {
            match self.wire().event().await.map_err(|error| self.fault("FETCH", &error))? {
                Event::Body { octets } => {
                    came = came.saturating_add(octets);
                    let list = match response::parse(self.wire().so_far()) {
                        Some(Response::Fetch(list)) => list,
                        _ => b"",
                    };
                    literals = literals.saturating_add(1);
                    // Of two in one response nobody knows which is which.
                    let alone = literals == 1 && value::last_name(list).is_some_and(value::is_header);
                    header = alone.then(HeaderIdentity::default);
                }
                Event::BodyPart(part) => {
                    if let Some(header) = &mut header {
                        header.take(&part);
                    }
                }
                Event::Response(text) => match response::parse(&text) {
                    Some(Response::Fetch(list)) => {
                        literals = 0;
                        // Messages told of twice prove nothing; told of without end they are a flood.
                        if looked.at.len() > 2 * sizes.len() {
                            return Err(UpstreamError::TooLarge);
                        }
                        looked.take(list, header.take(), sizes);
                    }
                    Some(Response::Tagged { tag: done, status, .. }) if done == tag.as_bytes() => {
                        // What was refused was not looked at.
                        tracing::debug!(refused = status != Status::Ok, octets = came, "headers looked at");
                        return Ok(came);
                    }
                    _ => self.heard().hear(&text).map_err(|error| self.fault("FETCH", &error))?,
                },
            }
        }
    }
}

impl Looked {
    /// The end of a FETCH response, its header replaced by an empty literal.
    fn take(&mut self, list: &[u8], header: Option<HeaderIdentity>, sizes: &HashMap<Uid, u64>) {
        let items = value::items(list);
        if let Some(header) = header.filter(|_| items.complete && fits(list))
            && let Some(uid) = items.uid.and_then(Uid::new)
            && let Some(octets) = sizes.get(&uid)
        {
            self.at.push(uid);
            self.identities.extend(header.finish(*octets).map(|identity| (uid, identity)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::upstream::imap::script;

    /// What comes of looking at these messages: UIDs, and with `=` those whose header proves something; or the fault.
    async fn looked(uids: std::ops::RangeInclusive<u32>, octets: u64, script: &'static str) -> String {
        let (session, play) = script::session(script);
        let wanted = uids.map(|number| (Uid::new(number).unwrap(), 100)).collect();
        let until = Instant::now() + Duration::from_secs(10);
        let headers = Headers { wanted, uid_validity: UidValidity::FIRST, until, octets };
        let outcome = session.headers(headers).await;
        session.log_out().await;
        play.await.unwrap();
        match outcome {
            Ok(Looked { at, identities }) => {
                let at = at.iter().map(|uid| {
                    let proves = identities.iter().any(|(known, _)| known == uid);
                    format!("{uid}{}", if proves { "=" } else { "" })
                });
                at.collect::<Vec<_>>().join(" ")
            }
            Err(error) => format!("{error:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_header_that_is_certainly_a_messages_own_counts() {
        let script = r#"
            C: $a UID FETCH 1:9 (UID BODY.PEEK[HEADER])
            R: * 1 FETCH (UID 1 BODY[HEADER] {17}\r\nReceived: by x\r\n\n)\r\n
            R: * 2 FETCH (FLAGS () body[header] {14}\r\nMessage-ID: 2\n UID 2)\r\n
            R: * 3 FETCH (UID 3 BODY[HEADER] {10}\r\nSubject: \n)\r\n
            R: * 4 FETCH (UID 4 BODY[HEADER] {1}\r\n\nBODY[HEADER] {1}\r\n\n)\r\n
            R: * 4 FETCH (UID 4 BODY[HEADER] {1}\r\n\n BODY[HEADER] {1}\r\n\n BODY[HEADER] {15}\r\nReceived: by x\n)\r\n
            R: * 5 FETCH (UID 5 BODY[HEADER] {3}\r\nReceived: by x)\r\n
            R: * 6 FETCH (UID 6 BODY[] {15}\r\nReceived: by x\n)\r\n
            R: * 7 FETCH (BODY[HEADER] {15}\r\nReceived: by x\n)\r\n
            S: * 8 FETCH (UID 8 BODY[HEADER] NIL)
            R: * 10 FETCH (UID 10 BODY[HEADER] {15}\r\nReceived: by x\n)\r\n
            R: * 9 FETCH (UID 9 BODY[HEADER] {15}\r\nReceived: by x\n)\r\n
            R: * 9 FETCH (UID 9 BODY[HEADER] {15}\r\nReceived: by y\n)\r\n
            S: * 9 EXISTS
            S: $a OK done
        "#;
        assert_eq!(looked(1..=9, 1000, script).await, "1= 2= 3 9 9");
    }

    #[tokio::test(start_paused = true)]
    async fn some_commands_are_in_flight_and_no_more_is_asked_for_than_may_come() {
        let script = r"
            C: $a UID FETCH 1:100 (UID BODY.PEEK[HEADER])
            C: $b UID FETCH 101:200 (UID BODY.PEEK[HEADER])
            C: $c UID FETCH 201:300 (UID BODY.PEEK[HEADER])
            C: $d UID FETCH 301:400 (UID BODY.PEEK[HEADER])
            S: $a OK done
            C: $e UID FETCH 401:500 (UID BODY.PEEK[HEADER])
            R: * 1 FETCH (UID 101 BODY[HEADER] {15}\r\nReceived: by x\n)\r\n
            S: $b OK done
            S: $c NO not these
            R: * 1 FETCH (UID 301 BODY[HEADER] {15}\r\nReceived: by x\n)\r\n
            S: $d OK done
            S: $e OK done
        ";
        assert_eq!(looked(1..=600, 15, script).await, "101= 301=");
        assert_eq!(looked(1..=600, 0, "").await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn headers_that_come_again_and_again_are_refused() {
        let again = "R: * 1 FETCH (UID 1 BODY[HEADER] {15}\\r\\nReceived: by x\\n)\\r\\n\n";
        let command = "C: $a UID FETCH 1:2 (UID BODY.PEEK[HEADER])\n";
        assert_eq!(
            looked(1..=2, 1000, format!("{command}{}S: $a OK done", again.repeat(5)).leak()).await,
            "1= 1= 1= 1= 1="
        );
        let more = format!("{command}{}EOF", again.repeat(6)).leak();
        assert_eq!(looked(1..=2, 1000, more).await, "TooLarge");
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_mailbox_that_is_renumbered_meanwhile_nothing_counts() {
        let script = r"
            C: $a UID FETCH 1:2 (UID BODY.PEEK[HEADER])
            R: * 1 FETCH (UID 1 BODY[HEADER] {15}\r\nReceived: by x\n)\r\n
            S: * OK [UIDVALIDITY 9] renumbered
            S: $a OK done
        ";
        assert!(looked(1..=2, 1000, script).await.starts_with("UidValidityChanged"));
    }
}
