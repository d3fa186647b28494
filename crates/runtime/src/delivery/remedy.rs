//! Joins an error and its remedy. An answer has one text for what happened and what to do about it.

pub(in crate::delivery) fn with_help(what: String, help: Option<&str>) -> String {
    match help {
        Some(help) => format!("{what}: {help}"),
        None => what,
    }
}
