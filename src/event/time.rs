//! Points in time.

use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The wall clock's time.
    ///
    /// For sources, once a chunk: the stages after them take time as an argument.
    #[must_use]
    #[expect(clippy::disallowed_types, reason = "the one place that reads the wall clock")]
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// The time so long before it.
    #[must_use]
    pub fn before(self, age: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)))
    }

    /// RFC 3339 in UTC with milliseconds, such as `2026-11-22T01:02:03.004Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        Clockface::default().show(self).iter().copied().map(char::from).collect()
    }

    /// Reads what [`Timestamp::to_rfc3339`] writes, and no other form.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = text.get(from..to)?;
            let all = digits.bytes().all(|byte| byte.is_ascii_digit());
            if all { digits.parse().ok() } else { None }
        };
        let [year, month, day] = [number(0, 4)?, number(5, 7)?, number(8, 10)?];
        let [hour, minute, second, ms] = [number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?];
        let whole = days(year, month, day).saturating_mul(86_400_000);
        let time = Self(whole + hour * 3_600_000 + minute * 60_000 + second * 1000 + ms);
        // Written again it is the same text only if every mark stood in its place and no number was out of its range.
        (time.to_rfc3339() == text).then_some(time)
    }

    /// Reads a time in any form of RFC 3339, such as `2026-11-22T01:02:03.004Z` or `2026-11-22 02:02:03+01:00`, to the millisecond.
    #[must_use]
    pub fn from_any_rfc3339(text: &str) -> Option<Self> {
        any_rfc3339(text)
    }
}

/// A time's text, made anew only where it differs from that of the time shown before: in a log, mostly the milliseconds.
#[derive(Clone, Debug)]
pub struct Clockface {
    /// The second since 1970 that `text` shows.
    second: i64,
    text: [u8; Self::LEN],
}

impl Default for Clockface {
    fn default() -> Self {
        Self { second: 0, text: *b"1970-01-01T00:00:00.000Z" }
    }
}

impl Clockface {
    /// The length of a time's text in bytes.
    pub const LEN: usize = 24;

    /// RFC 3339 in UTC with milliseconds, such as `2026-11-22T01:02:03.004Z`.
    pub fn show(&mut self, time: Timestamp) -> &[u8; Self::LEN] {
        let second = time.0.div_euclid(1_000);
        if second != self.second {
            self.turn_to(second);
        }
        let [.., hundreds, tens, ones, _] = &mut self.text;
        digits([hundreds, tens, ones], time.0.rem_euclid(1_000));
        &self.text
    }

    fn turn_to(&mut self, second: i64) {
        let [y0, y1, y2, y3, _, mo0, mo1, _, d0, d1, _, h0, h1, _, mi0, mi1, _, s0, s1, ..] = &mut self.text;
        let day = second.div_euclid(DAY);
        if day != self.second.div_euclid(DAY) {
            let (year, month, day) = civil(day);
            digits([y0, y1, y2, y3], year);
            digits([mo0, mo1], month);
            digits([d0, d1], day);
        }
        let of_day = second.rem_euclid(DAY);
        digits([h0, h1], of_day / 3_600);
        digits([mi0, mi1], of_day / 60 % 60);
        digits([s0, s1], of_day % 60);
        self.second = second;
    }
}

/// Seconds of a day.
const DAY: i64 = 86_400;

fn digits<const PLACES: usize>(places: [&mut u8; PLACES], mut value: i64) {
    for place in places.into_iter().rev() {
        *place = b'0'.saturating_add(u8::try_from(value % 10).unwrap_or(0));
        value /= 10;
    }
}

/// The year, month and day of a number of days since 1970-01-01, in the Gregorian calendar; years are kept within 0 to 9999.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, so that a leap day is the last of its year.
    let days = days.clamp(-719_528, 2_932_896) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The days from 1970-01-01 to a date; the reverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn any_rfc3339(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let days = day(date)?;
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(zone_at)?;
    let local = milliseconds(clock)?;
    let offset = offset_minutes(zone)?;
    let total = days.checked_mul(86_400_000)?.checked_add(local)?.checked_sub(offset.checked_mul(60_000)?)?;
    Some(Timestamp(total))
}

/// Days since 1970-01-01 of `2026-11-22`.
fn day(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(days(year, month, day))
}

fn milliseconds(clock: &str) -> Option<i64> {
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = whole.split(':');
    let (hour, minute, second) =
        (number(parts.next()?, 2)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut thousandths = 0;
    for place in 0..3 {
        let digit = fraction.chars().nth(place).map_or(Some(0), |c| c.to_digit(10))?;
        thousandths = thousandths * 10 + i64::from(digit);
    }
    Some(((hour * 60 + minute) * 60 + second) * 1_000 + thousandths)
}

fn offset_minutes(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return (zone.len() == 1).then_some(0),
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    Some(sign * (number(hours, 2)? * 60 + number(minutes, 2)?))
}

fn number(digits: &str, len: usize) -> Option<i64> {
    let plain = digits.len() == len && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_time(ms: i64, expected: &str) {
        assert_eq!(Timestamp(ms).to_rfc3339(), expected);
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        check_time(0, "1970-01-01T00:00:00.000Z");
        check_time(-1, "1969-12-31T23:59:59.999Z");
        check_time(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check_time(1_795_309_323_004, "2026-11-22T01:02:03.004Z");
        check_time(i64::MAX, "9999-12-31T07:12:55.807Z");
    }

    #[track_caller]
    fn check_any(text: &str, expected: Option<i64>) {
        assert_eq!(Timestamp::from_any_rfc3339(text), expected.map(Timestamp), "{text}");
    }

    #[test]
    fn a_time_of_another_form_is_read_to_the_millisecond() {
        check_any("1970-01-01T00:00:00Z", Some(0));
        check_any("2000-02-29T12:00:00Z", Some(951_825_600_000));
        check_any("2023-07-10T11:42:36Z", Some(1_688_989_356_000));
        check_any("2016-10-06T00:17:09.669794202Z", Some(1_475_713_029_669));
        check_any("2016-10-06T02:17:09.6+02:00", Some(1_475_713_029_600));
        check_any("1969-12-31T23:59:59.999Z", Some(-1));
    }

    #[test]
    fn what_is_not_a_time_of_any_form_is_none() {
        for text in [
            "",
            "2023",
            "2023-07-10",
            "2023-13-10T00:00:00Z",
            "2023-07-10T00:00:00",
            "2023-07-10T0:0:0Z",
            "x",
        ] {
            check_any(text, None);
        }
    }

    proptest! {
        #[test]
        fn a_time_is_shown_alike_whatever_was_shown_before(times in prop::collection::vec((-3_i64..3, 0_i64..200_000_000), 1..20)) {
            let mut face = Clockface::default();
            for (span, rest) in times {
                let time = Timestamp(span * 86_400_000 * 10_000 + rest);
                prop_assert_eq!(String::from_utf8_lossy(face.show(time)), time.to_rfc3339());
            }
        }

        #[test]
        fn what_is_written_is_read_back(ms in -62_167_219_200_000_i64..253_402_300_799_999) {
            let time = Timestamp(ms);
            prop_assert_eq!(Timestamp::from_rfc3339(&time.to_rfc3339()), Some(time));
        }

        #[test]
        fn no_other_text_is_a_time(text in ".{0,30}|[0-9T:.Z-]{24}") {
            if let Some(time) = Timestamp::from_rfc3339(&text) {
                prop_assert_eq!(time.to_rfc3339(), text);
            }
        }
    }
}
