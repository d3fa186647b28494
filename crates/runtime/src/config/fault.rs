//! Settings that cannot be used.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use faasflow_core::code::{self, Code};
use faasflow_core::names::HMAC_SECRET;
use faasflow_core::{Problem, Report, Unreadable};

use crate::log::FilterFault;
use crate::trace::TraceServerError;

/// Settings that cannot be used. Lists everything that is wrong: each variable, its value, and what to do.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    faults: Vec<SettingFault>,
}

/// One setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFault {
    setting: Cow<'static, str>,
    /// `None` if the value may be secret.
    value: Option<String>,
    kind: SettingFaultKind,
    cause: Option<Cause>,
    help: Cow<'static, str>,
}

/// The error of a parser that knows more than which values are accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    TraceServer(TraceServerError),
    #[error(transparent)]
    LogFilter(FilterFault),
}

/// Why a parser did not accept a value.
pub(super) struct NotAccepted {
    cause: Option<Cause>,
    /// Which values are accepted.
    help: String,
}

impl From<String> for NotAccepted {
    fn from(help: String) -> NotAccepted {
        NotAccepted { cause: None, help }
    }
}

impl From<TraceServerError> for NotAccepted {
    fn from(error: TraceServerError) -> NotAccepted {
        NotAccepted { help: error.help(), cause: Some(Cause::TraceServer(error)) }
    }
}

impl From<FilterFault> for NotAccepted {
    fn from(fault: FilterFault) -> NotAccepted {
        NotAccepted { help: FilterFault::HELP.to_owned(), cause: Some(Cause::LogFilter(fault)) }
    }
}

/// What can be wrong with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingFaultKind {
    /// No variable contains the name of the flow.
    NoName,
    /// No function can have this name.
    BadName,
    /// Requests should be verified, but signing is off.
    VerifyWithoutSigning,
    /// The address of the gateway is not valid.
    Gateway,
    /// The value is neither `true` nor `false`.
    Switch,
    /// The value is not a duration, or not one that makes sense.
    Duration,
    /// The value is not a size in bytes, or is 0.
    Size,
    /// The value is not a number, or is 0.
    Count,
    /// The value is not a port.
    Port,
    /// The value is not an HTTP method.
    Method,
    /// The value is not one of those for `records`.
    Records,
    /// The value is not a log format.
    LogFormat,
    /// The value is not a log filter.
    LogFilter,
    /// Traces cannot be sent to this address.
    TraceServer,
    /// The value is not a sampler.
    Sampler,
    /// Another OpenTelemetry variable is not valid.
    TraceOption,
}

impl SettingFaultKind {
    /// The code of the error.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            SettingFaultKind::NoName => code::NO_NAME,
            SettingFaultKind::BadName => code::BAD_NAME,
            SettingFaultKind::VerifyWithoutSigning => code::VERIFY_WITHOUT_SIGNING,
            SettingFaultKind::Gateway => code::BAD_GATEWAY,
            SettingFaultKind::Switch | SettingFaultKind::Records => code::BAD_SWITCH,
            SettingFaultKind::Duration => code::BAD_DURATION,
            SettingFaultKind::Size => code::BAD_SIZE,
            SettingFaultKind::Count => code::BAD_COUNT,
            SettingFaultKind::Port => code::BAD_PORT,
            SettingFaultKind::Method => code::BAD_METHOD,
            SettingFaultKind::LogFormat => code::BAD_LOG_FORMAT,
            SettingFaultKind::LogFilter => code::BAD_LOG_FILTER,
            SettingFaultKind::TraceServer => code::BAD_TRACE_SERVER,
            SettingFaultKind::Sampler => code::BAD_SAMPLER,
            SettingFaultKind::TraceOption => code::BAD_TRACE_OPTION,
        }
    }

    /// What is wrong with the value, as the end of a sentence.
    fn unlike(self) -> &'static str {
        match self {
            SettingFaultKind::NoName | SettingFaultKind::VerifyWithoutSigning => "cannot be used",
            SettingFaultKind::BadName => "is not the name of a function",
            SettingFaultKind::Gateway => "is not the address of a gateway",
            SettingFaultKind::Switch => "is neither `true` nor `false`",
            SettingFaultKind::Records => "is not `auto`, `on` or `off`",
            SettingFaultKind::Duration => "is not a valid duration",
            SettingFaultKind::Size => "is not a valid size",
            SettingFaultKind::Count => "is not a valid number",
            SettingFaultKind::Port => "is not a port",
            SettingFaultKind::Method => "is not an HTTP method",
            SettingFaultKind::LogFormat => "is not a log format",
            SettingFaultKind::LogFilter => "is not a log filter",
            SettingFaultKind::TraceServer => "is not the address of a trace server",
            SettingFaultKind::Sampler => "is not valid",
            SettingFaultKind::TraceOption => "cannot be read",
        }
    }
}

