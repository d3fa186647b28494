//! What can be said on the command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use faasflow_core::RequestId;

/// Compose functions into pipelines that are functions themselves.
#[derive(Debug, Parser)]
#[command(name = "faasflow", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  done, and it failed: a function answered with an error, a demo did not come out as it must, a check found an error
  2  the command line is wrong
  3  the gateway cannot be reached
  4  a file, a setting or a definition cannot be used";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the photo pipeline on real photos, from nothing
    Demo(Demo),
    /// Run the functions of a stack.yml on a local gateway
    Up(Up),
    /// Make a new flow project
    New(New),
    /// Invoke a function: standard input to standard output
    Invoke(Invoke),
    /// Show what functions logged of a request, or what one function logged
    Logs(Logs),
    /// Draw a flow
    Graph(Graph),
    /// Show the settings of flows, and where each came from
    Config(Config),
    /// Compare the flows of a stack.yml with a gateway, before they are deployed
    Check(Check),
    /// Look into the queue of a gateway, and deal with its dead letters
    Queue(Queue),
    /// Ask whether a gateway is up
    Health(Gateway),
    /// Explain an error by its code, such as FF0102
    Explain(Explain),
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Leave the gateway running and say what to try
    #[arg(long)]
    pub(crate) keep: bool,
    /// The folder of the example, if it is not found beside the sources
    #[arg(long, value_name = "DIR")]
    pub(crate) example: Option<PathBuf>,
    /// Where pictures, queue and secrets go
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// The port of the gateway; 0 takes any that is free
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// The code that the error was printed with; without it, all codes are listed
    pub(crate) code: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Up {
    /// The stack file, or the folder that it is in
    #[arg(default_value = ".")]
    pub(crate) stack: PathBuf,
    /// The port to listen on; 0 takes any that is free
    #[arg(long, short, default_value_t = 8080)]
    pub(crate) port: u16,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// Build functions with optimisations
    #[arg(long)]
    pub(crate) release: bool,
    /// Do not build functions anew when their sources change
    #[arg(long)]
    pub(crate) no_watch: bool,
    /// Run no images, though a container engine may be there
    #[arg(long)]
    pub(crate) no_containers: bool,
    /// Start without a stack file: functions are deployed, with faas-cli or by an OpenFaaS gateway in front
    #[arg(long)]
    pub(crate) no_stack: bool,
    /// Ask for user and password before anything under /system; both are made at the first start
    #[arg(long)]
    pub(crate) basic_auth: bool,
    /// Be the provider behind the OpenFaaS gateway at this address, which functions call rather than this one
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) behind: Option<String>,
    /// Where the queue, the secrets and the deployed functions are kept [default: .faasflow beside the stack file]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// How long a function may take until it begins to answer; a flow with a longer `write_timeout` needs more
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = faasflow_core::duration::parse)]
    pub(crate) upstream_timeout: Duration,
    /// How many invocations are in flight, at most; more are answered with 503 [default: what fits into the memory]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) max_inflight_requests: Option<usize>,
    /// How many bytes of bodies are held, at most, for the queue and for commands [default: half of the gateway's part
    /// of the memory]
    #[arg(long, value_name = "BYTES", value_parser = limit)]
    pub(crate) max_inflight_bytes: Option<u64>,
    /// The largest asynchronous body; the default is that of OpenFaaS's community edition
    #[arg(long, value_name = "BYTES", default_value = "256000", value_parser = limit)]
    pub(crate) queue_limit: u64,
    /// How many asynchronous calls are delivered at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) queue_workers: usize,
    /// How often an asynchronous call is tried before it becomes a dead letter
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) queue_attempts: u32,
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| "expected a number from 1 up".to_owned())
}

fn limit(text: &str) -> Result<u64, String> {
    match faasflow_core::size::parse(text)? {
        0 => Err("a limit of 0 would refuse every body".to_owned()),
        size => Ok(size),
    }
}

fn address(text: &str) -> Result<String, faasflow_core::UrlError> {
    faasflow_core::parse_url(text).map(|_| text.to_owned())
}

#[derive(Args, Debug)]
pub(crate) struct New {
    /// The name of the flow, which becomes that of its folder
    pub(crate) name: String,
    /// Add it to this stack file, beside which its folder comes to lie, rather than begin one
    #[arg(long, value_name = "FILE")]
    pub(crate) append: Option<PathBuf>,
    /// A checkout of faasflow to build against, rather than the one that this program was built from
    #[arg(long, value_name = "DIR")]
    pub(crate) checkout: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Gateway {
    /// The gateway, as http://USER:PASSWORD@HOST:PORT where it asks for those; without it, the one that the variable
    /// OPENFAAS_URL names [default: http://127.0.0.1:8080]
    // The variable may hold a password, so the default is not shown as it is.
    #[arg(
        long,
        short,
        global = true,
        default_value_t = crate::environment::gateway(),
        hide_default_value = true,
        value_name = "URL"
    )]
    pub(crate) gateway: String,
}

