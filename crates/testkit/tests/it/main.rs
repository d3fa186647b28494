//! Tests of the test kit itself.

mod explore;
