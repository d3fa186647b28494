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
    /// What its dead letters say about it.
    #[serde(skip)]
    pub(super) given_up: Option<String>,
    /// The numbers of its dead letters, newest first, if it has not ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) dead_letters: Vec<u64>,
}

impl Listed {
    pub(super) fn new(flow: &str, summary: RequestSummary) -> Listed {
        Listed { flow: flow.to_owned(), summary, given_up: None, dead_letters: Vec::new() }
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

    /// Whether the flow leaves out requests that do not fit.
    pub(super) fn is_narrow(&self) -> bool {
        let is_narrow = self.status.is_some() || self.since.is_some() || self.at.is_some() || self.retrying;
        is_narrow || self.idle.is_some() || self.reason.is_some()
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
