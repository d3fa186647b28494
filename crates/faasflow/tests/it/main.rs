//! One test program for the crate, since linking a second takes as long as linking the first.

mod callbacks;
mod calls;
mod encoding;
mod endings;
mod errors_page;
mod forwarding;
mod graph_troubles;
mod graphs;
mod hostile;
mod inline_branches;

mod isolation;
mod limits;
mod modifiers;
mod outages;
mod policies;
mod predecessor;
mod response_table;
mod signing;
mod state;
mod support;
mod tracing;
