//! goflow, with its own Redis.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use faasflow_benches_deployed::CALLED;

use crate::Failure;
use crate::load::{Connection, Target};
use crate::peers::arm::{Way, once};
use crate::peers::install;
use crate::process::{Process, free_port};

/// How long it may take until its flows are served.
const START: Duration = Duration::from_secs(30);

pub(super) struct Goflow {
    pub(super) flows: Process,
    pub(super) redis: Process,
}

impl Goflow {
    /// Starts flows with these numbers of calls, on a Redis with these settings.
    pub(super) async fn start(
        folder: &Path,
        redis: &[&str],
        calls: &[usize],
        function: &Process,
        way: &Way,
    ) -> Result<Goflow, Failure> {
        let program = install::goflow()?;
        install::redis()?;
        let folder = tempfile::tempdir_in(folder)?.keep();
        let port = free_port()?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(&folder).args(redis);
        let redis = Process::run(command, port)?;
        let port = free_port()?;
        let mut command = Command::new(program);
        // It writes a log into its working directory.
        command.current_dir(&folder).env("GIN_MODE", "release");
        command.arg(port.to_string()).arg(redis.address().to_string());
        command.arg(format!("http://{}/function/{CALLED}", function.address()));
        command.args(calls.iter().map(usize::to_string));
        let goflow = Goflow { flows: Process::run(command, port)?, redis };
        for &calls in calls {
            goflow.until_served(calls, way).await?;
        }
        Ok(goflow)
    }

    /// It accepts connections before Redis knows its flows, and answers 500 until then.
    async fn until_served(&self, calls: usize, way: &Way) -> Result<(), Failure> {
        let target = self.target(calls);
        let begun = Instant::now();
        loop {
            match once(&mut Connection::open(target.address).await?, &target, way).await {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > START => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// A chain with this number of calls.
    pub(super) fn target(&self, calls: usize) -> Target {
        Target::new(self.flows.address(), &format!("/{calls}"), 32)
    }
}
