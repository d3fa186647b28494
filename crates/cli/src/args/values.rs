//! Parses the values of options. The texts of their errors say what is expected, because those of the standard library,
//! such as "invalid digit found in string", do not.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use faasflow_core::RequestId;

/// Parses a text, or says what was expected.
fn parsed<T: FromStr>(text: &str, expected: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("expected {expected}"))
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    parsed(text, "the number of a port, from 0 to 65535")
}

pub(super) fn ip_address(text: &str) -> Result<IpAddr, String> {
    parsed(text, "an IP address, such as 127.0.0.1, or 0.0.0.0 for all IPv4 addresses of this machine")
}

pub(super) fn method(text: &str) -> Result<http::Method, String> {
    parsed(text, "an HTTP method, such as GET or PUT")
}

/// A number of at least 1.
pub(super) fn count<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    let expected = "a whole number of at least 1";
    let count: T = parsed(text, expected)?;
    if count >= T::from(1) { Ok(count) } else { Err(format!("expected {expected}")) }
}

/// The id of a dead letter.
pub(super) fn letter_id(text: &str) -> Result<u64, String> {
    parsed(text, "the ID of a dead letter, which is a number: `faasflow queue dead-letters` lists them")
}

/// How many per second.
pub(super) fn per_second(text: &str) -> Result<NonZeroU32, String> {
    parsed(text, "a whole number of at least 1")
}

/// Where a redrive starts: `failed`, or the number of a phase.
pub(super) fn from(text: &str) -> Result<String, String> {
    let is_phase = text.parse::<u32>().is_ok_and(|phase| phase > 0);
    if text == "failed" || is_phase {
        return Ok(text.to_owned());
    }
    Err("expected `failed` or the number of a phase, from 1".to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    faasflow_core::duration::parse(text).map_err(|error| format!("{error}: {}", error.help()))
}

/// A size in bytes, above 0.
pub(super) fn limit(text: &str) -> Result<u64, String> {
    match faasflow_core::size::parse(text)? {
        0 => Err("a limit of 0 would refuse every body".to_owned()),
        size => Ok(size),
    }
}

/// The address of a gateway, which may have no password.
pub(super) fn address(text: &str) -> Result<String, String> {
    match faasflow_core::parse_url(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}: {}", error.help())),
    }
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    // A header may also be written as for curl, `NAME: VALUE`.
    let split = text.split_once('=').or_else(|| text.split_once(':'));
    let (key, value) = split.ok_or("expected KEY=VALUE")?;
    if key.trim().is_empty() {
        return Err("the key is empty".to_owned());
    }
    Ok((key.trim().to_owned(), value.trim_start().to_owned()))
}

pub(super) fn request_id(text: &str) -> Result<RequestId, String> {
    RequestId::parse(text).ok_or_else(|| format!("a request ID has {}", RequestId::FORM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_cannot_be_parsed_say_what_is_expected() {
        assert_eq!(port("80x").unwrap_err(), "expected the number of a port, from 0 to 65535");
        assert_eq!(port("99999").unwrap_err(), "expected the number of a port, from 0 to 65535");
        for text in ["0", "-1", "x", "", "1.5", "4294967296"] {
            assert_eq!(count::<u32>(text).unwrap_err(), "expected a whole number of at least 1", "{text}");
        }
        assert_eq!(count::<u32>("7"), Ok(7));
        assert_eq!(count::<usize>("7"), Ok(7));
    }
}
