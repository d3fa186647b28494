//! The roles in which this program starts itself: a flow, a floor, a function. Each runs in a separate process, so that
//! its memory and processor time can be measured.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use faasflow_benches_deployed::{CALLED, branch_name, by_hand, for_each, parallel};
use http::Uri;
use serde::{Deserialize, Serialize};

use crate::{Failure, bare, bare_proxy, echo, local_gateway, pieces, queue_backlog, start};

/// The variable that contains the role as JSON. It cannot be an argument, because a flow interprets its arguments.
pub(crate) const VARIABLE: &str = "FAASFLOW_BENCHES_ROLE";

/// The roles. All ports are on the loopback interface.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// A flow with this number of calls and the settings in the environment.
    Flow { calls: usize, sync: bool },
    /// The same flow with the gateway's store, in which it remembers its requests or not.
    Stored { calls: usize, sync: bool, records: bool },
    /// The same flow, which remembers its requests in the Redis server at this port.
    OnRedis { calls: usize, redis: u16 },
    /// A flow with this number of synchronous branches, each of which is one call.
    Parallel { branches: usize },
    /// The same with asynchronous branches, whose join is in the gateway's store, and with records or without.
    Joined { branches: usize, records: bool },
    /// A flow that calls the function asynchronously for each item of an array.
    ForEach,
    /// The branches by hand, with axum and our client.
    ParallelByHand { port: u16, branches: usize, function_port: u16 },
    /// The chain by hand, with axum and our client, or on bare hyper.
    ByHand { port: u16, calls: usize, function_port: u16, bare: bool },
    /// The function that everything calls.
    Echo { port: u16 },
    /// A reverse proxy on bare hyper in front of the function.
    BareProxy { port: u16, function_port: u16 },
    /// Starts the programs in this folder several times, and prints how long each start took and how much memory it
    /// used.
    Starter { folder: PathBuf, function_port: u16, count: usize },
    /// Times the parts of a hop, and prints the results.
    Pieces { quick: bool },
    /// The local gateway with functions that are already running, given by name and port.
    Gateway { port: u16, folder: PathBuf, functions: Vec<(String, u16)> },
    /// Fills a queue with calls, or reopens it, and prints the results.
    Backlog { file: PathBuf, calls: u64, restarted: bool },
}

impl Role {
    /// The role that this process was started for, if any.
    pub(crate) fn of_process() -> Result<Option<Role>, Failure> {
        #[expect(clippy::disallowed_methods, reason = "the program passes its role to itself in a variable")]
        let Some(text) = std::env::var_os(VARIABLE) else { return Ok(None) };
        Ok(Some(serde_json::from_slice(text.as_encoded_bytes())?))
    }

    /// Whether it is a flow that uses the gateway's store.
    pub(crate) fn needs_store(&self) -> bool {
        matches!(self, Role::Stored { .. } | Role::Joined { .. } | Role::ForEach)
    }

    /// Runs until the process is killed or its parent is gone.
    pub(crate) fn play(self) -> Result<(), Failure> {
        // Ten thousand requests in flight need twice as many sockets.
        rlimit::increase_nofile_limit(65_536)?;
        // The pipe closes when the parent ends, for whatever reason.
        std::thread::spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(0);
        });
        let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match self {
            // A complete deployed program, with its own runtime.
            Role::Flow { calls, sync } | Role::Stored { calls, sync, .. } => {
                serve(faasflow_benches_deployed::flow(calls, sync)?)?
            }
            Role::OnRedis { calls, .. } => serve(faasflow_benches_deployed::flow(calls, false)?)?,
            Role::Parallel { branches } => serve(parallel(branches, true)?)?,
            Role::Joined { branches, .. } => serve(parallel(branches, false)?)?,
            Role::ForEach => serve(for_each()?)?,
            Role::ParallelByHand { port, branches, function_port } => {
                let url = function_url(function_port)?;
                let calls = (0..branches).map(|branch| (branch_name(branch), url.clone())).collect();
                runtime()?.block_on(by_hand::parallel::serve(local(port), calls))?;
            }
            Role::ByHand { port, calls, function_port, bare: false } => {
                let calls = vec![function_url(function_port)?; calls];
                runtime()?.block_on(by_hand::serve(local(port), calls))?;
            }
            Role::ByHand { port, calls, function_port, bare: true } => {
                let calls = vec![function_url(function_port)?; calls];
                runtime()?.block_on(bare::serve(local(port), local(function_port), calls))?;
            }
            Role::Echo { port } => runtime()?.block_on(echo::serve(local(port)))?,
            Role::BareProxy { port, function_port } => {
                runtime()?.block_on(bare_proxy::serve(local(port), local(function_port)))?;
            }
            Role::Starter { folder, function_port, count } => {
                let started = start::start_all(&folder, local(function_port), count);
                println!("{}", serde_json::to_string(&started.map_err(|error| error.to_string()))?);
            }
            Role::Pieces { quick } => pieces::time_all(quick)?,
            Role::Backlog { file, calls, restarted } => queue_backlog::play(&file, calls, restarted)?,
            Role::Gateway { port, folder, functions } => {
                runtime()?.block_on(local_gateway::serve(local(port), &folder, &functions))?;
            }
        }
        Ok(())
    }
}

fn serve(flow: faasflow::Flow) -> Result<(), Failure> {
    Ok(faasflow::serve(flow).map_err(|error| format!("{error:?}"))?)
}

/// The URL of the function, as if at a gateway.
fn function_url(port: u16) -> Result<Uri, http::uri::InvalidUri> {
    format!("http://127.0.0.1:{port}/function/{CALLED}").parse()
}
