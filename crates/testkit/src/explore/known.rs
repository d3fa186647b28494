//! The states that were seen.

use super::hashing::{QuickMap, fingerprint};
use super::state::State;

/// The numbers of states, by their fingerprints. Two states with the same 128 bits count as equal. If hashes are as good as random,
/// the probability of that is below 10^-26 among a million states.
#[derive(Default)]
pub(super) struct Known(QuickMap<(u64, u64), Vec<Left>>);

/// A state, and how many faults and interruptions may still happen in it.
struct Left {
    faults: u8,
    interruptions: Option<u8>,
    number: u32,
}

impl Known {
    /// The number of a state, or this one if it is new.
    ///
    /// A state in which more faults or interruptions may still happen stands for those that are the same otherwise: it has all of
    /// their moves, and is checked at least as strictly. So a fault that has made no difference leads to no new state.
    pub(super) fn number(&mut self, state: &State, new: u32) -> u32 {
        let (faults, interruptions) = (state.faults_left, state.interruptions_left);
        let same = self.0.entry(fingerprint(state)).or_default();
        if let Some(known) = same.iter().find(|known| known.faults >= faults && known.interruptions >= interruptions) {
            return known.number;
        }
        same.push(Left { faults, interruptions, number: new });
        new
    }
}
