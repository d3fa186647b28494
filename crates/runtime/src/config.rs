//! The settings of a flow function, as OpenFaaS gives them: environment variables.
//!
//! This module and nothing else in the crate reads the environment.

use std::path::PathBuf;
use std::time::Duration;

use faasflow_core::signature::Keys;
use faasflow_core::{Method, duration};
use faasflow_http::{Limits, file_limit, memory_limit};
use http::Uri;

use crate::log::LogFormat;
pub use faasflow_core::names::{HMAC_SECRET, MEMORY, SINGLE_PROCESS};

use crate::trace::{BadSampler, ExportOptions, Sampling, TraceServer};

mod fault;
mod parse;
#[cfg(test)]
mod tests;

pub use fault::{ConfigError, KeyError, SettingFault, SettingFaultKind};

use SettingFaultKind as Kind;

/// Where secrets are mounted, unless `secret_mount_path` says otherwise.
pub const SECRETS: &str = "/var/openfaas/secrets";

/// The setting of `state_manager` that keeps state in the envelope.
pub const EMBEDDED: &str = "envelope";
const TRACE_SERVER: &str = "jaegertracing:4317";
const SAMPLER: &str = "parentbased_always_on";

/// How long Kubernetes may need to tell everybody that a pod takes no more requests.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// The `write_timeout` of of-watchdog, unless it is set.
const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(30);
/// How long what the watchdog took last may be on its way.
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
    /// Whether fresh requests are verified too.
    pub verify_request: bool,
    /// Whether traces are exported.
    pub enable_tracing: bool,
    /// Where traces are exported to.
    pub trace_server: TraceServer,
    /// What OpenTelemetry's own variables say about that.
    pub trace_options: ExportOptions,
    /// Which requests are traced.
    pub sampling: Sampling,
    /// Whether payloads between phases are always kept in the state manager.
    pub intermediate_storage: bool,
    /// Where the state of requests is kept: `envelope`, or the name of a state manager.
    pub state_manager: String,
    /// Whether what a request has stored stays when it has ended.
    pub keep_state: bool,
    /// How long a request may take to arrive.
    pub read_timeout: Duration,
    /// How long one phase may take.
    pub write_timeout: Duration,
    /// How long requests are still taken after SIGTERM: whoever sends them learns only after a while that this one stops.
    pub drain_time: Duration,
    /// Whether there is a watchdog of OpenFaaS in front, which passes SIGTERM on at once and requests for longer.
    pub behind_watchdog: bool,
    /// Whether debug lines are logged.
    pub write_debug: bool,
    /// Whether the log lines of an invocation are put before its output.
    pub combine_output: bool,
    /// The method for calls that set none.
    pub default_method: Method,
    /// The largest envelope that the gateway's queue takes, in bytes.
    pub envelope_limit: u64,
    /// The largest body that is read, of a request or an answer, in bytes.
    pub max_body: u64,
    /// How many requests and envelopes are worked on at once; by default as many as fit into the memory.
    pub max_inflight_requests: Option<usize>,
    /// How many bytes of bodies are held at once, of requests and answers; by default half of the memory.
    pub max_inflight_bytes: Option<u64>,
    /// The address to listen on.
    pub host: String,
    /// The port to listen on.
    pub port: u16,
    /// The port to listen on instead, for where a watchdog in front of the flow has taken `port`.
    pub flow_port: Option<u16>,
    /// The port of `/metrics`.
    pub metrics_port: u16,
    /// The port of `/metrics` instead, for where a watchdog in front of the flow has taken `metrics_port`.
    pub flow_metrics_port: Option<u16>,
    /// The address of `/metrics`, where it is not `host`.
    pub metrics_host: Option<String>,
    /// Where secrets are mounted.
    pub secret_mount_path: PathBuf,
    /// A file with the certificates of authorities to trust besides the public ones, in PEM.
    pub authorities: Option<PathBuf>,
    /// Which log lines are written, in the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Whether one process executes all phases of all requests, as under `faasflow up`, which sets it.
    pub single_process: bool,
    /// The memory to count on, in bytes, where it is less than there is, as under `faasflow up`, which sets it.
    pub memory: Option<u64>,
}

/// A setting: what it is called and means, its value, and where that came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name of the variable.
    pub name: &'static str,
    /// The value in force, as text.
    pub value: String,
    /// Where it came from: `default`, or what the lookup said.
    pub origin: String,
    /// What it means.
    pub about: &'static str,
}

/// A value that a lookup found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingValue {
    /// The value as text.
    pub value: String,
    /// Where it was found, such as `environment` or `flow.yml`.
    pub origin: String,
}

