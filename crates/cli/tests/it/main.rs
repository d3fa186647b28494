//! One test program for the crate, since linking a second takes as long as linking the first.

mod answers;
mod bulk_redrive;
mod check;
mod commands;
mod completions;
mod deploy;
mod deployed;
mod errors;
mod examples;
mod flow_killed;
mod full_disk;
mod guide;
mod kill;
mod live;
mod metrics;
mod new;
mod requests;
mod support;
mod ui;
