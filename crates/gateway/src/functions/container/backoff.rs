//! When a container is started again.

use std::time::Duration;

use crate::functions::endings::WELL;

const LEAST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(30);
/// From this pause on, it is no chance.
const NO_CHANCE: Duration = Duration::from_millis(800);

/// How long to wait before the next container, after those that ended.
#[derive(Debug, Default)]
pub(super) struct Backoff(Duration);

impl Backoff {
    /// One ended that took requests for `served`, after it had taken `starting` to be made, or to fail at that. Yields how
    /// long to wait, and whether it is more than chance that it ended.
    pub(super) fn next(&mut self, starting: Duration, served: Duration) -> (Duration, bool) {
        // Not from when it was made: one that never listens takes a minute to fail, and is not well.
        let before = if served > WELL { Duration::ZERO } else { self.0 };
        self.0 = (before * 2).clamp(LEAST, MOST);
        let tried_long = served.is_zero() && starting > WELL;
        (self.0, self.0 >= NO_CHANCE || tried_long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_grow_until_one_was_well() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..10).map(|_| backoff.next(SECOND, SECOND).0.as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(backoff.next(SECOND, 11 * SECOND), (LEAST, false));
    }

    /// Pauses did not grow for what took longer to fail than a container has to be well, such as a pull.
    #[test]
    fn what_fails_slowly_is_not_well() {
        let mut backoff = Backoff::default();
        for pause in [200, 400, 800] {
            let (wait, more_than_chance) = backoff.next(60 * SECOND, Duration::ZERO);
            assert_eq!(wait.as_millis(), pause);
            assert!(more_than_chance, "it had a minute");
        }
        let mut backoff = Backoff::default();
        let told: Vec<_> = (0..3).map(|_| backoff.next(SECOND, Duration::ZERO).1).collect();
        assert_eq!(told, [false, false, true]);
    }
}
