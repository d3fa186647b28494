//! Hashes that are the same in every run, and that take little time in a debug build too.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A map whose keys nobody chooses in order to make it slow.
pub(super) type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

/// Mixes each word into the hash with a multiplication and a shift.
#[derive(Clone, Copy)]
pub(super) struct Quick {
    hash: u64,
    factor: u64,
}

impl Quick {
    /// Hashes of different kinds have nothing in common. The kinds are 0 and 1.
    fn new(kind: usize) -> Quick {
        Quick { hash: [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344][kind], factor: FACTORS[kind] }
    }

    fn add(&mut self, word: u64) {
        let product = (self.hash ^ word).wrapping_mul(self.factor);
        self.hash = product ^ (product >> 32);
    }
}

/// Odd numbers with bits in no order.
const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

impl Default for Quick {
    fn default() -> Quick {
        Quick::new(0)
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.add(u64::from_le_bytes(chunk.try_into().expect("a chunk has 8 bytes")));
        }
        let rest = chunks.remainder().iter().fold(1, |word, byte| (word << 8) | u64::from(*byte));
        self.add(rest);
    }

    fn write_u8(&mut self, number: u8) {
        self.add(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.add(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.add(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    fn finish(&self) -> u64 {
        let product = self.hash.wrapping_mul(self.factor);
        product ^ (product >> 29)
    }
}

/// The hash of a value.
pub(super) fn hash(value: &impl Hash) -> u64 {
    hash_of_kind(0, value)
}

/// Two hashes of a value.
pub(super) fn fingerprint(value: &impl Hash) -> (u64, u64) {
    (hash_of_kind(0, value), hash_of_kind(1, value))
}

fn hash_of_kind(kind: usize, value: &impl Hash) -> u64 {
    let mut hasher = Quick::new(kind);
    value.hash(&mut hasher);
    hasher.finish()
}
