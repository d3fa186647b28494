//! Members of a join that end at about the same time enter it together.
//!
//! Only one member at a time can create the next entry of a join. If each member tried that by itself, all but one would fail
//! and try again. So the members that this process executes take part in rounds. A member takes a turn before it writes its
//! result, and is ready after it. When all members of the round are ready, the last one creates an entry for all. Those that
//! end in the meantime wait for the next round.
//!
//! This only saves work. What becomes an entry is decided in the store, where other processes do the same. A member that would
//! have to wait too long goes on without a round.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::graph::Place;
use faasflow_core::machine::forked::Entrant;
use faasflow_core::state::Key;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// How long a member waits for the others of its round, and for the round before.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many joins are remembered while none of their members is active.
const REMEMBERED: usize = 1024;
/// How long the last entry of a join is remembered. Afterwards, the store may have forgotten the request, and another one may
/// have its id.
const FRESH: Duration = Duration::from_secs(60);
/// For how long after a fork a member that knows of no entry tries to create the first one without a look. If members of other processes
/// have ended meanwhile, it tries in vain, which costs more than the look.
const NEW: Duration = Duration::from_secs(1);

/// The joins in which members of this process take part, by request and fork.
#[derive(Debug, Default)]
pub(crate) struct Joins(Mutex<HashMap<(String, Place), Arc<Join>>>);

impl Joins {
    /// The join of a fork.
    pub(crate) fn of(&self, request: &str, fork: &Place) -> Arc<Join> {
        let mut joins = lock(&self.0);
        let key = (request.to_owned(), fork.clone());
        if let Some(join) = joins.get(&key) {
            return join.clone();
        }
        let is_active = |join: &Arc<Join>| Arc::strong_count(join) > 1;
        if joins.len() >= REMEMBERED {
            // The members of these may all be executed by other processes.
            joins.retain(|_, join| is_active(join) || lock(&join.round).last.is_some());
        }
        if joins.len() >= REMEMBERED {
            joins.retain(|_, join| is_active(join));
        }
        joins.entry(key).or_default().clone()
    }
}

/// What this process knows of a join.
#[derive(Debug, Default)]
pub(crate) struct Join {
    round: Mutex<Round>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Round {
    number: u64,
    /// Whether a member is ready. From then on, no other member takes part.
    closed: bool,
    /// How many members are not ready yet.
    expected: usize,
    ready: Vec<Waiting>,
    last: Option<LastEntry>,
    /// When this process began the members, if it did.
    forked: Option<Instant>,
}

/// The last entry that is known to exist.
#[derive(Clone, Debug)]
struct LastEntry {
    number: u32,
    key: Key,
    value: Bytes,
    learnt: Instant,
}

/// A member that is ready and waits for another to create the entry.
#[derive(Debug)]
pub(crate) struct Waiting {
    entrant: Entrant,
    told: oneshot::Sender<Told>,
}

impl Waiting {
    pub(crate) fn entrant(&self) -> &Entrant {
        &self.entrant
    }

    pub(crate) fn tell(self, stands: Bytes) {
        let _ = self.told.send(Told::Stands(stands));
    }

    /// The member has to try another entry than the rest of the round.
    pub(crate) fn go_on_alone(self) {
        let _ = self.told.send(Told::Alone);
    }
}

#[derive(Debug)]
enum Told {
    Stands(Bytes),
    Alone,
    Lead(Lead),
}

/// What a member that is ready has to do.
#[derive(Debug)]
pub(crate) enum Part {
    /// Create the entry for these members as well.
    Lead(Lead),
    /// The entry exists.
    Stands(Bytes),
    /// Create an entry by itself.
    Alone,
    /// It is not known whether the entry was created.
    Unknown,
}

impl Join {
    /// Notes that this process is about to begin the members.
    pub(crate) fn note_fork(&self) {
        lock(&self.round).forked = Some(Instant::now());
    }

    /// Waits for a round. `None` if that takes too long.
    pub(crate) async fn take_turn(self: Arc<Join>) -> Option<Turn> {
        let until = Instant::now() + PATIENCE;
        loop {
            let ended = self.ended.notified();
            {
                let mut round = lock(&self.round);
                if !round.closed {
                    round.expected += 1;
                    let last = round.last.clone().filter(|last| last.learnt.elapsed() < FRESH);
                    let is_new = round.forked.is_some_and(|forked| forked.elapsed() < NEW);
                    let number = round.number;
                    drop(round);
                    return Some(Turn { join: self.clone(), number, last, is_new, is_open: true });
                }
            }
            tokio::time::timeout_at(until, ended).await.ok()?;
        }
    }

