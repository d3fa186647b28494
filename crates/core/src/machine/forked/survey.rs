//! Finds out from the store what has become of a request that is remembered.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::envelope::Terms;
use crate::graph::{Composite, CompositeIndex, CompositeKind, Follow, Place};
use crate::machine::Route;
use crate::outcome::Outcome;
use crate::payload::Payload;
use crate::state::{Key, layout};

use super::control::Control;
use super::ended::Ended;
use super::entry::Entry;
use super::failed_answer::FailedAnswer;
use super::flaw::Flaw;
use super::journal::Journal;
use super::labels::decode_labels;
use super::message::Message;
use super::parked::Parked;
use super::proceed::Walk;
use super::progress::{End, FAILED, FEW, PlaceProgress, Progress, Standing, progress};
use super::record::{Over, Record, decode};
use super::tally::Tally;
use super::times::Times;
use super::tried::Tried;

/// What has become of a request, or the keys that have to be read to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Survey {
    /// These keys have to be read.
    Needs(Vec<Key>),
    /// The progress of the request.
    Progress(Box<Progress>),
    /// The value of this key cannot be read by this version, so the progress is unknown.
    Unreadable(Key),
}

/// How many entries of a join are read at first. Each further step reads as many as are known by then.
const ENTRIES: u32 = 64;

/// How many keys may be missing until no further members are followed to find out what is known so far.
const MISSING: usize = 64;

/// Finds out what has become of a request. `first` is its [first token](Message::fresh) in its current generation, and `found`
/// contains what was read so far: each key that this function asked for, with its value if it exists.
///
/// Call it again with more keys until it returns the progress. It asks for the keys of different branches together, so
/// one answer may name many keys.
#[must_use]
pub fn survey<'a>(route: impl Into<Route<'a>>, first: &Message, found: &'a HashMap<Key, Option<Bytes>>) -> Survey {
    examine(route.into(), first, found, usize::MAX, true)
}

/// Like [`survey`], for those who do not read more than `room` further keys of the request. It asks for a few more keys at most.
#[must_use]
pub fn survey_within<'a>(
    route: impl Into<Route<'a>>,
    first: &Message,
    found: &'a HashMap<Key, Option<Bytes>>,
    room: usize,
) -> Survey {
    // Without room for any key, it would follow no member, and seem to need nothing.
    examine(route.into(), first, found, room.max(1), true)
}

/// What [`survey_within`] has found out so far, if the keys that it asks for are not read. It never needs keys. Places of which
/// nothing was read are missing. The members of a for-each whose entries were not all read are all counted as waiting.
#[must_use]
pub fn survey_so_far<'a>(
    route: impl Into<Route<'a>>,
    first: &Message,
    found: &'a HashMap<Key, Option<Bytes>>,
) -> Survey {
    examine(route.into(), first, found, MISSING, false)
}

fn examine<'a>(
    route: Route<'a>,
    first: &Message,
    found: &'a HashMap<Key, Option<Bytes>>,
    room: usize,
    is_whole: bool,
) -> Survey {
    let mut surveyor = Surveyor { route, found, room, seen: Seen::default() };
    let generation = first.place.generation();
    let control = surveyor.look(layout::control());
    let over = surveyor.look(layout::over(generation));
    let finished = surveyor.look(layout::finished(generation));
    let parked = surveyor.look(layout::parked());
    surveyor.visit(first.clone(), true);
    let control =
        surveyor.decoded(layout::control(), control, |value| Control::decode(Some(value))).unwrap_or_default();
    let over = surveyor.decoded(layout::over(generation), over, |value| {
        decode(value).filter(|over: &Over| over.outcome.parse::<Outcome>().is_ok())
    });
    let parked = surveyor.decoded(layout::parked(), parked, Parked::decode);
    let held = surveyor.held(control.pauses());
    let Seen { needs, unreadable, mut places, mut open, mut moved_ms, .. } = surveyor.seen;
    if let Some(key) = unreadable {
        return Survey::Unreadable(key);
    }
    if is_whole && !needs.is_empty() {
        return Survey::Needs(needs);
    }
    let end = over.map(|over| {
        let is_finished = finished.flatten().is_some();
        // What ends the request again, if it was interrupted.
        open = match (is_finished, over.place()) {
            (false, Some(place)) => vec![Message::fresh(place, Payload::empty(), first.caller)],
            _ => Vec::new(),
        };
        End { outcome: over.outcome(), at_ms: over.at_ms, record: over.record, is_finished }
    });
    let parked = parked.filter(|_| end.is_none());
    moved_ms = moved_ms.max(control.at_ms).max(end.as_ref().map_or(0, |end| end.at_ms));
    for place in &mut places {
        match &end {
            Some(_) => place.stop(),
            None if control.paused || parked.is_some() => place.wait(),
            None => {}
        }
    }
    Survey::Progress(Box::new(Progress { control, end, parked, places, open, held, moved_ms }))
}

