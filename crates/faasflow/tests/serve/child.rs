//! A flow's program as a child process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How to start a program: with these arguments and this environment, and nothing of ours.
pub(crate) struct Program {
    flow: &'static str,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    longest_line: usize,
}

impl Program {
    /// The program of this flow, deployed under its own name on ports that are free.
    pub(crate) fn new(flow: &'static str) -> Program {
        let program = Program { flow, arguments: Vec::new(), environment: Vec::new(), longest_line: usize::MAX };
        let program = program.with("workflow_name", flow).with("host", "127.0.0.1");
        program.with("port", "0").with("metrics_port", "0").with("drain_time", "0")
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Program {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Program {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// Has its log read by somebody who never reads again after a line of so many bytes or more. With 0, the log is closed
    /// at once.
    pub(crate) fn line_scanner(self, longest_line: usize) -> Program {
        Program { longest_line, ..self }
    }

    pub(crate) fn argument(mut self, argument: &str) -> Program {
        self.arguments.push(argument.to_owned());
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .arg0(format!("{}{}", super::PREFIX, self.flow))
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a program that is to end by itself.
    pub(crate) fn run(&self) -> ProgramEnd {
        let mut child = Running::new(self.command().spawn().unwrap(), self.longest_line);
        let status = child.wait();
        let mut stdout = String::new();
        child.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        ProgramEnd { code: status.code(), stdout, stderr: child.all_lines().join("\n") }
    }

    /// Starts a program that may log nothing of its start, with a free port for these settings. If somebody else takes the port
    /// meanwhile, so that the program ends, it is started with another one.
    pub(crate) fn start_silently(mut self, ports: &[&str]) -> Running {
        let limit = Instant::now() + PATIENCE;
        loop {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            self = ports.iter().fold(self, |program, name| program.with(name, port.to_string()));
            let mut running = Running::new(self.command().spawn().unwrap(), self.longest_line);
            running.address = format!("127.0.0.1:{port}");
            while running.child.try_wait().unwrap().is_none() {
                if running.serves(self.flow) {
                    return running;
                }
                assert!(Instant::now() < limit, "it does not listen:\n{}", running.lines().join("\n"));
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(Instant::now() < limit, "it does not start:\n{}", running.lines().join("\n"));
        }
    }

    /// Starts a program and waits until it listens.
    pub(crate) fn start(&self) -> Running {
        let mut running = Running::new(self.command().spawn().unwrap(), self.longest_line);
        let line = running.until_logged("listens on ");
        let after = |text: &str| Some(line.split(text).nth(1)?.split([';', '"']).next()?.to_owned());
        running.address = after("listens on ").unwrap();
        running.metrics = after("metrics on ");
        running
    }
}

/// How a program ended.
pub(crate) struct ProgramEnd {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program that runs; killed when the test is done with it.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: String,
    /// Where its metrics are, if it shows them.
    pub(crate) metrics: Option<String>,
    lines: Arc<Mutex<Vec<String>>>,
    reading: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn new(mut child: Child, longest_line: usize) -> Running {
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let reading = std::thread::spawn({
            let lines = lines.clone();
            move || scan(stderr, longest_line, &lines)
        });
        Running { child, address: String::new(), metrics: None, lines, reading: Some(reading) }
    }

    /// Whether this flow is served at the address.
    fn serves(&self, flow: &str) -> bool {
        TcpStream::connect(&self.address).is_ok() && self.request("GET /_/flow", "").1.contains(&format!("{flow:?}"))
    }

    /// The log so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// While this is locked, nobody reads what the program logs.
    pub(crate) fn reader(&self) -> Arc<Mutex<Vec<String>>> {
        self.lines.clone()
    }

    /// The log of a program that has ended.
    pub(crate) fn all_lines(&mut self) -> Vec<String> {
        self.reading.take().unwrap().join().unwrap();
        self.lines()
    }

    /// Waits for a log line with this text.
    pub(crate) fn until_logged(&self, text: &str) -> String {
        let limit = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.lines().into_iter().find(|line| line.contains(text)) {
                return line;
            }
            assert!(Instant::now() < limit, "no line with `{text}` came:\n{}", self.lines().join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the program, and returns what it logged of its requests: lines come a little after their answers.
    pub(crate) fn stop(&mut self) -> Vec<String> {
        self.signal("TERM");
        assert_eq!(self.wait().code(), Some(0));
        let mut lines = self.all_lines();
        let stopping = lines.iter().position(|line| line.starts_with("Stopping: ")).unwrap();
        lines.truncate(stopping);
        lines.split_off(1)
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Sends it twice, one right after the other.
    pub(crate) fn signal_twice(&self, name: &str) {
        let (signal, id) = (format!("-{name}"), self.child.id().to_string());
        let sent = Command::new("kill").args([&signal, &id, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until the process has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let limit = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            let lines = || self.lines.try_lock().map(|lines| lines.join("\n")).unwrap_or_default();
            assert!(Instant::now() < limit, "the process does not end:\n{}", lines());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Begins a request: its line and headers, one per line, and its body.
    pub(crate) fn begin(&self, head: &str, body: &[u8]) -> Exchange {
        Exchange::begin(&self.address, head, body)
    }

    /// Sends a request, such as `POST /` or `POST /\nx-name: value`, and returns the head and body of the answer.
    pub(crate) fn request(&self, head: &str, body: impl AsRef<[u8]>) -> (String, String) {
        self.begin(head, body.as_ref()).end()
    }

    /// The same where its metrics are.
    pub(crate) fn metrics(&self, head: &str) -> (String, String) {
        Exchange::begin(self.metrics.as_ref().expect("it shows metrics"), head, b"").end()
    }
}

/// Reads lines until one is too long. The pipe stays open then, and nobody reads it.
fn scan(mut stderr: BufReader<ChildStderr>, longest_line: usize, lines: &Mutex<Vec<String>>) {
    let mut line = Vec::new();
    while longest_line > 0 && stderr.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if line.len() >= longest_line {
            std::mem::forget(stderr);
            return;
        }
        let text = String::from_utf8_lossy(&line);
        lines.lock().unwrap().push(text.trim_end_matches(['\r', '\n']).to_owned());
        line.clear();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request that was sent.
pub(crate) struct Exchange(TcpStream);

impl Exchange {
    pub(crate) fn begin(address: &str, head: &str, body: &[u8]) -> Exchange {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut lines = head.lines();
        let mut text = format!("{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", lines.next().unwrap());
        lines.for_each(|line| text.push_str(&format!("{line}\r\n")));
        text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(text.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        Exchange(stream)
    }

    /// Head and body of the answer; both empty if the connection was closed without one.
    pub(crate) fn end(mut self) -> (String, String) {
        let mut answer = Vec::new();
        let _ = self.0.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        (head.to_owned(), body.to_owned())
    }
}
