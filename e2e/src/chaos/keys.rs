//! The records of the function: for each call that it executed, the `Idempotency-Key`, the step, a hash of the body and the time.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use super::shape::Shape;

/// The name of the step after a join.
const AFTER_JOIN: &str = "joined";

/// A call may have been under way when a program was killed, and reach the function this much later.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// After an outage, everything that has waited is tried again within this time.
const TRIED_AGAIN: Duration = Duration::from_secs(5);

/// A program was killed between `from_ms` and `until_ms`, and was back at `back_ms`, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct KillTime {
    pub(super) from_ms: u64,
    pub(super) until_ms: u64,
    pub(super) back_ms: u64,
}

impl KillTime {
    /// Whether it may be the reason why a step of this flow that was executed in this time was repeated. If requests are not
    /// remembered, a phase that waits for the gateway is executed beside its next delivery, as soon as the gateway is back.
    fn explains(&self, shape: Shape, first_ms: u64, last_ms: u64) -> bool {
        let (end_ms, later) = match shape.store() {
            Some(_) => (self.until_ms, UNDER_WAY),
            None => (self.back_ms, TRIED_AGAIN),
        };
        self.from_ms <= last_ms && end_ms + u64::try_from(later.as_millis()).unwrap_or(u64::MAX) >= first_ms
    }
}

/// The executions of each step, by the hash of its key.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<u64, Executions>);

/// The executions of one step.
#[derive(Debug)]
struct Executions {
    times: u32,
    first_ms: u64,
    last_ms: u64,
    /// The hash of the body of the first execution.
    body: u64,
    is_after_join: bool,
    has_different_bodies: bool,
}

impl Keys {
    pub(super) fn read(path: &Path) -> Result<Keys, String> {
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let lines = BufReader::new(file).lines().map(|line| line.map_err(|error| error.to_string()));
        Keys::count(lines)
    }

    fn count(lines: impl Iterator<Item = Result<String, String>>) -> Result<Keys, String> {
        // Only hashes are kept, because a long run has hundreds of thousands of keys.
        let hashes = RandomState::new();
        let mut keys = HashMap::new();
        for line in lines {
            let line = line?;
            let strange = || format!("the function has written the line `{line}`");
            let [key, step, body, at_ms] = line.split(' ').collect::<Vec<_>>()[..] else { return Err(strange()) };
            let at_ms: u64 = at_ms.parse().map_err(|_| strange())?;
            let body = hashes.hash_one(body);
            let executions = keys.entry(hashes.hash_one(key)).or_insert_with(|| Executions {
                times: 0,
                first_ms: at_ms,
                last_ms: at_ms,
                body,
                is_after_join: step == AFTER_JOIN,
                has_different_bodies: false,
            });
            executions.times += 1;
            executions.first_ms = executions.first_ms.min(at_ms);
            executions.last_ms = executions.last_ms.max(at_ms);
            executions.has_different_bodies |= executions.body != body;
        }
        Ok(Keys(keys))
    }

    fn number(&self, counts: impl Fn(&Executions) -> bool) -> usize {
        self.0.values().filter(|executions| counts(executions)).count()
    }

    pub(super) fn distinct(&self) -> usize {
        self.0.len()
    }

    pub(super) fn repeated(&self) -> usize {
        self.number(|executions| executions.times > 1)
    }

    /// The steps that were repeated more often than the kills from their first execution to their last explain. A step is repeated
    /// because a kill has lost its answer, or the process that would have recorded it.
    pub(super) fn unexplained(&self, kills: &[KillTime], shape: Shape) -> usize {
        self.number(|executions| {
            let explains = |kill: &&KillTime| kill.explains(shape, executions.first_ms, executions.last_ms);
            let explained = shape.repetitions_per_kill() * kills.iter().filter(explains).count();
            executions.times as usize > 1 + explained
        })
    }

    pub(super) fn most(&self) -> u32 {
        self.0.values().map(|executions| executions.times).max().unwrap_or_default()
    }

    /// The steps after joins. A join that fires a second time, under another call id, is another step.
    pub(super) fn joins(&self) -> usize {
        self.number(|executions| executions.is_after_join)
    }

    /// The steps that were called with different bodies. After a join, this means that it has fired with two different sets.
    pub(super) fn different(&self) -> usize {
        self.number(|executions| executions.has_different_bodies)
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::Store;
    use super::*;

    fn count(lines: &[&str]) -> Result<Keys, String> {
        Keys::count(lines.iter().map(|line| Ok((*line).to_owned())))
    }

    #[test]
    fn repetitions_are_counted_by_key() {
        let lines = [
            "a-1-1 1 x 1000",
            "a-2-3 2 x 1000",
            "a-1-1 1 x 1000",
            "a-1-1 1 x 1000",
            "b-1-1 1 x 1000",
            "b-1-1 1 x 1000",
        ];
        let keys = count(&lines).unwrap();
        assert_eq!((keys.distinct(), keys.repeated(), keys.most()), (3, 2, 3));
        assert_eq!((keys.joins(), keys.different()), (0, 0));
    }

    #[test]
    fn joins_that_fire_twice_are_seen() {
        let again = ["a-5-1 joined x 1000", "a-5-1 joined x 1000", "b-5-1 joined x 1000"];
        let keys = count(&again).unwrap();
        assert_eq!((keys.joins(), keys.different()), (2, 0));
        let other_set = ["a-5-1 joined x 1000", "a-5-1 joined y 1000"];
        let keys = count(&other_set).unwrap();
        assert_eq!((keys.joins(), keys.different()), (1, 1));
        let other_call = ["a-5-1 joined x 1000", "a-6-1 joined x 1000"];
        assert_eq!(count(&other_call).unwrap().joins(), 2);
        assert!(count(&["a-5-1 joined x"]).is_err() && count(&["a-5-1 joined x soon"]).is_err());
    }

    #[test]
    fn each_repetition_needs_a_kill_of_its_own() {
        let remembered = Shape::Linear(Some(Store::Redis));
        let kill = |from_ms, until_ms| KillTime { from_ms, until_ms, back_ms: until_ms + 3000 };
        let keys = count(&["a-1-1 1 x 5000", "a-1-1 1 x 9000", "b-1-1 1 x 5000", "c-1-1 1 x 5000"]).unwrap();
        let unexplained = |kills: &[KillTime]| keys.unexplained(kills, remembered);
        assert_eq!(unexplained(&[]), 1);
        assert_eq!(unexplained(&[kill(6000, 6010)]), 0);
        assert_eq!(unexplained(&[kill(4100, 4200)]), 0, "the call was under way");
        assert_eq!(unexplained(&[kill(1000, 3900), kill(9001, 9100)]), 1, "before and after");
        let twice = count(&["a-1-1 1 x 5000", "a-1-1 1 x 6000", "a-1-1 1 x 9000"]).unwrap();
        assert_eq!((twice.unexplained(&[kill(5500, 5600)], remembered), twice.most()), (1, 3));
        assert_eq!(twice.unexplained(&[kill(5500, 5600), kill(7000, 7100)], remembered), 0);
        let forgotten = Shape::Linear(None);
        assert_eq!(twice.unexplained(&[kill(5500, 5600)], forgotten), 0, "by the flow and by the queue");
        assert_eq!(twice.unexplained(&[kill(1000, 1100)], forgotten), 0, "the gateway was away until 4100");
        assert_eq!(twice.unexplained(&[kill(9001, 9100)], forgotten), 1);
    }
}
