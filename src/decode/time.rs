//! Times as `CloudTrail`, Docker and CRI write them: RFC 3339.

use crate::event::Timestamp;

/// Parses `2026-11-22T01:02:03.004Z` and its kin, to the millisecond.
pub(crate) fn rfc3339(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let days = days(date)?;
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(zone_at)?;
    let local = milliseconds(clock)?;
    let offset = offset_minutes(zone)?;
    let total = days.checked_mul(86_400_000)?.checked_add(local)?.checked_sub(offset.checked_mul(60_000)?)?;
    Some(Timestamp(total))
}

/// Days since 1970-01-01, by counting years from March so that the leap day comes last.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let era_years = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era_years * 146_097 + day_of_era - 719_468)
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
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(rfc3339(text), expected.map(Timestamp), "{text}");
    }

    #[test]
    fn a_time_is_read_to_the_millisecond() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T12:00:00Z", Some(951_825_600_000));
        check("2023-07-10T11:42:36Z", Some(1_688_989_356_000));
        check("2016-10-06T00:17:09.669794202Z", Some(1_475_713_029_669));
        check("2016-10-06T02:17:09.6+02:00", Some(1_475_713_029_600));
        check("1969-12-31T23:59:59.999Z", Some(-1));
    }

    #[test]
    fn what_is_not_a_time_is_none() {
        for text in [
            "",
            "2023",
            "2023-07-10",
            "2023-13-10T00:00:00Z",
            "2023-07-10T00:00:00",
            "2023-07-10T0:0:0Z",
            "x",
        ] {
            check(text, None);
        }
    }
}
