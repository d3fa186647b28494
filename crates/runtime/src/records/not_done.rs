//! Why something could not be done with a request.

use faasflow_core::chain;
use faasflow_core::code::{self, Code};
use faasflow_core::machine::Outage;
use faasflow_core::state::{StateError, Status};
use http::StatusCode;

use super::post::NotPosted;
use super::progress::{NotFound, unreadable};

/// Why there is nothing about a request that has ended. A store that was emptied looks the same.
pub(super) const EXPIRED: &str =
    "the request has ended, and its record has expired or was lost; the setting is `keep_records`";

/// Why something could not be done with a request.
#[derive(Debug)]
pub(super) enum NotDone {
    NotFound(NotFound),
    /// It is not possible in the status that the request has.
    NotPossible(Status, String),
    /// The request has no such place or payload.
    NotThere(String),
    /// What was asked for is wrong, such as the number of a phase.
    Bad(String),
    /// The request that was to begin is refused.
    Refused(StatusCode, Code, String),
    Outage(Outage),
    NotPosted(NotPosted),
}

impl From<NotFound> for NotDone {
    fn from(error: NotFound) -> NotDone {
        NotDone::NotFound(error)
    }
}

impl From<StateError> for NotDone {
    fn from(error: StateError) -> NotDone {
        NotDone::NotFound(NotFound::Store(error))
    }
}

impl NotDone {
    /// The status, the code and the reason for the answer.
    pub(super) fn answer(&self) -> (StatusCode, Code, String) {
        match self {
            NotDone::NotFound(NotFound::Unknown) => (
                StatusCode::NOT_FOUND,
                code::UNKNOWN_REQUEST,
                "the flow knows no request with this id; check the id, and whether it was sent to another flow"
                    .to_owned(),
            ),
            NotDone::NotFound(NotFound::Expired) => (StatusCode::GONE, code::REQUEST_EXPIRED, EXPIRED.to_owned()),
            NotDone::NotFound(NotFound::Unreadable(key)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, code::UNREADABLE_RECORD, unreadable(key))
            }
            NotDone::NotFound(NotFound::Store(error)) => {
                let (status, reason) = match error.is_temporary() {
                    true => (StatusCode::SERVICE_UNAVAILABLE, "the state manager cannot be reached"),
                    false => (
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "the state manager refuses what the flow asks of it; the log of the flow says why",
                    ),
                };
                (status, error.code(), reason.to_owned())
            }
            NotDone::NotPossible(status, why) => {
                (StatusCode::CONFLICT, code::NOT_POSSIBLE, format!("the request is `{status}`: {why}"))
            }
            NotDone::Bad(why) => (StatusCode::BAD_REQUEST, code::BAD_API_REQUEST, why.clone()),
            NotDone::NotThere(why) => (StatusCode::NOT_FOUND, code::BAD_API_REQUEST, why.clone()),
            NotDone::Refused(status, code, reason) => (*status, *code, reason.clone()),
            NotDone::Outage(outage) => (StatusCode::SERVICE_UNAVAILABLE, outage.code, outage.reason.clone()),
            NotDone::NotPosted(error) => {
                (StatusCode::SERVICE_UNAVAILABLE, error.outage.code, format!("{error}; ask again to go on"))
            }
        }
    }

    /// What is not in the answer, but in the log.
    pub(super) fn detail(&self) -> Option<String> {
        match self {
            NotDone::NotFound(NotFound::Store(error)) => Some(chain(error)),
            NotDone::Outage(outage) => Some(outage.detail.clone()),
            NotDone::NotPosted(error) => Some(error.outage.detail.clone()),
            NotDone::NotFound(_)
            | NotDone::NotPossible(..)
            | NotDone::NotThere(_)
            | NotDone::Bad(_)
            | NotDone::Refused(..) => None,
        }
    }
}
