//! Which messages are new enough to be shown: `[account.pop3] recent`.
//!
//! Upstream tells, by the day its INTERNALDATE falls on (RFC 3501 §6.4.4 SINCE), whose time zone is upstream's own: one
//! day more than was asked for is shown, so that none is missing anywhere on earth. The border moves at midnight UTC
//! only. What is not shown has no number, so no app can delete it; its unique-id is the same when it is shown again.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Listing, Mailbox};
use crate::mail::Date;
use crate::upstream::UpstreamError;

const DAY: u64 = 24 * 60 * 60;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Mailbox {
    /// The listing without what is too old to be shown; costs a round trip where not all is shown.
    ///
    /// # Errors
    /// A search that was refused is one: neither all nor nothing would be what was asked for.
    pub(super) async fn recent(&mut self, mut listing: Listing) -> Result<Listing, UpstreamError> {
        let Some(days) = self.account.pop3.recent.filter(|_| !listing.messages.is_empty()) else {
            return Ok(listing);
        };
        let since = format!("SINCE {}", since(SystemTime::now(), days));
        let mut found = self.search(&listing.messages, &since).await?;
        found.sort_unstable();
        listing.messages.retain(|message| found.binary_search(&message.uid).is_ok());
        listing.messages.shrink_to_fit();
        Ok(listing)
    }
}

/// The day, as RFC 3501 writes it, that is so many days and one before `now`.
fn since(now: SystemTime, days: u32) -> String {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(Date::LAST);
    let Date { year, month, day, .. } = Date::at(now.saturating_sub((u64::from(days) + 1) * DAY));
    let month = MONTHS.get(usize::from(month).saturating_sub(1)).copied().unwrap_or_default();
    format!("{day}-{month}-{year}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rfc3501_9_the_date_is_one_day_earlier_than_was_asked_for() {
        let since = |seconds, days| since(UNIX_EPOCH + Duration::from_secs(seconds), days);
        assert_eq!(since(1_795_824_000 - 1, 1), "25-Nov-2026"); // 27 November, a second before midnight
        assert_eq!(since(1_795_824_000, 1), "26-Nov-2026");
        assert_eq!(since(1_795_824_000, 30), "28-Oct-2026");
        assert_eq!(since(951_868_800, 1), "28-Feb-2000"); // 1 March
        assert_eq!(since(1_709_251_200, 1), "28-Feb-2024"); // 1 March
        assert_eq!(since(1_735_689_600, 1), "30-Dec-2024"); // 1 January
        assert_eq!(since(1_735_689_600, 367), "30-Dec-2023");
        assert_eq!(since(0, 30), "1-Jan-1970");
        assert_eq!(since(u64::MAX >> 8, 1), "29-Dec-9999");
    }
}
