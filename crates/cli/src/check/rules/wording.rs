//! How rules say what they do not know, and how sure they are.

use super::super::facts::{Answered, GatewayFacts, Limit, Origin};
use super::super::finding::{Finding, Severity};

/// Where the gateway answered a question with nothing of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// What it answered.
    pub(super) what: String,
    /// What to do.
    pub(super) remedy: &'static str,
    pub(super) severity: Severity,
}

impl Unknown {
    /// A finding of this, after which it says what is not known.
    pub(super) fn finding(self, about: &'static str, not_known: &str) -> Finding {
        let what = format!("{}: {not_known}", self.what);
        Finding::warning(about, what, self.remedy).rated(self.severity)
    }
}

/// Whether the gateway answered with nothing of use to a question below `/system`, which is asked with user and
/// password if there are any. That those are wrong is no reason to go on as if there were none.
pub(super) fn unknown<T>(answered: &Answered<T>, asked: &str, gateway: &GatewayFacts) -> Option<Unknown> {
    match answered {
        Answered::Known(_) => None,
        Answered::Forbidden(status) => {
            let (remedy, severity) = if gateway.credentials {
                ("give the right user and password, `--gateway http://USER:PASSWORD@HOST:PORT`", Severity::Error)
            } else {
                (
                    "give the gateway's address with user and password, `--gateway http://USER:PASSWORD@HOST:PORT`",
                    Severity::Warning,
                )
            };
            let with = if gateway.credentials { ", with this user and password" } else { "" };
            Some(Unknown { what: format!("the gateway answers {status} to {asked}{with}"), remedy, severity })
        }
        Answered::Unclear(what) => Some(unclear(what)),
    }
}

pub(super) fn unclear(what: &str) -> Unknown {
    let remedy = "look whether `--gateway` names a gateway, and into its log";
    Unknown { what: what.to_owned(), remedy, severity: Severity::Warning }
}

/// Nothing that rests on an assumption is an error.
pub(super) fn severity(origin: Origin) -> Severity {
    match origin {
        Origin::Said | Origin::Given => Severity::Error,
        Origin::Assumed => Severity::Warning,
    }
}

/// Where a limit comes from, after its value.
pub(super) fn origin<T>(limit: &Limit<T>, option: &str) -> String {
    match limit.origin {
        Origin::Said => String::new(),
        Origin::Given => format!(" (said by `{option}`)"),
        Origin::Assumed => format!(" (assumed: the gateway does not say; `{option}` does)"),
    }
}