    /// Ends a round, and lets the next one begin.
    fn end(&self, number: u64, last: Option<LastEntry>) {
        let mut round = lock(&self.round);
        if round.number == number {
            let last = last.or(round.last.take());
            // If the leader of the round failed, it may have created an entry all the same.
            *round = Round { number: number + 1, last, ..Round::default() };
            self.ended.notify_waiters();
        }
    }
}

/// A member's part in a round.
#[derive(Debug)]
pub(crate) struct Turn {
    join: Arc<Join>,
    /// The number of the round.
    number: u64,
    last: Option<LastEntry>,
    /// Whether this process began the members a moment ago.
    is_new: bool,
    /// Whether the round still waits for the member.
    is_open: bool,
}

impl Turn {
    /// How many entries the join has at least, as far as this process knows: none if it has just begun the members. `None` if the member
    /// has to look.
    pub(crate) fn entries(&self) -> Option<u32> {
        let known = self.last.as_ref().map(|entry| entry.number + 1);
        known.or(self.is_new.then_some(0))
    }

    /// The value of a key, if it is the last entry. Entries never change.
    pub(crate) fn value(&self, key: &Key) -> Option<Bytes> {
        self.last.as_ref().filter(|entry| entry.key == *key).map(|entry| entry.value.clone())
    }

    /// Becomes ready, and waits until the entry exists or the member has to create it.
    pub(crate) async fn ready(mut self, entrant: Entrant) -> Part {
        self.is_open = false;
        let (told, mut wait) = oneshot::channel();
        {
            let mut round = lock(&self.join.round);
            if round.number != self.number {
                return Part::Alone;
            }
            round.closed = true;
            round.expected -= 1;
            if round.expected == 0 {
                return Part::Lead(self.lead(&mut round));
            }
            round.ready.push(Waiting { entrant: entrant.clone(), told });
        }
        let told = match tokio::time::timeout(PATIENCE, &mut wait).await {
            Ok(told) => told,
            Err(_) => match self.lead_instead(&entrant) {
                Some(lead) => return Part::Lead(lead),
                // Another member leads, and is creating the entry.
                None => match tokio::time::timeout(PATIENCE, wait).await {
                    Ok(told) => told,
                    Err(_) => return Part::Unknown,
                },
            },
        };
        match told {
            Ok(Told::Stands(value)) => Part::Stands(value),
            Ok(Told::Alone) => Part::Alone,
            Ok(Told::Lead(lead)) => Part::Lead(lead),
            Err(_) => Part::Unknown,
        }
    }

    /// Leads a round that waits for a member that is too slow. `None` if another member leads already.
    fn lead_instead(&self, entrant: &Entrant) -> Option<Lead> {
        let mut round = lock(&self.join.round);
        let own = round.ready.iter().position(|other| other.entrant == *entrant)?;
        if round.number != self.number {
            return None;
        }
        round.ready.remove(own);
        Some(self.lead(&mut round))
    }

    fn lead(&self, round: &mut Round) -> Lead {
        Lead { join: self.join.clone(), number: self.number, others: mem::take(&mut round.ready) }
    }
}

impl Drop for Turn {
    /// The member went no further. If the others have been waiting for it only, one of them leads.
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let mut round = lock(&self.join.round);
        if round.number != self.number {
            return;
        }
        round.expected -= 1;
        if round.expected > 0 {
            return;
        }
        let mut others = mem::take(&mut round.ready);
        drop(round);
        while let Some(first) = others.pop() {
            let lead = Lead { join: self.join.clone(), number: self.number, others };
            match first.told.send(Told::Lead(lead)) {
                Ok(()) => return,
                Err(Told::Lead(mut lead)) => others = mem::take(&mut lead.others),
                Err(_) => return,
            }
        }
    }
}

/// The right to create the entry of a round. When it is dropped, the next round begins.
#[derive(Debug)]
pub(crate) struct Lead {
    join: Arc<Join>,
    number: u64,
    others: Vec<Waiting>,
}

