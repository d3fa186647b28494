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
    /// What is accepted.
    pub fn parse(text: &str) -> Result<TraceServer, String> {
        let accepted = || {
            "write `HOST:PORT` for OTLP over gRPC (`grpcs://HOST:PORT` with TLS), or `http://HOST:PORT` for OTLP over HTTP"
                .to_owned()
        };
        let (scheme, rest) = text.split_once("://").unwrap_or(("grpc", text));
        let (grpc, scheme, port) = match scheme.to_ascii_lowercase().as_str() {
            "grpc" => (true, "http", 4317),
            "grpcs" => (true, "https", 4317),
            "http" => (false, "http", 4318),
            "https" => (false, "https", 4318),
            _ => return Err(accepted()),
        };
        let given: Uri = format!("{scheme}://{rest}").parse().map_err(|_| accepted())?;
        let authority = given.authority().ok_or_else(accepted)?;
        if authority.host().is_empty() || authority.as_str().contains('@') || given.query().is_some() {
            return Err(accepted());
        }
        let path = match given.path() {
            "" | "/" if grpc => "/",
            "" | "/" => "/v1/traces",
            _ if grpc => return Err(format!("{}, without a path", accepted())),
            path => path,
        };
        let has_port = authority.port_u16().is_some();
        // A colon that is followed by no port, or by what is none.
        if !has_port && !authority.as_str().ends_with(authority.host()) {
            return Err(accepted());
        }
        let port = if has_port { String::new() } else { format!(":{port}") };
        let url = format!("{scheme}://{authority}{port}{path}").parse().map_err(|_| accepted())?;
        Ok(TraceServer { grpc, url })
    }
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
    fn what_is_no_server_is_refused() {
        for text in
            ["", "ftp://x", "http://", "two words", "user:secret@host:4317", "host:port", "host:4317/path", "host:"]
        {
            assert!(TraceServer::parse(text).is_err(), "{text}");
        }
    }
}
