//! Keeps the process of a function running.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event::{Event, Events};
use crate::functions::backoff::{RESTART_PROCESS, Restart, Restarts};
use crate::functions::endings::{GRACE, LAST_LINES, REPLACED};
use crate::functions::group::{self, Child, Group};
use crate::functions::{Function, RunError, Servers, Unavailable, Upstream};

/// How long a process may take to accept connections.
const START: Duration = Duration::from_secs(30);

/// An order to a supervisor.
#[derive(Debug)]
pub(crate) enum Order {
    /// Run this program in place of the present one.
    Run(Launch),
    /// There is nothing to run, for this reason.
    Broken(Unavailable),
}

/// A program to start.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
}

impl Launch {
    /// Launches a program without arguments.
    pub(crate) fn new(program: PathBuf) -> Launch {
        Launch { program, arguments: Vec::new() }
    }

    /// Launches a command line, which must have at least one word. A program named by a path is looked up from `folder`, and
    /// one without a path in `PATH`.
    pub(crate) fn from_words(words: &[String], folder: &Path) -> Launch {
        let program =
            if words[0].contains(std::path::is_separator) { folder.join(&words[0]) } else { PathBuf::from(&words[0]) };
        Launch { program, arguments: words[1..].to_vec() }
    }
}

/// Distinguishes one build of a program from the next.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(program: &Path) -> Stamp {
    let metadata = std::fs::metadata(program).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

struct Running {
    child: Child,
    group: Group,
    address: SocketAddr,
    since: Instant,
    program: Stamp,
    /// The tasks that read its output.
    readers: TaskTracker,
    /// The requests that it has not answered yet.
    users: TaskTracker,
}

/// Runs the programs that it is ordered to run, one at a time, until the function is gone or `stop`.
pub(crate) async fn supervise(
    function: Arc<Function>,
    mut orders: UnboundedReceiver<Order>,
    stop: CancellationToken,
    events: Events,
) {
    let mut program = None::<Launch>;
    let mut running = None::<Running>;
    let mut retiring = JoinSet::new();
    let mut restarts = Restarts::new(&RESTART_PROCESS);
    let mut wait = Duration::ZERO;
    // Once the sender is gone there are no more orders, and the present process goes on.
    let mut ordered = true;
    loop {
        // A process is started here, at once or after a wait.
        if let (Some(launch), None) = (&program, &running) {
            tokio::select! {
                () = function.gone.cancelled() => break,
                order = orders.recv(), if ordered => {
                    match order {
                        Some(Order::Run(launch)) => program = Some(launch),
                        Some(Order::Broken(why)) => {
                            program = None;
                            function.set(Upstream::Broken(why));
                        }
                        None => ordered = false,
                    }
                    wait = Duration::ZERO;
                    restarts.reset();
                    continue;
                }
                () = tokio::time::sleep(wait) => {}
            }
            match start(&function, launch, &events).await {
                Ok(started) => {
                    let _ = events.send(Event::Ready { function: function.spec.name.clone() });
                    function.set(upstream(&started));
                    running = Some(started);
                }
                Err(_) if function.gone.is_cancelled() => break,
                Err(error) => {
                    let restart = restarts.next(Duration::ZERO, Duration::ZERO);
                    report(&function, &events, error, restart);
                    wait = restart.wait;
                }
            }
            continue;
        }
        tokio::select! {
            () = function.gone.cancelled() => break,
            _ = retiring.join_next(), if !retiring.is_empty() => {}
            status = exited(&mut running) => {
                if let Some(ended) = running.take() {
                    // Its remaining child processes.
                    ended.group.kill();
                    let restart = restarts.next(Duration::ZERO, ended.since.elapsed());
                    report(&function, &events, how_it_ended(status), restart);
                    wait = restart.wait;
                }
            }
            order = orders.recv(), if ordered => match order {
                None => ordered = false,
                Some(Order::Broken(why)) => {
                    // The present process goes on, even if it is outdated.
                    if running.is_none() {
                        function.set(Upstream::Broken(why));
                    }
                }
                Some(Order::Run(launch)) => {
                    wait = Duration::ZERO;
                    restarts.reset();
                    let same = running.as_ref().is_some_and(|running| running.program == stamp(&launch.program));
                    // Not every change makes a new program: a file may be saved without changes, and the first build writes
                    // Cargo.lock.
                    if running.is_some() && !same {
                        let mut starting = pin!(start(&function, &launch, &events));
                        let started = tokio::select! {
                            started = &mut starting => started,
                            // It ends before its replacement is ready.
                            status = exited(&mut running) => {
                                if let Some(ended) = running.take() {
                                    ended.group.kill();
                                    let restart = Restart { wait: Duration::ZERO, lasting: false };
                                    report(&function, &events, how_it_ended(status), restart);
                                }
                                starting.await
                            }
                        };
                        match started {
                            Ok(started) => {
                                let _ = events.send(Event::Ready { function: function.spec.name.clone() });
                                function.set(upstream(&started));
                                if let Some(old) = running.replace(started) {
                                    retiring.spawn(replaced(old, stop.clone()));
                                }
                            }
                            Err(_) if function.gone.is_cancelled() => break,
                            Err(error) if running.is_none() => {
                                let restart = restarts.next(Duration::ZERO, Duration::ZERO);
                                report(&function, &events, error, restart);
                                wait = restart.wait;
                            }
                            Err(error) => {
                                let name = function.spec.name.clone();
                                let how = format!("{}; the previous process goes on", error.describe());
                                let _ = events.send(Event::Exited { function: name, how, again_in: Duration::ZERO });
                            }
                        }
                    }
                    program = Some(launch);
                }
            },
        }
    }
    let stopping = stop.is_cancelled();
    // A stop of the gateway is temporary, and a flow that learns of it leaves its phase to the queue.
    function.set(if stopping { Upstream::Failing(Unavailable::Stopping) } else { Upstream::Gone });
    match running {
        Some(last) if stopping => {
            retiring.spawn(retire(last.child, last.group, last.readers));
        }
        // It gets no more requests, and finishes those that it has.
        Some(last) => {
            retiring.spawn(replaced(last, stop.clone()));
        }
        None => {}
    }
    while retiring.join_next().await.is_some() {}
}