impl Lead {
    /// The other members that are ready.
    pub(crate) fn others(&self) -> &[Waiting] {
        &self.others
    }

    /// Ends the round, and tells the others the entry that stands now.
    pub(crate) fn created(mut self, entrant: &Entrant, stands: &Bytes) {
        let (number, key) = (entrant.number(), entrant.key().clone());
        let last = LastEntry { number, key, value: stands.clone(), learnt: Instant::now() };
        self.join.end(self.number, Some(last));
        for other in mem::take(&mut self.others) {
            match other.entrant.key() == entrant.key() {
                true => other.tell(stands.clone()),
                false => other.go_on_alone(),
            }
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.join.end(self.number, None);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use faasflow_core::envelope::{Branching, Origin, Terms};
    use faasflow_core::machine::forked::{Answer, Effect, Journal, Message, Ran, Times, members_of_entry, proceed};
    use faasflow_core::{Flow, ForEach, Payload, Policy};

    use super::*;

    fn flow() -> Flow {
        Flow::builder().for_each(ForEach::new(Flow::builder().apply("f"))).build().unwrap()
    }

    /// An item that is ready to become the first entry.
    fn entrant(flow: &Flow, member: u32) -> Entrant {
        let terms = Terms {
            members: 9,
            policy: Policy::Failures(0),
            at_most: 9,
            list: None,
            seen: 0,
            due_ms: None,
            label: None,
        };
        let branching = Branching { origin: Origin::Token, joins: vec![terms] };
        let place = Place::from(1).member(member, &Place::from(2));
        let message = Message::arrived(place, Payload::empty().into(), branching);
        let mut journal = Journal::new();
        loop {
            journal.add(match proceed(flow, &message, &journal) {
                Effect::ReadAll(keys) => Answer::FoundAll(vec![None; keys.len()]),
                Effect::Execute(_) => Answer::Ran(Ran::Done(Payload::empty().into()), Times::default()),
                Effect::CountEntries(_) => Answer::Entries(None),
                Effect::Read(_) => Answer::Found(None),
                Effect::Create(_, value) => Answer::Stands(value),
                Effect::Enter(entrant) => return *entrant,
                other => panic!("{other:?}"),
            });
        }
    }

    fn join() -> Arc<Join> {
        Joins::default().of("id", &Place::from(1))
    }

    /// A member that takes a turn and is ready at once. If it leads, it creates the entry. Returns the entry.
    async fn enter(flow: &Flow, turn: Turn, member: u32) -> Option<Bytes> {
        let entrant = entrant(flow, member);
        match turn.ready(entrant.clone()).await {
            Part::Lead(lead) => {
                let value = entrant.entry(flow.plan(), lead.others().iter().map(Waiting::entrant));
                lead.created(&entrant, &value);
                Some(value)
            }
            Part::Stands(value) => Some(value),
            Part::Alone | Part::Unknown => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn members_that_end_at_the_same_time_share_an_entry() {
        let (flow, join) = (flow(), join());
        let turns = [join.clone().take_turn().await.unwrap(), join.clone().take_turn().await.unwrap()];
        assert_eq!(turns[0].entries(), None);
        let [first, second] = turns;
        let (first, second) = tokio::join!(enter(&flow, first, 3), enter(&flow, second, 5));
        assert_eq!(first, second);
        assert_eq!(members_of_entry(&first.clone().unwrap()), 2);

        let next = join.clone().take_turn().await.unwrap();
        assert_eq!(next.entries(), Some(1));
        assert_eq!(next.value(entrant(&flow, 3).key()), first);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_entry_is_forgotten_after_a_while() {
        let (flow, join) = (flow(), join());
        let first = join.clone().take_turn().await.unwrap();
        assert!(enter(&flow, first, 0).await.is_some());
        tokio::time::advance(FRESH - Duration::from_millis(1)).await;
        assert_eq!(join.clone().take_turn().await.unwrap().entries(), Some(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        let turn = join.clone().take_turn().await.unwrap();
        assert_eq!((turn.entries(), turn.value(entrant(&flow, 0).key())), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fork_of_this_process_has_no_entries_for_a_moment() {
        let (flow, join) = (flow(), join());
        join.note_fork();
        // A turn that is not used changes nothing.
        assert_eq!(join.clone().take_turn().await.unwrap().entries(), Some(0));
        tokio::time::advance(NEW - Duration::from_millis(1)).await;
        let turn = join.clone().take_turn().await.unwrap();
        assert_eq!(turn.entries(), Some(0));
        assert!(enter(&flow, turn, 0).await.is_some());
        assert_eq!(join.clone().take_turn().await.unwrap().entries(), Some(1));

        let join = Joins::default().of("id", &Place::from(1));
        join.note_fork();
        tokio::time::advance(NEW).await;
        assert_eq!(join.clone().take_turn().await.unwrap().entries(), None);

        // A leader that failed may have created an entry.
        join.note_fork();
        let turn = join.clone().take_turn().await.unwrap();
        let Part::Lead(lead) = turn.ready(entrant(&flow, 0)).await else { panic!("it is alone") };
        drop(lead);
        assert_eq!(join.clone().take_turn().await.unwrap().entries(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_ends_while_an_entry_is_created_takes_the_next_turn() {
        let (flow, join) = (flow(), join());
        let turn = join.clone().take_turn().await.unwrap();
        let Part::Lead(lead) = turn.ready(entrant(&flow, 0)).await else { panic!("it is alone") };
        let next = tokio::spawn(join.clone().take_turn());
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        let entrant = entrant(&flow, 0);
        lead.created(&entrant, &entrant.entry(flow.plan(), []));
        assert_eq!(next.await.unwrap().unwrap().entries(), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_goes_no_further_holds_nobody_up() {
        let (flow, join) = (flow(), join());
        let (stays, leaves) = (join.clone().take_turn().await.unwrap(), join.clone().take_turn().await.unwrap());
        let begun = Instant::now();
        let entered = tokio::join!(enter(&flow, stays, 1), async { drop(leaves) }).0;
        assert_eq!(members_of_entry(&entered.unwrap()), 1);
        assert!(begun.elapsed() < PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_a_slow_member() {
        let (flow, join) = (flow(), join());
        let (quick, slow) = (join.clone().take_turn().await.unwrap(), join.clone().take_turn().await.unwrap());
        let entered = enter(&flow, quick, 1).await;
        assert_eq!(members_of_entry(&entered.unwrap()), 1);
        assert_eq!(enter(&flow, slow, 2).await, None, "its round is over, so it creates an entry alone");
    }

    #[tokio::test(start_paused = true)]
    async fn if_the_leader_fails_the_others_do_not_know_whether_the_entry_exists() {
        let (flow, join) = (flow(), join());
        let (first, second) = (join.clone().take_turn().await.unwrap(), join.clone().take_turn().await.unwrap());
        let leads = async {
            tokio::task::yield_now().await;
            let Part::Lead(lead) = second.ready(entrant(&flow, 2)).await else { panic!("it is the last") };
            drop(lead);
        };
        let (part, ()) = tokio::join!(first.ready(entrant(&flow, 1)), leads);
        assert!(matches!(part, Part::Unknown), "{part:?}");
        assert!(join.clone().take_turn().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_does_not_come_while_a_leader_hangs() {
        let (flow, join) = (flow(), join());
        let turn = join.clone().take_turn().await.unwrap();
        let _lead = turn.ready(entrant(&flow, 0)).await;
        assert!(join.clone().take_turn().await.is_none());
    }

    #[test]
    fn idle_joins_are_forgotten_when_there_are_many() {
        let joins = Joins::default();
        let active = joins.of("active", &Place::from(1));
        let flow = flow();
        let entered = joins.of("entered", &Place::from(1));
        let (key, value) = (entrant(&flow, 0).key().clone(), Bytes::new());
        lock(&entered.round).last = Some(LastEntry { number: 0, key, value, learnt: Instant::now() });
        let entered = Arc::downgrade(&entered);
        for request in 0..2 * REMEMBERED {
            joins.of(&request.to_string(), &Place::from(1)).note_fork();
        }
        assert!(entered.upgrade().is_some(), "forks do not displace what is known of entries");
        assert!(lock(&joins.0).len() <= REMEMBERED + 1);
        assert!(Arc::ptr_eq(&active, &joins.of("active", &Place::from(1))));
    }
}
