use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The position of a token in the plan of its flow and in its request: the segment to execute next, the branches and items
/// that lead to it, and the generation.
///
/// A [`Plan`](super::Plan) hands out the places of its flow, and an envelope carries one. A place that was read from an
/// envelope may not exist in the plan; [`Plan::segment`](super::Plan::segment) then returns `None`. Everything that
/// names a phase to the outside derives from its place: log lines, spans, idempotency keys, call ids and the keys of
/// state managers.
///
/// As text, a place in no branch is the number of its phase, such as `5`. Otherwise the path comes first: `3.17/5` is phase 5
/// of member 17 (counted from 0) of the graph or for-each that phase 3 began. A generation after the first follows: `5@1`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Counted from 1, as envelopes of version 1 write it.
    segment: u32,
    /// `None` for the empty path, so that a request without branches allocates nothing for its places.
    path: Option<Arc<[Member]>>,
    generation: u32,
}

/// A branch of a graph or an item of a for-each, as an element of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The number of the phase that began the graph or for-each.
    pub fork: u32,
    /// Which branch or item it is, from 0.
    pub index: u32,
}

impl Place {
    /// Creates the place from its number in an envelope of version 1.
    pub(crate) fn numbered(segment: u32) -> Place {
        Place { segment, path: None, generation: 0 }
    }

    /// Its number in an envelope of version 1.
    pub(crate) fn number(&self) -> u32 {
        self.segment
    }

    /// Creates the place from its parts in an envelope of version 2.
    pub(crate) fn with_path(segment: u32, path: &[Member], generation: u32) -> Place {
        Place { segment, path: (!path.is_empty()).then(|| path.into()), generation }
    }

    /// The place of the segment at `index` in the plan's list.
    pub(super) fn at(index: usize) -> Place {
        Place::numbered(u32::try_from(index + 1).unwrap_or(u32::MAX))
    }

    /// The index of its segment in the plan's list; `None` if no list can have such a place.
    pub(super) fn index(&self) -> Option<usize> {
        usize::try_from(self.segment).ok()?.checked_sub(1)
    }

    /// The same branch or item, at another segment.
    #[must_use]
    pub fn sibling(&self, segment: &Place) -> Place {
        Place { segment: segment.segment, ..self.clone() }
    }

    /// A segment of a member of the graph or for-each that this place begins.
    #[must_use]
    pub fn member(&self, index: u32, segment: &Place) -> Place {
        let member = Member { fork: self.segment, index };
        let path = self.path().iter().copied().chain([member]).collect();
        Place { segment: segment.segment, path: Some(path), generation: self.generation }
    }

    /// Reads a place as it is written; `None` if the text is none.
    ///
    /// ```
    /// use faasflow_core::graph::Place;
    ///
    /// let place = Place::parse("3.17/5@1").unwrap();
    /// assert_eq!((place.phase(), place.generation(), place.to_string().as_str()), (5, 1, "3.17/5@1"));
    /// assert_eq!(Place::parse("3/5"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Place> {
        let number = |text: &str| text.parse::<u32>().ok();
        let (path, last) = text.rsplit_once('/').map_or((None, text), |(path, last)| (Some(path), last));
        let member = |text: &str| {
            let (fork, index) = text.split_once('.')?;
            Some(Member { fork: number(fork)?, index: number(index)? })
        };
        let path: Vec<Member> = path.into_iter().flat_map(|path| path.split('/')).map(member).collect::<Option<_>>()?;
        let (segment, generation) =
            last.split_once('@').map_or((last, "0"), |(segment, generation)| (segment, generation));
        let place = Place::with_path(number(segment)?, &path, number(generation)?);
        // Each place is written in one way: without leading zeros or signs.
        (place.to_string() == text).then_some(place)
    }

    /// The place that began the innermost graph or for-each around this place, and which member of it this is; `None` in no
    /// branch.
    #[must_use]
    pub fn fork(&self) -> Option<(Place, u32)> {
        let (last, before) = self.path().split_last()?;
        Some((Place::with_path(last.fork, before, self.generation), last.index))
    }

    /// The places that began the graphs and for-eaches around this place, from the outermost to the innermost.
    pub fn forks(&self) -> impl Iterator<Item = Place> {
        let path = self.path();
        (0..path.len()).map(|depth| Place::with_path(path[depth].fork, &path[..depth], self.generation))
    }

    /// The branches and items that lead to it, from the outermost to the innermost.
    #[must_use]
    pub fn path(&self) -> &[Member] {
        self.path.as_deref().unwrap_or_default()
    }

    /// How often the request has been started again. An envelope of an older generation is refused.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The same place in another generation.
    #[must_use]
    pub fn in_generation(self, generation: u32) -> Place {
        Place { generation, ..self }
    }

    /// The number of the phase, from 1.
    #[must_use]
    pub fn phase(&self) -> usize {
        self.segment as usize
    }

    /// Whether a request without branches can have this place. Only such a place fits version 1 of the envelope.
    #[must_use]
    pub fn is_linear(&self) -> bool {
        self.path.is_none() && self.generation == 0
    }

    /// The prefix of the idempotency keys of the steps at this place. The number of the step follows it.
    ///
    /// ```
    /// use faasflow_core::graph::Place;
    ///
    /// let fork = Place::from(2);
    /// assert_eq!(fork.idempotency_prefix("order-17"), "order-17-2-");
    /// assert_eq!(fork.member(6, &Place::from(3)).idempotency_prefix("order-17"), "order-17-2.6/3-");
    /// ```
    #[must_use]
    pub fn idempotency_prefix(&self, request_id: &str) -> String {
        match self.is_linear() {
            true => [request_id, "-", &self.segment.to_string(), "-"].concat(),
            // Ids contain neither `/` nor `@`, so no other request has this prefix.
            false => format!("{request_id}-{self}-"),
        }
    }

    /// The call id with which a request is forwarded to this place: 128 bits of a hash. It is the same for every
    /// attempt, so that a queue can drop duplicates. `flow` and `request` are those of the request's scope, see
    /// [`RequestInfo::scope`](crate::RequestInfo::scope).
    #[must_use]
    pub fn call_id(&self, flow: &str, request: &str) -> [u8; 16] {
        let mut digest = Sha256::new()
            .chain_update(flow.as_bytes())
            .chain_update([0])
            .chain_update(request.as_bytes())
            .chain_update([0])
            .chain_update(u64::from(self.segment).to_be_bytes());
        if !self.is_linear() {
            digest.update(self.to_string());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.finalize()[..16]);
        bytes
    }
}

