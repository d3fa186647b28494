//! The command line: commands, arguments and options.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use faasflow_core::RequestId;

mod examples;
mod gateway;
mod requests;
mod values;

pub(crate) use gateway::Gateway;
pub(crate) use requests::{ListRequests, OneRequest, RedriveRequests, Requests, RequestsCommand, SomeRequests};

use values::{address, count, duration, ip_address, letter_id, limit, method, pair, port, request_id};

/// Compose functions into pipelines, and run them on a local gateway or on OpenFaaS.
#[derive(Debug, Parser)]
#[command(name = "faasflow", version, max_term_width = 120, after_help = examples::FAASFLOW)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a flow: a cargo project, and a stack.yml that names it
    New(New),
    /// Build the functions of a stack.yml and run them on a local gateway
    Up(Up),
    /// Show the flows of any gateway in a browser
    Ui(Ui),
    /// Call a function: send standard input, print the answer
    Invoke(Invoke),
    /// Show what functions logged, for one request or for one function
    Logs(Logs),
    /// List requests, show what has become of one, and pause, stop or redrive them
    Requests(Box<Requests>),
    /// Draw a flow: its phases and steps
    Graph(Graph),
    /// Show the settings of flows and where each value comes from
    Config(Config),
    /// Check that the flows of a stack.yml will work on a gateway
    Check(Check),
    /// List queued and failed calls, and retry or delete the failed ones
    Queue(Queue),
    /// Check that a gateway is up
    Health(Health),
    /// Explain an error code such as FF0102
    Explain(Explain),
    /// Build two examples, a photo pipeline and a photo report, and send photos through them
    Demo(Demo),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Write man pages for all commands
    Man(Man),
}

#[derive(Args, Debug)]
#[command(after_help = examples::DEMO)]
pub(crate) struct Demo {
    /// Keep the gateway running afterwards, and show what to try
    #[arg(long)]
    pub(crate) keep: bool,
    /// The folder `examples/upload-pipeline` of Faasflow's sources [default: that of the sources this program was built
    /// from; releases have no default]
    #[arg(long, value_name = "DIR")]
    pub(crate) example: Option<PathBuf>,
    /// Where to write pictures, the queue and secrets [default: target/demo in Faasflow's sources]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// The port of the gateway; 0 means any free port
    #[arg(long, default_value_t = 0, value_parser = port)]
    pub(crate) port: u16,
}

#[derive(Args, Debug)]
#[command(after_help = examples::EXPLAIN)]
pub(crate) struct Explain {
    /// The code in `error[…]`; without it, all codes are listed
    pub(crate) code: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = examples::UP)]
pub(crate) struct Up {
    /// The stack file, or its folder
    #[arg(default_value = ".")]
    pub(crate) stack: PathBuf,
    /// The port to listen on; 0 means any free port
    #[arg(long, short, default_value_t = 8080, value_parser = port)]
    pub(crate) port: u16,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1", value_parser = ip_address)]
    pub(crate) host: IpAddr,
    /// Build functions with optimizations, as `cargo build --release` does
    #[arg(long)]
    pub(crate) release: bool,
    /// Do not rebuild functions when their sources change
    #[arg(long)]
    pub(crate) no_watch: bool,
    /// Run no functions in containers, even if Docker or Podman is available
    #[arg(long)]
    pub(crate) no_containers: bool,
    /// Start without a stack file and without functions; deploy them with faas-cli
    #[arg(long)]
    pub(crate) no_stack: bool,
    /// Require a user and a password for the admin API (/system/…); both are generated at the first start
    #[arg(long)]
    pub(crate) basic_auth: bool,
    /// Run functions for the OpenFaaS gateway at this address, as its provider; functions call that gateway
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) behind: Option<String>,
    /// The address of Jaeger's pages, such as http://127.0.0.1:16686; the dashboard links each request to its trace there
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) traces: Option<String>,
    /// Where to keep the queue, secrets and deployed functions [default: .faasflow beside the stack file]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// How long a function may take until it begins to answer; at least the longest `write_timeout` of your flows
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) upstream_timeout: Duration,
    /// How many calls to handle at once; further ones are answered with 503 [default: what fits into memory]
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    pub(crate) max_inflight_requests: Option<usize>,
    /// How many bytes of request bodies to hold in memory [default: half of the gateway's share of memory]
    #[arg(long, value_name = "BYTES", value_parser = limit)]
    pub(crate) max_inflight_bytes: Option<u64>,
    /// The largest body of an asynchronous call; the default is the limit of OpenFaaS's community edition
    #[arg(long, value_name = "BYTES", default_value = "256000", value_parser = limit)]
    pub(crate) queue_limit: u64,
    /// How many asynchronous calls to deliver at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count::<usize>)]
    pub(crate) queue_workers: usize,
    /// How often to try an asynchronous call; after that, it is kept as a dead letter (see `faasflow queue`)
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count::<u32>)]
    pub(crate) queue_attempts: u32,
}

#[derive(Args, Debug)]
#[command(after_help = examples::UI)]
pub(crate) struct Ui {
    #[command(flatten)]
    pub(crate) gateway: Gateway,
    /// Sign with this key, or with that in @FILE; needed for any other gateway than that of `faasflow up`
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// The port of the pages; 0 means any free port [default: 8090, or any free port if that is taken]
    #[arg(long, short, value_parser = port)]
    pub(crate) port: Option<u16>,
}

