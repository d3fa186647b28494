//! Which requests a list is asked for, as far as that can only be found out by looking at each.

use std::time::Duration;

use faasflow_admin as api;
use faasflow_core::state::Status;
use faasflow_http::now_ms;

use super::answer::why;
use super::look::{Look, unreadable_reason};
use crate::instance::Instance;

/// What must be true of a request. What is absent may be anything.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// A text that is in the branches, the label or the steps of an open place.
    pub(super) at: Option<Text>,
    /// Whether a place is being retried.
    pub(super) retrying: bool,
    /// For how long it has not moved.
    pub(super) idle: Option<Duration>,
    /// A text that is in the reason of the request or of an open place, or the code of that reason.
    pub(super) reason: Option<Text>,
}

/// A text that is searched for, without regard to upper and lower case.
#[derive(Clone, Debug)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn new(text: &str) -> Text {
        Text(text.to_lowercase())
    }

    pub(super) fn is_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.0)
    }
}

impl Filter {
    pub(super) fn is_empty(&self) -> bool {
        self.open_only().is_none() && self.reason.is_none()
    }

    /// The parameter that excludes requests that have ended, if there is one.
    pub(super) fn open_only(&self) -> Option<&'static str> {
        let given = [("at", self.at.is_some()), ("retrying", self.retrying), ("idle", self.idle.is_some())];
        given.into_iter().find(|(_, is_given)| *is_given).map(|(name, _)| name)
    }

    /// Whether a request with this status may be one of those that are wanted.
    pub(super) fn allows(&self, status: Status) -> bool {
        let is_open = self.open_only().is_none() || !status.has_ended();
        is_open && (self.reason.is_none() || status != Status::Success)
    }

    /// The statuses with which the requests are listed that are looked at: this one, or all that are possible. `None` stands for any
    /// status.
    pub(super) fn statuses(&self, status: Option<Status>) -> Vec<Option<Status>> {
        match status {
            None if self.is_empty() => vec![None],
            None => Status::ALL.into_iter().filter(|status| self.allows(*status)).map(Some).collect(),
            Some(status) => vec![Some(status)],
        }
    }

    fn is_reason(&self, reason: Option<&api::RequestReason>) -> bool {
        let Some(wanted) = &self.reason else { return true };
        reason.is_some_and(|reason| {
            let is_code = reason.code.as_ref().is_some_and(|code| code.to_lowercase() == wanted.0);
            is_code || wanted.is_in(&reason.text) || reason.name.as_ref().is_some_and(|name| wanted.is_in(name))
        })
    }

    /// Whether this open place is why a request is wanted.
    fn is_wanted(&self, place: &api::Place, is_reason_of_request: bool) -> bool {
        let is_at = self.at.as_ref().is_none_or(|at| {
            let names = place.path.iter().chain(&place.label).chain(&place.steps);
            names.into_iter().any(|name| at.is_in(name))
        });
        let is_retrying = !self.retrying || place.status == api::PlaceStatus::Retrying;
        is_at && is_retrying && (is_reason_of_request || self.is_reason(place.reason.as_ref()))
    }
}

/// Why a request is wanted.
pub(super) enum Because {
    /// One of its open places is what the filter asks for.
    Place(Box<api::Place>),
    /// Its places do not matter.
    Whole,
}

impl Instance {
    /// Whether a request is one of those that are wanted, and which of its places is why.
    pub(super) fn is_wanted(&self, filter: &Filter, look: &Look) -> Option<Because> {
        let (is_end, is_reason) = match look {
            Look::Gone => return None,
            Look::Unreadable(key) => (true, filter.is_reason(Some(&unreadable_reason(key)))),
            Look::Ended { reason, .. } => (true, filter.is_reason(reason.as_ref())),
            Look::At { remembered, .. } => {
                let status = remembered.status();
                (status.has_ended(), filter.is_reason(why(remembered, status).as_ref()))
            }
        };
        if is_end && filter.open_only().is_some() {
            return None;
        }
        let Look::At { remembered, .. } = look else { return is_reason.then_some(Because::Whole) };
        let still = Duration::from_millis(now_ms().saturating_sub(remembered.moved_ms()));
        if filter.idle.is_some_and(|idle| still < idle) {
            return None;
        }
        if filter.at.is_none() && !filter.retrying && is_reason {
            return Some(Because::Whole);
        }
        let place = self.find_open(remembered, |place| filter.is_wanted(place, is_reason));
        place.map(|place| Because::Place(Box::new(place)))
    }
}