/// The place of the phase with this number, from 1, for tests of handlers. The flow may not have such a phase.
impl From<usize> for Place {
    fn from(phase: usize) -> Place {
        Place::numbered(u32::try_from(phase).unwrap_or(u32::MAX))
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Place {
        place.clone()
    }
}

/// The path, the number of the phase and the generation, such as `5`, `3.17/5` or `5@1`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Member { fork, index } in self.path() {
            write!(f, "{fork}.{index}/")?;
        }
        match self.generation {
            0 => fmt::Display::fmt(&self.segment, f),
            generation => write!(f, "{}@{generation}", self.segment),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "phase {self}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Queues contain calls with these ids, so the id of a place must never change.
    #[test]
    fn the_call_id_of_a_place_is_the_same_in_every_version() {
        let id = |place: Place| hex::encode(place.call_id("photos", "request-1"));
        assert_eq!(id(Place::from(2)), "c7d09e110fdf882003cd590e55dfb9b9");
        assert_eq!(id(Place::from(2).member(3, &Place::from(4))), "2009c0c5279f49335c5d751be2e1581b");
        assert_eq!(id(Place::from(2).in_generation(1)), "f4dd3998e75067f213ade73cf7618bb8");
    }

    #[test]
    fn no_two_places_have_the_same_names() {
        let mut known: HashMap<String, Place> = HashMap::new();
        let numbers = [1, 2, 11, 12, 111];
        let mut places: Vec<Place> = numbers.map(Place::from).to_vec();
        for _ in 0..2 {
            let members = |fork: &Place| numbers.map(|index| fork.member(index as u32, &Place::from(index))).to_vec();
            let inner: Vec<Place> = places.iter().flat_map(members).collect();
            places.extend(inner);
        }
        places.extend(places.clone().into_iter().map(|place| place.in_generation(1)));
        places.extend(places.clone().into_iter().map(|place| place.in_generation(11)));
        for place in places {
            for name in [place.idempotency_prefix("r"), hex::encode(place.call_id("f", "r"))] {
                let other = known.insert(name, place.clone());
                assert!(other.is_none() || other == Some(place.clone()), "{place} and {other:?}");
            }
        }
    }

    #[test]
    fn a_member_knows_its_fork() {
        let fork = Place::from(3).member(4, &Place::from(5));
        let inner = fork.member(6, &Place::from(7));
        assert_eq!(inner.to_string(), "3.4/5.6/7");
        assert_eq!(inner.fork(), Some((fork.clone(), 6)));
        assert_eq!(inner.forks().collect::<Vec<_>>(), [Place::from(3), fork]);
        assert_eq!(Place::from(3).fork(), None);
    }
}