/// Name, default and meaning of every setting.
const SETTINGS: [(&str, &str, &str); 31] = [
    ("workflow_name", "", "name under which the flow function is deployed (default: OPENFAAS_NAME)"),
    ("gateway", "gateway:8080", "address of the gateway; scheme optional, https supported"),
    ("enable_hmac", "true", "sign and verify envelopes"),
    ("verify_request", "false", "verify fresh requests too"),
    ("enable_tracing", "false", "export traces"),
    ("trace_server", TRACE_SERVER, "where traces go, by OTLP over gRPC, or over HTTP: http://…"),
    ("intermediate_storage", "false", "keep payloads between phases in the state manager always"),
    ("state_manager", "envelope", "where state is kept: envelope, s3, redis, or memory for tests"),
    ("keep_state", "false", "keep what a request has stored when it has ended"),
    ("read_timeout", "10s", "how long a request may take to arrive"),
    ("write_timeout", "60s", "how long one phase may take"),
    (
        "drain_time",
        "",
        "how long requests are still taken after SIGTERM (default: 2s; behind a watchdog, healthcheck_interval and 1s)",
    ),
    ("write_debug", "false", "debug lines in the log"),
    ("combine_output", "false", "put the log lines of an invocation before its output"),
    ("default_method", "POST", "method for calls that set none"),
    ("envelope_limit", "256000", "largest envelope that the gateway's queue takes"),
    ("max_body", "64MiB", "largest body that is read, of a request or an answer"),
    ("max_inflight_requests", "", "requests worked on at once (default: what fits into the memory)"),
    ("max_inflight_bytes", "", "bytes of bodies held at once (default: half of the memory)"),
    ("host", "0.0.0.0", "address to listen on"),
    ("port", "8080", "port to listen on"),
    ("flow_port", "", "port to listen on behind a watchdog, which has port for its own"),
    ("metrics_port", "8081", "port of /metrics"),
    ("flow_metrics_port", "", "port of /metrics behind a watchdog, which has metrics_port for its own"),
    ("metrics_host", "", "address of /metrics (default: host)"),
    ("secret_mount_path", SECRETS, "where secrets are mounted"),
    ("SSL_CERT_FILE", "", "certificates of authorities to trust besides the public ones, in PEM"),
    ("log_format", "line", "how log lines are written: line or json"),
    ("OTEL_TRACES_SAMPLER", SAMPLER, "which requests are traced: always_on, traceidratio and so on"),
    ("OTEL_TRACES_SAMPLER_ARG", "", "the part of requests that traceidratio traces, from 0.0 to 1.0"),
    ("RUST_LOG", "", "which log lines are written (default: info, or debug with write_debug)"),
];

impl Config {
    /// Reads the settings from the environment of the process.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once: each variable, its value and what is accepted.
    pub fn from_env() -> Result<Config, ConfigError> {
        Config::load(environment)
    }

    /// The name of the flow as the environment has it, whatever is wrong with the other settings.
    pub(crate) fn workflow_name_from_env() -> Option<String> {
        let mut faults = Vec::new();
        let mut read = Reader { lookup: &environment, faults: &mut faults };
        read.text("workflow_name").or_else(|| read.text("OPENFAAS_NAME"))
    }

    /// Where the flow function listens, by the environment, whatever is wrong with the other settings.
    pub(crate) fn address_from_env() -> Result<(String, u16), ConfigError> {
        let mut faults = Vec::new();
        let mut read = Reader { lookup: &environment, faults: &mut faults };
        let (host, port) = (read.host(), read.port());
        let port = read.flow_port().unwrap_or(port);
        if faults.is_empty() { Ok((host, port)) } else { Err(ConfigError::new(faults)) }
    }

