//! Times as text.

/// Milliseconds since 1970, as RFC 3339 writes them. Days to a date by the algorithm of H. Hinnant
/// ("chrono-compatible low-level date algorithms").
pub(crate) fn written(unix_ms: u64) -> String {
    let (seconds, millis) = (unix_ms / 1000, unix_ms % 1000);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Milliseconds since 1970 of a time as RFC 3339 writes it, or as Go shows one, such as
/// `2026-08-01 12:00:00.5 +0200 CEST m=+0.1`. What is before 1970 is 0.
pub(crate) fn read(text: &str) -> Option<u64> {
    let text = text.trim();
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = (rest.get(..8)?, rest.get(8..)?);
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let longest = match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // A leap second is the last one of its minute here.
    if !(1..=longest).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (millis, zone) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let digits = rest.get(..end).filter(|digits| !digits.is_empty())?;
            (format!("{digits:0<3}").get(..3)?.parse().ok()?, &rest[end..])
        }
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second.min(59) - offset(zone)?;
    Some(u64::try_from(seconds * 1000 + millis).unwrap_or(0))
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
    let parts: Vec<i64> = text.split(between).map(digits).collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// How many seconds a zone is ahead. The `+` of a query that was not escaped arrives as a space.
fn offset(zone: &str) -> Option<i64> {
    // Go tells the name of the zone and its own clock after it.
    let bare = zone.trim_start();
    let (first, further) = bare.split_once(' ').unwrap_or((bare, ""));
    if matches!(first, "Z" | "z") && zone == bare && further.is_empty() {
        return Some(0);
    }
    let (sign, digits) = match (first.strip_prefix('+'), first.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (-1, digits),
        _ if zone != bare => (1, first),
        _ => return None,
    };
    let digits = digits.replacen(':', "", 1);
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days from 1970 to a date, by the same work.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for time in [0, 5, 951_827_696_000, 1_709_164_800_123, 1_798_761_599_999] {
            assert_eq!(read(&written(time)), Some(time));
        }
        for text in [
            "2000-02-29T12:34:56Z",
            "2000-02-29t12:34:56z",
            "2000-02-29T14:34:56+02:00",
            "2000-02-29T14:34:56 02:00",
            "2000-02-29T04:04:56-08:30",
            "2000-02-29 12:34:56.000000001 +0000 UTC",
            "2000-02-29 14:34:56 +0200 CEST m=+0.012",
            "2000-02-29 14:34:56  0200 CEST m= 0.012",
        ] {
            assert_eq!(read(text), Some(951_827_696_000), "{text}");
        }
        assert_eq!((read("1970-01-01T00:00:00.5Z"), read("1969-12-31T00:00:00Z")), (Some(500), Some(0)));
        for text in [
            "",
            "5m",
            "2000-02-29",
            "2000-02-29T12:34:56",
            "2001-02-29T12:34:56Z",
            "2000-13-01T00:00:00Z",
            "2000-02-29T24:00:00Z",
            "2000-02-29T12:34:56.Z",
            "2000-02-29T12:34:56 Z",
            "2000-02-29T12:34:56+2",
            "2000-02-+9T12:34:56Z",
            "2000-02-29T12:34:5éZ",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(written(5), "1970-01-01T00:00:00.005Z");
        assert_eq!(written(951_827_696_000), "2000-02-29T12:34:56.000Z");
        assert_eq!(written(1_798_761_599_999), "2026-12-31T23:59:59.999Z");
    }
}
