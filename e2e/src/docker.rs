//! A separate Docker engine, for suites that build and run containers.
//!
//! It is Debian's `docker.io`, which is installed if it is missing. It has its own data, sockets and cgroup and, by
//! [`Apart`](crate::apart::Apart), its own network, so an engine that runs already is not touched. Its build results
//! stay in `target/tools/docker` for the next run. A suite uses it like this:
//!
//! 1. `docker::install()` outside the namespace, then `Engine::start(&apart)`.
//! 2. `engine.docker()` is a client, which can be cloned: `docker.run(&["build", …])`, `docker.command(…)`, and
//!    `docker.environment()` for other programs that run `docker` themselves, such as faas-cli.
//! 3. `stand_ins::rust(…)` makes the image in which the template builds, and `stand_ins::watchdog(…)` makes that of the
//!    watchdog. No image is pulled, and the suite reports that these are stand-ins.
//! 4. `engine.stop()`. A dropped engine also removes everything, for example when the suite is interrupted. If a suite
//!    is killed, the next one cleans up.

mod container;
mod engine;
mod leftovers;
pub(crate) mod stand_ins;

pub(crate) use container::Container;
pub(crate) use engine::{Docker, Engine, GATEWAY};

use std::process::Child;
use std::time::{Duration, Instant};

use crate::tools;

/// Kills a process of a container, as a power failure would.
pub(crate) fn kill(process: u32) {
    leftovers::signal(process, libc::SIGKILL);
}

/// Asks a process of the suite to end, and kills it if it does not end in time.
///
/// # Errors
///
/// If the process cannot be waited for.
pub(crate) fn end(child: &mut Child, patience: Duration) -> Result<(), String> {
    leftovers::signal(child.id(), libc::SIGTERM);
    let deadline = Instant::now() + patience;
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Installs what an engine and its stand-ins need. It uses the network, so it runs outside the namespace.
///
/// # Errors
///
/// If a package cannot be installed.
pub(crate) async fn install() -> Result<(), String> {
    for (package, program) in
        [("docker.io", "dockerd"), ("iptables", "iptables"), ("iproute2", "ip"), ("debootstrap", "debootstrap")]
    {
        tools::debian(package, program).await?;
    }
    Ok(())
}
