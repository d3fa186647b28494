//! The text of a failure for the log.

use faasflow_core::failure::FailureKind;

/// The whole of a failure's cause, for the log.
pub(crate) fn internal(kind: &FailureKind) -> String {
    match kind {
        FailureKind::Handler(error) => format!("{error:#}"),
        FailureKind::Panic(text) => format!("it panicked: {text}"),
        FailureKind::Deadline(_) => "it took too long".to_owned(),
        kind => format!("{kind:?}"),
    }
}