impl SettingFault {
    pub(crate) fn new(
        kind: SettingFaultKind,
        setting: impl Into<Cow<'static, str>>,
        value: Option<String>,
        help: impl Into<Cow<'static, str>>,
    ) -> SettingFault {
        SettingFault { setting: setting.into(), value, kind, cause: None, help: help.into() }
    }

    /// A value that a parser did not accept.
    pub(super) fn not_accepted(
        kind: SettingFaultKind,
        setting: &'static str,
        value: Option<String>,
        error: NotAccepted,
    ) -> SettingFault {
        let NotAccepted { cause, help } = error;
        SettingFault { cause, ..SettingFault::new(kind, setting, value, help) }
    }

    /// The name of the variable.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> SettingFaultKind {
        self.kind
    }

    /// What to do about it, such as which values are accepted.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        self.kind.code()
    }

    fn problem(&self) -> Problem {
        Problem::from_error(self.code(), self).help(self.help())
    }
}

impl fmt::Display for SettingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, &self.value) {
            (SettingFaultKind::NoName, _) => f.write_str("the flow does not know its own name"),
            (SettingFaultKind::VerifyWithoutSigning, _) => {
                f.write_str("`verify_request` is `true` while `enable_hmac` is `false`, so nothing could be verified")
            }
            (kind, Some(value)) => write!(f, "`{}` is `{value}`, which {}", self.setting, kind.unlike()),
            (kind, None) => write!(f, "`{}` {}", self.setting, kind.unlike()),
        }
    }
}

impl std::error::Error for SettingFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

impl ConfigError {
    /// `faults` must not be empty.
    pub(super) fn new(faults: Vec<SettingFault>) -> ConfigError {
        ConfigError { faults }
    }

    /// Everything that is wrong.
    #[must_use]
    pub fn faults(&self) -> &[SettingFault] {
        &self.faults
    }

    /// The code of the first fault.
    #[must_use]
    pub fn code(&self) -> Code {
        self.faults[0].code()
    }

    /// The faults, each as it is printed.
    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        self.faults.iter().map(SettingFault::problem)
    }

    /// All faults, as they are printed.
    #[must_use]
    pub fn report(&self) -> Report {
        Report::from_problems(self.problems()).summary("the settings cannot be used")
    }
}

/// A line for each fault.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used:")?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
}

/// The [`report`](ConfigError::report).
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.report(), f)
    }
}

impl std::error::Error for ConfigError {}

/// The keys for signing cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The secret does not exist or cannot be read.
    #[error("signing is on, but its key cannot be read from {}", path.display())]
    Unreadable {
        /// The file of the secret.
        path: PathBuf,
        /// Why not.
        source: Unreadable,
    },
    /// The secret contains no key.
    #[error("signing is on, but there is no key in {}", .0.display())]
    Empty(PathBuf),
}

impl KeyError {
    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            KeyError::Unreadable { .. } => code::KEY_UNREADABLE,
            KeyError::Empty(_) => code::KEY_EMPTY,
        }
    }

    /// The error as it is printed.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let problem = Problem::from_error(self.code(), self);
        match self {
            // If the file exists, creating a key does not help.
            KeyError::Unreadable { source, .. } if source.error().kind() != std::io::ErrorKind::NotFound => {
                problem.help(source.help())
            }
            KeyError::Unreadable { .. } => problem.help(create_a_key()),
            KeyError::Empty(_) => problem.help("write the keys into it, one per line"),
        }
    }
}

fn create_a_key() -> String {
    format!(
        "there is no default key. Create one and name the secret in stack.yml:\n\
         openssl rand -hex 32 | faas-cli secret create {HMAC_SECRET}\n\
         or, without a gateway: mkdir -p secrets && openssl rand -hex 32 > secrets/{HMAC_SECRET}, \
         and set secret_mount_path=secrets.\n\
         (Setting enable_hmac=false lets anyone who reaches the flow forge its envelopes.)"
    )
}
