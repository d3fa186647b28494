//! Looks at what has become of many requests, with limited work for each.

use std::collections::HashSet;

use bytes::Bytes;
use faasflow_admin as api;
use faasflow_core::Outcome;
use faasflow_core::code;
use faasflow_core::graph::{Follow, Place, Segment};
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::forked::{
    MemberRecord, PlaceProgress, Progress, Standing, Survey, end_of, ended_ms, over_key, survey_so_far, survey_within,
};
use faasflow_core::state::{Key, Scope, StateError, StateManager as _};
use tokio::time::Instant;
use uuid::Uuid;

use super::answer::{brief, reason_of, why};
use super::ended::stopped;
use super::progress::{NotFound, Remembered, unreadable};
use crate::forward::call_id;
use crate::instance::Instance;
use crate::retrying_state::RetryingState;

/// How many values are read before it is looked whether that is enough.
const AT_ONCE: usize = 256;
/// How many call ids of one request are compared with a text.
const CALL_IDS: usize = 500_000;
/// How many characters of a text are shown in a list, and how many steps and branches.
const SHOWN: usize = 160;
const SHOWN_NAMES: usize = 4;

/// How much of one request is read at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// How many values.
    values: usize,
    /// How many bytes. The last values that are read may exceed it.
    bytes: usize,
}

impl Extent {
    /// To show a request in a list.
    pub(super) const GLANCE: Extent = Extent { values: 300, bytes: 1 << 20 };
    /// To find out whether a request is wanted.
    pub(super) const SEARCH: Extent = Extent { values: 50_000, bytes: 16 << 20 };
}

/// What is known about a request.
pub(super) enum Look {
    /// It has ended.
    Ended { moved_ms: u64, reason: Option<api::RequestReason> },
    /// What has become of it. `is_partial` says that there was too much to read all of it.
    At { remembered: Box<Remembered>, is_partial: bool },
    /// The value of this key is not one that this version writes.
    Unreadable(Key),
    /// The flow does not know it any more.
    Gone,
}

/// What a list says about a request besides its status.
#[derive(Clone, Debug, Default)]
pub(super) struct Details {
    pub(super) moved_ms: Option<u64>,
    pub(super) at: Option<api::RequestAt>,
    pub(super) reason: Option<api::RequestReason>,
}

