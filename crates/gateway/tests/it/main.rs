//! One test program for the crate, since linking a second takes as long as linking the first.

mod admin_answers;
mod api;
mod broken_answers;
mod busy;
mod callbacks;
mod commands;
mod dead_letters;
mod deploy;
mod early_answers;
mod few_files;
mod functions;
mod graphs;
mod images;
mod limits;
mod logs;
mod metrics_port;
mod odd_requests;
mod openfaas;
mod queue_file;
mod refusals;
mod state_store;
mod stopping;
mod streaming;
mod support;