fn upstream(running: &Running) -> Upstream {
    let url = format!("http://{}/", running.address).parse().expect("an address is a URL");
    Upstream::Http(Servers::one(url, running.users.clone()))
}

/// Stops a process that was replaced, once it has answered its requests.
async fn replaced(old: Running, stop: CancellationToken) {
    old.users.close();
    let _ = stop.run_until_cancelled(tokio::time::timeout(REPLACED, old.users.wait())).await;
    retire(old.child, old.group, old.readers).await;
}

async fn exited(running: &mut Option<Running>) -> std::io::Result<ExitStatus> {
    match running {
        Some(running) => running.child.wait().await,
        None => std::future::pending().await,
    }
}

/// Reports that a process ended or did not start, and when the next one is started.
fn report(function: &Function, events: &Events, error: RunError, restart: Restart) {
    function.process.store(0, Ordering::Relaxed);
    function.metrics_port.store(0, Ordering::Relaxed);
    function.restarts.fetch_add(1, Ordering::Relaxed);
    let how = function.logs.with_last_lines(&error.describe());
    let why = Unavailable::Ended(error);
    function.set(if restart.lasting { Upstream::Failing(why) } else { Upstream::Pending(why) });
    let again_in = restart.wait;
    let _ = events.send(Event::Exited { function: function.spec.name.clone(), how, again_in });
}

fn how_it_ended(status: std::io::Result<ExitStatus>) -> RunError {
    match status {
        Ok(status) => RunError::Exited(status),
        Err(error) => RunError::Lost(Arc::new(error)),
    }
}

