//! The settings of a flow function. OpenFaaS passes them as environment variables.
//!
//! Only this module of the crate reads the environment.

use std::path::PathBuf;
use std::time::Duration;

use faasflow_core::signature::Keys;
use faasflow_core::{Method, duration};
use faasflow_http::{Limits, file_limit, memory_limit};
use http::Uri;

use crate::log::LogFormat;
use faasflow_core::names::DEFAULT_STORE;
pub use faasflow_core::names::{HMAC_SECRET, MEMORY, SINGLE_PROCESS};

use crate::trace::{BadSampler, ExportOptions, Sampling, TraceServer};

mod fault;
mod parse;
mod records_mode;
#[cfg(test)]
mod tests;

pub use fault::{ConfigError, KeyError, SettingFault, SettingFaultKind};
pub use records_mode::RecordsMode;

use SettingFaultKind as Kind;
use fault::NotAccepted;

/// The default of `secret_mount_path`.
pub const SECRETS: &str = "/var/openfaas/secrets";

/// The value of `state_manager` that keeps state in the envelope.
pub const EMBEDDED: &str = "envelope";
const TRACE_SERVER: &str = "jaegertracing:4317";
const SAMPLER: &str = "parentbased_always_on";

/// How long Kubernetes may take to stop sending requests to a pod.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// The default `write_timeout` of of-watchdog.
const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the last request that the watchdog accepted may take to arrive.
const WATCHDOG_LAST: Duration = Duration::from_secs(1);

/// The settings of a flow function.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The name under which the flow function is deployed.
    pub workflow_name: String,
    /// The address of the gateway, with its scheme and without a path.
    pub gateway: Uri,
    /// Whether envelopes are signed and verified.
    pub enable_hmac: bool,
    /// Whether fresh requests are verified as well.
    pub verify_request: bool,
    /// Whether traces are exported.
    pub enable_tracing: bool,
    /// Where traces are exported to.
    pub trace_server: TraceServer,
    /// The options in OpenTelemetry's own variables.
    pub trace_options: ExportOptions,
    /// Which requests are traced.
    pub sampling: Sampling,
    /// Whether payloads between phases are always kept in the state manager.
    pub intermediate_storage: bool,
    /// Where the state of requests is kept: `envelope`, or the name of a state manager.
    pub state_manager: String,
    /// Whether the state of a request is kept after the request has ended.
    pub keep_state: bool,
    /// Whether requests are remembered.
    pub records: RecordsMode,
    /// How long requests are remembered after their end.
    pub keep_records: Duration,
    /// How long a request may take to arrive.
    pub read_timeout: Duration,
    /// How long one phase may take.
    pub write_timeout: Duration,
    /// How long requests are accepted after SIGTERM. Clients learn only after a while that this instance is stopping.
    pub drain_time: Duration,
    /// Whether there is an OpenFaaS watchdog in front. It passes on SIGTERM at once, and requests for some time after
    /// that.
    pub behind_watchdog: bool,
    /// Whether debug lines are logged.
    pub write_debug: bool,
    /// Whether the log lines of an invocation are put before its output.
    pub combine_output: bool,
    /// The method of calls that do not set one.
    pub default_method: Method,
    /// The largest envelope that the gateway's queue accepts, in bytes.
    pub envelope_limit: u64,
    /// The largest body of a request or an answer, in bytes.
    pub max_body: u64,
    /// How many items a for-each may have.
    pub max_items: usize,
    /// How many requests and envelopes may be in flight. By default, as many as fit into the memory.
    pub max_inflight_requests: Option<usize>,
    /// How many bytes the bodies of requests and answers may use in total. By default, half of the memory.
    pub max_inflight_bytes: Option<u64>,
    /// The address to listen on.
    pub host: String,
    /// The port to listen on.
    pub port: u16,
    /// The port to listen on if a watchdog in front of the flow uses `port`.
    pub flow_port: Option<u16>,
    /// The port of `/metrics`.
    pub metrics_port: u16,
    /// The port of `/metrics` if a watchdog in front of the flow uses `metrics_port`.
    pub flow_metrics_port: Option<u16>,
    /// The address of `/metrics`, if it is not `host`.
    pub metrics_host: Option<String>,
    /// Where secrets are mounted.
    pub secret_mount_path: PathBuf,
    /// A PEM file with CA certificates to trust in addition to the public ones.
    pub authorities: Option<PathBuf>,
    /// The log filter, in the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// The log format.
    pub log_format: LogFormat,
    /// Whether one process executes all phases of all requests. `faasflow up` sets this.
    pub single_process: bool,
    /// The state manager of a flow that needs a shared one, if neither the flow nor the settings name one. `faasflow up` sets
    /// this.
    pub default_store: Option<String>,
    /// The memory to use, in bytes, if it is less than the available memory. `faasflow up` sets this.
    pub memory: Option<u64>,
}

