//! Child processes of this or another program: starting, measuring and killing them.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::role::{Role, VARIABLE};
use crate::{Failure, ending};

/// How long a process may take until it accepts connections.
const START: Duration = Duration::from_secs(20);
/// The unit of processor time that Linux reports to programs, whatever it uses internally.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that listens on a loopback port. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    id: u32,
    port: u16,
}

impl Process {
    /// Starts this program in a role.
    pub(crate) fn start(role: &Role, port: u16, settings: &[(&str, String)]) -> Result<Process, Failure> {
        let mut command = ourselves(role)?;
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        Process::run(command, port)
    }

    /// Starts a program, and waits until it accepts connections on this port.
    pub(crate) fn run(command: Command, port: u16) -> Result<Process, Failure> {
        let shown = format!("{command:?}");
        let process = Process::spawn(command, port)?;
        let begun = Instant::now();
        while !process.listens() {
            if let Some(status) = ending::ended(process.id)? {
                return Err(format!("{shown} ended with {status}: run it by hand to see why").into());
            }
            if begun.elapsed() > START {
                return Err(format!("{shown} does not listen on port {port} after {START:?}").into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(process)
    }

    /// Starts a program that will listen on this port.
    pub(crate) fn spawn(mut command: Command, port: u16) -> Result<Process, Failure> {
        // The log of a flow is formatted and written as usual, but its destination costs nothing.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Process { id: ending::spawn(&mut command)?.0, port })
    }

    /// If nobody listens, a connection to a local port can connect to itself.
    fn listens(&self) -> bool {
        let Ok(stream) = TcpStream::connect(self.address()) else { return false };
        !matches!((stream.local_addr(), stream.peer_addr()), (Ok(from), Ok(to)) if from == to)
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its resident memory in bytes.
    pub(crate) fn resident(&self) -> Result<f64, Failure> {
        self.status("VmRSS:")
    }

    /// The peak of its memory since the start, or since [`forget_peak`](Process::forget_peak), in bytes.
    pub(crate) fn peak(&self) -> Result<f64, Failure> {
        self.status("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) -> Result<(), Failure> {
        Ok(std::fs::write(self.place().join("clear_refs"), "5")?)
    }

    /// Its processor time in seconds.
    pub(crate) fn processor_time(&self) -> Result<f64, Failure> {
        let text = std::fs::read_to_string(self.place().join("stat"))?;
        // The name in parentheses can contain anything. Numbers follow it. User and system time are fields 14 and 15.
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok());
        let used = ticks(11).zip(ticks(12)).ok_or("the processor time of a process cannot be read")?;
        Ok((used.0 + used.1) / TICKS_PER_SECOND)
    }

    fn status(&self, key: &str) -> Result<f64, Failure> {
        let text = std::fs::read_to_string(self.place().join("status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kibibytes.ok_or_else(|| format!("{key} of a process cannot be read"))? * 1024.0)
    }

    fn place(&self) -> std::path::PathBuf {
        Path::new("/proc").join(self.id.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        ending::kill(self.id);
    }
}

fn ourselves(role: &Role) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(VARIABLE, serde_json::to_string(role)?);
    Ok(command)
}

/// Runs this program in a role that ends by itself. Returns its output.
pub(crate) fn printed(role: &Role) -> Result<String, Failure> {
    let mut command = ourselves(role)?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let (id, printed) = ending::spawn(&mut command)?;
    let mut text = String::new();
    let read = printed.map(|mut printed| printed.read_to_string(&mut text)).transpose();
    ending::kill(id);
    read?;
    Ok(text)
}

/// Processor time of the whole machine since boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    busy: f64,
    idle: f64,
}

impl Machine {
    pub(crate) fn now() -> Result<Machine, Failure> {
        Machine::parse(&std::fs::read_to_string("/proc/stat")?).ok_or_else(|| "/proc/stat cannot be read".into())
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal.
    fn parse(text: &str) -> Option<Machine> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks = line.split_whitespace().take(8).map(str::parse).collect::<Result<Vec<f64>, _>>().ok()?;
        let [user, nice, system, idle, waiting, hard, soft, taken] = ticks[..] else { return None };
        Some(Machine { busy: user + nice + system + hard + soft + taken, idle: idle + waiting })
    }

    /// The busy and the total processor time since then. The unit does not matter, because only shares are used.
    pub(crate) fn since(self, before: Machine) -> (f64, f64) {
        let busy = self.busy - before.busy;
        (busy, busy + self.idle - before.idle)
    }
}

/// A description of the machine in one line.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned()
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let gigabytes = memory.split(' ').next().and_then(|kibibytes| kibibytes.parse::<f64>().ok()).unwrap_or(f64::NAN);
    format!(
        "The machine: {} processors ({}), {:.0} GB of memory; Linux {}.",
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        field(&read("/proc/cpuinfo"), "model name"),
        gigabytes * 1024.0 / 1e9,
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// A port that is free now.
pub(crate) fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Prepares running this program, with its environment, under another one that takes the command as arguments.
pub(crate) fn under(mut other: Command, command: &Command) -> Command {
    other.arg(command.get_program());
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    other
}

/// The function that everything calls.
pub(crate) fn echo() -> Result<Process, Failure> {
    let port = free_port()?;
    Process::start(&Role::Echo { port }, port, &[])
}

/// A flow with this number of synchronous calls of a function. It reaches the function as if through a gateway. All
/// other settings have their defaults. Signing does not matter in a flow with one phase.
pub(crate) fn sync_flow(calls: usize, function: &Process, settings: &[(&str, &str)]) -> Result<Process, Failure> {
    let (command, port) = sync_flow_command(calls, function, settings)?;
    Process::run(command, port)
}

/// The command that starts it, and the port that it will listen on.
pub(crate) fn sync_flow_command(
    calls: usize,
    function: &Process,
    settings: &[(&str, &str)],
) -> Result<(Command, u16), Failure> {
    flow_command(&Role::Flow { calls, sync: true }, function, settings)
}

fn flow_command(role: &Role, function: &Process, settings: &[(&str, &str)]) -> Result<(Command, u16), Failure> {
    let port = free_port()?;
    let mut all = vec![
        ("workflow_name", "bench".to_owned()),
        ("host", Ipv4Addr::LOCALHOST.to_string()),
        ("port", port.to_string()),
        ("gateway", function.address().to_string()),
    ];
    all.extend(settings.iter().map(|&(name, value)| (name, value.to_owned())));
    let mut command = ourselves(role)?;
    command.envs(all);
    Ok((command, port))
}

/// A flow with this number of synchronous branches, each of which is one call of a function.
pub(crate) fn parallel_flow(
    branches: usize,
    function: &Process,
    settings: &[(&str, &str)],
) -> Result<Process, Failure> {
    let (command, port) = flow_command(&Role::Parallel { branches }, function, settings)?;
    Process::run(command, port)
}

/// The same branches by hand.
pub(crate) fn parallel_by_hand(branches: usize, function: &Process) -> Result<Process, Failure> {
    let port = free_port()?;
    Process::run(ourselves(&Role::ParallelByHand { port, branches, function_port: function.port() })?, port)
}

/// The same chain by hand.
pub(crate) fn by_hand(calls: usize, function: &Process, bare: bool) -> Result<Process, Failure> {
    let (command, port) = by_hand_command(calls, function, bare)?;
    Process::run(command, port)
}

/// The command that starts it, and the port that it will listen on.
pub(crate) fn by_hand_command(calls: usize, function: &Process, bare: bool) -> Result<(Command, u16), Failure> {
    let port = free_port()?;
    Ok((ourselves(&Role::ByHand { port, calls, function_port: function.port(), bare })?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_the_disk_is_not_busy() {
        let before = Machine::parse("cpu  10 0 10 100 50 0 0 0 0 0\ncpu0 1\n").unwrap();
        let after = Machine::parse("cpu  40 0 20 130 80 5 5 10 7 0\n").unwrap();
        assert_eq!(after.since(before), (60.0, 120.0));
        assert!(Machine::parse("cpu  1 2 3\n").is_none());
    }
}
