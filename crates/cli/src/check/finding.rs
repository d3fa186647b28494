//! Findings of the rules.

use faasflow_core::description::StepDescription;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// It is as it should be.
    Ok,
    /// Something to know.
    Note,
    /// It may fail, or it is not known whether it works.
    Warning,
    /// It fails.
    Error,
}

impl Severity {
    pub(super) fn word(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// One result of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// The name of the rule.
    pub(super) about: &'static str,
    /// The number and name of the step.
    pub(super) step: Option<(usize, String)>,
    /// The function that the step calls.
    pub(super) function: Option<String>,
    /// What was found.
    pub(super) what: String,
    /// What to do about it.
    pub(super) remedy: Option<String>,
}

impl Finding {
    fn new(severity: Severity, about: &'static str, what: impl Into<String>, remedy: Option<String>) -> Finding {
        Finding { severity, about, step: None, function: None, what: what.into(), remedy }
    }

    pub(super) fn ok(about: &'static str, what: impl Into<String>) -> Finding {
        Finding::new(Severity::Ok, about, what, None)
    }

    pub(super) fn note(about: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding::new(Severity::Note, about, what, Some(remedy.into()))
    }

    pub(super) fn warning(about: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding::new(Severity::Warning, about, what, Some(remedy.into()))
    }

    pub(super) fn error(about: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding::new(Severity::Error, about, what, Some(remedy.into()))
    }

    /// Removes the remedy, if `what` contains it.
    pub(super) fn without_remedy(self) -> Finding {
        Finding { remedy: None, ..self }
    }

    /// Changes the severity.
    pub(super) fn with_severity(self, severity: Severity) -> Finding {
        Finding { severity, ..self }
    }

    /// Attributes the finding to a step that calls a function.
    pub(super) fn of_call(self, step: &StepDescription, function: &str) -> Finding {
        Finding { step: Some((step.number, step.name.clone())), function: Some(function.to_owned()), ..self }
    }

    /// Attributes the finding to a step.
    pub(super) fn of_step(self, step: &StepDescription) -> Finding {
        Finding { step: Some((step.number, step.name.clone())), ..self }
    }
}

/// A flow with its findings.
pub(super) struct FlowFindings {
    pub(super) flow: String,
    pub(super) findings: Vec<Finding>,
}
