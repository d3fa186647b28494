//! Times as text.

use jiff::Timestamp;

/// Milliseconds since 1970, as RFC 3339 writes them. A time later than the year 9999 is written as its last moment.
pub(crate) fn written(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or(Timestamp::MAX))
}

/// Milliseconds since 1970 of a time as RFC 3339 writes it, or as Go shows one, such as
/// `2026-08-01 12:00:00.5 +0200 CEST m=+0.1`. What is before 1970 is 0.
pub(crate) fn read(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    let first = words.next()?;
    // The date may stand apart from the time, and the zone from both. Go writes the name of the zone and its own clock
    // after that.
    let mut time = first.to_owned();
    if !first.contains(['T', 't']) {
        time = format!("{time}T{}", words.next()?);
    }
    if let Some(zone) = words.next() {
        // The `+` of a query that was not escaped arrives as a space.
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
