//! What S3's errors mean: permanent or temporary, and what to do.

use std::error::Error;

use faasflow_core::state::StateError;
use object_store::client::HttpError;

/// An error of S3 as a state manager's, and whether a bucket would mend it.
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

/// Whether an object is not there, in a bucket that is: servers answer 404 to both.
pub(super) fn is_absent(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. }) && !names_no_bucket(error)
}

fn names_no_bucket(error: &object_store::Error) -> bool {
    said(error).contains("NoSuchBucket")
}

pub(super) fn state_error(what: &str, bucket: &str, error: object_store::Error) -> Fault {
    let missing_bucket = names_no_bucket(&error);
    let (temporary, why) = if missing_bucket {
        (false, format!("there is no bucket `{bucket}`: create it, or set `s3_create_bucket=true`"))
    } else {
        match &error {
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                let why = "access is denied: see that the secrets `s3-access-key` and `s3-secret-key` are right, and \
                           that the key may read, write, list and delete in the bucket";
                (false, why.to_owned())
            }
            _ if is_transport(&error) => (true, "the server cannot be reached, or broke off".to_owned()),
            _ => match status(&error) {
                Some(507) => (true, "the server has no space left".to_owned()),
                Some(status) if status >= 500 || [408, 425, 429].contains(&status) => {
                    (true, format!("the server answered {status}"))
                }
                Some(status) => (false, format!("the server answered {status}")),
                None => (false, "the request failed".to_owned()),
            },
        }
    };
    let text = format!("{what}: {why}");
    let state_error = if temporary { StateError::temporary(text) } else { StateError::permanent(text) };
    Fault { error: state_error.with_source(error), missing_bucket }
}

/// Whether there was no answer at all, or not the whole of one.
fn is_transport(error: &object_store::Error) -> bool {
    let mut cause = Some(error as &dyn Error);
    while let Some(error) = cause {
        if error.is::<HttpError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The status of the answer. The crate's error does not tell it but in its text.
fn status(error: &object_store::Error) -> Option<u16> {
    let text = said(error);
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3)?.parse().ok()
}

fn said(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
