//! Instants as the language writes them, to and from milliseconds. No clock: what the time is comes with an event.

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(crate) type Millis = i64;

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;
const NANOS: i64 = 1_000_000_000;

/// Reads `2016-03-14T01:59:00Z`: RFC 3339 with an offset, as `java.time`'s ISO-8601 extended offset date-time does.
/// Seconds may be missing, and have up to nine digits of fraction. Gives nanoseconds since 1970.
pub(crate) fn parse(text: &str) -> Option<i128> {
    let mut at = Scan { text: text.as_bytes(), place: 0 };
    let (year, month, day) = (at.digits(4)?, at.after(b'-')?.digits(2)?, at.after(b'-')?.digits(2)?);
    let (hour, minute) = (at.after(b'T')?.digits(2)?, at.after(b':')?.digits(2)?);
    let (mut second, mut nanos) = (0, 0);
    if at.eat(b':') {
        second = at.digits(2)?;
        if at.eat(b'.') {
            nanos = at.fraction()?;
        }
    }
    let offset = match at.next()? {
        b'Z' => 0,
        sign @ (b'+' | b'-') => {
            let (hours, minutes) = (at.digits(2)?, at.after(b':')?.digits(2)?);
            if hours > 18 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * MINUTE) * if sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let in_month = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if at.place != text.len() || !in_month || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * MINUTE + second - offset;
    Some(i128::from(seconds) * i128::from(NANOS) + i128::from(nanos))
}

/// Writes `2026-12-01T03:43:14.000Z`, as the context object does.
pub(crate) fn format(at: Millis) -> String {
    let (days, rest) = (at.div_euclid(DAY * 1000), at.rem_euclid(DAY * 1000));
    let (year, month, day) = civil_from_days(days);
    let (second, milli) = (rest / 1000, rest % 1000);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

struct Scan<'t> {
    text: &'t [u8],
    place: usize,
}

impl Scan<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.text.get(self.place)?;
        self.place += 1;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.text.get(self.place) == Some(&byte);
        self.place += usize::from(found);
        found
    }

    fn after(&mut self, byte: u8) -> Option<&mut Self> {
        self.eat(byte).then_some(self)
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        (0..count).try_fold(0, |sum, _| {
            let byte = self.next()?;
            byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
        })
    }

    fn fraction(&mut self) -> Option<i64> {
        let (mut nanos, mut unit, mut seen) = (0, NANOS, 0);
        while let Some(byte) = self.text.get(self.place).filter(|byte| byte.is_ascii_digit()) {
            (unit, seen) = (unit / 10, seen + 1);
            nanos += i64::from(byte - b'0') * unit;
            self.place += 1;
        }
        (1..=9).contains(&seen).then_some(nanos)
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant's algorithm: days since 1970-01-01 in the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_needs_a_date_that_exists_a_t_and_an_offset() {
        let check =
            |text: &str, seconds: Option<i128>| assert_eq!(parse(text), seconds.map(|s| s * 1_000_000_000), "{text}");
        check("1970-01-01T00:00:00Z", Some(0));
        check("2016-03-14T01:59:00Z", Some(1_457_920_740));
        check("2016-03-14T01:59Z", Some(1_457_920_740));
        check("2016-03-14T02:59:00+01:00", Some(1_457_920_740));
        check("2024-02-29T00:00:00Z", Some(1_709_164_800));
        for refused in
            ["2016-03-14T01:59:00", "2016-03-14 01:59:00Z", "2016-13-05T21:29:29Z", "2023-02-29T00:00:00Z", ""]
        {
            check(refused, None);
        }
        assert_eq!(parse("1970-01-01T00:00:00.000000001Z"), Some(1));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for at in [0, 1_457_920_740_123, -1, 4_102_444_799_999] {
            assert_eq!(parse(&format(at)), Some(i128::from(at) * 1_000_000), "{}", format(at));
        }
    }
}