#[derive(Args, Debug)]
#[command(after_help = examples::NEW)]
pub(crate) struct New {
    /// The name of the flow and of its folder: lower-case letters, digits and `-`
    pub(crate) name: String,
    /// Add the flow to this stack file, and create its folder beside it, instead of creating stack.yml
    #[arg(long, value_name = "FILE")]
    pub(crate) append: Option<PathBuf>,
    // unpublished: see RELEASE.md
    /// The folder of Faasflow's sources to build against [default: the one this program was built from;
    /// releases have no default]
    #[arg(long, value_name = "DIR")]
    pub(crate) checkout: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = examples::HEALTH)]
pub(crate) struct Health {
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Args, Debug)]
#[command(after_help = examples::INVOKE)]
pub(crate) struct Invoke {
    /// The name of the function
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
    /// Queue the call and print its ID, without waiting for the answer
    #[arg(long = "async", short)]
    pub(crate) asynchronous: bool,
    /// If the flow goes on through the queue, wait until the request has ended, or for this time, and print its result
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, value_parser = duration,
        conflicts_with = "asynchronous")]
    pub(crate) wait: Option<Option<Duration>>,
    /// Add a query parameter; can be repeated
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) query: Vec<(String, String)>,
    /// Add a request header; can be repeated
    #[arg(long, short = 'H', value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) header: Vec<(String, String)>,
    /// The HTTP method
    #[arg(long, short, default_value = "POST", value_parser = method)]
    pub(crate) method: http::Method,
    /// Sign the body with HMAC-SHA256, and send the signature in this header, such as X-Hub-Signature
    #[arg(long, value_name = "HEADER", requires = "key")]
    pub(crate) sign: Option<String>,
    /// The key to sign with, or @FILE to read it from a file; needs --sign
    #[arg(long, requires = "sign")]
    pub(crate) key: Option<String>,
    /// The content type of the body
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = examples::LOGS)]
#[group(id = "whose", required = true, multiple = false, args = ["request", "function"])]
pub(crate) struct Logs {
    /// The ID of a request: shows the lines of all functions that worked on it (needs the gateway of `faasflow up`)
    #[arg(value_name = "REQUEST-ID", value_parser = request_id)]
    pub(crate) request: Option<RequestId>,
    /// Show all lines of this function
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
    /// Keep printing new lines until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Show only the last N lines
    #[arg(long, value_name = "N", value_parser = count::<u32>)]
    pub(crate) tail: Option<u32>,
    /// Begin each line with the time the gateway received it
    #[arg(long, short)]
    pub(crate) timestamps: bool,
    /// Print each line as JSON, with all fields the gateway sends
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = examples::GRAPH)]
pub(crate) struct Graph {
    /// The folder of a flow's project, a JSON file that describes a flow, `-` to read that from standard input, or the
    /// name of a deployed flow
    #[arg(default_value = ".")]
    pub(crate) flow: String,
    /// The output format
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Text,
    Mermaid,
    Dot,
    Svg,
    Json,
}

#[derive(Args, Debug)]
#[command(after_help = examples::CONFIG)]
pub(crate) struct Config {
    /// The stack file, or its folder
    #[arg(default_value = ".")]
    pub(crate) stack: PathBuf,
    /// Only this flow
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = examples::CHECK)]
pub(crate) struct Check {
    /// The stack file, or its folder
    #[arg(default_value = ".")]
    pub(crate) stack: PathBuf,
    /// Only this flow
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
    /// How long the gateway waits for a function [default: what the gateway reports, or OpenFaaS's 60s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) gateway_timeout: Option<Duration>,
    /// The largest body of an asynchronous call [default: what the gateway reports, or 256000 as in OpenFaaS's community
    /// edition]
    #[arg(long, value_name = "BYTES", value_parser = limit)]
    pub(crate) queue_limit: Option<u64>,
    /// How long the queue of OpenFaaS waits for a call before it delivers it again (its `ack_wait`) [default: 30s];
    /// `faasflow up` does not redeliver running calls
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) ack_wait: Option<Duration>,
    /// The output format
    #[arg(long, short, value_enum, default_value_t = CheckFormat::Text)]
    pub(crate) format: CheckFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CheckFormat {
    Text,
    Json,
}

#[derive(Args, Debug)]
#[command(after_help = examples::QUEUE)]
pub(crate) struct Queue {
    #[command(flatten)]
    pub(crate) gateway: Gateway,
    #[command(subcommand)]
    pub(crate) command: QueueCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List calls that wait or are being delivered
    List {
        /// How many to list at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = count::<usize>)]
        limit: usize,
    },
    /// List dead letters (calls that were given up), or show one in full
    DeadLetters {
        /// The ID of a dead letter, to show it in full
        #[arg(value_parser = letter_id)]
        id: Option<u64>,
        /// How many to list at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = count::<usize>)]
        limit: usize,
        /// Show what is masked as well: credentials and envelopes
        #[arg(long, requires = "id")]
        unmasked: bool,
    },
    /// Put dead letters back into the queue
    Redrive {
        #[command(flatten)]
        which: Which,
        /// Redrive this many per second instead of all at once
        #[arg(long, value_name = "PER-SECOND", value_parser = count::<u32>)]
        rate: Option<u32>,
    },
    /// Delete dead letters
    Discard {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct Which {
    /// The IDs of dead letters, as `faasflow queue dead-letters` lists them
    #[arg(value_parser = letter_id)]
    pub(crate) ids: Vec<u64>,
    /// All dead letters
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,
    /// All dead letters of this function, or those among the given IDs
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = examples::COMPLETIONS)]
pub(crate) struct Completions {
    /// The shell to complete in
    pub(crate) shell: Shell,
}

#[derive(Args, Debug)]
#[command(after_help = examples::MAN)]
pub(crate) struct Man {
    /// The folder to write faasflow.1, faasflow-up.1 and the others to; it is created if needed
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}
