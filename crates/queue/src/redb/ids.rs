//! The ids that were accepted within the window, as full hashes on disk and partial hashes in memory. Each takes twenty to forty bytes
//! of memory.

use std::collections::{HashMap, HashSet, VecDeque};

use sha2::{Digest as _, Sha256};

/// The hash of a duplicate key. Two keys with the same hash cannot be made, so no call is dropped by mistake.
pub(crate) fn hash(duplicate_key: &str) -> u128 {
    let digest = Sha256::digest(duplicate_key.as_bytes());
    u128::from_le_bytes(std::array::from_fn(|at| digest[at]))
}

/// An id on disk: the number of its call, its hash, and when it was accepted.
pub(crate) type StoredId = (u64, u128, u64);

/// The number of maps. Each grows separately, so that they are never all in memory twice.
const SHARDS: usize = 64;
/// How many ids are read at once to forget them.
pub(crate) const FORGET: usize = 1024;

#[derive(Debug)]
pub(crate) struct Ids {
    /// The number of the call by a part of its hash. A hit is compared with the full hash on disk.
    known: Vec<HashMap<u64, u64>>,
    /// The ids whose calls are being written.
    pub(crate) writing: HashSet<u128>,
    /// The oldest ids, in the order of acceptance. They are forgotten next.
    oldest: VecDeque<StoredId>,
    /// The last number that was in `oldest`; all later ones are only on disk.
    read_to: u64,
    /// The highest number that is known.
    last: u64,
}

impl Ids {
    pub(crate) fn new() -> Ids {
        Ids {
            known: (0..SHARDS).map(|_| HashMap::new()).collect(),
            writing: HashSet::new(),
            oldest: VecDeque::new(),
            read_to: 0,
            last: 0,
        }
    }

    fn shard(&mut self, hash: u128) -> (&mut HashMap<u64, u64>, u64) {
        let part = hash as u64;
        (&mut self.known[part as usize % SHARDS], part)
    }

    pub(crate) fn insert(&mut self, id: u64, hash: u128) {
        self.last = self.last.max(id);
        let (shard, part) = self.shard(hash);
        shard.insert(part, id);
    }

    /// The number under which a key with this hash may be known.
    pub(crate) fn find(&mut self, hash: u128) -> Option<u64> {
        let (shard, part) = self.shard(hash);
        shard.get(&part).copied()
    }

    /// Forgets a key, if it is known under this number.
    pub(crate) fn remove(&mut self, id: u64, hash: u128) {
        let (shard, part) = self.shard(hash);
        if shard.get(&part) == Some(&id) {
            shard.remove(&part);
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit();
            }
        }
    }

    /// The range that must be read from disk before the oldest ids can be forgotten: after the first number, up to the
    /// second. `None` if nothing has to be read.
    pub(crate) fn wants_oldest(&self) -> Option<(u64, u64)> {
        (self.oldest.is_empty() && self.read_to < self.last).then_some((self.read_to, self.last))
    }

    /// Takes what was read for [`wants_oldest`](Ids::wants_oldest), unless another task has done that in the meantime.
    pub(crate) fn take_oldest(&mut self, (after, up_to): (u64, u64), read: Vec<StoredId>) {
        if self.oldest.is_empty() && self.read_to == after {
            // If none are left, all of them were released.
            self.read_to = read.last().map_or(up_to, |&(id, ..)| id);
            self.oldest = read.into();
        }
    }

    /// There are ids on disk up to this number.
    pub(crate) fn are_up_to(&mut self, id: u64) {
        self.last = self.last.max(id);
    }

    /// Forgets the ids that were accepted before `oldest_ms`, as far as they were read. Returns their numbers.
    pub(crate) fn forget(&mut self, oldest_ms: u64) -> Vec<u64> {
        let mut forgotten = Vec::new();
        while let Some(&(id, hash, accepted_ms)) = self.oldest.front() {
            if accepted_ms >= oldest_ms {
                break;
            }
            self.oldest.pop_front();
            self.remove(id, hash);
            forgotten.push(id);
        }
        forgotten
    }
}
