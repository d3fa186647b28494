//! Which requests are listed.

use std::time::Duration;

use faasflow_admin::RequestSummary;
use faasflow_core::duration;
use serde::Serialize;

use crate::args::ListRequests;

/// How many requests are listed if the command line does not say it.
const LIMIT: usize = 50;

/// A request, and its flow.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Listed {
    pub(super) flow: String,
    #[serde(flatten)]
    pub(super) summary: RequestSummary,
    #[serde(flatten)]
    pub(super) letters: OwnLetters,
}

/// The dead letters of a request that has not ended.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct OwnLetters {
    /// Their numbers, newest first.
    #[serde(rename = "dead_letters", skip_serializing_if = "Vec::is_empty")]
    pub(super) ids: Vec<u64>,
    /// Whether the queue has given up what the request waits for: it is where one of them says, or nothing was recorded about it since.
    /// When somebody resumes a request, it is queued again.
    #[serde(skip)]
    pub(super) is_current: bool,
    /// Whether that is true of the place that the list shows. Another branch may be in progress.
    #[serde(skip)]
    pub(super) is_of_place: bool,
}

impl Listed {
    pub(super) fn new(flow: &str, summary: RequestSummary) -> Listed {
        Listed { flow: flow.to_owned(), summary, letters: OwnLetters::default() }
    }
}

/// Which requests are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filter<'a> {
    pub(super) status: Option<&'a str>,
    pub(super) since: Option<Duration>,
    pub(super) search: Option<&'a str>,
    pub(super) at: Option<&'a str>,
    pub(super) retrying: bool,
    /// Whether they must have dead letters. The queue says that, and not the flow.
    pub(super) given_up: bool,
    pub(super) idle: Option<Duration>,
    pub(super) reason: Option<&'a str>,
    pub(super) limit: usize,
}

impl<'a> Filter<'a> {
    /// All requests.
    pub(super) fn all() -> Filter<'a> {
        Filter { limit: usize::MAX, ..Filter::default() }
    }

    pub(super) fn new(list: &'a ListRequests) -> Filter<'a> {
        Filter {
            status: list.status.as_deref(),
            since: list.since,
            search: list.search.as_deref(),
            at: list.at.as_deref(),
            retrying: list.retrying,
            given_up: list.given_up,
            idle: list.idle,
            reason: list.reason.as_deref(),
            limit: if list.all { usize::MAX } else { list.limit.unwrap_or(LIMIT) },
        }
    }

    /// Whether the flow may leave out requests that it knows.
    pub(super) fn excludes_known_requests(&self) -> bool {
        let excludes = self.status.is_some() || self.since.is_some() || self.at.is_some() || self.retrying;
        excludes || self.idle.is_some() || self.reason.is_some()
    }

    /// Whether the list says where the requests are, and why. Flows of older versions cannot.
    pub(super) fn has_details(&self) -> bool {
        self.at.is_some() || self.retrying || self.given_up || self.idle.is_some() || self.reason.is_some()
    }

    /// Whether the flow has to look at each request.
    pub(super) fn looks_at_each(&self) -> bool {
        !self.given_up && (self.search.is_some() || self.has_details())
    }

    /// The parameters of a query, without those that say which page it is.
    pub(super) fn query(&self) -> form_urlencoded::Serializer<'static, String> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.status.map(|status| ("status", status)));
        query.extend_pairs(self.search.map(|text| ("search", text)));
        query.extend_pairs(self.since.map(|since| ("since", duration::format(since))));
        query.extend_pairs(self.at.map(|text| ("at", text)));
        query.extend_pairs(self.retrying.then_some(("retrying", "true")));
        query.extend_pairs(self.idle.map(|idle| ("idle", duration::format(idle))));
        query.extend_pairs(self.reason.map(|text| ("reason", text)));
        query.extend_pairs(self.has_details().then_some(("details", "true")));
        query
    }
}
