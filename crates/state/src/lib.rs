//! State managers for Faasflow: where the state of requests lives when it is not in their envelopes.

mod memory;

pub use memory::Memory;
