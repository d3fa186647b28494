//! Parses settings. Each error says which values are accepted.

use std::time::Duration;

use faasflow_core::{Method, duration, parse_url, size};
use http::Uri;

use super::records_mode::RecordsMode;
use crate::log::{self, FilterFault, LogFormat};

/// Longer than any timeout that somebody means, and shorter than what a clock can count.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" | "yes" | "on" => Ok(true),
        "false" | "0" | "f" | "no" | "off" => Ok(false),
        _ => Err("write `true` or `false`".to_owned()),
    }
}

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let parsed = duration::parse(text)
        .map_err(|_| "write a duration such as `10s`, `1m30s` or `250ms`, or a number of seconds".to_owned())?;
    if parsed.is_zero() {
        Err("write a time above 0: with 0, every request would fail".to_owned())
    } else if parsed > LONGEST {
        Err("write at most a year, `8760h`".to_owned())
    } else {
        Ok(parsed)
    }
}

/// Unlike a timeout, the drain time may be 0: the flow then stops accepting requests at once.
pub(super) fn drain_time(text: &str) -> Result<Duration, String> {
    let parsed = duration::parse(text)
        .map_err(|_| "write a duration such as `3s` or `500ms`, or a number of seconds; 0 does not wait".to_owned())?;
    if parsed > LONGEST { Err("write at most a year, `8760h`".to_owned()) } else { Ok(parsed) }
}

/// How long ended requests are remembered.
pub(super) fn keep_records(text: &str) -> Result<Duration, String> {
    let parsed = duration::parse(text)
        .map_err(|_| "write a duration such as `24h` or `90m`, or a number of seconds".to_owned())?;
    if parsed < Duration::from_secs(1) {
        Err("write at least `1s`; to remember nothing, set `records=off`".to_owned())
    } else if parsed > LONGEST {
        Err("write at most a year, `8760h`".to_owned())
    } else {
        Ok(parsed)
    }
}

pub(super) fn records(text: &str) -> Result<RecordsMode, String> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(RecordsMode::Auto),
        "on" => Ok(RecordsMode::On),
        "off" => Ok(RecordsMode::Off),
        _ => Err("write `auto`, `on` or `off`".to_owned()),
    }
}

pub(super) fn method(text: &str) -> Result<Method, String> {
    let fault = || "write an HTTP method such as `POST` or `PUT`".to_owned();
    let method = Method::from_bytes(text.to_ascii_uppercase().as_bytes()).map_err(|_| fault())?;
    let known = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::GET, Method::HEAD, Method::OPTIONS];
    if known.contains(&method) { Ok(method) } else { Err(fault()) }
}

pub(super) fn bytes(text: &str) -> Result<u64, String> {
    match size::parse(text)? {
        0 => Err("write a size above 0: with 0, every body would be refused".to_owned()),
        size => Ok(size),
    }
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("write a number above 0: with 0, every request would be refused".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("write a number such as `1000`".to_owned()),
    }
}

pub(super) fn items(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("write a number above 0: with 0, every for-each would fail".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("write a number such as `10000`".to_owned()),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text.to_ascii_lowercase().as_str() {
        "line" | "text" => Ok(LogFormat::Line),
        "json" => Ok(LogFormat::Json),
        _ => Err("write `line` or `json`".to_owned()),
    }
}

/// Checks the value of `RUST_LOG` and returns it unchanged.
pub(super) fn log_filter(text: &str) -> Result<String, FilterFault> {
    // An empty filter is the default, which depends on other settings.
    if text.is_empty() { Ok(String::new()) } else { log::targets(text).map(|_| text.to_owned()) }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "write a port number from 0 to 65535; 0 picks a free one".to_owned())
}

/// The address of a server. The scheme is optional, and there must be no path.
pub(super) fn base_url(text: &str) -> Result<Uri, String> {
    let accepted = "write the address of the gateway, such as `gateway:8080` or `https://gateway.example.com`";
    let uri = parse_url(text).map_err(|_| accepted.to_owned())?;
    let bare = uri.path().trim_end_matches('/').is_empty() && uri.query().is_none();
    if bare { Ok(uri) } else { Err(format!("{accepted}, without a path")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("256000"), Ok(256_000));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("1 MB"), Ok(1_000_000));
        for text in ["", "MiB", "-1", "1.5MB", "99999999999GiB", "0", "1 parsec"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn timeouts() {
        assert_eq!(timeout("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(timeout("8760h"), Ok(LONGEST));
        for text in ["", "soon", "0", "0s", "-1s", "8761h", "18446744073709551615"] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }

    #[test]
    fn retentions() {
        assert_eq!(keep_records("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(keep_records("24h"), Ok(Duration::from_secs(86_400)));
        for text in ["0", "0s", "off", "-1", "876000h", "100y", ""] {
            assert!(keep_records(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(base_url("gateway:8080").unwrap().to_string(), "http://gateway:8080/");
        assert_eq!(base_url("https://g.example").unwrap().to_string(), "https://g.example/");
        assert_eq!(base_url("http://127.0.0.1:8080/").unwrap().port_u16(), Some(8080));
        for text in ["gateway:80 80", "ftp://x", "http://", "gateway/path", "http://u:p@x"] {
            assert!(base_url(text).is_err(), "{text}");
        }
    }
}
