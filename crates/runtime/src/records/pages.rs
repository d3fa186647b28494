//! Reads one page of the list of a flow's requests, from the newest to the oldest.

use std::collections::{BTreeSet, VecDeque};

use faasflow_admin as api;
use faasflow_core::RequestId;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{KeyedRequest, ListPosition, ListQuery, Listed, StateError, StateManager as _};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use super::filter::{Because, Filter};
use super::look::{Details, Extent, Look};
use super::search::{Wanted, found_by};
use crate::instance::Instance;
use crate::retrying_state::RetryingState;

/// How many requests a page looks at, if not all of them are on it.
const LOOKED_AT: usize = 1000;
/// How many values a page reads about them before it ends.
const VALUES: usize = 50_000;
/// How many lines of the list are read at a time.
const READ: usize = 200;
/// How many requests are judged at a time, if each has to be looked at.
const JUDGED: usize = 64;
/// How many requests are looked at side by side, to show them and to find out whether they are wanted.
const SHOWN_AT_ONCE: usize = 16;
const JUDGED_AT_ONCE: usize = 8;

/// What is asked for.
pub(super) struct Asked<'a> {
    /// The status and the time of the requests, where the page begins, and how many it may have.
    pub(super) query: ListQuery,
    pub(super) among: Among<'a>,
    pub(super) filter: Filter,
    /// Whether the page says more about each request.
    pub(super) details: bool,
    /// Whether it is the first page of the list.
    pub(super) is_first: bool,
    /// Of the requests that match a search exactly, the last one that the first page has.
    pub(super) exact_to: Option<ListPosition>,
}

