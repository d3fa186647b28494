//! Runs the real program.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use faasflow_http::{HttpClient, ServerOptions, read_body, serve};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

/// How long anything except a build may take, with a large margin.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How long a build from scratch may take on a small machine.
const BUILD: Duration = Duration::from_secs(900);

pub(crate) fn faasflow() -> Command {
    Command::new(env!("CARGO_BIN_EXE_faasflow"))
}

/// A folder of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).canonicalize().unwrap()
}

/// Projects that `faasflow new` makes have a program of the same name, and tests build all of them into one folder.
static PROJECTS: Mutex<()> = Mutex::new(());

/// Lets a project that `faasflow new` made use what this repository has compiled already: its versions, its profile, and its
/// target folder. Keep the guard as long as the project's program may be started: until then, no other test builds one.
pub(crate) fn share_build(project: &Path) -> MutexGuard<'static, ()> {
    let guard = PROJECTS.lock().unwrap_or_else(PoisonError::into_inner);
    std::fs::copy(repository("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_faasflow"));
    let target = program.parent().and_then(Path::parent).unwrap();
    let workspace = std::fs::read_to_string(repository("Cargo.toml")).unwrap();
    let (_, profiles) = workspace.split_once("\n[profile.dev]\n").unwrap();
    let (profile, _) = profiles.split_once("\n[profile.release]\n").unwrap();
    let config = project.join(".cargo/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[build]\ntarget-dir = {target:?}\n\n[profile.dev]\n{profile}")).unwrap();
    guard
}

/// A running `faasflow up`.
pub(crate) struct Up {
    child: Child,
    pub(crate) url: String,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Up {
    /// Starts it on a free port, and waits until all functions are ready.
    pub(crate) fn start(stack: &Path, state: &Path) -> Up {
        Up::start_with(stack, state, &[])
    }

    pub(crate) fn start_with(stack: &Path, state: &Path, options: &[&str]) -> Up {
        Up::start_by(faasflow(), stack, state, options)
    }

    /// The same with another command in front.
    pub(crate) fn start_by(mut command: Command, stack: &Path, state: &Path, options: &[&str]) -> Up {
        command.arg("up").arg(stack).args(options).args(["--port", "0", "--no-watch", "--state-dir"]).arg(state);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn({
            let printed = printed.clone();
            move || stderr.lines().map_while(Result::ok).for_each(|line| printed.lock().unwrap().push(line))
        });
        let mut up = Up { child, url: String::new(), printed };
        let deadline = Instant::now() + BUILD;
        while !up.printed().iter().any(|line| line.starts_with("All functions are ready")) {
            let ended = up.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}\n{}", up.printed().join("\n"));
            std::thread::sleep(Duration::from_millis(10));
        }
        up.url =
            up.printed().iter().find_map(|line| Some(line.strip_prefix("The gateway is at ")?.to_owned())).unwrap();
        up
    }

    /// What it wrote to standard error.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.printed.lock().unwrap().clone()
    }

    /// Kills it with SIGKILL, as the kernel does when memory is short.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it with SIGTERM; returns the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        signal("-TERM", self.child.id());
        self.child.wait().unwrap().code()
    }

    /// Sends SIGINT, and again once it has printed `said`; returns the exit code and the output.
    pub(crate) fn stop_at_once(mut self, printed: &str) -> (Option<i32>, String) {
        signal("-INT", self.child.id());
        let deadline = Instant::now() + PATIENCE;
        while !self.printed().iter().any(|line| line.contains(printed)) {
            assert!(Instant::now() < deadline, "{}", self.printed().join("\n"));
            std::thread::sleep(Duration::from_millis(10));
        }
        signal("-INT", self.child.id());
        let code = self.child.wait().unwrap().code();
        (code, self.printed().join("\n"))
    }

    /// The ID of its child process that runs the program of this name.
    pub(crate) fn process(&self, program: &str) -> u32 {
        let own = self.child.id().to_string();
        let processes =
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut found = processes.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit())).filter(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent =
                stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1).map(|parent| parent == own));
            let executable = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            parent == Some(true) && executable.file_name().is_some_and(|name| name == program)
        });
        found.next().expect("it runs").parse().unwrap()
    }

    /// Runs a command against it, with this on standard input.
    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = faasflow();
        command.args(arguments).args(["--gateway", &self.url]);
        run(command, input)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // The command may end without reading its input, so errors are ignored.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    })
}

