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

/// Opens the state manager that the settings name. The arguments are its name, a function that looks up settings, and
/// the folder of secrets.
pub type OpenState = fn(&str, &dyn Fn(&str) -> Option<String>, &Path) -> Result<Arc<dyn StateManager>, StateError>;

/// How long the state manager may take to answer at start-up.
const PROBE: Duration = Duration::from_secs(5);

/// Behind a watchdog, a second SIGTERM within this time counts as the first one. A service manager may signal all
/// processes of a service, and the watchdog then passes on its own signal as well.
const SAME_SIGNAL: Duration = Duration::from_millis(100);

/// How long a healthy flow function may take to accept a connection and to answer a health check.
const HEALTH: Duration = Duration::from_secs(2);

/// Serves a flow as a function until the process is asked to stop. This is a complete program:
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
/// With the argument `describe`, it prints the definition as JSON and returns. With `health`, it checks the flow
/// function that serves under the same settings, and returns. This is for the health checks of containers, which
/// contain no other program.
///
/// # Errors
///
/// If the flow function cannot start: a setting is not valid, there is no key for signing, the port is in use, or the
/// state manager cannot be used. With `health`, if no healthy flow function answers.
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

/// The error that `main` prints.
fn reported(ended: Result<(), StartError>) -> faasflow_core::Result<()> {
    ended.map_err(|error| {
        let report = error.report();
        faasflow_core::Error::reported(error, report)
    })
}

/// Runs the program. `make` creates the flow function.
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
        // The flow binds first. If both are set to the same port, the flow gets it.
        let metrics = MetricsListener::bind(&config).await;
        let description = function.description();
        tracing::info!(
            "Flow `{}` ({}) listens on {address}{}{}",
            description.name,
            faasflow_core::counted(description.phases().len() as u64, "phase"),
            metrics.as_ref().map(|metrics| format!("; metrics on {}", metrics.address())).unwrap_or_default(),
            if signing { "" } else { "; signing is off, so anyone who can reach it can forge envelopes" }
        );
        let stop = async {
            let _ = stopping.draining.await;
            function.drain();
            let _ = stopping.stop.await;
        };
        let serving = function.serve(listener, stop);
        let served = match metrics {
            Ok(metrics) => metrics.serve_while(function.metrics_router(), serving).await,
            Err(error) => {
                tracing::warn!("The flow serves without metrics: {}; {}", faasflow_core::chain(&error), error.help());
                serving.await
            }
        };
        served.map_err(StartError::System)?;
        tracing::info!("Stopped");
        Ok(())
    });
    // Code of the flow that blocks its thread has had enough time. Waiting for it could take for ever.
    runtime.shutdown_background();
    // Write the log before the process ends and its reader goes away.
    drop(logging);
    served
}

/// The number of threads that work on requests. If code of the flow may block, there are at least four, so that some
/// are left for other requests. Otherwise nothing blocks, and more threads than processors would only have to wake each
/// other.
fn threads(flow: &Flow) -> usize {
    let processors = std::thread::available_parallelism().map_or(4, std::num::NonZero::get);
    if flow.runs_code() { processors.max(4) } else { processors }
}

/// Adds the state manager that the settings name.
fn with_state(flow: Flow, config: &Config, open: OpenState) -> Result<Flow, StartError> {
    let named = config.state_manager.as_str();
    match flow.state_manager().map(|manager| manager.name()) {
        // A flow of one phase needs none: its caller gets the result.
        None if named == EMBEDDED && flow.plan().phase_count() > 1 => match &config.default_store {
            Some(store) => open_state(flow, config, store, open),
            None => Ok(flow),
        },
        _ if named == EMBEDDED => Ok(flow),
        Some(own) if own == named => Ok(flow),
        Some(own) => Err(StartError::TwoStateManagers { definition: own.to_owned(), setting: named.to_owned() }),
        None => open_state(flow, config, named, open),
    }
}

fn open_state(flow: Flow, config: &Config, name: &str, open: OpenState) -> Result<Flow, StartError> {
    let lookup = |name: &str| environment(name).map(|found| found.value);
    let manager = open(name, &lookup, &config.secret_mount_path).map_err(StartError::StateManager)?;
    Ok(flow.with_state_manager(manager))
}

/// Checks the state manager. If it is unavailable, it may come back later. If it refuses access, every request would
/// fail, so starting fails instead.
async fn probe(manager: &dyn StateManager) -> Result<(), StartError> {
    let name = manager.name();
    match tokio::time::timeout(PROBE, manager.probe()).await {
        Ok(Ok(())) => tracing::info!("The state manager `{name}` keeps the state"),
        Ok(Err(error)) if !error.is_temporary() => return Err(StartError::StateManager(error)),
        Ok(Err(error)) => {
            tracing::warn!("The state manager `{name}` cannot be reached yet: {}", faasflow_core::chain(&error));
        }
        Err(_) => tracing::warn!("The state manager `{name}` has not answered within {PROBE:?}"),
    }
    Ok(())
}

/// `describe` needs nothing from the environment. It uses the flow's name if that is set.
fn describe(flow: &Flow) -> Result<(), StartError> {
    let name = Config::workflow_name_from_env().unwrap_or_default();
    let json = serde_json::to_string_pretty(&Description::new(flow, &name)).expect("a description is plain data");
    writeln!(std::io::stdout(), "{json}").map_err(StartError::System)
}

