//! One place of a request, whether the status lists it or not.

use std::collections::HashMap;

use bytes::Bytes;

use crate::graph::{Follow, Place};
use crate::machine::Route;
use crate::state::Key;

use super::ended::Ended;
use super::find::reach;
use super::member_list::{ForkMembers, Halt, MemberStatus, NotListed};
use super::message::Message;
use super::progress::{PlaceProgress, Standing};
use super::survey::Surveyor;

/// One place of a request, or the keys that have to be read to find out about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnePlace {
    /// These keys have to be read.
    Needs(Vec<Key>),
    /// The request has not reached this place, or its definition does not have it.
    Nowhere,
    /// The value of this key, or of another one, cannot be read by this version, or the store does not show it yet.
    Unreadable(Option<Key>),
    /// It begins this member of a graph or for-each, which has not begun.
    NotBegun {
        /// How far the member is.
        status: MemberStatus,
        /// The labels of the items that it is in, from the outermost to the innermost.
        labels: Vec<String>,
    },
    /// How far it is.
    Found(Box<PlaceProgress>),
}

/// Finds out about one place, in the way of [`list_members`](super::list_members). It is found even if [`survey`](super::survey) does not list it.
#[must_use]
pub fn one_place<'a>(
    route: impl Into<Route<'a>>,
    first: &Message,
    place: &Place,
    found: &HashMap<Key, Option<Bytes>>,
) -> OnePlace {
    match look_at(route.into(), first, place, found) {
        Ok(place) => place,
        Err(NotListed::Needs(keys)) => OnePlace::Needs(keys),
        Err(NotListed::Nowhere | NotListed::NoMembers) => OnePlace::Nowhere,
        Err(NotListed::Unreadable(key)) => OnePlace::Unreadable(key),
    }
}

fn look_at(
    route: Route<'_>,
    first: &Message,
    place: &Place,
    found: &HashMap<Key, Option<Bytes>>,
) -> Result<OnePlace, NotListed> {
    let (token, _) = reach(route, first, place, found)?.ok_or(NotListed::Nowhere)?;
    let mut surveyor = Surveyor::shallow(route, found);
    let halt = surveyor.halt(place)?;
    surveyor.visit(token, halt != Halt::Ended);
    let mut phases = std::mem::take(&mut surveyor.seen.places);
    phases.truncate(1);
    surveyor.complete()?;
    let Some(mut progress) = phases.pop() else { return Err(NotListed::Nowhere) };
    if progress.ended().is_none()
        && progress.tried.is_none()
        && let Some((fork, index)) = place.fork()
    {
        let members = ForkMembers::find(route, first, &fork, found)?;
        if !members.begun.contains(&index) {
            let status = *members.statuses.get(index as usize).ok_or(NotListed::Nowhere)?;
            return Ok(OnePlace::NotBegun { status, labels: progress.labels });
        }
    }
    let forks = route.plan().segment(place).is_some_and(|segment| matches!(segment.follow(), Follow::Fork(_)));
    if forks && progress.standing == Standing::Ended(Ended::Done) {
        progress.members = match ForkMembers::find(route, first, place, found) {
            Ok(listed) => Some(listed.members),
            // A failure handler has recovered the place instead.
            Err(NotListed::NoMembers) => None,
            Err(error) => return Err(error),
        };
    }
    halt.applies_to(std::slice::from_mut(&mut progress));
    Ok(OnePlace::Found(Box::new(progress)))
}