async fn start(function: &Arc<Function>, launch: &Launch, events: &Events) -> Result<Running, RunError> {
    let _ = events.send(Event::Starting { function: function.spec.name.clone() });
    let (port, metrics_port) = free_ports(function).map_err(|error| RunError::NoPort(Arc::new(error)))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.arguments)
        .env_clear()
        .envs(function.environment.iter().map(|(name, value)| (name, value)))
        .env("port", port.to_string())
        .env("PORT", port.to_string())
        .env("metrics_port", metrics_port.to_string())
        .current_dir(&function.spec.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if function.spec.environment.contains_key("upstream_url") {
        // of-watchdog's variable for the same address. Its value is meant for a container.
        command.env("upstream_url", format!("http://{address}"));
    }
    let stamp = stamp(&launch.program);
    let spawned = group::spawn(command);
    let (mut child, group) = spawned.map_err(|error| RunError::not_started(launch.program.clone(), error))?;
    let leader = child.id();
    let readers = read_output(function, &mut child);
    let deadline = Instant::now() + START;
    loop {
        if listens(address).await {
            function.process.store(leader.unwrap_or(0), Ordering::Relaxed);
            function.metrics_port.store(metrics_port, Ordering::Relaxed);
            return Ok(Running {
                child,
                group,
                address,
                since: Instant::now(),
                program: stamp,
                readers,
                users: TaskTracker::new(),
            });
        }
        let pause = tokio::time::sleep(Duration::from_millis(5));
        tokio::select! {
            () = function.gone.cancelled() => {
                retire(child, group, readers).await;
                return Err(RunError::NotNeeded);
            }
            status = child.wait() => {
                group.kill();
                return Err(how_it_ended(status));
            }
            () = pause => {}
        }
        if Instant::now() > deadline {
            retire(child, group, readers).await;
            return Err(RunError::NotListening { port, limit: START });
        }
    }
}

/// Reads the output of a process into the log. The tasks end when the process and its children have closed their pipes.
fn read_output(function: &Arc<Function>, child: &mut Child) -> TaskTracker {
    let readers = TaskTracker::new();
    if let Some(stdout) = child.stdout.take() {
        let function = function.clone();
        readers.spawn(async move { function.logs.read(None, stdout).await });
    }
    if let Some(stderr) = child.stderr.take() {
        let function = function.clone();
        readers.spawn(async move { function.logs.read(None, stderr).await });
    }
    readers.close();
    readers
}

/// Asks a process to stop, and kills it after the grace period. Reads its output to the end.
async fn retire(mut child: Child, group: Group, readers: TaskTracker) {
    if child.id().is_none() {
        return;
    }
    group.terminate();
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        group.kill();
        let _ = child.wait().await;
    }
    // Its remaining child processes.
    group.kill();
    let _ = tokio::time::timeout(LAST_LINES, readers.wait()).await;
}

/// Whether a server listens at an address.
///
/// If none does, and the port is one that the system gives to clients, a connection can be made to itself, from that port to
/// the same port. Repeated attempts come to it sooner or later, because the system tries one port after the other. The
/// connection then has the port that the program needs, so it is reset at once.
async fn listens(address: SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect(address).await else { return false };
    let itself = is_to_itself(&stream);
    if itself {
        let _ = stream.set_zero_linger();
    }
    !itself
}

fn is_to_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(from), Ok(to)) if from == to)
}

/// Chooses two ports for a process: one for requests, and one for metrics. The latter is the function's `metrics_port`, unless
/// it is taken by the process that this one replaces, or by another function with the same setting.
fn free_ports(function: &Function) -> std::io::Result<(u16, u16)> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let wanted = function.spec.environment.get("metrics_port").and_then(|text| text.parse().ok());
    // Both are bound at the same time, so that they differ.
    let metrics = wanted.map_or_else(|| bind(0), |port| bind(port).or_else(|_| bind(0)))?;
    let requests = bind(0)?;
    Ok((requests.local_addr()?.port(), metrics.local_addr()?.port()))
}

#[cfg(all(test, unix))]
mod replacement;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_to_itself_is_not_a_server() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr();
        let address = free.unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        assert!(is_to_itself(&socket.connect(address).await.unwrap()));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        assert!(listens(listener.local_addr().unwrap()).await);
    }
}
