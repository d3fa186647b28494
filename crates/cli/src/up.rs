//! `faasflow up`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use faasflow_core::code;
use faasflow_gateway::{EngineChoice, Event, GatewayOptions, RunningGateway, Stack};
use faasflow_runtime::StopSignals;
use tokio::sync::mpsc::unbounded_channel;

use crate::args::Up;
use crate::error::Failure;
use crate::gateway_error;
use crate::screen::Screen;

pub(crate) async fn run(up: Up) -> Result<(), Failure> {
    faasflow_http::raise_file_limit();
    let stack = if up.no_stack { no_stack(&up.stack)? } else { Stack::read(&up.stack)? };
    // Report wrong settings before anything is built.
    crate::config::check(&stack)?;
    let files: Vec<PathBuf> = std::iter::once(stack.path.clone()).chain(stack.environment_files.clone()).collect();
    let mut options = GatewayOptions::new(stack);
    options.listen = SocketAddr::new(up.host, up.port);
    options.release = up.release;
    options.watch = !up.no_watch;
    options.upstream_timeout = up.upstream_timeout;
    options.basic_auth = up.basic_auth;
    options.behind = up.behind;
    options.traces = up.traces;
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
        // Functions get this path, and run in other folders.
        options.state_dir = std::path::absolute(folder)?;
    }
    let secrets = options.state_dir.join("secrets");
    // Installed before anything starts, so that no signal is missed.
    let mut stopped = StopSignals::new()?;
    let (events, mut happened) = unbounded_channel();
    let gateway = options.start(events).await?;
    let (screen, written) = Screen::start()?;
    screen.line(format!("The gateway is at {}", gateway.url()));
    screen.line(format!("The dashboard is at {}", gateway.dashboard_url()));
    if up.basic_auth {
        say_how_to_log_in(&screen, &gateway, &secrets);
    } else if !up.host.is_loopback() {
        screen.line(
            "Warning: anyone who can reach this address can deploy and run programs. `--basic-auth` requires a password.",
        );
    }
    let mut changes = Changes::new(&files);
    let mut look = tokio::time::interval(Duration::from_secs(1));
    let (mut reported, mut greeted) = (false, false);
    loop {
        tokio::select! {
            _ = stopped.recv() => break,
            Some(event) = happened.recv() => screen.event(event),
            ready = gateway.ready(), if !reported => {
                // Print the events that led to it first.
                while let Ok(event) = happened.try_recv() {
                    screen.event(event);
                }
                reported = true;
                match ready {
                    Ok(()) => {
                        greet(&screen, &gateway);
                        greeted = true;
                    }
                    // Not fatal: the sources can be fixed while the gateway runs.
                    Err(error) => screen.line(gateway_error::problem(&error).to_string()),
                }
            }
            _ = look.tick() => {
                if !greeted && gateway.is_ready() {
                    while let Ok(event) = happened.try_recv() {
                        screen.event(event);
                    }
                    greet(&screen, &gateway);
                    (reported, greeted) = (true, true);
                }
                for file in changes.look() {
                    screen.line(format!("{} changed: restart `faasflow up` to apply it", file.display()));
                }
            }
        }
    }
    screen.line("Stopping: finishing requests in flight. Press Ctrl-C again to stop at once");
    let mut stopping = std::pin::pin!(gateway.stop());
    loop {
        tokio::select! {
            () = &mut stopping => break,
            _ = stopped.recv() => {
                written.wait(&screen).await;
                return Err(Failure::failed(code::STOPPED, "the gateway was stopped at once, and requests in flight were cut off")
                    .help("start the gateway again to deliver the queued calls"));
            }
            Some(event) = happened.recv() => screen.event(event),
        }
    }
    // The last lines of the functions. Only those that are there now: a process that left its process group may go on
    // writing.
    for _ in 0..happened.len() {
        if let Ok(event) = happened.try_recv() {
            screen.event(event);
        }
    }
    written.wait(&screen).await;
    Ok(())
}

/// Watches the stack file and its environment files, which are read only at the start.
struct Changes(Vec<(PathBuf, Stamp)>);

/// Modification time and size, which tell versions of a file apart.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(file: &Path) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

impl Changes {
    fn new(files: &[PathBuf]) -> Changes {
        Changes(files.iter().map(|file| (file.clone(), stamp(file))).collect())
    }

    /// Returns the files that changed since the last look.
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

/// With `--no-stack`, the argument is a folder to work in.
fn no_stack(folder: &Path) -> Result<Stack, Failure> {
    if folder.is_dir() {
        return Ok(Stack::empty(folder));
    }
    Err(Failure::unusable(code::NO_FOLDER, format!("`{}` is not a folder", folder.display()))
        .help("with `--no-stack`, name a folder instead of a stack file"))
}

fn say_how_to_log_in(screen: &Screen, gateway: &RunningGateway, secrets: &Path) {
    let (user, password) = &(secrets.join("basic-auth-user"), secrets.join("basic-auth-password"));
    screen.line(format!(
        "The admin API requires the user and password in {} and {}. To log in:",
        user.display(),
        password.display()
    ));
    screen.line(format!("  {}", login(&gateway.url(), user, password, cfg!(windows))));
}

/// The command that logs in, for a POSIX shell or for PowerShell.
fn login(url: &str, user: &Path, password: &Path, powershell: bool) -> String {
    let (user, password) = (user.display(), password.display());
    if powershell {
        return format!(
            "Get-Content '{password}' | faas-cli login --gateway {url} --username (Get-Content '{user}') \
             --password-stdin"
        );
    }
    format!("faas-cli login --gateway {url} --username \"$(cat '{user}')\" --password-stdin < '{password}'")
}

fn greet(screen: &Screen, gateway: &RunningGateway) {
    let names = gateway.function_names();
    if names.is_empty() {
        screen.line("All functions are ready. None is deployed yet; deploy some with:");
        screen.line(format!("  faas-cli deploy --gateway {}", gateway.url()));
        return;
    }
    screen.line("All functions are ready. Call one, from another terminal:");
    for name in names {
        let option =
            if gateway.address().port() == 8080 { String::new() } else { format!(" --gateway {}", gateway.url()) };
        screen.line(format!("  echo hello | faasflow invoke{option} {name}"));
    }
}

/// The function and the text, if the event is a log line.
pub(crate) fn log_line(event: &Event) -> Option<(&str, &str)> {
    match event {
        Event::Log { function, line } => Some((function, line)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_log_in_is_written_for_the_shell_of_the_platform() {
        let command = |powershell| login("http://h:1", Path::new("s/u"), Path::new("s/p"), powershell);
        assert_eq!(
            command(false),
            "faas-cli login --gateway http://h:1 --username \"$(cat 's/u')\" --password-stdin < 's/p'"
        );
        assert_eq!(
            command(true),
            "Get-Content 's/p' | faas-cli login --gateway http://h:1 --username (Get-Content 's/u') \
             --password-stdin"
        );
    }
}
