//! What errors of S3 mean: whether they are permanent or temporary, and what to do.

use std::error::Error;
use std::fmt;

use faasflow_core::state::StateError;
use faasflow_core::{Retry, StatusCode};
use object_store::client::HttpError;

/// An error of S3 as a [`StateError`], and whether it would go away if the bucket existed.
pub(super) struct Fault {
    error: StateError,
    missing_bucket: bool,
}

impl Fault {
    pub(super) fn is_missing_bucket(&self) -> bool {
        self.missing_bucket
    }
}

impl From<Fault> for StateError {
    fn from(fault: Fault) -> StateError {
        fault.error
    }
}

/// Whether an object is missing from a bucket that exists. Servers answer 404 when either is missing.
pub(super) fn is_absent(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. }) && !names_no_bucket(error)
}

/// Whether a conditional write was refused because another operation on the object was under way. `object_store` calls that
/// by the same name as an object that exists.
pub(super) fn is_conflict(error: &object_store::Error) -> bool {
    status(error) == Some(409)
}

fn names_no_bucket(error: &object_store::Error) -> bool {
    full_text(error).contains("NoSuchBucket")
}

pub(super) fn state_error(what: &str, bucket: &str, error: &object_store::Error) -> Fault {
    let missing_bucket = names_no_bucket(error);
    let denied = "check the secrets `s3-access-key` and `s3-secret-key`, and that the key may read, write, list and delete in \
                  the bucket";
    let mut help = None;
    let (temporary, why) = if missing_bucket {
        help = Some("create the bucket, or set `s3_create_bucket=true`");
        (false, format!("there is no bucket `{bucket}`"))
    } else if is_transport(error) {
        (true, "the server cannot be reached, or the connection was lost".to_owned())
    } else {
        match status(error) {
            Some(401 | 403) => {
                help = Some(denied);
                (false, "access is denied".to_owned())
            }
            Some(507) => (true, "the server has no space left".to_owned()),
            Some(status) => (is_temporary(status), format!("the server answered {status}")),
            None => (false, "the request failed".to_owned()),
        }
    };
    let text = format!("{what}: {why}");
    let mut state_error = if temporary { StateError::temporary(text) } else { StateError::permanent(text) };
    if let Some(help) = help {
        state_error = state_error.with_help(help);
    }
    Fault { error: state_error.with_source(Cause(innermost(error))), missing_bucket }
}

/// Whether a request that was answered with this status may succeed later.
fn is_temporary(status: u16) -> bool {
    const TEMPORARY: Retry = Retry::never().on_server_errors();
    StatusCode::from_u16(status).is_ok_and(|status| TEMPORARY.retries_status(status))
}

/// The text of the innermost cause, which comes from the server or the connection. The outer errors only repeat it.
#[derive(Debug)]
struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Cause {}

fn innermost(error: &object_store::Error) -> String {
    let last = causes(error).last().map(ToString::to_string).unwrap_or_default();
    // Servers describe errors in XML.
    let element = |name: &str| {
        let (_, after) = last.split_once(&format!("<{name}>"))?;
        after.split_once('<').map(|(text, _)| text.to_owned())
    };
    match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => last,
    }
}

/// The error and its causes, outermost first.
fn causes(error: &object_store::Error) -> Vec<&(dyn Error + 'static)> {
    let mut causes: Vec<&(dyn Error + 'static)> = vec![error];
    while let Some(cause) = causes[causes.len() - 1].source() {
        causes.push(cause);
    }
    causes
}

/// Whether there was no answer, or only a part of one.
fn is_transport(error: &object_store::Error) -> bool {
    causes(error).iter().any(|cause| cause.is::<HttpError>())
}

/// The status of the answer, which the error of `object_store` contains only in its text.
fn status(error: &object_store::Error) -> Option<u16> {
    let text = full_text(error);
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3)?.parse().ok()
}

fn full_text(error: &object_store::Error) -> String {
    causes(error).iter().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_and_server_errors_are_temporary() {
        for status in [408, 425, 429, 500, 501, 502, 503, 504, 599] {
            assert!(is_temporary(status), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 409, 412, 413] {
            assert!(!is_temporary(status), "{status}");
        }
    }
}
