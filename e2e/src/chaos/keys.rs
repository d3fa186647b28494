//! The records of the function: the `Idempotency-Key` of each call that it executed.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// How often each step was executed.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<u64, u32>);

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
            *keys.entry(hashes.hash_one(line?)).or_default() += 1;
        }
        Ok(Keys(keys))
    }

    pub(super) fn distinct(&self) -> usize {
        self.0.len()
    }

    pub(super) fn repeated(&self) -> usize {
        self.0.values().filter(|&&times| times > 1).count()
    }

    pub(super) fn most(&self) -> u32 {
        self.0.values().copied().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_counted_by_key() {
        let lines = ["a-1-1", "a-2-3", "a-1-1", "a-1-1", "b-1-1", "b-1-1"];
        let keys = Keys::count(lines.iter().map(|line| Ok((*line).to_owned()))).unwrap();
        assert_eq!((keys.distinct(), keys.repeated(), keys.most()), (3, 2, 3));
    }
}
