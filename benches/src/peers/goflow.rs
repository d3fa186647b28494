//! goflow, with a Redis of its own.

use std::path::Path;
use std::process::Command;

use faasflow_benches_deployed::CALLED;

use crate::Failure;
use crate::load::{Connection, Target};
use crate::peers::arm::{Way, once};
use crate::peers::install;
use crate::process::{Process, free_port};

pub(super) struct Goflow {
    pub(super) flows: Process,
    pub(super) redis: Process,
}

impl Goflow {
    /// Flows of so many calls each, on a Redis with these settings.
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
        // It leaves a log where it is started.
        command.current_dir(&folder).env("GIN_MODE", "release");
        command.arg(port.to_string()).arg(redis.address().to_string());
        command.arg(format!("http://{}/function/{CALLED}", function.address()));
        command.args(calls.iter().map(usize::to_string));
        let goflow = Goflow { flows: Process::run(command, port)?, redis };
        for &calls in calls {
            let target = goflow.target(calls);
            once(&mut Connection::open(target.address).await?, &target, way).await?;
        }
        Ok(goflow)
    }

    /// A chain of so many calls.
    pub(super) fn target(&self, calls: usize) -> Target {
        Target::new(self.flows.address(), &format!("/{calls}"), 32)
    }
}