pub(super) struct Surveyor<'a> {
    pub(super) route: Route<'a>,
    pub(super) found: &'a HashMap<Key, Option<Bytes>>,
    /// If more keys than this have to be read, no further members are followed.
    room: usize,
    pub(super) seen: Seen,
}

/// What was found out so far.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) needs: Vec<Key>,
    /// Those of the keys to read that contain labels.
    labels: HashSet<Key>,
    /// The labels that were read.
    chunks: HashMap<Key, Vec<Option<String>>>,
    pub(super) unreadable: Option<Key>,
    pub(super) places: Vec<PlaceProgress>,
    open: Vec<Message>,
    moved_ms: u64,
    /// Whether the members that a fork has begun are not followed.
    is_shallow: bool,
}

/// What the entries of a join say about the members.
pub(super) struct SoFar {
    /// The members that have begun. For one that did not begin at once, how many entries there were before it.
    pub(super) begun: Vec<(u32, Option<u32>)>,
    /// How those have ended that have an entry.
    pub(super) entered: HashMap<u32, Ended>,
    /// The tally after the last entry.
    pub(super) tally: Tally,
}

impl SoFar {
    /// What these entries say. They are all entries of the join.
    pub(super) fn after(outline: &Composite, terms: &Terms, entries: &[Entry]) -> SoFar {
        let mut begun: Vec<_> = Tally::first(outline, terms).into_iter().map(|member| (member, None)).collect();
        let (mut entered, mut tally) = (HashMap::new(), Tally::new(outline, terms));
        for (number, entry) in (0u32..).zip(entries) {
            for (member, ended) in entry.members() {
                entered.insert(member, ended);
                // The entry that decides the join begins nothing.
                if entry.tally.verdict.is_none() {
                    let after = entry.tally_after(outline, terms, &tally, member);
                    let next = after.next(outline, terms, member);
                    begun.extend(next.into_iter().map(|member| (member, Some(number + 1))));
                }
            }
            tally = entry.tally.clone();
        }
        SoFar { begun, entered, tally }
    }
}

/// What follows from the record of a phase.
enum Onward {
    /// This token.
    Next(Box<Message>),
    /// The end of the member that the phase belongs to.
    Arrives(Ended),
    /// Nothing yet, or nothing any more.
    Nothing,
}