const INVOKED: &str = "\
`faasflow logs ID` shows what functions logged of the request: ID is its X-Faasflow-Request-Id, or the id of the call.";

#[derive(Args, Debug)]
#[command(after_help = INVOKED)]
pub(crate) struct Invoke {
    /// The name of the function
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
    /// Put the invocation into the queue, and print the id of the call
    #[arg(long = "async", short)]
    pub(crate) asynchronous: bool,
    /// Add to the query; may be said again
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) query: Vec<(String, String)>,
    /// Add a header; may be said again
    #[arg(long, short = 'H', value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) header: Vec<(String, String)>,
    /// The method
    #[arg(long, short, default_value = "POST")]
    pub(crate) method: http::Method,
    /// Sign the body with HMAC-SHA256 in this header, such as X-Hub-Signature
    #[arg(long, value_name = "HEADER", requires = "key")]
    pub(crate) sign: Option<String>,
    /// The key to sign with, or @FILE to read it from a file
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// The content type of the body
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    // A header is also taken the way curl writes it.
    let split = text.split_once('=').or_else(|| text.split_once(':'));
    let (key, value) = split.ok_or("expected KEY=VALUE")?;
    if key.trim().is_empty() {
        return Err("the key is empty".to_owned());
    }
    Ok((key.trim().to_owned(), value.trim_start().to_owned()))
}

#[derive(Args, Debug)]
#[group(id = "whose", required = true, multiple = false, args = ["request", "function"])]
pub(crate) struct Logs {
    /// The id of the request, of which all functions of a gateway of `faasflow up` are asked
    #[arg(value_name = "REQUEST-ID", value_parser = request_id)]
    pub(crate) request: Option<RequestId>,
    /// All lines of this function
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only the last lines, so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tail: Option<u32>,
    /// Begin each line with the time at which the gateway got it
    #[arg(long, short)]
    pub(crate) timestamps: bool,
    /// Print each line as JSON, as the gateway tells it
    #[arg(long)]
    pub(crate) json: bool,
}

fn request_id(text: &str) -> Result<RequestId, &'static str> {
    RequestId::parse(text).ok_or("an id has 1 to 128 letters, digits, `-`, `_`, `.` and `:`")
}

#[derive(Args, Debug)]
pub(crate) struct Graph {
    /// The folder of a flow project, a file with its description as JSON, `-` for standard input, or the name of
    /// a flow at the gateway
    #[arg(default_value = ".")]
    pub(crate) flow: String,
    /// How to draw it
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
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct Config {
    /// The stack file, or the folder that it is in
    #[arg(default_value = ".")]
    pub(crate) stack: PathBuf,
    /// Only this flow
    #[arg(long)]
    pub(crate) flow: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The stack file, or the folder that it is in
    #[arg(default_value = ".")]
    pub(crate) stack: PathBuf,
    /// Only this flow
    #[arg(long)]
    pub(crate) flow: Option<String>,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
    /// How long the gateway waits for a function, whatever it says; without either, OpenFaaS's default of 60s
    #[arg(long, value_name = "DURATION", value_parser = faasflow_core::duration::parse)]
    pub(crate) gateway_timeout: Option<Duration>,
    /// The largest asynchronous body, whatever the gateway says; without either, the community edition's 256000
    #[arg(long, value_name = "BYTES", value_parser = limit)]
    pub(crate) queue_limit: Option<u64>,
    /// How long the queue waits for a call before it delivers it again (`ack_wait`); without it, OpenFaaS's default of
    /// 30s. The queue of `faasflow up` does not do that
    #[arg(long, value_name = "DURATION", value_parser = faasflow_core::duration::parse)]
    pub(crate) ack_wait: Option<Duration>,
    /// How to say it
    #[arg(long, short, value_enum, default_value_t = CheckFormat::Text)]
    pub(crate) format: CheckFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CheckFormat {
    Text,
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct Queue {
    #[command(flatten)]
    pub(crate) gateway: Gateway,
    #[command(subcommand)]
    pub(crate) command: QueueCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List the calls that wait or are in flight
    List {
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// List the calls that were given up, or show one of them whole
    DeadLetters {
        /// The number of the one to show
        id: Option<u64>,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Put dead letters back into the queue: those of these numbers, or all
    Redrive {
        #[command(flatten)]
        which: Which,
        /// How many each second, rather than all at once
        #[arg(long, value_name = "PER-SECOND", value_parser = clap::value_parser!(u32).range(1..))]
        rate: Option<u32>,
    },
    /// Remove dead letters for good: those of these numbers, or all
    Discard {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct Which {
    /// The numbers of dead letters
    pub(crate) ids: Vec<u64>,
    /// All of them
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,
    /// Only those of this function
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
}
