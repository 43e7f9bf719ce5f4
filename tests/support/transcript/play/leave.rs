//! The end of a conversation: both sides leave, and whatever the bridge still says is too much.

use super::{Outcome, Player};
use crate::support::transcript::script::Part;
use crate::support::transcript::text::shown;

impl Player<'_> {
    /// After the last step: both sides leave, and whatever the bridge still says is too much.
    pub(super) async fn leave(&mut self) -> Outcome {
        let (apps, upstream): (Vec<Part>, Vec<Part>) =
            self.wires.keys().copied().partition(|part| matches!(part, Part::App(_)));
        for part in &apps {
            let _ = self.wire(*part)?.finish().await;
        }
        self.heard_out(&apps).await?;
        self.stopping.cancel();
        self.heard_out(&upstream).await
    }

    /// Waits until these connections have ended, and asserts that nothing was left unsaid on them.
    async fn heard_out(&mut self, parts: &[Part]) -> Outcome {
        loop {
            let upstream: Vec<Part> =
                self.wires.keys().copied().filter(|part| matches!(part, Part::Upstream(_))).collect();
            for part in upstream {
                self.take_leave(part).await?;
            }
            let mut ended = true;
            for part in parts {
                let wire = self.wire(*part)?;
                ended &= wire.end().is_some();
                if !wire.heard().is_empty() && (wire.end().is_some() || matches!(part, Part::App(_))) {
                    return Err(format!("{part:?} heard {}", shown(wire.heard())));
                }
            }
            if ended {
                return Ok(());
            }
            self.listen().await?;
        }
    }

    /// A bridge may say good-bye to upstream when the app has gone.
    async fn take_leave(&mut self, part: Part) -> Outcome {
        let Some(line) = self.wire(part)?.peek_line().map(|line| String::from_utf8_lossy(line).into_owned())
        else {
            return Ok(());
        };
        let answer = match line.split_once(' ') {
            Some((tag, "LOGOUT")) => format!("* BYE\r\n{tag} OK bye\r\n"),
            None if line == "QUIT" => "221 bye\r\n".to_owned(),
            None if line == "DONE" => String::new(),
            _ => return Ok(()),
        };
        let wire = self.wire(part)?;
        wire.take_line();
        // It may not wait for an answer, and it need not.
        let _ = wire.send(answer.as_bytes()).await;
        Ok(())
    }
}