/// A setting with its meaning, its value, and the source of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name of the variable.
    pub name: &'static str,
    /// The effective value, as text.
    pub value: String,
    /// The source of the value: `default`, or what the lookup returned.
    pub origin: String,
    /// What it means.
    pub about: &'static str,
}

/// The value of a setting, and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingValue {
    /// The value as text.
    pub value: String,
    /// Where the value was found, such as `environment` or `flow.yml`.
    pub origin: String,
}

/// The name, the default and the meaning of every setting.
const SETTINGS: [(&str, &str, &str); 34] = [
    ("workflow_name", "", "name under which the flow function is deployed (default: OPENFAAS_NAME)"),
    ("gateway", "gateway:8080", "address of the gateway; scheme optional, https supported"),
    ("enable_hmac", "true", "sign and verify envelopes"),
    ("verify_request", "false", "verify fresh requests too"),
    ("enable_tracing", "false", "export traces"),
    ("trace_server", TRACE_SERVER, "where traces go: OTLP over gRPC, or over HTTP with http://…"),
    ("intermediate_storage", "false", "always keep payloads between phases in the state manager"),
    ("state_manager", "envelope", "where state is kept: envelope, s3, redis, gateway, or memory for tests"),
    ("keep_state", "false", "keep the state of a request after it has ended"),
    ("records", "auto", "remember requests: auto (if the state manager can), on or off"),
    ("keep_records", "24h", "how long requests are remembered after their end"),
    ("read_timeout", "10s", "how long a request may take to arrive"),
    ("write_timeout", "60s", "how long one phase may take"),
    (
        "drain_time",
        "",
        "how long to accept requests after SIGTERM (default: 2s; behind a watchdog, healthcheck_interval and 1s)",
    ),
    ("write_debug", "false", "write debug lines to the log"),
    ("combine_output", "false", "put the log lines of an invocation before its output"),
    ("default_method", "POST", "method of calls that do not set one"),
    ("envelope_limit", "256000", "largest envelope that the gateway's queue accepts"),
    ("max_body", "64MiB", "largest body of a request or an answer"),
    ("max_items", "10000", "largest number of items of a for-each"),
    ("max_inflight_requests", "", "requests in flight (default: as many as fit into the memory)"),
    ("max_inflight_bytes", "", "bytes of all bodies in flight (default: half of the memory)"),
    ("host", "0.0.0.0", "address to listen on"),
    ("port", "8080", "port to listen on"),
    ("flow_port", "", "port to listen on behind a watchdog, which uses port itself"),
    ("metrics_port", "8081", "port of /metrics"),
    ("flow_metrics_port", "", "port of /metrics behind a watchdog, which uses metrics_port itself"),
    ("metrics_host", "", "address of /metrics (default: host)"),
    ("secret_mount_path", SECRETS, "where secrets are mounted"),
    ("SSL_CERT_FILE", "", "CA certificates to trust in addition to the public ones, in PEM"),
    ("log_format", "line", "how log lines are written: line or json"),
    ("OTEL_TRACES_SAMPLER", SAMPLER, "which requests are traced: always_on, traceidratio and so on"),
    ("OTEL_TRACES_SAMPLER_ARG", "", "the fraction of requests that traceidratio traces, from 0.0 to 1.0"),
    ("RUST_LOG", "", "which log lines are written (default: info, or debug with write_debug)"),
];

impl Config {
    /// Reads the settings from the environment of the process.
    ///
    /// # Errors
    ///
    /// Lists everything that is wrong: each variable, its value, and what is accepted.
    pub fn from_env() -> Result<Config, ConfigError> {
        Config::load(environment)
    }

    /// The name of the flow in the environment. Other settings need not be valid.
    pub(crate) fn workflow_name_from_env() -> Option<String> {
        let mut faults = Vec::new();
        let mut read = Reader { lookup: &environment, faults: &mut faults };
        read.text("workflow_name").or_else(|| read.text("OPENFAAS_NAME"))
    }

