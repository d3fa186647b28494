//! The records of the function: for each call that it executed, the `Idempotency-Key`, the step and a hash of the body.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// The name of the step after a join.
const AFTER_JOIN: &str = "joined";

/// The executions of each step, by the hash of its key.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<u64, Executions>);

/// The executions of one step.
#[derive(Debug)]
struct Executions {
    times: u32,
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
            let [key, step, body] = line.split(' ').collect::<Vec<_>>()[..] else {
                return Err(format!("the function has written the line `{line}`"));
            };
            let body = hashes.hash_one(body);
            let executions = keys.entry(hashes.hash_one(key)).or_insert_with(|| Executions {
                times: 0,
                body,
                is_after_join: step == AFTER_JOIN,
                has_different_bodies: false,
            });
            executions.times += 1;
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
    use super::*;

    fn count(lines: &[&str]) -> Result<Keys, String> {
        Keys::count(lines.iter().map(|line| Ok((*line).to_owned())))
    }

    #[test]
    fn repetitions_are_counted_by_key() {
        let lines = ["a-1-1 1 x", "a-2-3 2 x", "a-1-1 1 x", "a-1-1 1 x", "b-1-1 1 x", "b-1-1 1 x"];
        let keys = count(&lines).unwrap();
        assert_eq!((keys.distinct(), keys.repeated(), keys.most()), (3, 2, 3));
        assert_eq!((keys.joins(), keys.different()), (0, 0));
    }

    #[test]
    fn joins_that_fire_twice_are_seen() {
        let again = ["a-5-1 joined x", "a-5-1 joined x", "b-5-1 joined x"];
        let keys = count(&again).unwrap();
        assert_eq!((keys.joins(), keys.different()), (2, 0));
        let other_set = ["a-5-1 joined x", "a-5-1 joined y"];
        let keys = count(&other_set).unwrap();
        assert_eq!((keys.joins(), keys.different()), (1, 1));
        let other_call = ["a-5-1 joined x", "a-6-1 joined x"];
        assert_eq!(count(&other_call).unwrap().joins(), 2);
        assert!(count(&["a-5-1"]).is_err());
    }
}
