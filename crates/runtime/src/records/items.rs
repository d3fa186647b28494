//! Finds the items of a for-each and single places of a request, without looking at everything else.

use std::collections::HashMap;

use faasflow_admin as api;
use faasflow_core::graph::{CompositeKind, Follow, Place, Plan, Segment};
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::Outage;
use faasflow_core::machine::forked::{
    MemberList, MemberProgress, MemberQuery, MemberStatus, OnePlace, PlaceProgress, Standing, list_members, one_place,
};
use faasflow_core::state::{Key, Scope};

use super::answer;
use super::not_done::NotDone;
use super::progress::NotFound;
use crate::instance::Instance;

/// How much of a reason is told about an item, in characters.
const REASON: usize = 200;

impl Instance {
    /// Items of a for-each, or branches of a graph. The future is boxed here, because the compiler cannot prove from the outside that it
    /// can move between threads.
    pub(super) fn items<'a>(
        &'a self,
        scope: &'a Scope,
        query: MemberQuery<'a>,
    ) -> BoxFuture<'a, Result<api::RequestItems, NotDone>> {
        Box::pin(async move {
            let manager = self.records(self.time_to_answer().state_in_steps());
            let opened = self.kept(&manager, scope).await?;
            let route = opened.begun.route(&self.flow);
            let place = query.fork;
            let mut found = HashMap::new();
            let page = loop {
                match list_members(route, &opened.first, &query, &found) {
                    MemberList::Needs(keys) => manager.read_into(&mut found, scope, keys).await?,
                    MemberList::Page(page) => break *page,
                    MemberList::Nowhere => return Err(nowhere(place)),
                    MemberList::NoMembers => {
                        let why = format!(
                            "the place `{place}` has begun no items and no branches; those that have, have `members` in the status of \
                             the request"
                        );
                        return Err(NotDone::NotThere(why));
                    }
                    MemberList::Unreadable(key) => return Err(unreadable(place, key)),
                }
            };
            let plan = route.plan();
            let mut told = api::RequestItems::default();
            told.version = api::REQUESTS_VERSION;
            told.place = place.to_string();
            told.members = answer::members(page.members);
            told.items = page.listed.iter().map(|member| item(plan, place, member)).collect();
            told.cursor = page.after.map(|(status, index)| format!("{}~{}", name_of(status), u64::from(index) + 1));
            Ok(told)
        })
    }

    /// One place.
    pub(super) fn one_place<'a>(
        &'a self,
        scope: &'a Scope,
        place: &'a Place,
    ) -> BoxFuture<'a, Result<api::RequestPlace, NotDone>> {
        Box::pin(async move {
            let until = self.time_to_answer().state_in_steps();
            let manager = self.records(until);
            let opened = self.kept(&manager, scope).await?;
            let route = opened.begun.route(&self.flow);
            let mut found = HashMap::new();
            let mut is_unbegun = false;
            let progress = loop {
                match one_place(route, &opened.first, place, &found) {
                    OnePlace::Needs(keys) => manager.read_into(&mut found, scope, keys).await?,
                    OnePlace::Found(progress) => break Some(*progress),
                    OnePlace::NotBegun { status, labels } if is_item(route.plan(), place) => {
                        is_unbegun = true;
                        let standing = match status {
                            MemberStatus::Waiting => Standing::Waiting,
                            _ => Standing::Stopped,
                        };
                        let mut progress = PlaceProgress::not_begun(place, standing);
                        progress.labels = labels;
                        break Some(progress);
                    }
                    OnePlace::NotBegun { .. } | OnePlace::Nowhere => break None,
                    OnePlace::Unreadable(key) => return Err(unreadable(place, key)),
                }
            };
            let mut told = api::RequestPlace::default();
            told.version = api::REQUESTS_VERSION;
            told.place = match progress {
                Some(progress) => {
                    let is_unbegun_item = is_unbegun && progress.standing == Standing::Waiting;
                    let mut place = answer::place(route, &opened.info, &progress);
                    if is_unbegun_item && let Some(waits_for) = &mut place.waits_for {
                        waits_for.what = api::Waits::Slot;
                    }
                    if !opened.has_changed {
                        let told = std::slice::from_mut(&mut place);
                        self.add_earlier(&manager, scope, route, &[&progress], told).await?;
                    }
                    place
                }
                None => {
                    // It may be ahead.
                    let remembered = self.remembered(scope, until).await?;
                    let text = place.to_string();
                    let ahead = answer::ahead(self, &remembered).into_iter().find(|ahead| ahead.place == text);
                    ahead.ok_or_else(|| nowhere(place))?
                }
            };
            Ok(told)
        })
    }
}

