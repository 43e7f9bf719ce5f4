//! What the bridge says: waited for on every connection at once, and answered by rule where a rule applies.

use std::collections::BTreeMap;

use futures_util::future::select_all;

use super::{Outcome, Player};
use crate::support::transcript::script::Part;
use crate::support::transcript::text::{Text, shown};
use crate::support::wire::Wire;

impl Player<'_> {
    pub(super) async fn hear(&mut self, part: Part, text: &Text) -> Outcome {
        self.open(part).await?;
        if let (Part::Upstream(_), Some(tag)) = (part, text.tag()) {
            // A tag at the beginning is a new one each time.
            self.variables.remove(tag);
        }
        loop {
            if let Some(line) = self.wire(part)?.peek_line().map(<[u8]>::to_vec) {
                if text.matches(&line, &mut self.variables) {
                    self.note(part, false, &[line.as_slice(), b"\r\n"].concat());
                    self.wire(part)?.take_line();
                    return Ok(());
                }
                if !self.answer(part).await? {
                    return Err(format!("expected {text:?}, heard {}", shown(&line)));
                }
                continue;
            }
            if let Some(end) = self.wire(part)?.end() {
                return Err(format!("expected {text:?}, heard the end ({end:?}); {}", self.unread()));
            }
            self.listen().await?;
        }
    }

    pub(super) async fn hear_many(&mut self, part: Part, text: &Text) -> Outcome {
        self.open(part).await?;
        loop {
            match self.wire(part)?.peek_line().map(<[u8]>::to_vec) {
                Some(line) if text.matches(&line, &mut self.variables) => {
                    self.note(part, false, &[line.as_slice(), b"\r\n"].concat());
                    self.wire(part)?.take_line();
                }
                Some(_) => return Ok(()),
                None if self.wire(part)?.end().is_some() => return Ok(()),
                None => self.listen().await?,
            }
        }
    }

    pub(super) async fn hear_octets(&mut self, part: Part, octets: &[u8]) -> Outcome {
        self.open(part).await?;
        loop {
            let wire = self.wire(part)?;
            let common = wire.heard().len().min(octets.len());
            if wire.heard()[..common] != octets[..common] {
                return Err(format!("expected {}, heard {}", shown(octets), shown(wire.heard())));
            }
            if wire.take(octets.len()).is_some() {
                self.note(part, false, octets);
                return Ok(());
            }
            if wire.end().is_some() {
                return Err(format!(
                    "expected {}, heard the end after {}",
                    shown(octets),
                    shown(wire.heard())
                ));
            }
            self.listen().await?;
        }
    }

    pub(super) async fn closed(&mut self, part: Part, anything: bool) -> Outcome {
        self.open(part).await?;
        loop {
            if !anything && !self.wire(part)?.heard().is_empty() && !self.answer(part).await? {
                return Err(format!("expected the end, heard {}", shown(self.wire(part)?.heard())));
            }
            if self.wire(part)?.end().is_some() {
                self.note(part, false, b"<closed>");
                self.wires.remove(&part);
                return Ok(());
            }
            self.listen().await?;
        }
    }

    /// Answers by rule where a rule applies, then waits for something to be heard.
    pub(super) async fn listen(&mut self) -> Outcome {
        let upstream: Vec<Part> =
            self.wires.keys().copied().filter(|part| matches!(part, Part::Upstream(_))).collect();
        for part in upstream {
            if self.answer(part).await? {
                return Ok(());
            }
        }
        fill_any(&mut self.wires).await;
        Ok(())
    }

    /// Whether a rule answered the first line of this connection.
    async fn answer(&mut self, part: Part) -> Result<bool, String> {
        let Some(line) = self.wire(part)?.peek_line().map(<[u8]>::to_vec) else {
            return Ok(false);
        };
        let script = self.script;
        for rule in &script.rules {
            // A rule's own variables are forgotten with the answer.
            let mut variables = self.variables.clone();
            if let Some(tag) = rule.heard.tag() {
                variables.remove(tag);
            }
            if matches!(part, Part::Upstream(_)) && rule.heard.matches(&line, &mut variables) {
                self.wire(part)?.take_line();
                self.note(part, false, &[line.as_slice(), b"\r\n"].concat());
                let mut octets = Vec::new();
                for answer in &rule.answers {
                    octets.extend(answer.render(&variables)?);
                    octets.extend(b"\r\n");
                }
                Box::pin(self.say(part, &octets)).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Waits until any connection that has not ended has more.
pub(super) async fn fill_any(wires: &mut BTreeMap<Part, Wire>) {
    let open: Vec<_> =
        wires.values_mut().filter(|wire| wire.end().is_none()).map(|wire| Box::pin(wire.fill())).collect();
    if open.is_empty() {
        std::future::pending::<()>().await;
    }
    select_all(open).await;
}
