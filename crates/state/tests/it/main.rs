//! There is one test program for the crate, because linking a second one would take as long as linking the first.

mod memory;
mod s3_conflicts;
