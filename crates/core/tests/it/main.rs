//! One test program for the crate, since linking a second takes as long as linking the first.

mod codes;
mod compile_errors;
mod definition;
mod description;
mod earlier;
mod envelope;
mod errors_of_main;
mod faults;
mod forked;
mod graphs;
mod handlers;
mod machine;
mod plan;