    /// The memory to count on, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let available = memory_limit();
        self.memory.map_or(available, |memory| memory.min(available))
    }

    /// The limits of what is in flight: as they are set, or as they fit into the memory that this process may use
    /// and the files that it may have open.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let fitting = Limits::for_memory(self.memory()).within_files(file_limit());
        Limits {
            requests: self.max_inflight_requests.unwrap_or(fitting.requests),
            bytes: self.max_inflight_bytes.unwrap_or(fitting.bytes),
        }
    }

    /// The port to listen on: `flow_port`, else `port`.
    #[must_use]
    pub fn listen_port(&self) -> u16 {
        self.flow_port.unwrap_or(self.port)
    }

    /// How long a request's body may take. A watchdog ends a request itself after `read_timeout`, without a reason; nine
    /// tenths of it are left to say one.
    pub(crate) fn body_timeout(&self) -> Duration {
        let timeout = self.read_timeout.min(self.write_timeout);
        if self.behind_watchdog { timeout * 9 / 10 } else { timeout }
    }

    /// The address of `/metrics`: `metrics_host`, else `host`, and `flow_metrics_port`, else `metrics_port`.
    #[must_use]
    pub fn metrics_address(&self) -> (&str, u16) {
        (self.metrics_host.as_ref().unwrap_or(&self.host), self.flow_metrics_port.unwrap_or(self.metrics_port))
    }

    /// Reads the settings from whatever `lookup` looks in. An empty value is as good as none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once: each variable, its value and what is accepted.
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
            read_timeout: read.parsed(Kind::Duration, "read_timeout", "10s", parse::timeout).unwrap_or_default(),
            write_timeout: read.parsed(Kind::Duration, "write_timeout", "60s", parse::timeout).unwrap_or_default(),
            drain_time: read.drain_time(),
            behind_watchdog: read.behind_watchdog(),
            write_debug: read.parsed(Kind::Switch, "write_debug", "false", parse::boolean).unwrap_or(false),
            combine_output: read.parsed(Kind::Switch, "combine_output", "false", parse::boolean).unwrap_or(false),
            default_method: read.parsed(Kind::Method, "default_method", "POST", parse::method).unwrap_or(Method::POST),
            envelope_limit: read.parsed(Kind::Size, "envelope_limit", "256000", parse::bytes).unwrap_or_default(),
            max_body: read.parsed(Kind::Size, "max_body", "64MiB", parse::bytes).unwrap_or_default(),
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
            memory: read.optional(Kind::Size, MEMORY, parse::bytes),
        };
        config.check(&mut faults);
        if faults.is_empty() { Ok(config) } else { Err(ConfigError::new(faults)) }
    }

    fn check(&self, faults: &mut Vec<SettingFault>) {
        let name = &self.workflow_name;
        if name.is_empty() {
            let help = "set `workflow_name` to the name that it is deployed under, such as `workflow_name=my-flow`";
            faults.push(SettingFault::new(Kind::NoName, "workflow_name", None, help));
        } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            let help = "use letters, digits, `-`, `_` and `.` only";
            faults.push(SettingFault::new(Kind::BadName, "workflow_name", Some(name.clone()), help));
        }
        if self.verify_request && !self.enable_hmac {
            let help = "set `enable_hmac=true`, or leave `verify_request` out";
            faults.push(SettingFault::new(Kind::VerifyWithoutSigning, "verify_request", None, help));
        }
    }

    /// Every setting with its value and where it came from, in the order of the reference. A value that
    /// cannot be read is shown as it is.
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
    /// If the secret is absent, unreadable or holds no key; the text says how to create one.
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

    /// Told from what only a watchdog reads, which a process that it starts sees too.
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
            // For so long it forwards new requests. As of-watchdog reads it: what cannot be read counts as `write_timeout`.
            let read = |text: Option<String>| duration::parse(&text?).ok();
            let interval = read(self.text("healthcheck_interval")).or_else(|| read(self.text("write_timeout")));
            interval.unwrap_or(WATCHDOG_TIMEOUT) + WATCHDOG_LAST
        } else if self.single_process() {
            // The gateway sends nothing to a process that it stops.
            Duration::ZERO
        } else {
            DRAIN_TIME
        }
    }

    fn optional<T>(&mut self, kind: Kind, name: &'static str, parse: Parse<T>) -> Option<T> {
        self.text(name)?;
        self.parsed(kind, name, "", parse)
    }

    fn trace_server(&mut self) -> TraceServer {
        let default = TraceServer::parse(TRACE_SERVER).expect("the default is a server");
        // What has a place for a password or a key is refused, and not shown.
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

    /// Whether traces are exported. OpenTelemetry's own switches turn it off, and cannot turn it on.
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

    /// A value that no message may repeat.
    fn secret<T>(&mut self, kind: Kind, name: &'static str, parse: Parse<T>) -> Option<T> {
        let parsed = parse(&self.text(name)?);
        parsed.map_err(|accepted| self.faults.push(SettingFault::new(kind, name, None, accepted))).ok()
    }

    fn parsed<T>(&mut self, kind: Kind, name: &'static str, default: &str, parse: Parse<T>) -> Option<T> {
        let value = self.text(name).unwrap_or_else(|| default.to_owned());
        match parse(&value) {
            Ok(parsed) => Some(parsed),
            Err(accepted) => {
                self.faults.push(SettingFault::new(kind, name, Some(value), accepted));
                None
            }
        }
    }
}

/// Reads a value; the error says what is accepted.
type Parse<T> = fn(&str) -> Result<T, String>;

/// A duration for messages.
pub(crate) fn show(duration: Duration) -> String {
    duration::format(duration)
}
