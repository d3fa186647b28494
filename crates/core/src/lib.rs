//! Under construction.
pub mod duration;
