//! Restate on one node, with services that run the chain and the fan-out with its Rust SDK.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow_benches_deployed::CALLED;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};

use crate::Failure;
use crate::load::{Connection, Target};
use crate::peers::arm::{Way, once};
use crate::peers::install;
use crate::process::{Process, free_port};

/// How long the server may take to become usable.
const START: Duration = Duration::from_secs(30);
/// The name of the header with the number of calls.
const CALLS: HeaderName = HeaderName::from_static("x-calls");

/// A service, as the server knows it.
pub(super) struct Service {
    name: &'static str,
    pub(super) process: Process,
}

pub(super) struct Restate {
    pub(super) server: Process,
    /// Served by the SDK's own server, with Nagle's algorithm.
    pub(super) shipped: Service,
    /// Served without Nagle's algorithm.
    pub(super) prompt: Service,
}

impl Restate {
    pub(super) async fn start(folder: &Path, function: &Process) -> Result<Restate, Failure> {
        let program = install::restate()?;
        let [node, ingress, admin] = [free_port()?, free_port()?, free_port()?];
        let folder = folder.join("restate");
        std::fs::create_dir(&folder)?;
        let settings = folder.join("restate.toml");
        std::fs::write(&settings, settings_of(&folder.join("data"), node, ingress, admin))?;
        let mut command = Command::new(program);
        command.arg("--config-file").arg(settings).args(["--no-logo", "--node-name", "bench"]);
        // Settings in the environment of this run must not affect it.
        command.env_clear().current_dir(&folder);
        let server = Process::run(command, ingress)?;
        let shipped = Service::start("Shipped", "shipped", function)?;
        let prompt = Service::start("Prompt", "prompt", function)?;
        let restate = Restate { server, shipped, prompt };
        for service in [&restate.shipped, &restate.prompt] {
            let target = Target::new(([127, 0, 0, 1], admin).into(), "/deployments", 0)
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let body = format!(r#"{{"uri":"http://{}"}}"#, service.process.address());
            let registration = Target { body: Bytes::from(body), ..target };
            patiently(async || Connection::open(registration.address).await?.ask(&registration).await).await?;
            let target = restate.target(service, 1);
            patiently(async || once(&mut Connection::open(target.address).await?, &target, &Way::Answer).await).await?;
        }
        Ok(restate)
    }

    /// A chain with this number of calls, run by one of the services.
    pub(super) fn target(&self, service: &Service, calls: usize) -> Target {
        Target::new(self.server.address(), &format!("/{}/chain", service.name), 32)
            .header(CALLS, HeaderValue::from(calls))
    }

    /// A fan-out of the items of a JSON array, run by one of the services.
    pub(super) fn fan(&self, service: &Service, items: Bytes) -> Target {
        Target::with_body(self.server.address(), &format!("/{}Fan/fan", service.name), items)
    }
}

impl Service {
    fn start(name: &'static str, how: &str, function: &Process) -> Result<Service, Failure> {
        let program = std::env::current_exe()?.with_file_name("faasflow-benches-peers");
        if !program.is_file() {
            return Err("`cargo xtask bench --peers` builds its service, and nothing else does".into());
        }
        let port = free_port()?;
        let mut command = Command::new(program);
        command.arg(port.to_string()).arg(format!("http://{}/function/{CALLED}", function.address())).arg(how);
        Ok(Service { name, process: Process::run(command, port)? })
    }
}

/// The defaults of one node, except for its addresses and for usage reports, which are off. Flushing is also a default,
/// and is named here because the figures depend on it.
fn settings_of(data: &Path, node: u16, ingress: u16, admin: u16) -> String {
    format!(
        r#"base-dir = {data:?}
disable-telemetry = true
listen-mode = "tcp"
bind-address = "127.0.0.1:{node}"
advertised-address = "http://127.0.0.1:{node}"

[ingress]
bind-address = "127.0.0.1:{ingress}"

[admin]
bind-address = "127.0.0.1:{admin}"
disable-web-ui = true

[bifrost]
default-provider = "replicated"

[log-server]
rocksdb-disable-wal-fsync = false
"#
    )
}

/// Repeats until it succeeds, because a server may listen before it can serve.
async fn patiently<T>(attempt: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Failure> {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Err(error) if begun.elapsed() > START => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            done => return done,
        }
    }
}
