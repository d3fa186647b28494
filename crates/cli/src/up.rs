//! `faasflow up`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use faasflow_core::code;
use faasflow_gateway::{EngineChoice, Event, GatewayOptions, RunningGateway, Stack};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;

use crate::args::Up;
use crate::error::Failure;
use crate::gateway_error;
use crate::screen::Screen;

pub(crate) async fn run(up: Up) -> Result<(), Failure> {
    faasflow_runtime::http::raise_file_limit();
    let stack = if up.no_stack { no_stack(&up.stack)? } else { Stack::read(&up.stack)? };
    // Settings that no flow would start with are said before anything is built.
    crate::config::check(&stack)?;
    let files: Vec<PathBuf> = std::iter::once(stack.path.clone()).chain(stack.environment_files.clone()).collect();
    let mut options = GatewayOptions::new(stack);
    options.listen = SocketAddr::new(up.host, up.port);
    options.release = up.release;
    options.watch = !up.no_watch;
    options.upstream_timeout = up.upstream_timeout;
    options.basic_auth = up.basic_auth;
    options.behind = up.behind;
    options.max_inflight_requests = up.max_inflight_requests;
    options.max_inflight_bytes = up.max_inflight_bytes;
    if up.no_containers {
        options.engine = EngineChoice::None;
    }
    options.commit = env!("FAASFLOW_COMMIT").to_owned();
    options.queue.max_body = usize::try_from(up.queue_limit).unwrap_or(usize::MAX);
    options.max_body_option = Some("`--queue-limit`".to_owned());
    options.queue.workers = up.queue_workers;
    options.queue.max_attempts = up.queue_attempts;
    if let Some(folder) = up.state_dir {
        // Functions are told of it, and run elsewhere.
        options.state_dir = std::path::absolute(folder)?;
    }
    let secrets = options.state_dir.join("secrets");
    // In place before anything is started, so that a stop is never missed.
    let mut stopped = StopSignal::new()?;
    let (events, mut happened) = unbounded_channel();
    let gateway = options.start(events).await?;
    let (screen, written) = Screen::start()?;
    screen.line(format!("The gateway is at {}", gateway.url()));
    if up.basic_auth {
        say_how_to_log_in(&screen, &gateway, &secrets);
    } else if !up.host.is_loopback() {
        screen.line(
            "Whoever reaches it can have it run programs, by deploying them: `--basic-auth` asks for a password.",
        );
    }
    let mut changes = Changes::of(&files);
    let mut look = tokio::time::interval(Duration::from_secs(1));
    let (mut told, mut greeted) = (false, false);
    loop {
        tokio::select! {
            () = stopped.wait() => break,
            Some(event) = happened.recv() => screen.event(event),
            ready = gateway.ready(), if !told => {
                // What led to it was said before.
                while let Ok(event) = happened.try_recv() {
                    screen.event(event);
                }
                told = true;
                match ready {
                    Ok(()) => {
                        greet(&screen, &gateway);
                        greeted = true;
                    }
                    // Sources may be mended while it runs.
                    Err(error) => screen.line(gateway_error::problem(&error).to_string()),
                }
            }
            _ = look.tick() => {
                if !greeted && gateway.is_ready() {
                    while let Ok(event) = happened.try_recv() {
                        screen.event(event);
                    }
                    greet(&screen, &gateway);
                    (told, greeted) = (true, true);
                }
                for file in changes.look() {
                    screen.line(format!("{} changed: start `faasflow up` again to have it", file.display()));
                }
            }
        }
    }
    screen.line("Stopping: finishing what is in flight. Ctrl-C again stops at once");
    let mut stopping = std::pin::pin!(gateway.stop());
    loop {
        tokio::select! {
            () = &mut stopping => break,
            () = stopped.wait() => {
                written.wait(&screen).await;
                return Err(Failure::failed(code::STOPPED, "stopped at once: requests in flight were cut off")
                    .help("start the gateway again to have queued calls delivered"));
            }
            Some(event) = happened.recv() => screen.event(event),
        }
    }
    // The last lines of the functions; no more than are there, since a process that has left its group may go on.
    for _ in 0..happened.len() {
        if let Ok(event) = happened.try_recv() {
            screen.event(event);
        }
    }
    written.wait(&screen).await;
    Ok(())
}

/// The stack file and its environment files, which are read at the start only.
struct Changes(Vec<(PathBuf, Stamp)>);

/// What tells one text of a file from the next.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(file: &Path) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

impl Changes {
    fn of(files: &[PathBuf]) -> Changes {
        Changes(files.iter().map(|file| (file.clone(), stamp(file))).collect())
    }

    /// Which have changed since they were looked at.
    fn look(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for (file, before) in &mut self.0 {
            let now = stamp(file);
            if std::mem::replace(before, now) != now {
                changed.push(file.clone());
            }
        }
        changed
    }
}

/// A folder to be in, rather than a stack file to read.
fn no_stack(folder: &Path) -> Result<Stack, Failure> {
    if folder.is_dir() {
        return Ok(Stack::empty(folder));
    }
    Err(Failure::unusable(code::NO_FOLDER, format!("{} is not a folder", folder.display()))
        .help("with `--no-stack`, name a folder in place of a stack file"))
}

fn say_how_to_log_in(screen: &Screen, gateway: &RunningGateway, secrets: &Path) {
    let (user, password) = (secrets.join("basic-auth-user"), secrets.join("basic-auth-password"));
    screen.line(format!("It asks for user and password, which are in {} and {}:", user.display(), password.display()));
    screen.line(format!(
        "  faas-cli login --gateway {} --username \"$(cat '{}')\" --password-stdin < '{}'",
        gateway.url(),
        user.display(),
        password.display()
    ));
}

fn greet(screen: &Screen, gateway: &RunningGateway) {
    let names = gateway.function_names();
    if names.is_empty() {
        screen.line("All functions are ready: there is none yet. Deploy some:");
        screen.line(format!("  faas-cli deploy --gateway {}", gateway.url()));
        return;
    }
    screen.line("All functions are ready. Try one of:");
    for name in names {
        let option =
            if gateway.address().port() == 8080 { String::new() } else { format!(" --gateway {}", gateway.url()) };
        screen.line(format!("  faasflow invoke{option} {name}"));
    }
}

/// SIGTERM or SIGINT.
pub(crate) struct StopSignal {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignal {
    pub(crate) fn new() -> std::io::Result<StopSignal> {
        Ok(StopSignal { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Whether an event is a log line, and whose.
pub(crate) fn log_line(event: &Event) -> Option<(&str, &str)> {
    match event {
        Event::Log { function, line } => Some((function, line)),
        _ => None,
    }
}
