//! Tests of the test kit itself.

mod explore;
mod explore_remembered;
