//! What was found.

use faasflow_core::description::StepDescription;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// It is as it should be.
    Ok,
    /// Something to know.
    Note,
    /// It may fail, or could not be found out.
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

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// What was looked at: the word that stands for the rule.
    pub(super) about: &'static str,
    /// The number and name of the step.
    pub(super) step: Option<(usize, String)>,
    /// The function that the step calls.
    pub(super) function: Option<String>,
    /// What is so.
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

    /// The same without a remedy, since `what` has it.
    pub(super) fn of_itself(self) -> Finding {
        Finding { remedy: None, ..self }
    }

    /// The same, as this severity.
    pub(super) fn rated(self, severity: Severity) -> Finding {
        Finding { severity, ..self }
    }

    /// The same, of a step that calls a function.
    pub(super) fn of_call(self, step: &StepDescription, function: &str) -> Finding {
        Finding { step: Some((step.number, step.name.clone())), function: Some(function.to_owned()), ..self }
    }

    /// The same, of a step.
    pub(super) fn of_step(self, step: &StepDescription) -> Finding {
        Finding { step: Some((step.number, step.name.clone())), ..self }
    }
}

/// A flow and what was found.
pub(super) struct Checked {
    pub(super) flow: String,
    pub(super) findings: Vec<Finding>,
}
