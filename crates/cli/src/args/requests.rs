//! The arguments of `faasflow requests`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use faasflow_core::RequestId;

use super::examples;
use super::gateway::Gateway;
use super::values::{count, duration, from, per_second, request_id};

/// The values of `--status`.
const STATUSES: [&str; 7] = ["running", "paused", "parked", "success", "recovered", "failure", "stopped"];

#[derive(Args, Debug)]
#[command(after_help = examples::REQUESTS)]
pub(crate) struct Requests {
    #[command(flatten)]
    pub(crate) gateway: Gateway,
    /// Sign with this key, or with that in @FILE, and ask the flow itself; the way through any other gateway than that of
    /// `faasflow up`
    #[arg(long, global = true)]
    pub(crate) key: Option<String>,
    /// Ask only the flows of this stack file, instead of all flows of the gateway
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) stack: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) list: ListRequests,
    #[command(subcommand)]
    pub(crate) command: Option<RequestsCommand>,
}

#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct ListRequests {
    /// Only requests of this flow [default: of all flows]
    pub(crate) flow: Option<String>,
    /// Only requests with this status
    #[arg(long, value_parser = STATUSES)]
    pub(crate) status: Option<String>,
    /// Only requests that began within this time, such as 1h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// Only requests whose ID, or one of whose search keys or labels of items, contains this text; or that have a place with this
    /// call ID
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// Only requests that are at a place with this text in its steps, its branches or its label
    #[arg(long, value_name = "TEXT")]
    pub(crate) at: Option<String>,
    /// Only requests with a place that is being retried
    #[arg(long)]
    pub(crate) retrying: bool,
    /// Only requests that have not ended and have a dead letter: the queue has given up a delivery
    #[arg(long, conflicts_with = "search")]
    pub(crate) given_up: bool,
    /// Only requests that have not ended and have not moved for this long, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) idle: Option<Duration>,
    /// Only requests with this text in the reason why they failed or are being retried, or with this code, such as FF0310
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// How many to list at most [default: 50]
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    pub(crate) limit: Option<usize>,
    /// List all
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RequestsCommand {
    /// List requests, newest first
    List(ListRequests),
    /// Show what has become of a request, with a timeline of its places
    Show {
        #[command(flatten)]
        request: OneRequest,
        /// Print the answer of the flow, which is JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the result of a request that has ended
    Result {
        #[command(flatten)]
        request: OneRequest,
        /// Write the result to this file instead of standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Print the outcome and the result as JSON
        #[arg(long, conflicts_with = "output")]
        json: bool,
    },
    /// Wait until a request has ended; exits with 0 if it has succeeded
    Wait {
        #[command(flatten)]
        request: OneRequest,
        /// How long to wait at most [default: until the end]
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        timeout: Option<Duration>,
        /// Print the last answer of the flow, which is JSON
        #[arg(long)]
        json: bool,
    },
    /// Pause requests: no further place of them begins
    Pause(SomeRequests),
    /// Make requests go on that were paused
    Resume(SomeRequests),
    /// End requests
    Stop(SomeRequests),
    /// Start requests again that have failed or were stopped, from where they failed
    Redrive(RedriveRequests),
    /// Run a request again, as a new one with the same input, and print the ID of the new one
    Again {
        #[command(flatten)]
        request: OneRequest,
        /// The ID of the new request [default: a new UUID]
        #[arg(long, value_name = "ID", value_parser = request_id)]
        new_id: Option<RequestId>,
        /// Wait until the new request has ended, or for this time, and print its result instead
        #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, value_parser = duration)]
        wait: Option<Option<Duration>>,
        /// Print the answer of the flow, which is JSON
        #[arg(long, conflicts_with = "wait")]
        json: bool,
    },
    /// Make requests go on that have not moved for some time, such as after a loss of the queue
    Recover {
        /// Only requests of this flow [default: of all flows]
        flow: Option<String>,
        /// For how long they have not moved; at least as long as a phase may take [default: 60s]
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        older: Option<Duration>,
        /// Allow a shorter `--older`; phases that are still in progress are then executed twice
        #[arg(long)]
        force: bool,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct OneRequest {
    /// The ID of the request: X-Faasflow-Request-Id of its answer
    #[arg(value_parser = request_id)]
    pub(crate) id: RequestId,
    /// The flow that the request was sent to [default: each flow is asked]
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SomeRequests {
    /// The IDs of the requests
    #[arg(required = true, value_name = "ID", value_parser = request_id)]
    pub(crate) ids: Vec<RequestId>,
    /// The flow that the requests were sent to [default: each flow is asked]
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct Redriven {
    /// The IDs of the requests
    #[arg(value_name = "ID", value_parser = request_id)]
    pub(crate) ids: Vec<RequestId>,
    /// All requests that have failed
    #[arg(long, conflicts_with = "ids")]
    pub(crate) failed: bool,
    /// All requests that were stopped
    #[arg(long, conflicts_with = "ids")]
    pub(crate) stopped: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RedriveRequests {
    #[command(flatten)]
    pub(crate) which: Redriven,
    /// Only requests of this flow [default: of all flows]
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    /// Where to start: `failed` uses all results that are recorded; the number of a phase executes everything from there again
    #[arg(long, value_name = "failed|PHASE", default_value = "failed", value_parser = from)]
    pub(crate) from: String,
    /// Only requests that began within this time, such as 1h
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "ids")]
    pub(crate) since: Option<Duration>,
    /// Only requests with this text in the reason why they failed, or with this code, such as FF0310
    #[arg(long, value_name = "TEXT", conflicts_with = "ids")]
    pub(crate) reason: Option<String>,
    /// Only requests whose ID, or one of whose search keys or labels of items, contains this text
    #[arg(long, value_name = "TEXT", conflicts_with = "ids")]
    pub(crate) search: Option<String>,
    /// How many to start per second
    #[arg(long, value_name = "PER-SECOND", default_value = "20", value_parser = per_second)]
    pub(crate) rate: NonZeroU32,
    /// List what would be redriven, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}
