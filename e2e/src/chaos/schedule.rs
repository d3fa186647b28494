//! The schedule of the kills. The same seed gives the same schedule.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// A program to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Gateway,
    Flow,
    Function,
}

impl Target {
    pub(super) const ALL: [Target; 3] = [Target::Gateway, Target::Flow, Target::Function];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Target::Gateway => "gateway",
            Target::Flow => "flow",
            Target::Function => "function",
        }
    }
}

/// One kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kill {
    /// The number of requests that have ended when it happens.
    pub(super) after: usize,
    pub(super) target: Target,
    /// How long the program stays dead.
    pub(super) pause: Duration,
}

/// The kills of a run, in order, spread over its requests.
pub(super) fn schedule(seed: u64, requests: usize, kills: usize) -> Vec<Kill> {
    let mut random = StdRng::seed_from_u64(seed);
    let kill = |index: usize| {
        // One kill at a random moment of each part of the run.
        let (from, to) = (requests * index / kills, requests * (index + 1) / kills);
        // Most programs are back at once. Some stay away for longer than callers wait.
        let longest = if random.random_range(0..20) == 0 { 5_000 } else { 500 };
        Kill {
            after: random.random_range(from..to.max(from + 1)),
            target: Target::ALL[random.random_range(0..Target::ALL.len())],
            pause: Duration::from_millis(random.random_range(0..longest)),
        }
    };
    (0..kills).map(kill).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_kills_and_another_gives_others() {
        assert_eq!(schedule(7, 1000, 15), schedule(7, 1000, 15));
        assert_ne!(schedule(7, 1000, 15), schedule(8, 1000, 15));
    }

    #[test]
    fn kills_are_ordered_within_the_run_and_hit_all_targets() {
        let kills = schedule(1, 1000, 100);
        assert_eq!(kills.len(), 100);
        assert!(kills.is_sorted_by_key(|kill| kill.after));
        assert!(kills.iter().all(|kill| kill.after < 1000));
        assert!(Target::ALL.iter().all(|target| kills.iter().any(|kill| kill.target == *target)));
        assert_eq!(schedule(1, 5, 5).len(), 5);
        assert!(schedule(1, 5, 0).is_empty());
    }
}
