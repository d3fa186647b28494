//! The deployed program.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faasflow_core::description::Description;
use faasflow_core::state::{StateError, StateManager};
use faasflow_core::{Flow, duration};
use tokio::sync::oneshot;

use crate::config::{Config, EMBEDDED, environment};
use crate::error::StartError;
use crate::forward::Forwarder;
use crate::function::FlowFunction;
use crate::log::Buffering;
use crate::metrics::MetricsListener;
use crate::signal::{StopSignal, StopSignals};

/// Opens the state manager that the settings name. It is given the name, a way to look settings up, and the folder of
/// secrets.
pub type OpenState = fn(&str, &dyn Fn(&str) -> Option<String>, &Path) -> Result<Arc<dyn StateManager>, StateError>;

/// How long the state manager may take to be found well at the start.
const PROBE: Duration = Duration::from_secs(5);

/// A second SIGTERM that comes so soon behind a watchdog is the first one again: whoever stops a service may signal all of
/// its processes, and the watchdog then passes its signal on.
const SAME_SIGNAL: Duration = Duration::from_millis(100);

/// How long a flow function that is well may take to connect, and to answer, when it is asked for its health.
const HEALTH: Duration = Duration::from_secs(2);

/// Serves a flow as a function until it is told to stop. This is the whole of a deployed program:
///
/// ```no_run
/// # use faasflow_core::{DefinitionError, Flow};
/// # use faasflow_runtime::serve as runtime_serve;
/// # fn serve(flow: Flow) -> faasflow_core::Result<()> { runtime_serve(flow, |_, _, _| unreachable!()) }
/// # fn define() -> Result<Flow, DefinitionError> { Flow::builder().apply("facedetect").build() }
/// fn main() -> faasflow_core::Result<()> {
///     serve(define()?)
/// }
/// ```
///
/// With the argument `describe` it prints the definition as JSON and returns. With `health` it asks the flow function
/// that serves under the same settings whether it is well, and returns; that is for the health checks of containers,
/// which have no other program in them.
///
/// # Errors
///
/// If it cannot start: a setting that cannot be used, no key for signing, a port that is taken, a state manager that
/// will not work. With `health`, if none is found well.
pub fn serve(flow: Flow, open_state: OpenState) -> faasflow_core::Result<()> {
    reported(run(flow, open_state, FlowFunction::new))
}

/// Like [`serve`], but sends envelopes through `forwarder` instead of the gateway's queue.
///
/// # Errors
///
/// As for [`serve`].
pub fn serve_with_forwarder(flow: Flow, open_state: OpenState, forwarder: impl Forwarder) -> faasflow_core::Result<()> {
    let make = |flow, config| FlowFunction::with_forwarder(flow, config, Arc::new(forwarder));
    reported(run(flow, open_state, make))
}

/// An error as `main` prints it.
fn reported(ended: Result<(), StartError>) -> faasflow_core::Result<()> {
    ended.map_err(|error| {
        let report = error.report();
        faasflow_core::Error::reported(error, report)
    })
}

/// Runs the program with the flow function that `make` makes.
fn run(
    flow: Flow,
    open_state: OpenState,
    make: impl FnOnce(Flow, Config) -> Result<FlowFunction, StartError>,
) -> Result<(), StartError> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        None => {}
        Some("describe") => return describe(&flow),
        Some("health") => return health(),
        Some(other) => return Err(StartError::Argument(other.to_owned())),
    }
    let config = Config::from_env()?;
    faasflow_http::raise_file_limit();
    // Code of the flow may end the process at any time, and must not lose lines that were still buffered.
    let buffering = if flow.runs_code() { Buffering::None } else { Buffering::Batched };
    let logging = crate::log::start(&config, buffering)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads(&flow)).enable_all().build();
    let runtime = runtime.map_err(StartError::System)?;
    let (stopping, _running) = stop_signal(&config).map_err(StartError::System)?;
    let served = runtime.block_on(async {
        let flow = with_state(flow, &config, open_state)?;
        if let Some(manager) = flow.state_manager() {
            probe(&**manager).await?;
        }
        let signing = config.enable_hmac;
        let function = make(flow, config.clone())?;
        let (listener, address) = function.bind().await?;
        // After the flow's own: if both are to have the same port, it is the flow that gets it.
        let metrics = MetricsListener::bind(&config).await;
        let description = function.description();
        tracing::info!(
            "Flow `{}` of {} phase(s) listens on {address}{}{}",
            description.name,
            description.phases.len(),
            metrics.as_ref().map(|metrics| format!("; metrics on {}", metrics.address())).unwrap_or_default(),
            if signing { "" } else { "; signing is off: whoever reaches it can forge its envelopes" }
        );
        let stop = async {
            let _ = stopping.draining.await;
            function.drain();
            let _ = stopping.stop.await;
        };
        let serving = function.serve(listener, stop);
        let served = match metrics {
            Ok(metrics) => metrics.beside(function.metrics_router(), serving).await,
            Err(reason) => {
                tracing::warn!("{reason}");
                serving.await
            }
        };
        served.map_err(StartError::System)?;
        tracing::info!("Stopped");
        Ok(())
    });
    // Code of the flow that blocks its thread has had its time; to wait for it could take for ever.
    runtime.shutdown_background();
    // Before the end is known to whoever would cut it off.
    drop(logging);
    served
}

/// How many threads work on requests. Code of the flow that blocks is to leave some for the others, with one or two
/// processors too. Without such code nothing blocks, and more threads than processors only take turns at waking each other.
fn threads(flow: &Flow) -> usize {
    let processors = std::thread::available_parallelism().map_or(4, std::num::NonZero::get);
    if flow.runs_code() { processors.max(4) } else { processors }
}

