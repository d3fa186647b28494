//! Leaves out orders that are equivalent to others.
//!
//! The next effect of a delivery is independent if it has the same result before and after all moves that others can make until then,
//! and they have the same results before and after it. Each order then has an equivalent one that begins with this effect, or with a
//! fault at this point, so nothing else needs to be tried first. What is checked on the way is checked at least as strictly: messages
//! that are posted earlier can also be delivered later, and nothing else is done earlier that a check looks at.

use faasflow_core::machine::forked::Effect;
use faasflow_core::state::Key;

use super::act::{Act, Actions};
use super::state::{Current, Move, State};
use super::world::World;

impl World<'_> {
    /// The moves of a delivery or an action whose next effect is independent, if there is one.
    pub(super) fn independent(&self, state: &State, running: &[u32]) -> Option<Vec<Move>> {
        if !self.reduced {
            return None;
        }
        // The others have been interrupted. It counts if they go on before the current one has ended.
        let is_current = |current| self.interruptions.is_none() || state.current == current;
        let mut running = running.iter().filter(|local| is_current(Current::Delivery(**local)));
        if let Some(&local) = running.find(|local| self.is_independent(state, **local)) {
            let faults = if state.faults_left > 0 { self.faults_of(local) } else { Vec::new() };
            return Some(std::iter::once(Move::Step(local)).chain(faults).collect());
        }
        let posts =
            |act: &&u32| matches!(self.acts.value(**act), Act::Post { .. }) && is_current(Current::Action(**act));
        let act = *state.acting.iter().find(posts).filter(|_| self.one_fault)?;
        let dies = (state.faults_left > 0).then_some(Move::ActDies(act));
        Some(std::iter::once(Move::Act(act)).chain(dies).collect())
    }

    fn is_independent(&self, state: &State, local: u32) -> bool {
        match &self.locals[local as usize].effect {
            // They neither read nor write the store.
            Effect::Post(_) | Effect::Report(..) | Effect::Finally(..) => true,
            // A death here is followed by a recovery. It matters whether that comes before another recovery.
            Effect::Retire(_) => self.one_fault || !self.loses,
            Effect::Create(key, _) | Effect::Read(key) => self.is_only_its_own(state, local, key),
            _ => false,
        }
    }

    /// Whether a key is the record of a delivery's phase, which nobody else reads until the delivery has gone on.
    fn is_only_its_own(&self, state: &State, local: u32, key: &Key) -> bool {
        let is_record = key.is_member() || key.as_str().starts_with("result/");
        if !is_record || !self.remembered || !self.is_left_alone(state) {
            return false;
        }
        let message = self.locals[local as usize].message;
        let place = &self.messages.value(message).place;
        let running = state.running.iter().map(|local| self.locals[*local as usize].message);
        let same = state.queue.iter().copied().chain(running);
        let same = same.filter(|other| self.messages.value(*other).place == *place).count();
        same == 1 && place.generation() == self.control(state).generation()
    }

    /// Whether nobody looks up what has become of the request any more, and nobody starts it again.
    fn is_left_alone(&self, state: &State) -> bool {
        state.actions_left == Actions::default()
            && state.acting.is_empty()
            && !state.needs_recovery
            && !self.loses
            && !self.control(state).paused
    }
}
