//! Keeps a function's process running.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
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
use crate::functions::endings::{GRACE, LAST_LINES, REPLACED, WELL};
use crate::functions::group::{self, Child, Group};
use crate::functions::{Function, Servers, Upstream};

/// How long a process may take until it accepts connections.
const START: Duration = Duration::from_secs(30);

/// What a supervisor is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Run this program, in place of the one that runs.
    Run(Launch),
    /// There is nothing to run; the text says why.
    Broken(String),
}

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
}

impl Launch {
    pub(crate) fn program(program: PathBuf) -> Launch {
        Launch { program, arguments: Vec::new() }
    }

    /// The words of a command line, of which there is at least one. A program that is named by a path is found from
    /// the folder, one that is named alone in `PATH`.
    pub(crate) fn of(words: &[String], folder: &Path) -> Launch {
        let program =
            if words[0].contains(std::path::is_separator) { folder.join(&words[0]) } else { PathBuf::from(&words[0]) };
        Launch { program, arguments: words[1..].to_vec() }
    }
}

/// What tells one build of a program from the next.
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
    /// Those who read what it writes.
    readers: TaskTracker,
    /// The requests that were sent to it and are not answered yet.
    users: TaskTracker,
}

/// Runs the programs it is ordered to, one at a time, until the function is gone or `stop`.
pub(crate) async fn supervise(
    function: Arc<Function>,
    mut orders: UnboundedReceiver<Order>,
    stop: CancellationToken,
    events: Events,
) {
    let mut program = None::<Launch>;
    let mut running = None::<Running>;
    let mut retiring = JoinSet::new();
    let mut wait = Duration::ZERO;
    // Without a builder there are no orders any more, and what runs goes on.
    let mut ordered = true;
    loop {
        // Started (again) here, at once or after a while.
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
                    continue;
                }
                () = tokio::time::sleep(wait) => {}
            }
            match start(&function, launch, &events).await {
                Ok(started) => {
                    let _ = events.send(Event::Ready { function: function.spec.name.clone() });
                    function.set(at(&started));
                    running = Some(started);
                }
                Err(_) if function.gone.is_cancelled() => break,
                Err(how) => wait = report(&function, &events, &how, wait),
            }
            continue;
        }
        tokio::select! {
            () = function.gone.cancelled() => break,
            _ = retiring.join_next(), if !retiring.is_empty() => {}
            status = exited(&mut running) => {
                if let Some(ended) = running.take() {
                    // What it has left behind.
                    ended.group.kill();
                    if ended.since.elapsed() > WELL {
                        wait = Duration::ZERO;
                    }
                    wait = report(&function, &events, &how_it_ended(status), wait);
                }
            }
            order = orders.recv(), if ordered => match order {
                None => ordered = false,
                Some(Order::Broken(why)) => {
                    // What runs goes on, however old.
                    if running.is_none() {
                        function.set(Upstream::Broken(why));
                    }
                }
                Some(Order::Run(launch)) => {
                    wait = Duration::ZERO;
                    let same = running.as_ref().is_some_and(|running| running.program == stamp(&launch.program));
                    // A change need not change what is built: a file that was saved again, a Cargo.lock that the
                    // first build wrote.
                    if running.is_some() && !same {
                        match start(&function, &launch, &events).await {
                            Ok(started) => {
                                let _ = events.send(Event::Ready { function: function.spec.name.clone() });
                                function.set(at(&started));
                                if let Some(old) = running.replace(started) {
                                    retiring.spawn(replaced(old, stop.clone()));
                                }
                            }
                            Err(how) => {
                                let name = function.spec.name.clone();
                                let how = format!("{how}; the one before goes on");
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
    // A stop passes: a flow that is told so leaves its phase to the queue.
    function.set(if stopping { Upstream::Failing("the gateway is stopping".to_owned()) } else { Upstream::Gone });
    match running {
        Some(last) if stopping => {
            retiring.spawn(retire(last.child, last.group, last.readers));
        }
        // Nobody finds it any more, and it finishes what it was sent.
        Some(last) => {
            retiring.spawn(replaced(last, stop.clone()));
        }
        None => {}
    }
    while retiring.join_next().await.is_some() {}
}

fn at(running: &Running) -> Upstream {
    let url = format!("http://{}/", running.address).parse().expect("an address is a URL");
    Upstream::Http(Servers::one(url, running.users.clone()))
}

/// Stops a process that was replaced, when it has answered what it was sent.
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

/// Says that a process ended, and how long to wait before the next.
fn report(function: &Function, events: &Events, how: &str, before: Duration) -> Duration {
    let again_in = (before * 2).clamp(Duration::from_millis(200), Duration::from_secs(10));
    function.process.store(0, Ordering::Relaxed);
    function.metrics_port.store(0, Ordering::Relaxed);
    function.restarts.fetch_add(1, Ordering::Relaxed);
    let why = format!("{how}; it is started again");
    // Once or twice may be chance: another took the port that was found for it.
    let by_chance = again_in < Duration::from_millis(800);
    function.set(if by_chance { Upstream::Pending(why) } else { Upstream::Failing(why) });
    let tail: Vec<String> = function.logs.tail(5).iter().map(|line| line.text.clone()).collect();
    let how = if tail.is_empty() { how.to_owned() } else { format!("{how}; its last lines:\n{}", tail.join("\n")) };
    let _ = events.send(Event::Exited { function: function.spec.name.clone(), how, again_in });
    again_in
}

fn how_it_ended(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("it ended with {status}"),
        Err(error) => format!("it is gone: {error}"),
    }
}

async fn start(function: &Arc<Function>, launch: &Launch, events: &Events) -> Result<Running, String> {
    let _ = events.send(Event::Starting { function: function.spec.name.clone() });
    let (port, metrics_port) = free_ports(function).map_err(|error| format!("there is no free port: {error}"))?;
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
        // of-watchdog's name for the same; what it says is of a container.
        command.env("upstream_url", format!("http://{address}"));
    }
    let stamp = stamp(&launch.program);
    let spawned = group::spawn(command);
    let (mut child, group) =
        spawned.map_err(|error| format!("{} cannot be started: {error}", launch.program.display()))?;
    let leader = child.id();
    let readers = listen_to(function, &mut child);
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
                return Err("it is not wanted any more".to_owned());
            }
            status = child.wait() => {
                group.kill();
                return Err(how_it_ended(status));
            }
            () = pause => {}
        }
        if Instant::now() > deadline {
            retire(child, group, readers).await;
            return Err(format!("it did not listen on port {port} (variable `port`) within {START:?}"));
        }
    }
}