fn nowhere(place: &Place) -> NotDone {
    let why = format!(
        "the request has not reached the place `{place}`, or has no such place; its status lists those that it has reached and those \
         that it has ahead of it"
    );
    NotDone::NotThere(why)
}

fn unreadable(place: &Place, key: Option<Key>) -> NotDone {
    match key {
        Some(key) => NotFound::Unreadable(key).into(),
        None => {
            let detail = format!("what leads to the place `{place}` is not there, or cannot be read");
            NotDone::Outage(Outage::state_unreachable(detail))
        }
    }
}

/// Whether a place is in an item of a for-each, directly.
fn is_item(plan: &Plan, place: &Place) -> bool {
    place.fork().is_some_and(|(fork, _)| plan.begins_items(&fork))
}

fn item(plan: &Plan, fork: &Place, member: &MemberProgress) -> api::RequestItem {
    let mut told = api::RequestItem::default();
    told.number = u64::from(member.index) + 1;
    told.branch = match plan.segment(fork).map(Segment::follow) {
        Some(Follow::Fork(composite)) if plan.composite(*composite).kind() == CompositeKind::Graph => {
            let branch = plan.composite(*composite).branches().get(member.index as usize);
            branch.map(|branch| branch.name().to_string())
        }
        _ => None,
    };
    told.label.clone_from(&member.label);
    let last = member.phases.last();
    told.place = last.map_or(&member.entry, |last| &last.place).to_string();
    told.status = match (member.status, last) {
        // These say more of how it ended.
        (MemberStatus::Failed | MemberStatus::Done, Some(last)) => answer::place_status(last),
        (status, _) => status_of(status),
    };
    let Some(last) = last else { return told };
    told.began_ms = member.phases.first().and_then(answer::began_ms);
    told.done_ms = match member.status {
        MemberStatus::Failed | MemberStatus::Done => answer::known(last.times.done_ms),
        _ => None,
    };
    told.attempts = answer::attempts(last);
    if let Some(reason) = answer::place_reason(last) {
        told.reason = Some(reason.text.chars().take(REASON).collect());
        told.code = reason.code;
    }
    told
}

fn status_of(status: MemberStatus) -> api::PlaceStatus {
    match status {
        MemberStatus::Failed => api::PlaceStatus::Failed,
        MemberStatus::Retrying => api::PlaceStatus::Retrying,
        MemberStatus::Running => api::PlaceStatus::Running,
        MemberStatus::Waiting => api::PlaceStatus::Waiting,
        MemberStatus::Done => api::PlaceStatus::Done,
        MemberStatus::Stopped => api::PlaceStatus::Stopped,
        _ => api::PlaceStatus::Unknown,
    }
}

/// The statuses that items can be listed by, in the order in which they are listed.
pub(super) const STATUSES: [MemberStatus; 6] = [
    MemberStatus::Failed,
    MemberStatus::Retrying,
    MemberStatus::Running,
    MemberStatus::Waiting,
    MemberStatus::Done,
    MemberStatus::Stopped,
];

/// The status as it is written in queries and cursors.
pub(super) fn name_of(status: MemberStatus) -> &'static str {
    status_of(status).as_str()
}