    /// The address to listen on according to the environment. Other settings need not be valid.
    pub(crate) fn address_from_env() -> Result<(String, u16), ConfigError> {
        let mut faults = Vec::new();
        let mut read = Reader { lookup: &environment, faults: &mut faults };
        let (host, port) = (read.host(), read.port());
        let port = read.flow_port().unwrap_or(port);
        if faults.is_empty() { Ok((host, port)) } else { Err(ConfigError::new(faults)) }
    }

    /// The memory to use, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let available = memory_limit();
        self.memory.map_or(available, |memory| memory.min(available))
    }

    /// The limits on what is in flight. The defaults follow from the memory that this process may use and from the
    /// files that it may open.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let fitting = Limits::for_memory(self.memory()).within_files(file_limit());
        Limits {
            requests: self.max_inflight_requests.unwrap_or(fitting.requests),
            bytes: self.max_inflight_bytes.unwrap_or(fitting.bytes),
        }
    }

    /// The port to listen on: `flow_port` if it is set, otherwise `port`.
    #[must_use]
    pub fn listen_port(&self) -> u16 {
        self.flow_port.unwrap_or(self.port)
    }

    /// How long a request's body may take to arrive. A watchdog ends a request after `read_timeout` without giving a
    /// reason, so behind a watchdog the flow stops waiting earlier and says why.
    pub(crate) fn body_timeout(&self) -> Duration {
        let timeout = self.read_timeout.min(self.write_timeout);
        if self.behind_watchdog { timeout * 9 / 10 } else { timeout }
    }

    /// The address of `/metrics`: `metrics_host` if it is set, otherwise `host`; and `flow_metrics_port` if it is set,
    /// otherwise `metrics_port`.
    #[must_use]
    pub fn metrics_address(&self) -> (&str, u16) {
        (self.metrics_host.as_ref().unwrap_or(&self.host), self.flow_metrics_port.unwrap_or(self.metrics_port))
    }

    /// Reads the settings through `lookup`. An empty value counts as not set.
    ///
    /// # Errors
    ///
    /// Lists everything that is wrong: each variable, its value, and what is accepted.
    pub fn load(lookup: impl Fn(&str) -> Option<SettingValue>) -> Result<Config, ConfigError> {
        let mut faults = Vec::new();
        let mut read = Reader { lookup: &lookup, faults: &mut faults };

        let enable_tracing = read.tracing();
        let workflow_name = read.text("workflow_name").or_else(|| read.text("OPENFAAS_NAME"));
        let config = Config {
            workflow_name: workflow_name.unwrap_or_default(),
            gateway: read.parsed(Kind::Gateway, "gateway", "gateway:8080", parse::base_url).unwrap_or_default(),
            enable_hmac: read.parsed(Kind::Switch, "enable_hmac", "true", parse::boolean).unwrap_or(true),
            verify_request: read.parsed(Kind::Switch, "verify_request", "false", parse::boolean).unwrap_or(false),
            enable_tracing,
            trace_server: read.trace_server(),
            trace_options: if enable_tracing { read.trace_options() } else { ExportOptions::default() },
            sampling: if enable_tracing { read.sampling() } else { Sampling::default() },
            intermediate_storage: read
                .parsed(Kind::Switch, "intermediate_storage", "false", parse::boolean)
                .unwrap_or(false),
            state_manager: read.text("state_manager").unwrap_or_else(|| EMBEDDED.to_owned()),
            keep_state: read.parsed(Kind::Switch, "keep_state", "false", parse::boolean).unwrap_or(false),
            records: read.parsed(Kind::Records, "records", "auto", parse::records).unwrap_or_default(),
            keep_records: read.parsed(Kind::Duration, "keep_records", "24h", parse::keep_records).unwrap_or_default(),
            read_timeout: read.parsed(Kind::Duration, "read_timeout", "10s", parse::timeout).unwrap_or_default(),
            write_timeout: read.parsed(Kind::Duration, "write_timeout", "60s", parse::timeout).unwrap_or_default(),
            drain_time: read.drain_time(),
            behind_watchdog: read.behind_watchdog(),
            write_debug: read.parsed(Kind::Switch, "write_debug", "false", parse::boolean).unwrap_or(false),
            combine_output: read.parsed(Kind::Switch, "combine_output", "false", parse::boolean).unwrap_or(false),
            default_method: read.parsed(Kind::Method, "default_method", "POST", parse::method).unwrap_or(Method::POST),
            envelope_limit: read.parsed(Kind::Size, "envelope_limit", "256000", parse::bytes).unwrap_or_default(),
            max_body: read.parsed(Kind::Size, "max_body", "64MiB", parse::bytes).unwrap_or_default(),
            max_items: read.parsed(Kind::Count, "max_items", "10000", parse::items).unwrap_or_default(),
            max_inflight_requests: read.optional(Kind::Count, "max_inflight_requests", parse::count),
            max_inflight_bytes: read.optional(Kind::Size, "max_inflight_bytes", parse::bytes),
            host: read.host(),
            port: read.port(),
            flow_port: read.flow_port(),
            metrics_port: read.parsed(Kind::Port, "metrics_port", "8081", parse::port).unwrap_or_default(),
            flow_metrics_port: read.optional(Kind::Port, "flow_metrics_port", parse::port),
            metrics_host: read.text("metrics_host"),
            secret_mount_path: read.text("secret_mount_path").unwrap_or_else(|| SECRETS.to_owned()).into(),
            authorities: read.text("SSL_CERT_FILE").map(PathBuf::from),
            log_filter: read.parsed(Kind::LogFilter, "RUST_LOG", "", parse::log_filter).unwrap_or_default(),
            log_format: read.parsed(Kind::LogFormat, "log_format", "line", parse::log_format).unwrap_or_default(),
            single_process: read.single_process(),
            default_store: match read.text("state_manager") {
                None => read.text(DEFAULT_STORE),
                Some(_) => None,
            },
            memory: read.optional(Kind::Size, MEMORY, parse::bytes),
        };
        config.check(&mut faults);
        if faults.is_empty() { Ok(config) } else { Err(ConfigError::new(faults)) }
    }

    fn check(&self, faults: &mut Vec<SettingFault>) {
        let name = &self.workflow_name;
        if name.is_empty() {
            let help = "set `workflow_name` to the name under which it is deployed, such as `workflow_name=my-flow`";
            faults.push(SettingFault::new(Kind::NoName, "workflow_name", None, help));
        } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            let help = "use only letters, digits, `-`, `_` and `.`";
            faults.push(SettingFault::new(Kind::BadName, "workflow_name", Some(name.clone()), help));
        }
        if self.verify_request && !self.enable_hmac {
            let help = "set `enable_hmac=true`, or leave `verify_request` out";
            faults.push(SettingFault::new(Kind::VerifyWithoutSigning, "verify_request", None, help));
        }
    }

    /// Every setting with its value and its source, in the order of the reference. A value that is not valid is shown
    /// unchanged.
    pub fn settings(lookup: impl Fn(&str) -> Option<SettingValue>) -> Vec<Setting> {
        let find = |name: &str| lookup(name).filter(|found| !found.value.trim().is_empty());
        SETTINGS
            .into_iter()
            .map(|(name, default, about)| {
                let fallback = || match name {
                    "workflow_name" => find("OPENFAAS_NAME")
                        .map(|found| SettingValue { origin: format!("OPENFAAS_NAME, {}", found.origin), ..found }),
                    _ => None,
                };
                let found = find(name).or_else(fallback);
                let found = found.unwrap_or(SettingValue { value: default.to_owned(), origin: "default".to_owned() });
                Setting { name, value: found.value, origin: found.origin, about }
            })
            .collect()
    }

    /// Reads the keys for signing from the secret.
    ///
    /// # Errors
    ///
    /// If the secret does not exist, cannot be read, or contains no key. The error says how to create one.
    pub fn keys(&self) -> Result<Keys, KeyError> {
        let path = self.secret_mount_path.join(HMAC_SECRET);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => return Err(KeyError::Unreadable { path, source: error.into() }),
        };
        Keys::parse(&text).map_err(|_| KeyError::Empty(path))
    }
}

