//! Moments: nanoseconds since 1970, within the years 1 to 9999 in UTC. Calendar and zones are jiff's; its own timestamps
//! end a day before the last one that CEL has, and `9999-12-31T23:59:59Z` is what people write for "never".

use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

const SECOND: i128 = 1_000_000_000;
const FIRST_SECOND: i128 = -62_135_596_800;
const LAST_SECOND: i128 = 253_402_300_799;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    nanoseconds: i128,
}

fn epoch() -> DateTime {
    Date::constant(1970, 1, 1).to_datetime(jiff::civil::Time::midnight())
}

impl Moment {
    /// `None` outside the years 1 to 9999.
    pub fn from_nanoseconds(nanoseconds: i128) -> Option<Self> {
        let seconds = nanoseconds.div_euclid(SECOND);
        (FIRST_SECOND..=LAST_SECOND)
            .contains(&seconds)
            .then_some(Self { nanoseconds })
    }

    /// Since 1970.
    pub fn nanoseconds(self) -> i128 {
        self.nanoseconds
    }

    /// Since 1970; what is behind the point is cut off towards the past.
    pub(crate) fn seconds(self) -> i64 {
        i64::try_from(self.nanoseconds.div_euclid(SECOND)).unwrap_or(i64::MAX)
    }

    pub(crate) fn is_zero(self) -> bool {
        self.nanoseconds == FIRST_SECOND * SECOND
    }

    /// What a clock shows that is `offset` seconds ahead of UTC.
    pub(crate) fn from_clock(clock: DateTime, offset: i64) -> Option<Self> {
        let since = clock.duration_since(epoch()).as_nanos();
        Self::from_nanoseconds(since - i128::from(offset) * SECOND)
    }

    /// What a clock shows in the zone; `None` beyond the calendar.
    pub(crate) fn clock(self, zone: &TimeZone) -> Option<DateTime> {
        let near = self.nanoseconds.clamp(
            jiff::Timestamp::MIN.as_nanosecond(),
            jiff::Timestamp::MAX.as_nanosecond(),
        );
        let near = jiff::Timestamp::from_nanosecond(near).ok()?;
        let offset = i128::from(zone.to_offset(near).seconds()) * SECOND;
        let shown = jiff::SignedDuration::try_from_nanos_i128(self.nanoseconds + offset)?;
        epoch().checked_add(shown).ok()
    }
}

/// RFC 3339 in UTC.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.clock(&TimeZone::UTC) {
            Some(clock) => write!(f, "{clock}Z"),
            None => write!(f, "{}s", self.seconds()),
        }
    }
}
