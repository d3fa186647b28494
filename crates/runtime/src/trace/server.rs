//! The address of the trace server.

use std::fmt;

use http::Uri;

/// The setting `trace_server`: the address of a server that accepts OTLP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceServer {
    /// Whether to use gRPC. Otherwise, protobuf is sent over HTTP.
    pub(super) grpc: bool,
    /// A URL with the scheme `http` or `https`, a host, a port and a path.
    pub(super) url: Uri,
}

impl TraceServer {
    /// Parses an address. `HOST:PORT` and `grpc://…` mean OTLP over gRPC, and `grpcs://…` the same with TLS. A URL with
    /// `http` or `https` means OTLP over HTTP. Its default path is `/v1/traces`.
    ///
    /// # Errors
    ///
    /// If the address is not valid.
    pub fn parse(text: &str) -> Result<TraceServer, TraceServerError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("grpc", text));
        let (grpc, scheme, port) = match scheme.to_ascii_lowercase().as_str() {
            "grpc" => (true, "http", 4317),
            "grpcs" => (true, "https", 4317),
            "http" => (false, "http", 4318),
            "https" => (false, "https", 4318),
            _ => return Err(TraceServerError::Scheme(scheme.to_owned())),
        };
        // Credentials and queries are not allowed, and may be secret, so the message must not repeat them.
        if rest.contains(['@', '?']) {
            return Err(fault(rest));
        }
        if grpc && let Some((address, path)) = rest.split_once('/').filter(|(_, path)| !path.is_empty()) {
            return Err(TraceServerError::GrpcPath { address: address.to_owned(), path: path.to_owned() });
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
        // A colon without a port, or with something that is not a port.
        if !has_port && !authority.as_str().ends_with(authority.host()) {
            return Err(fault(rest));
        }
        let port = if has_port { String::new() } else { format!(":{port}") };
        let url = format!("{scheme}://{authority}{port}{path}").parse().map_err(|_| fault(rest))?;
        Ok(TraceServer { grpc, url })
    }
}

/// What is wrong with the part after the scheme.
fn fault(rest: &str) -> TraceServerError {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    // The colons of an IPv6 address are in brackets.
    let has_port = authority.contains(':') && !port.contains(']');
    if authority.contains('@') {
        TraceServerError::Credentials
    } else if authority.is_empty() || has_port && host.is_empty() {
        TraceServerError::NoHost
    } else if has_port && host.contains(':') && !host.starts_with('[') {
        TraceServerError::Ipv6(authority.to_owned())
    } else if has_port && port.parse::<u16>().is_err() {
        TraceServerError::Port(port.to_owned())
    } else if rest.contains('?') {
        TraceServerError::Query
    } else {
        TraceServerError::Malformed
    }
}

/// The address of the trace server is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceServerError {
    /// The scheme is not known.
    #[error("`{0}://` is not a scheme for traces")]
    Scheme(String),
    /// The address of a gRPC server has a path.
    #[error("gRPC has no path")]
    GrpcPath {
        /// The host and the port.
        address: String,
        /// The path, without the `/` at its beginning.
        path: String,
    },
    /// The address contains a user or a password.
    #[error("it has a user or a password")]
    Credentials,
    /// The address has no host.
    #[error("it has no host")]
    NoHost,
    /// An IPv6 address is not in brackets.
    #[error("an IPv6 address must be in brackets, as in `[{0}]:4317`")]
    Ipv6(String),
    /// The port is not valid.
    #[error("`{0}` is not a port: ports are numbers up to 65535, such as 4317")]
    Port(String),
    /// The address has a query.
    #[error("it has a query, which no trace server reads")]
    Query,
    /// The address cannot be parsed.
    #[error("it is not an address")]
    Malformed,
}

impl TraceServerError {
    /// What to write instead.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            TraceServerError::GrpcPath { address, path } => {
                format!("write `{address}` without `/{path}`, or `http://{address}/{path}` for OTLP over HTTP")
            }
            TraceServerError::Credentials => {
                "send the user and the password in a header, which `OTEL_EXPORTER_OTLP_HEADERS` sets".to_owned()
            }
            _ => "write `HOST:PORT` for OTLP over gRPC (`grpcs://HOST:PORT` with TLS), or `http://HOST:PORT` for OTLP \
                  over HTTP, such as `jaeger:4317` or `http://jaeger:4318`"
                .to_owned(),
        }
    }
}

