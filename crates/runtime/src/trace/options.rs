//! OpenTelemetry's variables for the exporter.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::id::is_hexadecimal;

/// The service that the spans belong to, and the headers for the trace server.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// `OTEL_SERVICE_NAME`: the name of the service. By default it is the name of the flow.
    pub service: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`: other attributes of the service.
    pub attributes: Vec<(String, String)>,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: headers that are sent with each request. They may be credentials, so the log never
    /// shows them.
    pub headers: HeaderMap,
}

impl ExportOptions {
    /// The resource of all spans of the flow with this name.
    pub(super) fn resource<'a>(&'a self, flow: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        const SERVICE: &str = "service.name";
        let named = self.attributes.iter().find(|(key, _)| key == SERVICE).map(|(_, name)| name.as_str());
        let service = self.service.as_deref().or(named).unwrap_or(flow);
        let others = self.attributes.iter().filter(|(key, _)| key != SERVICE);
        [
            (SERVICE, service),
            ("telemetry.sdk.name", "faasflow"),
            ("telemetry.sdk.language", "rust"),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ]
        .into_iter()
        .chain(others.map(|(key, value)| (key.as_str(), value.as_str())))
    }

    /// Reads `OTEL_RESOURCE_ATTRIBUTES`.
    ///
    /// # Errors
    ///
    /// The accepted format, as text.
    pub fn parse_attributes(text: &str) -> Result<Vec<(String, String)>, String> {
        let accepted = || "write `name=value,name=value`, with `%2C` for a comma in a value".to_owned();
        pairs(text).ok_or_else(accepted)
    }

    /// Reads `OTEL_EXPORTER_OTLP_HEADERS`.
    ///
    /// # Errors
    ///
    /// The accepted format, as text.
    pub fn parse_headers(text: &str) -> Result<HeaderMap, String> {
        let accepted = || "write `header=value,header=value`, with `%2C` for a comma in a value".to_owned();
        let header = |(name, value): (String, String)| {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name).ok()?, value))
        };
        let headers: Option<HeaderMap> = pairs(text).ok_or_else(accepted)?.into_iter().map(header).collect();
        headers.ok_or_else(accepted)
    }
}

/// Reads `key=value,key=value` with percent escapes in the values, as in W3C Baggage.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let pair = |entry: &str| {
        let (key, value) = entry.split_once('=')?;
        (!key.trim().is_empty()).then(|| Some((key.trim().to_owned(), unescaped(value.trim())?)))?
    };
    entries.map(pair).collect()
}

/// Undoes percent escapes. `None` if the result is not UTF-8.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        // A `%` without two hexadecimal digits after it stands for itself.
        let escape = part.get(..2).filter(|digits| is_hexadecimal(digits));
        match escape.map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            _ => {
                bytes.push(b'%');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_and_headers_are_read() {
        let attributes = ExportOptions::parse_attributes("a=1, b.c = x%2Cy,,d=100%,e=%+f").unwrap();
        let expected = [("a", "1"), ("b.c", "x,y"), ("d", "100%"), ("e", "%+f")];
        assert_eq!(attributes, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let headers = ExportOptions::parse_headers("authorization=Basic%20abc==,x-tenant=7").unwrap();
        assert_eq!(
            (&headers["authorization"], &headers["x-tenant"]),
            (&"Basic abc==".parse().unwrap(), &"7".parse().unwrap())
        );
        assert!(!format!("{headers:?}").contains("abc"));
    }

    #[test]
    fn malformed_attributes_and_headers_are_refused() {
        for text in ["a", "=1", "a=%ff"] {
            assert!(ExportOptions::parse_attributes(text).is_err(), "{text}");
        }
        for text in ["a", "two words=1", "a=%0A"] {
            assert!(ExportOptions::parse_headers(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_service_name_defaults_to_the_flow() {
        let of = |options: &ExportOptions| options.resource("flow").next().map(|(_, name)| name.to_owned());
        let mut options = ExportOptions::default();
        assert_eq!(of(&options).as_deref(), Some("flow"));
        options.attributes = vec![("service.name".to_owned(), "of attributes".to_owned())];
        assert_eq!(of(&options).as_deref(), Some("of attributes"));
        options.service = Some("own".to_owned());
        assert_eq!(of(&options).as_deref(), Some("own"));
        assert_eq!(options.resource("flow").filter(|(key, _)| *key == "service.name").count(), 1);
    }
}