/// The requests among which the wanted ones are.
pub(super) enum Among<'a> {
    All,
    /// Those with this search key.
    Keyed(&'a str),
    /// Those that repeat this request.
    Repeating(RequestId),
    /// Those with these ids.
    Ids(Vec<RequestId>),
    /// Those in which a text is found.
    Searched(Wanted<'a>),
}

/// A request of a page.
pub(super) struct Line {
    pub(super) listed: Listed,
    pub(super) found: Option<api::Found>,
    pub(super) details: Option<Details>,
}

/// A page, newest first.
pub(super) struct Page {
    pub(super) lines: Vec<Line>,
    /// Where the next page begins, if there may be more, and [`Asked::exact_to`] for it.
    pub(super) next: Option<(ListPosition, Option<ListPosition>)>,
}

/// What was found out about a request: its line, if it is wanted, and how many values were read.
type Judged = (Option<Line>, usize);

impl Instance {
    /// Reads a page. What takes longer than until `soon` is left for the next page, or for the details, is left out.
    pub(super) async fn page(
        &self,
        manager: &RetryingState,
        asked: &Asked<'_>,
        soon: Instant,
    ) -> Result<Page, StateError> {
        let mut page = self.scan(manager, asked, soon).await?;
        if asked.details {
            self.complete(manager, &mut page.lines, soon).await?;
        }
        page.lines.sort_by_key(|line| std::cmp::Reverse(position(&line.listed)));
        Ok(page)
    }

    async fn scan(&self, manager: &RetryingState, asked: &Asked<'_>, soon: Instant) -> Result<Page, StateError> {
        let limit = asked.query.limit;
        let keyed = match &asked.among {
            Among::Keyed(key) => Some(self.keyed(manager, key).await?),
            Among::Repeating(original) => Some(self.repeats(manager, original).await?),
            Among::Ids(ids) => Some(self.begun_among(manager, ids).await?),
            _ => None,
        };
        let (mut lines, mut exact_to) = (Vec::new(), asked.exact_to.clone());
        let mut shown: BTreeSet<ListPosition> = BTreeSet::new();
        if let Among::Searched(wanted) = &asked.among {
            match (asked.is_first, &exact_to) {
                (true, _) => {
                    lines = self.exact_matches(manager, wanted, asked, soon).await?;
                    exact_to = lines.last().map(|line| position(&line.listed));
                    shown = lines.iter().map(|line| position(&line.listed)).collect();
                }
                // The first page has those that match exactly, down to this one.
                (false, Some(last)) => {
                    let exact = self.exact(manager, wanted).await?;
                    shown = exact.into_iter().map(position_of).filter(|position| position >= last).collect();
                }
                (false, None) => {}
            }
        }
        let mut after = asked.query.after.clone();
        let (mut looked_at, mut values, mut is_last) = (0, 0, false);
        let mut pending: VecDeque<Listed> = VecDeque::new();
        loop {
            let is_enough = looked_at >= LOOKED_AT || values >= VALUES || (looked_at > 0 && Instant::now() >= soon);
            let is_over = pending.is_empty() && is_last;
            if !is_over && !is_enough && pending.is_empty() {
                let query = ListQuery { after: after.clone(), limit: READ, ..asked.query.clone() };
                let found = match &keyed {
                    Some(keyed) => self.lines_of(manager, keyed.clone(), &query, READ).await?,
                    None => self.listed(manager, &query, &asked.filter).await?,
                };
                is_last = found.len() < READ;
                pending.extend(found);
            }
            if pending.is_empty() && is_last {
                return Ok(Page { lines, next: None });
            }
            if is_enough || lines.len() >= limit {
                // Nothing is before the first request.
                let start = || ListPosition { started_ms: u64::MAX, request: "-".to_owned() };
                return Ok(Page { lines, next: Some((after.unwrap_or_else(start), exact_to)) });
            }
            let size = if self.looks(asked) { JUDGED } else { READ };
            let some: Vec<Listed> = pending.drain(..size.min(pending.len())).collect();
            let mut judged = self.judge(manager, asked, &some, &shown, soon).await?.into_iter();
            for (number, line) in some.iter().enumerate() {
                if lines.len() >= limit {
                    // They are on the next page.
                    some[number..].iter().rev().for_each(|line| pending.push_front(line.clone()));
                    break;
                }
                let (wanted, read) = judged.next().unwrap_or_default();
                (after, looked_at, values) = (Some(position(line)), looked_at + 1, values + read);
                lines.extend(wanted);
            }
        }
    }

    /// Whether each request has to be looked at.
    fn looks(&self, asked: &Asked<'_>) -> bool {
        !asked.filter.is_empty() || matches!(&asked.among, Among::Searched(wanted) if wanted.call_id().is_some())
    }

    /// Lines of the list with the statuses that are possible.
    async fn listed(
        &self,
        manager: &RetryingState,
        query: &ListQuery,
        filter: &Filter,
    ) -> Result<Vec<Listed>, StateError> {
        let mut lines = Vec::new();
        for status in filter.statuses(query.status) {
            lines.extend(manager.list_requests(&self.name, &ListQuery { status, ..query.clone() }).await?);
        }
        lines.sort_by_key(|line| std::cmp::Reverse(position(line)));
        // One that has got another status meanwhile is found twice.
        lines.dedup_by(|a, b| a.request == b.request && a.started_ms == b.started_ms);
        lines.truncate(query.limit);
        Ok(lines)
    }

    /// The newest requests that match a search exactly, and the filter.
    async fn exact_matches(
        &self,
        manager: &RetryingState,
        wanted: &Wanted<'_>,
        asked: &Asked<'_>,
        soon: Instant,
    ) -> Result<Vec<Line>, StateError> {
        let exact = self.exact(manager, wanted).await?;
        let lines = self.lines_of(manager, exact, &asked.query, asked.query.limit).await?;
        let mut matches = Vec::new();
        for some in lines.chunks(JUDGED_AT_ONCE) {
            if !matches.is_empty() && Instant::now() >= soon {
                break;
            }
            let judge = |listed: &Listed| {
                let by = if listed.request == wanted.text() { api::FoundBy::Id } else { api::FoundBy::Key };
                self.judged(manager, asked, (listed.clone(), Some(found_by(by, wanted.text().trim())), None), soon)
            };
            let judges: Vec<_> = some.iter().map(judge).collect();
            let judged: Vec<Judged> = futures_util::stream::iter(judges).buffered(JUDGED_AT_ONCE).try_collect().await?;
            matches.extend(judged.into_iter().filter_map(|(line, _)| line));
        }
        Ok(matches)
    }

    /// Finds out which of these requests are wanted. Those that were shown before are not.
    async fn judge(
        &self,
        manager: &RetryingState,
        asked: &Asked<'_>,
        lines: &[Listed],
        shown: &BTreeSet<ListPosition>,
        soon: Instant,
    ) -> Result<Vec<Judged>, StateError> {
        let found = match &asked.among {
            Among::Searched(wanted) => self.matches(manager, wanted, lines).await?,
            Among::Keyed(key) => vec![Some(found_by(api::FoundBy::Key, key)); lines.len()],
            Among::All | Among::Repeating(_) | Among::Ids(_) => vec![None; lines.len()],
        };
        let ends = match asked.filter.is_empty() {
            true => Vec::new(),
            false => self.ends(manager, lines).await?,
        };
        let ends = ends.into_iter().chain(std::iter::repeat_with(|| None));
        let judge = |((listed, found), end): ((&Listed, Option<api::Found>), Option<Look>)| match shown
            .contains(&position(listed))
        {
            true => Box::pin(std::future::ready(Ok((None, 0)))),
            false => self.judged(manager, asked, (listed.clone(), found, end), soon),
        };
        let judges: Vec<_> = lines.iter().zip(found).zip(ends).map(judge).collect();
        futures_util::stream::iter(judges).buffered(JUDGED_AT_ONCE).try_collect().await
    }

    /// Finds out whether a request is wanted. Beside its line is what of it matches a search, and its end, if that is known.
    fn judged<'a>(
        &'a self,
        manager: &'a RetryingState,
        asked: &'a Asked<'_>,
        (listed, mut found, end): (Listed, Option<api::Found>, Option<Look>),
        soon: Instant,
    ) -> BoxFuture<'a, Result<Judged, StateError>> {
        Box::pin(async move {
            let call_id = match &asked.among {
                Among::Searched(wanted) if found.is_none() => match wanted.call_id() {
                    Some(call_id) => Some(call_id),
                    None => return Ok((None, 0)),
                },
                _ => None,
            };
            if asked.filter.is_empty() && call_id.is_none() {
                return Ok((Some(Line { listed, found, details: None }), 0));
            }
            let scope = self.scope_of(&listed.request);
            let (look, values) = match end.filter(|_| call_id.is_none()) {
                Some(end) => (end, 1),
                None => self.look(manager, &scope, Extent::SEARCH, call_id.is_some(), soon).await?,
            };
            if let Some(call_id) = call_id {
                let place = match &look {
                    Look::At { remembered, .. } => self.place_of_call(remembered, call_id),
                    _ => None,
                };
                let Some(place) = place else { return Ok((None, values)) };
                let mut by = found_by(api::FoundBy::Call, &call_id.to_string());
                by.place = Some(place.to_string());
                found = Some(by);
            }
            let Some(because) = self.is_wanted(&asked.filter, &look) else { return Ok((None, values)) };
            let shown = match because {
                Because::Place(place) => Some(*place),
                Because::Whole => None,
            };
            let details = asked.details.then(|| self.details(&look, shown));
            Ok((Some(Line { listed, found, details }), values))
        })
    }

    /// Adds the details that are missing, as long as there is time.
    async fn complete(&self, manager: &RetryingState, lines: &mut [Line], soon: Instant) -> Result<(), StateError> {
        for some in lines.chunks_mut(READ) {
            let missing: Vec<&mut Line> = some.iter_mut().filter(|line| line.details.is_none()).collect();
            let listed: Vec<Listed> = missing.iter().map(|line| line.listed.clone()).collect();
            for (line, end) in missing.into_iter().zip(self.ends(manager, &listed).await?) {
                line.details = end.map(|end| self.details(&end, None));
            }
        }
        let missing = lines.iter_mut().filter(|line| line.details.is_none());
        let looks: Vec<_> = missing.map(|line| self.look_at(manager, line, soon)).collect();
        futures_util::stream::iter(looks).buffer_unordered(SHOWN_AT_ONCE).try_collect().await
    }

    fn look_at<'a>(
        &'a self,
        manager: &'a RetryingState,
        line: &'a mut Line,
        soon: Instant,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            if Instant::now() < soon {
                let scope = self.scope_of(&line.listed.request);
                let (look, _) = self.look(manager, &scope, Extent::GLANCE, false, soon).await?;
                line.details = Some(self.details(&look, None));
            }
            Ok(())
        })
    }
}

/// The position of a line in the list.
pub(super) fn position(line: &Listed) -> ListPosition {
    ListPosition { started_ms: line.started_ms, request: line.request.clone() }
}

fn position_of(KeyedRequest { started_ms, request }: KeyedRequest) -> ListPosition {
    ListPosition { started_ms, request }
}
