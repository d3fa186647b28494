//! Tells what is recorded about requests.

use std::sync::OnceLock;

use faasflow_core::state::Status;

use super::change::Outcome;
use super::tables::Scope;

/// What was recorded about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestNews {
    /// It is listed for the first time, as running.
    Begun,
    /// It has another status than before.
    Changed(Status),
    /// It has ended with this status.
    Ended(Status),
}

type Hear = Box<dyn Fn(&Scope, RequestNews) + Send + Sync>;

/// Tells one listener. Nothing is told twice, even if a function records it twice.
#[derive(Default)]
pub(super) struct Told(OnceLock<Hear>);

impl Told {
    pub(super) fn to(&self, hear: impl Fn(&Scope, RequestNews) + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(hear));
    }

    fn tell(&self, scope: &Scope, news: RequestNews) {
        if let Some(hear) = self.0.get() {
            hear(scope, news);
        }
    }

    pub(super) fn begun(&self, scope: &Scope) {
        self.tell(scope, RequestNews::Begun);
    }

    /// Tells that a request was listed with this status.
    pub(super) fn changed(&self, scope: &Scope, listed: Outcome, status: Status) {
        if !matches!(listed, Outcome::Listed(was) if was == Some(status)) {
            self.tell(scope, RequestNews::Changed(status));
        }
    }

    /// Tells that a request has ended with this status, if it was listed with another one.
    pub(super) fn ended(&self, scope: &Scope, listed: Outcome, status: Status) {
        if matches!(listed, Outcome::Listed(Some(was)) if was != status) {
            self.tell(scope, RequestNews::Ended(status));
        }
    }
}
