//! The time that a branch or an item may take.
//!
//! It begins when the first token of the member is posted, so it includes the time that the token waits in the queue. It is
//! checked when a phase of the member is executed. A member whose envelope is lost never ends this way.

use std::time::Duration;

use faasflow_core::Composite;
use faasflow_core::graph::{Follow, Place};
use faasflow_core::machine::Route;
use faasflow_core::machine::forked::Message;
use faasflow_http::now_ms;
use tokio::time::Instant;

use crate::deadline::Deadline;

/// The limit that a member has: how long it may take, and when it has to have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) allowed: Duration,
    due_ms: u64,
}

impl Limit {
    /// The limit that ends first of the members around a token.
    pub(super) fn of_token(route: Route<'_>, message: &Message) -> Option<Limit> {
        let limits = message.joins.iter().zip(message.place.path()).zip(message.place.forks());
        let limits = limits.filter_map(|((terms, member), fork)| {
            Some(Limit { allowed: within(route, &fork, member.index)?, due_ms: terms.due_ms? })
        });
        limits.min_by_key(|limit| limit.due_ms)
    }

    pub(super) fn is_over(self) -> bool {
        self.due_ms <= now_ms()
    }

    /// The deadline of a phase of the member.
    pub(super) fn deadline(self, phase: &Deadline) -> Deadline {
        let left = Duration::from_millis(self.due_ms.saturating_sub(now_ms()));
        match Instant::now().checked_add(left) {
            Some(until) => phase.for_phase_of_member(self.allowed, until),
            None => phase.clone(),
        }
    }
}

/// Limits the time of the member that a token begins, if it begins one.
pub(super) fn start_clock(route: Route<'_>, from: &Place, message: &mut Message) {
    let Some((fork, index)) = message.place.fork() else { return };
    let goes_on = message.place.path().len() < from.path().len()
        || (message.place.path().len() == from.path().len() && from.fork().as_ref() == Some(&(fork.clone(), index)));
    if goes_on {
        return;
    }
    if let Some((terms, within)) = message.joins.last_mut().zip(within(route, &fork, index)) {
        terms.due_ms = Some(due(within));
    }
}

/// Limits the time of the members around a token that is posted again. None of the time that has passed counts: the request was
/// paused, or the token was lost.
pub(crate) fn restart_clocks(route: Route<'_>, message: &mut Message) {
    let members: Vec<_> = message.place.forks().zip(message.place.path().iter().map(|member| member.index)).collect();
    for (terms, (fork, index)) in message.joins.iter_mut().zip(members) {
        terms.due_ms = within(route, &fork, index).map(due);
    }
}

/// The end of a time limit that begins now.
fn due(within: Duration) -> u64 {
    now_ms().saturating_add(u64::try_from(within.as_millis()).unwrap_or(u64::MAX))
}

/// How long a member of a fork may take.
fn within(route: Route<'_>, fork: &Place, index: u32) -> Option<Duration> {
    let Follow::Fork(composite) = *route.plan().segment(fork)?.follow() else { return None };
    match route.flow().composite(route.composite(composite)?) {
        Composite::Graph { within, .. } => within.get(index as usize).copied().flatten(),
        Composite::ForEach { within, .. } => *within,
        _ => None,
    }
}
