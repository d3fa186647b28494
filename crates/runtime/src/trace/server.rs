//! Where traces go.

use std::fmt;

use http::Uri;

/// The setting `trace_server`: a server that takes OTLP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceServer {
    /// Whether it is spoken to by gRPC, or else by protobuf over HTTP.
    pub(super) grpc: bool,
    /// `http` or `https`, host, port and path.
    pub(super) url: Uri,
}

impl TraceServer {
    /// Reads `HOST:PORT`, which is spoken to by gRPC, as is `grpc://…` and, with TLS, `grpcs://…`; or a URL with `http` or
    /// `https`, which gets OTLP over HTTP, at `/v1/traces` where it has no path.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what is accepted.
    pub fn parse(text: &str) -> Result<TraceServer, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("grpc", text));
        let (grpc, scheme, port) = match scheme.to_ascii_lowercase().as_str() {
            "grpc" => (true, "http", 4317),
            "grpcs" => (true, "https", 4317),
            "http" => (false, "http", 4318),
            "https" => (false, "https", 4318),
            _ => return Err(unlike(&format!("`{scheme}://` is no way to send traces"))),
        };
        // These have no place in it, and may be secret: they are not to be repeated.
        if rest.contains(['@', '?']) {
            return Err(fault(rest));
        }
        if grpc && let Some((address, path)) = rest.split_once('/').filter(|(_, path)| !path.is_empty()) {
            return Err(format!(
                "gRPC has no path: write `{address}` without `/{path}`, or `http://{address}/{path}` for OTLP over HTTP"
            ));
        }
        let given: Uri = format!("{scheme}://{rest}").parse().map_err(|_| fault(rest))?;
        let authority = given.authority().ok_or_else(|| fault(rest))?;
        if authority.host().is_empty() {
            return Err(fault(rest));
        }
        let path = match given.path() {
            "" | "/" if grpc => "/",
            "" | "/" => "/v1/traces",
            path => path,
        };
        let has_port = authority.port_u16().is_some();
        // A colon that is followed by no port, or by what is none.
        if !has_port && !authority.as_str().ends_with(authority.host()) {
            return Err(fault(rest));
        }
        let port = if has_port { String::new() } else { format!(":{port}") };
        let url = format!("{scheme}://{authority}{port}{path}").parse().map_err(|_| fault(rest))?;
        Ok(TraceServer { grpc, url })
    }
}

/// What is wrong with what stands behind the scheme.
fn fault(rest: &str) -> String {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    // The colons of an IPv6 address are within brackets.
    let has_port = authority.contains(':') && !port.contains(']');
    if authority.contains('@') {
        unlike("it has a user or a password, which go into `OTEL_EXPORTER_OTLP_HEADERS` as a header")
    } else if authority.is_empty() || has_port && host.is_empty() {
        unlike("it names no host")
    } else if has_port && host.contains(':') && !host.starts_with('[') {
        unlike(&format!("an IPv6 address stands in brackets, as in `[{authority}]:4317`"))
    } else if has_port && port.parse::<u16>().is_err() {
        unlike(&format!("`{port}` is no port: ports are numbers up to 65535, such as 4317"))
    } else if rest.contains('?') {
        unlike("it has a query, which no trace server reads")
    } else {
        unlike("it is no address")
    }
}

fn unlike(what: &str) -> String {
    format!(
        "{what}; write `HOST:PORT` for OTLP over gRPC (`grpcs://HOST:PORT` with TLS), or `http://HOST:PORT` for OTLP over \
         HTTP, such as `jaeger:4317` or `http://jaeger:4318`"
    )
}

impl TraceServer {
    /// Whether the port is not the one that is usual for the other way of speaking.
    pub(super) fn is_usual(&self) -> bool {
        self.url.port_u16() != Some(if self.grpc { 4318 } else { 4317 })
    }
}

impl fmt::Display for TraceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As the setting is written, so that it may be copied into one.
        match (self.grpc, self.url.scheme_str(), self.url.authority()) {
            (true, Some("https"), Some(address)) => write!(f, "grpcs://{address}"),
            (true, _, Some(address)) => write!(f, "grpc://{address}"),
            _ => write!(f, "{}", self.url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_is_spoken_to_goes_by_the_scheme() {
        for (text, grpc, url) in [
            ("jaegertracing:4317", true, "http://jaegertracing:4317/"),
            ("jaeger", true, "http://jaeger:4317/"),
            ("127.0.0.1:4317", true, "http://127.0.0.1:4317/"),
            ("[::1]:4317", true, "http://[::1]:4317/"),
            ("grpcs://collector.example.com", true, "https://collector.example.com:4317/"),
            ("http://jaeger:4318", false, "http://jaeger:4318/v1/traces"),
            ("HTTP://jaeger", false, "http://jaeger:4318/v1/traces"),
            ("https://otlp.example.com:443/tenant/v1/traces", false, "https://otlp.example.com:443/tenant/v1/traces"),
        ] {
            assert_eq!(TraceServer::parse(text), Ok(TraceServer { grpc, url: url.parse().unwrap() }), "{text}");
        }
    }

    #[test]
    fn it_is_shown_as_the_setting_is_written() {
        for text in ["grpc://jaeger:4317", "grpcs://jaeger:4317", "https://otlp.example.com:4318/v1/traces"] {
            assert_eq!(TraceServer::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_with_it_is_said() {
        for (text, says) in [
            ("", "it names no host"),
            ("http://", "it names no host"),
            (":4317", "it names no host"),
            ("ftp://x", "`ftp://` is no way to send traces"),
            ("two words", "it is no address"),
            ("user:s3cret@host:4317", "it has a user or a password"),
            ("http://user:s3cret@host:4318", "it has a user or a password"),
            ("host:port", "`port` is no port"),
            ("host:", "`` is no port"),
            ("http://host:70000", "`70000` is no port"),
            ("::1", "an IPv6 address stands in brackets, as in `[::1]:4317`"),
            ("host:4317/path", "gRPC has no path: write `host:4317` without `/path`, or `http://host:4317/path`"),
            ("http://host/v1/traces?key=s3cret", "it has a query"),
            ("user:s3cret@host:4317/v1/traces", "it has a user or a password"),
            ("grpc://host:4317/?key=s3cret", "it has a query"),
        ] {
            let fault = TraceServer::parse(text).unwrap_err();
            assert!(fault.starts_with(says), "{text}: {fault}");
            assert!(!fault.contains("s3cret"), "{fault}");
        }
    }
}
