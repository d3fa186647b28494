//! A separate network namespace, for suites that create bridges and rules and use fixed ports. They meet nothing else
//! there, and everything disappears when the last process in the namespace ends.
//!
//! [`Apart::enter`] moves the calling thread and all threads and processes that it starts later, so `main` calls it
//! before it starts the suite's runtime. Programs in the namespace can only reach each other. There are two ways out:
//! [`Apart::outside`] starts a program on the machine's network, and a proxy for HTTPS listens on [`PROXY`] of every
//! address in the namespace.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Command as BlockingCommand;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;

/// The port of the proxy, on every address of the namespace.
pub(crate) const PROXY: u16 = 3128;
/// The largest request to the proxy, in bytes.
const HEAD: usize = 8192;

/// Returns why suites cannot run in a namespace on this machine, whatever is installed.
pub(crate) fn impossible() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("network namespaces and containers need Linux".to_owned());
    }
    // SAFETY: geteuid takes nothing and cannot fail.
    #[allow(unsafe_code, reason = "the standard library does not tell the user")]
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        return Some("namespaces, bridges and a Docker engine need root: run it as root".to_owned());
    }
    if !Path::new("/sys/fs/cgroup/memory").exists() && !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Some("containers need cgroups, and none are mounted at /sys/fs/cgroup".to_owned());
    }
    None
}

/// Returns which kernel features for containers are missing. Needs the programs of iproute2 and iptables.
pub(crate) fn unsupported() -> Option<String> {
    let needs = [
        ("namespaces for network and mounts", "true"),
        ("bridges", "ip link add name try0 type bridge"),
        ("pairs of virtual network devices", "ip link add name try1 type veth peer name try2"),
        ("address translation by iptables", "iptables -t nat -n -L"),
    ];
    for (what, line) in needs {
        // Each is tried in a namespace that exists only for the trial.
        match BlockingCommand::new("unshare").args(["--net", "--mount", "sh", "-c", line]).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Some(format!("this machine has no {what} (`{line}`: {why})"));
            }
            Err(error) => return Some(format!("`unshare` of util-linux cannot be run: {error}")),
        }
    }
    None
}

/// Proof that this process is in its own namespace. Clones stand for the same namespace.
#[derive(Clone)]
pub(crate) struct Apart {
    machine: Arc<File>,
}

impl Apart {
    /// Moves the calling thread, and everything that it starts from now on, into a new namespace with a loopback device
    /// and the proxy.
    ///
    /// # Errors
    ///
    /// If the kernel refuses, or nothing can listen there.
    pub(crate) fn enter() -> Result<Apart, String> {
        let machine = File::open("/proc/thread-self/ns/net").map_err(|error| error.to_string())?;
        // This thread starts before the move, so it and everything that it starts stay outside.
        let (listening, listener) = mpsc::channel();
        std::thread::spawn(move || {
            if let Ok(listener) = listener.recv() {
                serve_proxy(listener);
            }
        });
        // SAFETY: unshare takes a flag and touches no memory.
        #[allow(unsafe_code, reason = "the standard library knows no namespaces")]
        let moved = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        if moved != 0 {
            return Err(format!("no network namespace can be had: {}", std::io::Error::last_os_error()));
        }
        let status = BlockingCommand::new("ip").args(["link", "set", "lo", "up"]).status();
        if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
            return Err(format!("`ip link set lo up` in the namespace: {status:?}"));
        }
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PROXY)).map_err(|error| error.to_string())?;
        listener.set_nonblocking(true).map_err(|error| error.to_string())?;
        let _ = listening.send(listener);
        Ok(Apart { machine: Arc::new(machine) })
    }

    /// A command that runs on the machine's network, in its own mount namespace.
    pub(crate) fn outside(&self, program: &str) -> Command {
        let machine = format!("--net=/proc/{}/fd/{}", std::process::id(), self.machine.as_raw_fd());
        let mut command = Command::new("nsenter");
        command.args([&machine, "unshare", "--mount", "--propagation", "private", program]).kill_on_drop(true);
        command
    }
}

/// Serves `CONNECT` until the process ends.
fn serve_proxy(listener: TcpListener) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        let mut tunnels = JoinSet::new();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tunnels.spawn(tunnel(stream))),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            while tunnels.try_join_next().is_some() {}
        }
    });
}

/// One connection through the proxy. It leads to port 443 of any host. Builds need no other port.
async fn tunnel(mut inside: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD {
            return Ok(());
        }
        head.push(inside.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split_once(' ')).map(|(target, _)| target);
    let Some(target) = target.filter(|target| target.ends_with(":443")) else {
        return inside.write_all(b"HTTP/1.1 403 CONNECT to port 443 only\r\ncontent-length: 0\r\n\r\n").await;
    };
    match TcpStream::connect(target).await {
        Ok(mut outside) => {
            inside.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
            tokio::io::copy_bidirectional(&mut inside, &mut outside).await.map(drop)
        }
        Err(error) => {
            let answer = format!("HTTP/1.1 502 {target} cannot be reached: {error}\r\ncontent-length: 0\r\n\r\n");
            inside.write_all(answer.as_bytes()).await
        }
    }
}