impl TraceServer {
    /// What to write instead, if the port is known to belong to something else.
    pub(crate) fn hint(&self) -> Option<String> {
        let port = self.url.port_u16()?;
        let host = self.url.host()?;
        let whose = match port {
            4317 if !self.grpc => {
                return Some(format!("4317 is the usual port for gRPC: write `{host}:4317`, or `http://{host}:4318`"));
            }
            4318 if self.grpc => {
                return Some(format!("4318 is the usual port for HTTP: write `http://{host}:4318`, or `{host}:4317`"));
            }
            5775 | 5778 | 6831 | 6832 => "belongs to Jaeger's agent",
            9411 => "belongs to Zipkin",
            14250 | 14267 | 14268 | 14269 => "belongs to Jaeger's collector for its own formats",
            16685 | 16686 => "belongs to Jaeger's user interface",
            _ => return None,
        };
        Some(format!(
            "port {port} {whose}, and does not accept OTLP: write `{host}:4317`, or `http://{host}:4318` for OTLP over HTTP"
        ))
    }
}

impl fmt::Display for TraceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As in the setting, so that it can be copied.
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
    fn the_scheme_selects_the_protocol() {
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
    fn i7_ports_that_do_not_accept_otlp_are_recognised() {
        for (text, port, instead) in [
            ("jaegertracing:5775", "port 5775 belongs to Jaeger's agent", "write `jaegertracing:4317`"),
            ("jaeger-agent.faasflow:6831", "port 6831 belongs to Jaeger's agent", "write `jaeger-agent.faasflow:4317`"),
            ("jaeger:6832", "port 6832 belongs to Jaeger's agent", "`http://jaeger:4318` for OTLP over HTTP"),
            ("http://jaeger:14268/api/traces", "port 14268 belongs to Jaeger's collector", "`http://jaeger:4318`"),
            ("http://zipkin:9411", "port 9411 belongs to Zipkin", "`zipkin:4317`"),
            ("http://jaeger:16686", "port 16686 belongs to Jaeger's user interface", "`jaeger:4317`"),
            ("[::1]:5775", "port 5775 belongs to Jaeger's agent", "write `[::1]:4317`"),
            ("jaeger:4318", "4318 is the usual port for HTTP", "`http://jaeger:4318`"),
            ("http://jaeger:4317", "4317 is the usual port for gRPC", "`jaeger:4317`"),
        ] {
            let hint = TraceServer::parse(text).unwrap().hint().unwrap();
            assert!(hint.starts_with(port) && hint.contains(instead), "{text}: {hint}");
        }
        for text in ["jaeger:4317", "jaeger", "http://jaeger", "https://otlp.example.com:443", "collector:12345"] {
            assert_eq!(TraceServer::parse(text).unwrap().hint(), None, "{text}");
        }
    }

    #[test]
    fn a_server_is_displayed_like_the_setting() {
        for text in ["grpc://jaeger:4317", "grpcs://jaeger:4317", "https://otlp.example.com:4318/v1/traces"] {
            assert_eq!(TraceServer::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn each_fault_of_an_address_is_named() {
        for (text, says) in [
            ("", "it has no host"),
            ("http://", "it has no host"),
            (":4317", "it has no host"),
            ("ftp://x", "`ftp://` is not a scheme for traces"),
            ("two words", "it is not an address"),
            ("user:s3cret@host:4317", "it has a user or a password"),
            ("http://user:s3cret@host:4318", "it has a user or a password"),
            ("host:port", "`port` is not a port"),
            ("host:", "`` is not a port"),
            ("http://host:70000", "`70000` is not a port"),
            ("::1", "an IPv6 address must be in brackets, as in `[::1]:4317`"),
            ("host:4317/path", "gRPC has no path; write `host:4317` without `/path`, or `http://host:4317/path`"),
            ("http://host/v1/traces?key=s3cret", "it has a query"),
            ("user:s3cret@host:4317/v1/traces", "it has a user or a password"),
            ("grpc://host:4317/?key=s3cret", "it has a query"),
        ] {
            let fault = TraceServer::parse(text).unwrap_err();
            let fault = format!("{fault}; {}", fault.help());
            assert!(fault.starts_with(says), "{text}: {fault}");
            assert!(!fault.contains("s3cret"), "{fault}");
        }
    }
}