/// Why a flow function is not healthy.
#[derive(Debug, thiserror::Error)]
enum HealthError {
    #[error("the host name has no address")]
    NoAddress,
    #[error("it answered `{0}`")]
    Status(String),
    #[error(transparent)]
    NoAnswer(std::io::Error),
}

/// `health` needs only the address from the environment.
fn health() -> Result<(), StartError> {
    let (host, port) = Config::address_from_env()?;
    let unhealthy = |source| StartError::Unhealthy { address: format!("{host}:{port}"), source };
    let addresses = (host.as_str(), port).to_socket_addrs().map_err(|error| unhealthy(error.into()))?;
    let mut reason = HealthError::NoAddress;
    for address in addresses.map(reachable) {
        match ask_health(address) {
            Ok(status) if status.split(' ').nth(1) == Some("200") => return Ok(()),
            Ok(status) => reason = HealthError::Status(status),
            Err(error) => reason = HealthError::NoAnswer(error),
        }
    }
    Err(unhealthy(reason.into()))
}

/// The address at which a server that listens on all interfaces can be reached.
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

/// Returns the status line. An HTTP client with its own runtime would be too much for one line every few seconds.
fn ask_health(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTH)?;
    stream.set_read_timeout(Some(HEALTH))?;
    stream.set_write_timeout(Some(HEALTH))?;
    // Send the request in one piece. A server that answers after the first piece may close the connection before the
    // next.
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

/// The stages of stopping.
struct Stopping {
    /// Resolves when the process was asked to stop.
    draining: oneshot::Receiver<()>,
    /// Resolves when no more requests should be accepted.
    stop: oneshot::Receiver<()>,
}

/// Installs the signal handlers. SIGTERM stops the flow function after the drain time. SIGINT stops it at once, because it
/// comes from a person at a terminal, when nobody else sends requests. A second signal ends the process. Keep the returned
/// sender until the flow function has stopped. If that takes longer than `write_timeout`, the process exits.
///
/// A separate thread does all this, because code of the flow may block all threads of the runtime. Then neither signals
/// nor timeouts would be noticed there.
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
                tracing::info!("Draining: still accepting requests for {}", duration::format(drain_time));
                tokio::time::sleep(drain_time).await;
            }
            tracing::info!("Stopping: finishing the requests in flight");
            let _ = end.send(());
            // The process usually ends by itself before this.
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
                tracing::warn!("Code of the flow is still blocking after {} and is cut off", duration::format(grace));
                crate::log::flush();
                std::process::exit(0);
            },
            () = second => {
                tracing::warn!("A second signal arrived: cutting off the requests in flight");
                crate::log::flush();
                std::process::exit(1);
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(watching))?;
    Ok((Stopping { draining, stop }, running))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use faasflow_core::handler::BoxFuture;
    use faasflow_core::state::Scope;

    use super::*;
    use crate::config::SettingValue;

    /// A state manager that has only a name.
    struct Named(String);

    impl StateManager for Named {
        fn name(&self) -> &str {
            &self.0
        }

        fn get<'a>(&'a self, _: &'a Scope, _: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
            unreachable!()
        }

        fn set<'a>(&'a self, _: &'a Scope, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
            unreachable!()
        }

        fn remove<'a>(&'a self, _: &'a Scope, _: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
            unreachable!()
        }

        fn remove_request<'a>(&'a self, _: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
            unreachable!()
        }
    }

    /// The state manager of a flow with these settings.
    fn chosen(flow: &Flow, settings: &[(&str, &str)]) -> Option<String> {
        let lookup = |name: &str| {
            let (_, value) = settings.iter().chain(&[("workflow_name", "f")]).find(|(of, _)| *of == name)?;
            Some(SettingValue { value: (*value).to_owned(), origin: "test".to_owned() })
        };
        let config = Config::load(lookup).unwrap();
        let flow = with_state(flow.clone(), &config, |name, _, _| Ok(Arc::new(Named(name.to_owned())))).unwrap();
        flow.state_manager().map(|manager| manager.name().to_owned())
    }

    #[test]
    fn flows_of_several_phases_use_the_store_of_the_gateway() {
        let offered = ("faasflow_default_store", "gateway");
        let branches = |build: fn() -> faasflow_core::FlowBuilder| {
            Flow::builder().parallel([("a", build()), ("b", build())]).build().unwrap()
        };
        let graph = branches(|| Flow::builder().apply("f"));
        assert_eq!(chosen(&graph, &[offered]).as_deref(), Some("gateway"));
        assert_eq!(chosen(&graph, &[offered, ("state_manager", "redis")]).as_deref(), Some("redis"));
        assert_eq!(chosen(&graph, &[offered, ("state_manager", "envelope")]), None);
        assert_eq!(chosen(&graph, &[]), None);

        let synchronous = branches(|| Flow::builder().apply(faasflow_core::Call::new("f").sync()));
        assert_eq!(chosen(&synchronous, &[offered]), None);
        assert_eq!(chosen(&synchronous, &[offered, ("state_manager", "gateway")]).as_deref(), Some("gateway"));
        let linear = Flow::builder().apply("f").apply("g").build().unwrap();
        assert_eq!(chosen(&linear, &[offered]).as_deref(), Some("gateway"));
        assert_eq!(chosen(&linear, &[offered, ("state_manager", "envelope")]), None);
        let own = Flow::builder().state(Named("own".to_owned())).apply("f").build().unwrap();
        assert_eq!(chosen(&own, &[offered]).as_deref(), Some("own"));
    }
}
