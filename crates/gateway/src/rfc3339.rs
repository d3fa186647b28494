//! Times as text, in RFC 3339.

use jiff::Timestamp;

/// Formats milliseconds since 1970. A time after the year 9999 is written as the last moment of that year.
pub(crate) fn format(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or(Timestamp::MAX))
}

/// Parses a time in RFC 3339, or as Go prints it, such as `2026-08-01 12:00:00.5 +0200 CEST m=+0.1`. Returns milliseconds since 1970,
/// and 0 for earlier times.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    let first = words.next()?;
    // There may be spaces between date, time and zone. Go writes the name of the zone and the monotonic clock after them.
    let mut time = first.to_owned();
    if !first.contains(['T', 't']) {
        time = format!("{time}T{}", words.next()?);
    }
    if let Some(zone) = words.next() {
        // An unescaped `+` in a query arrives as a space.
        let sign = if zone.starts_with(['+', '-']) { "" } else { "+" };
        time = format!("{time}{sign}{zone}");
    }
    let time: Timestamp = time.parse().ok()?;
    Some(u64::try_from(time.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_parsed_as_they_are_formatted() {
        for time in [0, 5, 951_827_696_000, 1_709_164_800_123, 1_798_761_599_999] {
            assert_eq!(parse(&format(time)), Some(time));
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
            assert_eq!(parse(text), Some(951_827_696_000), "{text}");
        }
        assert_eq!((parse("1970-01-01T00:00:00.5Z"), parse("1969-12-31T00:00:00Z")), (Some(500), Some(0)));
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
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_formatted_in_rfc_3339() {
        assert_eq!(format(5), "1970-01-01T00:00:00.005Z");
        assert_eq!(format(951_827_696_000), "2000-02-29T12:34:56.000Z");
        assert_eq!(format(1_798_761_599_999), "2026-12-31T23:59:59.999Z");
    }
}