impl Instance {
    /// Looks at a request, and says how many values it has read for that. Of a request that has ended, only the end is read, unless the
    /// places are needed.
    pub(super) fn look<'a>(
        &'a self,
        manager: &'a RetryingState,
        scope: &'a Scope,
        extent: Extent,
        needs_places: bool,
        until: Instant,
    ) -> BoxFuture<'a, Result<(Look, usize), StateError>> {
        Box::pin(async move {
            let opened = match self.opened(manager, scope).await {
                Ok(opened) => opened,
                Err(NotFound::Unknown | NotFound::Expired) => return Ok((Look::Gone, 1)),
                Err(NotFound::Unreadable(key)) => return Ok((Look::Unreadable(key), 1)),
                Err(NotFound::Store(error)) => return Err(error),
            };
            let route = opened.begun.route(&self.flow);
            let over = over_key(opened.first.place.generation());
            let mut found = opened.found();
            let (mut values, mut bytes) = (1, 0);
            loop {
                let end = found.get(&over).cloned().flatten().as_ref().and_then(end_of);
                if let (false, Some((outcome, record))) = (needs_places, end) {
                    let ended_ms = found.get(&over).and_then(Option::as_ref).and_then(ended_ms);
                    let moved_ms = opened.began_ms.max(ended_ms.unwrap_or_default());
                    let reason = self.reason_of_end(manager, scope, outcome, record).await?;
                    return Ok((Look::Ended { moved_ms, reason }, values + 1));
                }
                let (surveyed, is_partial) =
                    match survey_within(route, &opened.first, &found, extent.values.saturating_sub(values)) {
                        Survey::Needs(mut keys) => {
                            keys.truncate(extent.values.saturating_sub(values));
                            if keys.is_empty() || bytes >= extent.bytes || (values > 1 && Instant::now() >= until) {
                                (survey_so_far(route, &opened.first, &found), true)
                            } else {
                                for keys in keys.chunks(AT_ONCE) {
                                    let read = manager.read_all(scope, keys).await?;
                                    values += keys.len();
                                    bytes += read.iter().flatten().map(Bytes::len).sum::<usize>();
                                    found.extend(keys.iter().cloned().zip(read));
                                    if bytes >= extent.bytes || Instant::now() >= until {
                                        break;
                                    }
                                }
                                continue;
                            }
                        }
                        surveyed => (surveyed, false),
                    };
                let look = match surveyed {
                    Survey::Progress(progress) => {
                        Look::At { remembered: Box::new(opened.remembered(*progress)), is_partial }
                    }
                    Survey::Unreadable(key) => Look::Unreadable(key),
                    Survey::Needs(_) => unreachable!("what is known so far needs nothing"),
                };
                return Ok((look, values));
            }
        })
    }

    /// Why a request ended. `record` is the key of the result that it ended with.
    async fn reason_of_end(
        &self,
        manager: &RetryingState,
        scope: &Scope,
        outcome: Outcome,
        record: Option<String>,
    ) -> Result<Option<api::RequestReason>, StateError> {
        if outcome == Outcome::Stopped {
            return Ok(Some(reason_of(&stopped(), None)));
        }
        let Some(key) = record.filter(|_| outcome != Outcome::Success) else { return Ok(None) };
        let value = manager.get(scope, &key).await?;
        let reason = value.as_ref().and_then(MemberRecord::decode).and_then(|record| record.reason);
        Ok(reason.map(|reason| reason_of(&reason, key.strip_prefix("result/"))))
    }

    /// The place of a request that has this call id.
    pub(super) fn place_of_call(&self, remembered: &Remembered, wanted: Uuid) -> Option<Place> {
        let plan = remembered.begun.route(&self.flow).plan();
        let start = plan.start();
        let mut seen = HashSet::new();
        let listed = remembered.progress.places.iter().map(|progress| progress.place.clone());
        // The items of a for-each that have ended are not listed.
        let members = remembered.progress.places.iter().filter_map(|progress| Some((progress, progress.members?)));
        let members = members.flat_map(|(progress, members)| {
            let of = move |index| plan.segments().map(move |segment| progress.place.member(index, segment.place()));
            (0..members.all).flat_map(of).filter(|place| plan.segment(place).is_some())
        });
        // Those of earlier generations.
        let each = |place: Place| (0..=place.generation()).map(move |number| place.clone().in_generation(number));
        let mut places = listed.chain(members).flat_map(each).filter(|place| *place != start).take(CALL_IDS);
        places.find(|place| seen.insert(place.to_string()) && call_id(&remembered.info, place) == wanted)
    }

    /// Details of a request. `shown` is the open place that they tell about, if that has been found out.
    pub(super) fn details(&self, look: &Look, shown: Option<api::Place>) -> Details {
        match look {
            Look::Gone => Details::default(),
            Look::Unreadable(key) => {
                Details { reason: Some(short_reason(unreadable_reason(key))), ..Details::default() }
            }
            Look::Ended { moved_ms, reason } => {
                Details { moved_ms: Some(*moved_ms), at: None, reason: reason.clone().map(short_reason) }
            }
            Look::At { remembered, is_partial } => Details {
                moved_ms: Some(remembered.moved_ms()),
                at: self.at(remembered, *is_partial, shown),
                reason: why(remembered, remembered.status()).map(short_reason),
            },
        }
    }

    /// The first open place of a request that is wanted.
    pub(super) fn find_open(
        &self,
        remembered: &Remembered,
        is_wanted: impl Fn(&api::Place) -> bool,
    ) -> Option<api::Place> {
        let route = remembered.begun.route(&self.flow);
        open(&remembered.progress).map(|progress| brief(route, &remembered.info, progress)).find(is_wanted)
    }

    /// Where a request is now.
    fn at(&self, remembered: &Remembered, is_partial: bool, shown: Option<api::Place>) -> Option<api::RequestAt> {
        if remembered.progress.end.is_some() {
            return None;
        }
        let route = remembered.begun.route(&self.flow);
        let told = |progress: &PlaceProgress| brief(route, &remembered.info, progress);
        let count = open(&remembered.progress).count() as u64;
        let shown = shown
            .or_else(|| open(&remembered.progress).find(|progress| progress.tried.is_some()).map(told))
            .or_else(|| open(&remembered.progress).next().map(told));
        let mut at = api::RequestAt::default();
        at.partial = is_partial;
        at.more = count.saturating_sub(1);
        let shown = match shown {
            Some(shown) => shown,
            // It is among the members that were not looked at.
            None => {
                let forks = |progress: &&PlaceProgress| {
                    let follow = route.plan().segment(&progress.place).map(Segment::follow);
                    progress.members.is_some() && matches!(follow, Some(Follow::Fork(_)))
                };
                let fork = remembered.progress.places.iter().rev().find(forks)?;
                at.members = fork.members.map(|members| members.all.into());
                told(fork)
            }
        };
        at.place = shown.place;
        at.call_id = shown.call_id;
        at.path = shown.path.into_iter().take(SHOWN_NAMES).map(|name| short(&name)).collect();
        at.label = shown.label.as_deref().map(short);
        at.steps = shown.steps.into_iter().take(SHOWN_NAMES).map(|name| short(&name)).collect();
        at.status = shown.status;
        at.reason = shown.reason.map(short_reason);
        Some(at)
    }
}

/// The reason that is shown for a request whose record is damaged.
pub(super) fn unreadable_reason(key: &Key) -> api::RequestReason {
    let mut told = api::RequestReason::default();
    (told.text, told.code) = (unreadable(key), Some(code::UNREADABLE_RECORD.to_string()));
    told
}

/// The places that have not ended.
fn open(progress: &Progress) -> impl Iterator<Item = &PlaceProgress> {
    progress.places.iter().filter(|place| matches!(place.standing, Standing::Running | Standing::Waiting))
}

fn short_reason(mut reason: api::RequestReason) -> api::RequestReason {
    reason.text = short(&reason.text);
    reason.name = reason.name.as_deref().map(short);
    reason
}

/// The beginning of a long text.
fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(short("portrait.jpg"), "portrait.jpg");
        assert_eq!(short(&"ä".repeat(SHOWN)), "ä".repeat(SHOWN));
        assert_eq!(short(&"ä".repeat(SHOWN + 1)), format!("{}…", "ä".repeat(SHOWN)));
    }
}
