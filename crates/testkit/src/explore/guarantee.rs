//! Posts messages, ends the request, and checks the guarantees on the way.

use faasflow_core::Payload;
use faasflow_core::envelope::Origin;
use faasflow_core::machine::forked::{Ending, Message, members_of_entry, over_key};
use faasflow_core::state::Key;

use super::act::Actions;
use super::setup::Setup;
use super::state::{State, outcome_number};
use super::world::{Broken, World};

impl World<'_> {
    pub(super) fn post(&mut self, state: &mut State, by: u32, message: &Message) -> Result<(), Broken> {
        self.cost.posts += 1;
        let message = &Message { remembered: self.remembered, ..message.clone() };
        let number = self.message(message);
        let over = self.exists(state, &over_key(message.place.generation()));
        let same = self.places.entry(message.place.clone()).or_default();
        if !same.contains(&number) {
            same.push(number);
        }
        // A delivery that continues after the end of the request may find its data removed, and begin again. The tokens that it
        // then posts are dropped, because the request is over.
        if !over && same.iter().any(|other| *other != number && state.posted.binary_search(other).is_ok()) {
            return Err(format!("two different tokens are posted under the call id of {}", message.place));
        }
        if let Origin::Join { .. } = message.origin {
            match state.fired.iter().find(|(join, _)| *join == number) {
                None => {
                    state.fired.push((number, by));
                    state.fired.sort_unstable();
                }
                Some((_, first)) if *first != by && !over => {
                    let (first, by) = (&self.messages.value(*first).place, &self.messages.value(by).place);
                    return Err(format!("the join at {} is fired by {first} and by {by}", message.place));
                }
                Some(_) => {}
            }
        }
        // The queue drops duplicates. For a queue that does not, delivering twice is a separate fault.
        let Err(index) = state.posted.binary_search(&number) else { return Ok(()) };
        state.posted.insert(index, number);
        if !over {
            self.check_slots(state, message)?;
        }
        state.enqueue(number);
        Ok(())
    }

    /// Posts a token under a new call id, so that the queue does not drop it as a duplicate.
    pub(super) fn post_again(&mut self, state: &mut State, message: &Message) -> Result<(), Broken> {
        let message = Message { remembered: true, ..message.clone() };
        let number = self.message(&message);
        if let Err(index) = state.posted.binary_search(&number) {
            let same = self.places.entry(message.place.clone()).or_default();
            if !same.contains(&number) {
                same.push(number);
            }
            state.posted.insert(index, number);
            self.check_slots(state, &message)?;
        }
        state.enqueue(number);
        Ok(())
    }

    /// The number of items of the same for-each in flight, and the maximum. They are those that were posted but have not ended.
    fn in_flight(&self, state: &State, message: &Message) -> Option<(usize, u32)> {
        let ((fork, _), terms) = message.place.fork().zip(message.joins.last())?;
        let begun = state.posted.iter().filter(|other| {
            let other = self.messages.value(**other);
            other.origin == Origin::Item && other.place.fork().is_some_and(|(of, _)| of == fork)
        });
        let ended: usize = self.entries(state, &fork).map(members_of_entry).sum();
        Some((begun.count().saturating_sub(ended), terms.at_most))
    }

    fn check_slots(&self, state: &State, message: &Message) -> Result<(), Broken> {
        if !self.counts_items {
            return Ok(());
        }
        match self.in_flight(state, message).filter(|_| message.origin == Origin::Item) {
            Some((count, at_most)) if count > at_most as usize => {
                Err(format!("{count} items are in flight, and at most {at_most} may be"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn ended(
        &mut self,
        state: &mut State,
        generation: u32,
        outcome: faasflow_core::Outcome,
        ending: &Ending,
    ) -> Result<(), Broken> {
        let output = match ending {
            Ending::Payload(output) => output.clone(),
            // Which branch failed first depends on the order.
            _ => Payload::empty().into(),
        };
        let end = (generation, outcome_number(outcome), self.outputs.number(&output));
        match state.ends.binary_search_by_key(&generation, |(generation, ..)| *generation) {
            Ok(index) if state.ends[index] != end => Err("the request ends in two different ways".to_owned()),
            Ok(_) => Ok(()),
            Err(index) => {
                state.ends.insert(index, end);
                Ok(())
            }
        }
    }

    /// Checks the guarantees for a state without further moves.
    pub(super) fn check_end(&self, state: &State, setup: &Setup) -> Result<(), Broken> {
        if state.ends.len() != 1 + self.control(state).generation() as usize {
            return Err("there is nothing left to do, but the request has not ended".to_owned());
        }
        let used = setup.faults - usize::from(state.faults_left);
        // A request that is stopped or recovered while it ends may end twice.
        let left = |actions: &Actions| actions.iter().copied().map(usize::from).sum::<usize>();
        let acted = left(&setup.actions) - left(&state.actions_left);
        if usize::from(state.finalised) > state.ends.len() + used + acted {
            return Err(format!("the finaliser has run {} times, with {used} fault(s)", state.finalised));
        }
        if self.remembered {
            let last = self.control(state).generation();
            return match state.retired.contains(&last) {
                true => Ok(()),
                false => Err("the request has ended, and its results never expire".to_owned()),
            };
        }
        let left = state.store.iter().map(|(key, _)| self.keys.value(*key)).filter(|key| !key.outlives_request());
        match left.map(Key::as_str).collect::<Vec<_>>() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("the request has ended, and these are still in the store: {}", left.join(", "))),
        }
    }
}