/// The pipes close when the process and its children are gone, and the tasks end with them.
fn listen_to(function: &Arc<Function>, child: &mut Child) -> TaskTracker {
    let readers = TaskTracker::new();
    if let Some(stdout) = child.stdout.take() {
        let function = function.clone();
        readers.spawn(async move { function.logs.take(None, stdout).await });
    }
    if let Some(stderr) = child.stderr.take() {
        let function = function.clone();
        readers.spawn(async move { function.logs.take(None, stderr).await });
    }
    readers.close();
    readers
}

/// Asks a process to stop, and makes it after the grace. What it wrote until then has been read when this returns.
async fn retire(mut child: Child, group: Group, readers: TaskTracker) {
    if child.id().is_none() {
        return;
    }
    group.terminate();
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        group.kill();
        let _ = child.wait().await;
    }
    // What it has left behind.
    group.kill();
    let _ = tokio::time::timeout(LAST_LINES, readers.wait()).await;
}

/// Whether somebody listens there.
///
/// Where nobody does, and the port is of those that the system gives to clients, a connection can be to itself: from that
/// port to that port. The system tries one port after the other, so that asking again and again comes to it. Then it
/// has the port that the program needs, which is given back at once.
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

/// Ports for a process: one for requests, one for metrics. The latter is the one that is said for the function, unless that
/// is taken: by the process that it replaces, or by another function that was told the same.
fn free_ports(function: &Function) -> std::io::Result<(u16, u16)> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let said = function.spec.environment.get("metrics_port").and_then(|text| text.parse().ok());
    // Held together, so that they are two.
    let metrics = said.map_or_else(|| bind(0), |port| bind(port).or_else(|_| bind(0)))?;
    let requests = bind(0)?;
    Ok((requests.local_addr()?.port(), metrics.local_addr()?.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_to_itself_is_nobody_who_listens() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr();
        let address = free.unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        assert!(is_to_itself(&socket.connect(address).await.unwrap()));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        assert!(listens(listener.local_addr().unwrap()).await);
    }
}
