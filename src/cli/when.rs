//! Times as a person reads them.

use crate::mail::Date;

/// Seconds since 1970 as `2026-11-28 03:31 UTC`.
pub(super) fn shown(seconds: u64) -> String {
    let Date { year, month, day, hour, minute } = Date::at(seconds);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_shown_as_day_and_minute() {
        assert_eq!(shown(0), "1970-01-01 00:00 UTC");
        assert_eq!(shown(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(shown(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(shown(u64::MAX), "9999-12-31 23:59 UTC");
    }
}