pub(crate) fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// A stack with these functions, written as in `functions:` of a stack file.
pub(crate) fn stack(functions: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let indented: String = functions.lines().map(|line| format!("  {line}\n")).collect();
    std::fs::write(folder.path().join("stack.yml"), format!("functions:\n{indented}")).unwrap();
    folder
}

/// A function behind this address, as in a stack file.
pub(crate) fn url(name: &str, address: SocketAddr) -> String {
    format!("{name}:\n  annotations:\n    faasflow.url: http://{address}/{name}\n")
}

/// The flow of three phases from the examples, as in a stack file.
pub(crate) fn makeuserid() -> String {
    let project = repository("examples/makeuserid/flow");
    format!("makeuserid:\n  lang: faasflow\n  handler: {}\n  secrets: [faasflow-hmac-secret]\n", project.display())
}

/// Waits until something is there.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A request that was answered.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ReceivedRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Serves this on a free port.
pub(crate) async fn listen(app: axum::Router) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let _ = serve(listener, app, ServerOptions::default(), std::future::pending()).await;
    });
    (address, AbortOnDropHandle::new(serving))
}

/// An HTTP server that gives back what it gets, as often as it is let, and notes what it has answered.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<ReceivedRequest>>>,
    arrived: Arc<Mutex<HashMap<String, usize>>>,
    gate: Arc<Semaphore>,
    _serving: AbortOnDropHandle<()>,
}

impl Recorder {
    pub(crate) async fn listen() -> Recorder {
        let (seen, arrived) =
            (Arc::<Mutex<Vec<ReceivedRequest>>>::default(), Arc::<Mutex<HashMap<String, usize>>>::default());
        let gate = Arc::new(Semaphore::new(0));
        let app = axum::Router::new().fallback({
            let (seen, arrived, gate) = (seen.clone(), arrived.clone(), gate.clone());
            move |request: Request<Body>| {
                let (seen, arrived, gate) = (seen.clone(), arrived.clone(), gate.clone());
                async move {
                    let (parts, body) = request.into_parts();
                    let body = read_body(body, 1 << 24, PATIENCE).await.unwrap_or_default();
                    let path = parts.uri.path().trim_end_matches('/').to_owned();
                    *arrived.lock().unwrap().entry(path.clone()).or_default() += 1;
                    // Where the caller is gone meanwhile, nothing after this happens.
                    gate.acquire().await.unwrap().forget();
                    seen.lock().unwrap().push(ReceivedRequest { path, headers: parts.headers, body: body.clone() });
                    Response::new(Body::from(body))
                }
            }
        });
        let (address, _serving) = listen(app).await;
        Recorder { address, seen, arrived, gate, _serving }
    }

    /// Lets so many more be answered.
    pub(crate) fn allow(&self, count: usize) {
        self.gate.add_permits(count);
    }

    pub(crate) fn seen(&self) -> Vec<ReceivedRequest> {
        self.seen.lock().unwrap().clone()
    }

    /// How many came, answered or not.
    pub(crate) fn arrived(&self, path: &str) -> usize {
        self.arrived.lock().unwrap().get(path).copied().unwrap_or_default()
    }
}

/// Sends one request, and returns the status and the call id.
pub(crate) async fn post(
    client: &HttpClient,
    url: String,
    headers: &[(&str, &str)],
    body: String,
) -> (StatusCode, String) {
    let mut request = Request::post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let sent = client.send(request.body(Body::from(body)).unwrap());
    let response = tokio::time::timeout(PATIENCE, sent).await.expect("an answer comes").unwrap();
    let id = response.headers().get("x-call-id").map(|id| id.to_str().unwrap().to_owned()).unwrap_or_default();
    let status = response.status();
    let _ = read_body(response.into_body(), 1 << 24, PATIENCE).await;
    (status, id)
}
