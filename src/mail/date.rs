//! A day and a time of it, in UTC.

use std::time::Duration;

/// Of the Gregorian calendar, to the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// 1970 to 9999.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

impl Date {
    /// The last second of the year 9999; a clock beyond that is not one.
    pub const LAST: u64 = 253_402_300_799;

    /// So many seconds after the beginning of 1970; at most the end of the year 9999.
    pub fn at(seconds: u64) -> Self {
        let at = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.min(Self::LAST));
        let (hour, minute) = (at.hour(), at.minute());
        Self { year: at.year(), month: at.month().into(), day: at.day(), hour, minute }
    }
}
