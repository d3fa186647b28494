//! Texts and severities for facts that are not known, or only assumed.

use super::super::facts::{GatewayFacts, Limit, Origin, Reply};
use super::super::finding::{Finding, Severity};

/// An answer of the gateway that leaves a question open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// The answer.
    pub(super) what: String,
    /// What to do.
    pub(super) remedy: &'static str,
    pub(super) severity: Severity,
}

impl Unknown {
    /// Makes a finding; `not_known` is the open question.
    pub(super) fn finding(self, about: &'static str, not_known: &str) -> Finding {
        let what = format!("{}: {not_known}", self.what);
        Finding::warning(about, what, self.remedy).with_severity(self.severity)
    }
}

/// Returns why the answer to a question below `/system` is not known. Wrong credentials are an error; missing ones are a
/// warning.
pub(super) fn unknown<T>(answered: &Reply<T>, asked: &str, gateway: &GatewayFacts) -> Option<Unknown> {
    match answered {
        Reply::Known(_) => None,
        Reply::Forbidden(status) => {
            let (remedy, severity) = if gateway.credentials {
                ("correct the user and password in `--gateway http://USER:PASSWORD@HOST:PORT`", Severity::Error)
            } else {
                ("add the user and password, as in `--gateway http://USER:PASSWORD@HOST:PORT`", Severity::Warning)
            };
            let with = if gateway.credentials { " with this user and password" } else { "" };
            Some(Unknown { what: format!("the gateway answered {status} to {asked}{with}"), remedy, severity })
        }
        Reply::Unclear(what) => Some(unclear(what)),
    }
}

pub(super) fn unclear(what: &str) -> Unknown {
    let remedy = "check that `--gateway` names a gateway, and read its log";
    Unknown { what: what.to_owned(), remedy, severity: Severity::Warning }
}

/// Findings that rest on an assumption are warnings.
pub(super) fn severity(origin: Origin) -> Severity {
    match origin {
        Origin::Reported | Origin::Given => Severity::Error,
        Origin::Assumed => Severity::Warning,
    }
}

/// Where a limit comes from, to be printed after its value.
pub(super) fn origin<T>(limit: &Limit<T>, option: &str) -> String {
    match limit.origin {
        Origin::Reported => String::new(),
        Origin::Given => format!(" (set by `{option}`)"),
        Origin::Assumed => format!(" (assumed, because the gateway does not report it; set it with `{option}`)"),
    }
}
