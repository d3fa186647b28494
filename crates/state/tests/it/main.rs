//! There is one test program for the crate, because linking a second one would take as long as linking the first.

mod memory;
mod redis_round_trips;
mod s3_conflicts;
mod s3_records;
mod wrong_password;