impl<'a> Surveyor<'a> {
    /// A surveyor that does not follow the members of forks inside what it follows.
    pub(super) fn shallow(route: Route<'a>, found: &'a HashMap<Key, Option<Bytes>>) -> Surveyor<'a> {
        Surveyor { route, found, room: usize::MAX, seen: Seen { is_shallow: true, ..Seen::default() } }
    }

    /// The value of a key. If the key has not been read yet, it is asked for.
    pub(super) fn look(&mut self, key: Key) -> Option<Option<Bytes>> {
        match self.found.get(&key) {
            Some(found) => Some(found.clone()),
            None => {
                self.seen.needs.push(key);
                None
            }
        }
    }

    /// Decodes the value of a key, if it exists.
    pub(super) fn decoded<T>(
        &mut self,
        key: Key,
        value: Option<Option<Bytes>>,
        decode: impl FnOnce(&Bytes) -> Option<T>,
    ) -> Option<T> {
        let decoded = decode(&value.flatten()?);
        if decoded.is_none() {
            self.seen.unreadable = Some(key);
        }
        decoded
    }

    /// The open tokens that arrived during the pause with this number.
    fn held(&mut self, pause: u32) -> Vec<Message> {
        if pause == 0 {
            return Vec::new();
        }
        let open = self.seen.open.clone().into_iter();
        open.filter(|token| self.look(layout::held(&token.place, pause)).flatten().is_some()).collect()
    }

    /// Follows a token, and returns how its member has ended, if it has. A token that is not `wanted` belongs to a member that is
    /// not needed any more.
    pub(super) fn visit(&mut self, message: Message, wanted: bool) -> Option<Ended> {
        let mut next = message;
        loop {
            match self.step(next, wanted) {
                Onward::Next(message) => next = *message,
                Onward::Arrives(ended) => return Some(ended),
                Onward::Nothing => return None,
            }
        }
    }

    fn step(&mut self, message: Message, wanted: bool) -> Onward {
        let Some(segment) = self.route.plan().segment(&message.place) else { return Onward::Nothing };
        let journal = Journal::new();
        let walk = Walk::new(self.route, &message, &journal, Flaw::None);
        let key = walk.record_key(segment);
        let found = self.look(key.clone());
        let tried = self.look(layout::tried(&message.place));
        if found.is_none() {
            return Onward::Nothing;
        }
        let tried = tried.flatten().and_then(|tried| Tried::decode(&tried));
        let decode = |record: &Bytes| {
            let record = walk.decode_record(segment, record)?;
            let forks = matches!(walk.follow_of(segment, &record), Follow::Fork(_));
            (!forks || record.fork.is_some()).then_some(record)
        };
        let record = self.decoded(key, found, decode);
        let standing = match &record {
            Some(record) => Standing::Ended(record.ended),
            None if wanted => Standing::Running,
            None => Standing::Stopped,
        };
        let mut progress = progress(&message.place, standing, record.as_ref(), tried);
        if let Some(key) = progress.answer_key() {
            let answer = self.look(key).flatten();
            progress.answer = answer.and_then(|answer| FailedAnswer::summary(&answer));
        }
        progress.labels = message.labels().map(str::to_owned).collect();
        let tried_ms = progress.tried.as_ref().map_or(0, |tried| tried.last_ms);
        self.moved(&progress.times, tried_ms);
        self.seen.places.push(progress);
        let at = self.seen.places.len() - 1;
        let Some(record) = record else {
            if wanted {
                self.seen.open.push(message);
            }
            return Onward::Nothing;
        };
        let next = |message: Message| Onward::Next(Box::new(message));
        match walk.follow_of(segment, &record) {
            Follow::Next(place) => next(message.onward(message.place.sibling(&place), record.output)),
            Follow::Fork(composite) if self.seen.is_shallow => {
                self.join_of(&walk, composite, record).map_or(Onward::Nothing, next)
            }
            Follow::Fork(composite) => self.forked(&walk, composite, &record, at, wanted).map_or(Onward::Nothing, next),
            // If the request has ended, or the join has counted the member, this token has nothing left to do.
            follow @ (Follow::Arrive(_) | Follow::End) => {
                if wanted {
                    self.seen.open.push(message);
                }
                match follow {
                    Follow::Arrive(_) => Onward::Arrives(record.ended),
                    _ => Onward::Nothing,
                }
            }
            Follow::Choose(_) => Onward::Nothing,
        }
    }

    fn moved(&mut self, times: &Times, tried_ms: u64) {
        self.seen.moved_ms = self.seen.moved_ms.max(times.began_ms).max(times.done_ms).max(tried_ms);
    }

    /// The token of the join after a fork, if it has arrived.
    fn join_of(&mut self, walk: &Walk<'_>, composite: CompositeIndex, record: Record) -> Option<Message> {
        let join = walk.join_token(composite, &walk.message.place, record.fork?, None);
        let journal = Journal::new();
        let key = Walk::new(self.route, &join, &journal, Flaw::None).record_key(walk.plan.segment(&join.place)?);
        let [record, tried] = [key, layout::tried(&join.place)].map(|key| self.look(key).flatten());
        (record.is_some() || tried.is_some()).then_some(join)
    }

    /// Follows the members that a fork has begun, and returns the token of the join if it has been decided.
    fn forked(
        &mut self,
        walk: &Walk<'_>,
        composite: CompositeIndex,
        record: &Record,
        at: usize,
        wanted: bool,
    ) -> Option<Message> {
        let fork = &walk.message.place;
        let terms = record.fork.clone()?;
        let outline = walk.plan.composite(composite);
        let tally = Tally::new(outline, &terms);
        if tally.verdict.is_some() {
            self.seen.places[at].members = Some(tally.count(&terms, []));
            self.seen.places[at].stop();
            return Some(walk.join_token(composite, fork, terms, None));
        }
        let Some(entries) = self.entries(composite, fork, &terms) else {
            self.seen.places[at].members = Some(tally.count(&terms, []));
            return None;
        };
        let begin = |member: u32, seen: Option<u32>| {
            let terms = Terms { seen: seen.unwrap_or(0), due_ms: None, label: None, ..terms.clone() };
            walk.member_token(composite, record, terms, member)
        };
        let SoFar { begun, entered, tally } = SoFar::after(outline, &terms, &entries);
        let is_decided = tally.verdict.is_some();
        let is_graph = outline.kind() == CompositeKind::Graph;
        if let (false, Some(entry)) = (is_graph, entries.last()) {
            let key = layout::member(fork, entry.last());
            let record = self.look(key.clone());
            let record = self.decoded(key, record, Record::decode);
            self.moved(&record.map(|record| record.times).unwrap_or_default(), 0);
        }
        // Inside an item, each item of the outer list would have as many of them.
        let is_few = terms.members <= FEW && !fork.forks().any(|outer| walk.plan.begins_items(&outer));
        let shows_all = is_graph || is_few;
        // The items of a longer list that have ended are only counted, except for some that failed.
        let failed = begun
            .iter()
            .filter(|(member, _)| !shows_all && entered.get(member).is_some_and(|ended| *ended != Ended::Done));
        for (member, seen) in failed.take(FAILED).copied().collect::<Vec<_>>() {
            let message = self.labelled(begin(member, seen));
            self.visit(message, false);
        }
        let is_wanted = wanted && !is_decided;
        let mut late = Vec::new();
        for (member, seen) in begun {
            let has_entered = entered.contains_key(&member);
            if self.seen.needs.len() >= self.room {
                late.extend((!has_entered).then_some(None));
            } else if !has_entered || shows_all {
                let message = self.labelled(begin(member, seen));
                let ended = self.visit(message, is_wanted && !has_entered);
                if !has_entered {
                    late.push(ended);
                }
            }
        }
        self.seen.places[at].members = Some(tally.count(&terms, late));
        if !is_wanted {
            self.seen.places[at].stop();
        }
        let last = u32::try_from(entries.len()).ok()?.checked_sub(1);
        is_decided.then(|| walk.join_token(composite, fork, terms, last))
    }

    /// The token with the label of its item, if it begins one that has a label.
    pub(super) fn labelled(&mut self, mut message: Message) -> Message {
        let Some((key, index)) = message.label_key() else { return message };
        match self.found.get(&key) {
            Some(Some(value)) => {
                // Many items have their labels in the same value, so it is decoded once.
                let chunk = self.seen.chunks.entry(key).or_insert_with(|| decode_labels(value).unwrap_or_default());
                message.give_label(chunk.get(index).cloned().flatten());
            }
            // Nothing depends on it.
            Some(None) => {}
            None if self.seen.labels.contains(&key) => {}
            None => {
                self.seen.labels.insert(key.clone());
                self.seen.needs.push(key);
            }
        }
        message
    }

    /// The entries of a join, in order; `None` if more keys have to be read, or one cannot be.
    pub(super) fn entries(&mut self, composite: CompositeIndex, fork: &Place, terms: &Terms) -> Option<Vec<Entry>> {
        let mut entries = Vec::new();
        let outline = self.route.plan().composite(composite);
        for number in 0..terms.members {
            let key = layout::entry(fork, number);
            match self.found.get(&key) {
                Some(Some(value)) => match decode::<Entry>(value).filter(|entry| entry.fits(outline, terms)) {
                    Some(entry) => entries.push(entry),
                    None => {
                        self.seen.unreadable = Some(key);
                        return None;
                    }
                },
                Some(None) => break,
                None => {
                    let more = number.max(ENTRIES).min(terms.members - number);
                    self.seen.needs.extend((number..number + more).map(|number| layout::entry(fork, number)));
                    return None;
                }
            }
        }
        Some(entries)
    }
}
