//! The suite's own Docker engine, for suites that build and run containers.
//!
//! It is Debian's `docker.io`, installed where it is missing, with its own data, sockets, cgroup and, by
//! [`Apart`](crate::apart::Apart), its own network: an engine that runs already is not touched. What it has built is kept
//! below `target/tools/docker` for the next run. A suite uses it like this:
//!
//! 1. `docker::install()` before it is set apart, then `Engine::start(&apart)`.
//! 2. `engine.docker()` is a client, which can be cloned: `docker.run(&["build", …])`, `docker.command(…)`, and
//!    `docker.environment()` for other programs that run `docker` themselves, such as faas-cli.
//! 3. `stand_ins::rust(…)` makes the image that the template builds in, and `stand_ins::watchdog(…)` that of the watchdog.
//!    No image is pulled; the suite says that these are stand-ins.
//! 4. `engine.stop()`. An engine that is dropped, as when the suite is interrupted, takes everything down as well, and what
//!    a killed suite has left behind is taken down by the next.

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

/// Asks a process that the suite has started to end, and kills it if it does not do so in time.
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

/// Installs what an engine and its stand-ins need. It uses the network, so it runs before the suite is set apart.
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