/// The flow with the state manager that the settings name.
fn with_state(flow: Flow, config: &Config, open: OpenState) -> Result<Flow, StartError> {
    let named = config.state_manager.as_str();
    match flow.state_manager().map(|manager| manager.name()) {
        _ if named == EMBEDDED => Ok(flow),
        Some(own) if own == named => Ok(flow),
        Some(own) => Err(StartError::TwoStateManagers { definition: own.to_owned(), setting: named.to_owned() }),
        None => {
            let lookup = |name: &str| environment(name).map(|found| found.value);
            let manager = open(named, &lookup, &config.secret_mount_path).map_err(StartError::StateManager)?;
            Ok(flow.with_state_manager(manager))
        }
    }
}

/// A store that is away may come back; one that refuses us will refuse every request, and it is better said now.
async fn probe(manager: &dyn StateManager) -> Result<(), StartError> {
    let name = manager.name();
    match tokio::time::timeout(PROBE, manager.probe()).await {
        Ok(Ok(())) => tracing::info!("State is kept by `{name}`"),
        Ok(Err(error)) if !error.is_temporary() => return Err(StartError::StateManager(error)),
        Ok(Err(error)) => {
            tracing::warn!("State manager `{name}` cannot be reached yet: {}", faasflow_core::chain(&error));
        }
        Err(_) => tracing::warn!("State manager `{name}` has not answered within {PROBE:?}"),
    }
    Ok(())
}

/// `describe` needs no more of the environment than the flow's name, and not even that.
fn describe(flow: &Flow) -> Result<(), StartError> {
    let name = Config::workflow_name_from_env().unwrap_or_default();
    let json = serde_json::to_string_pretty(&Description::of(flow, &name)).expect("a description is plain data");
    writeln!(std::io::stdout(), "{json}").map_err(StartError::System)
}

/// `health` needs no more of the environment than the address.
fn health() -> Result<(), StartError> {
    let (host, port) = Config::address_from_env()?;
    let unhealthy = |source| StartError::Unhealthy { address: format!("{host}:{port}"), source };
    let addresses = (host.as_str(), port).to_socket_addrs().map_err(|error| unhealthy(error.into()))?;
    let mut reason: Box<dyn std::error::Error + Send + Sync> = "its name has no address".into();
    for address in addresses.map(reachable) {
        match ask_health(address) {
            Ok(status) if status.split(' ').nth(1) == Some("200") => return Ok(()),
            Ok(status) => reason = format!("it answered `{status}`").into(),
            Err(error) => reason = error.into(),
        }
    }
    Err(unhealthy(reason))
}

/// Where one that listens everywhere is found.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The status line. A client and its runtime would be much for one line, every few seconds.
fn ask_health(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTH)?;
    stream.set_read_timeout(Some(HEALTH))?;
    stream.set_write_timeout(Some(HEALTH))?;
    // In one piece: whoever answers to the first of several may be gone before the others.
    let request = format!("GET /_/health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = [0; 64];
    let mut length = 0;
    while length < head.len() && !head[..length].contains(&b'\n') {
        match stream.read(&mut head[length..])? {
            0 => break,
            read => length += read,
        }
    }
    let head = String::from_utf8_lossy(&head[..length]);
    Ok(head.lines().next().unwrap_or_default().to_owned())
}

/// What a stop signal comes to, each in its time. The senders are gone if the process is.
struct Stopping {
    /// SIGTERM or SIGINT came.
    draining: oneshot::Receiver<()>,
    /// No more requests are to be taken.
    stop: oneshot::Receiver<()>,
}

/// The handlers of SIGTERM and SIGINT are in place when this returns. SIGTERM stops after the drain time, SIGINT at once:
/// that is a person at a terminal, and nobody else sends requests. A second signal ends the process. The sender is to be
/// kept until the flow function has stopped: if that takes longer than `write_timeout`, the process exits.
///
/// A thread of its own sees to all of it. Code of the flow that blocks may hold all threads of the runtime, and with them
/// what would see a signal and what would see time run out.
fn stop_signal(config: &Config) -> std::io::Result<(Stopping, oneshot::Sender<()>)> {
    let (drain_time, grace, behind_watchdog) = (config.drain_time, config.write_timeout, config.behind_watchdog);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _entered = runtime.enter();
        StopSignals::new()?
    };
    let (begin, draining) = oneshot::channel();
    let (end, stop) = oneshot::channel();
    let (running, ended) = oneshot::channel::<()>();
    let watching = async move {
        let drain_time = match signals.recv().await {
            StopSignal::Terminate => drain_time,
            StopSignal::Interrupt => Duration::ZERO,
        };
        let first = Instant::now();
        let _ = begin.send(());
        let stopping = async {
            if !drain_time.is_zero() {
                tracing::info!("Draining: requests are still taken for {}", duration::format(drain_time));
                tokio::time::sleep(drain_time).await;
            }
            tracing::info!("Stopping: finishing what is in flight");
            let _ = end.send(());
            // In time it ends by itself, and says so; this is for when it cannot.
            tokio::time::timeout(grace + Duration::from_secs(1), ended).await.is_ok()
        };
        let second = async {
            loop {
                let signal = signals.recv().await;
                let is_repeated = behind_watchdog && first.elapsed() < SAME_SIGNAL;
                if !(signal == StopSignal::Terminate && is_repeated) {
                    return;
                }
            }
        };
        tokio::select! {
            in_time = stopping => if !in_time {
                tracing::warn!("Code of the flow still blocks after {}; it is cut off", duration::format(grace));
                crate::log::flush();
                std::process::exit(0);
            },
            () = second => {
                tracing::warn!("A second signal came: what is in flight is cut off");
                crate::log::flush();
                std::process::exit(1);
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(watching))?;
    Ok((Stopping { draining, stop }, running))
}