/// Looks a setting up in the environment of the process.
pub(crate) fn environment(name: &str) -> Option<SettingValue> {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    let value = std::env::var_os(name)?;
    let value = value.to_string_lossy().into_owned();
    Some(SettingValue { value, origin: "environment".to_owned() })
}

struct Reader<'a, L> {
    lookup: &'a L,
    faults: &'a mut Vec<SettingFault>,
}

impl<L: Fn(&str) -> Option<SettingValue>> Reader<'_, L> {
    fn text(&mut self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|found| found.value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn host(&mut self) -> String {
        self.text("host").unwrap_or_else(|| "0.0.0.0".to_owned())
    }

    fn port(&mut self) -> u16 {
        self.parsed(Kind::Port, "port", "8080", parse::port).unwrap_or_default()
    }

    fn flow_port(&mut self) -> Option<u16> {
        self.optional(Kind::Port, "flow_port", parse::port)
    }

    /// Detects a watchdog by variables that only a watchdog reads, and that the process it starts inherits.
    fn behind_watchdog(&mut self) -> bool {
        ["flow_port", "upstream_url", "http_upstream_url"].into_iter().any(|name| self.text(name).is_some())
            && !self.single_process()
    }

    fn single_process(&mut self) -> bool {
        self.parsed(Kind::Switch, SINGLE_PROCESS, "false", parse::boolean).unwrap_or(false)
    }

    fn drain_time(&mut self) -> Duration {
        if self.text("drain_time").is_some() {
            return self.parsed(Kind::Duration, "drain_time", "", parse::drain_time).unwrap_or_default();
        }
        if self.behind_watchdog() {
            // The watchdog forwards new requests for this long. Like of-watchdog, use `write_timeout` if the interval
            // is not valid.
            let read = |text: Option<String>| duration::parse(&text?).ok();
            let interval = read(self.text("healthcheck_interval")).or_else(|| read(self.text("write_timeout")));
            interval.unwrap_or(WATCHDOG_TIMEOUT) + WATCHDOG_LAST
        } else if self.single_process() {
            // The gateway sends no requests to a process that it stops.
            Duration::ZERO
        } else {
            DRAIN_TIME
        }
    }

    fn optional<T>(&mut self, kind: Kind, name: &'static str, parse: Parse<T, String>) -> Option<T> {
        self.text(name)?;
        self.parsed(kind, name, "", parse)
    }

    fn trace_server(&mut self) -> TraceServer {
        let default = TraceServer::parse(TRACE_SERVER).expect("the default is a server");
        // A value with a place for a password or a key is refused, and must not be shown.
        let may_be_secret = self.text("trace_server").is_some_and(|text| text.contains(['@', '?']));
        let parsed = match may_be_secret {
            true => self.secret(Kind::TraceServer, "trace_server", TraceServer::parse),
            false => self.parsed(Kind::TraceServer, "trace_server", TRACE_SERVER, TraceServer::parse),
        };
        parsed.unwrap_or(default)
    }

    fn trace_options(&mut self) -> ExportOptions {
        ExportOptions {
            service: self.text("OTEL_SERVICE_NAME"),
            attributes: self
                .parsed(Kind::TraceOption, "OTEL_RESOURCE_ATTRIBUTES", "", ExportOptions::parse_attributes)
                .unwrap_or_default(),
            headers: self
                .secret(Kind::TraceOption, "OTEL_EXPORTER_OTLP_HEADERS", ExportOptions::parse_headers)
                .unwrap_or_default(),
        }
    }

    /// Whether traces are exported. OpenTelemetry's own switches can turn this off, but not on.
    fn tracing(&mut self) -> bool {
        let enabled = self.parsed(Kind::Switch, "enable_tracing", "false", parse::boolean).unwrap_or(false);
        let is = |text: Option<String>, value: &str| text.is_some_and(|text| text.eq_ignore_ascii_case(value));
        enabled && !is(self.text("OTEL_SDK_DISABLED"), "true") && !is(self.text("OTEL_TRACES_EXPORTER"), "none")
    }

    fn sampling(&mut self) -> Sampling {
        let name = self.text("OTEL_TRACES_SAMPLER").unwrap_or_else(|| SAMPLER.to_owned());
        let argument = self.text("OTEL_TRACES_SAMPLER_ARG");
        Sampling::parse(&name, argument.as_deref()).unwrap_or_else(|fault| {
            let BadSampler { variable, value, help } = fault;
            self.faults.push(SettingFault::new(Kind::Sampler, variable, Some(value), help));
            Sampling::default()
        })
    }

    /// A value that messages must not repeat.
    fn secret<T, E: Into<NotAccepted>>(&mut self, kind: Kind, name: &'static str, parse: Parse<T, E>) -> Option<T> {
        let parsed = parse(&self.text(name)?);
        parsed.map_err(|error| self.faults.push(SettingFault::not_accepted(kind, name, None, error.into()))).ok()
    }

    fn parsed<T, E: Into<NotAccepted>>(
        &mut self,
        kind: Kind,
        name: &'static str,
        default: &str,
        parse: Parse<T, E>,
    ) -> Option<T> {
        let value = self.text(name).unwrap_or_else(|| default.to_owned());
        match parse(&value) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.faults.push(SettingFault::not_accepted(kind, name, Some(value), error.into()));
                None
            }
        }
    }
}

/// Parses a value. The error says which values are accepted.
type Parse<T, E> = fn(&str) -> Result<T, E>;

/// Formats a duration for messages.
pub(crate) fn show(duration: Duration) -> String {
    duration::format(duration)
}
