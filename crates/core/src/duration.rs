//! Durations in the notation of Go, which OpenFaaS uses: `10s`, `1m30s`, `250ms`, `1.5h`.

use std::time::Duration;

/// Parses a Go duration, or a bare number of seconds.
///
/// Units are `ns`, `us` (or `µs`), `ms`, `s`, `m` and `h`; each number may have a fraction. The format is that of Go's
/// `time.ParseDuration`, without the sign, because no setting here may be negative.
///
/// # Errors
///
/// If the text is empty, has an unknown or missing unit, or exceeds what a [`Duration`] can hold.
///
/// ```
/// use std::time::Duration;
/// use faasflow_core::duration::parse;
///
/// assert_eq!(parse("1m30s").unwrap(), Duration::from_secs(90));
/// assert_eq!(parse("45").unwrap(), Duration::from_secs(45));
/// assert!(parse("soon").is_err());
/// ```
pub fn parse(text: &str) -> Result<Duration, ParseDurationError> {
    let fault = || ParseDurationError(text.to_owned());
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(fault());
    }
    if let Ok(seconds) = rest.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fault)?;
        let number: f64 = rest[..digits].parse().map_err(|_| fault())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(fault()),
        };
        let part = Duration::try_from_secs_f64(number * unit).map_err(|_| fault())?;
        total = total.checked_add(part).ok_or_else(fault)?;
        rest = &rest[letters..];
    }
    Ok(total)
}

/// Formats a duration so that [`parse`] can read it, in the largest units that keep it exact to the nanosecond.
#[must_use]
pub fn format(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let mut text = String::new();
    for (value, unit) in [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")] {
        if value > 0 {
            text.push_str(&format!("{value}{unit}"));
        }
    }
    for (value, unit) in [(nanos / 1_000_000, "ms"), (nanos / 1000 % 1000, "us"), (nanos % 1000, "ns")] {
        if value > 0 {
            text.push_str(&format!("{value}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The error of a text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration")]
pub struct ParseDurationError(String);

impl ParseDurationError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        "write a number and a unit, like `10s`, `1m30s` or `250ms`, or seconds alone"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        for (text, expected) in [
            ("10s", Duration::from_secs(10)),
            ("1m30s", Duration::from_secs(90)),
            ("1.5h", Duration::from_secs(5400)),
            ("250ms", Duration::from_millis(250)),
            ("7us", Duration::from_micros(7)),
            ("0", Duration::ZERO),
            ("90", Duration::from_secs(90)),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        for text in ["", "s", "-3s", "3 s", "1d", "1..2s", "10s4", "9999999999999999999999h", "ten"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_formatted_duration_can_be_parsed() {
        for nanos in [0, 1, 999, 1_000, 60_000_000_000, 3_661_001_002_003] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(parse(&format(duration)).unwrap(), duration, "{}", format(duration));
        }
    }
}
