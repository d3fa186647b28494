//! The time from starting the process to its first answer, its idle memory, and the size of the program.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use faasflow_benches_deployed::CALLED;
use serde::{Deserialize, Serialize};

use crate::process::{Process, echo, free_port, printed};
use crate::role::Role;
use crate::stats::{median, noise, percent, percentile, spread};
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale};

/// How long a process may take until it answers.
const LIMIT: Duration = Duration::from_secs(20);

/// The programs as they would be deployed. `cargo xtask bench` builds them.
struct Programs {
    folder: PathBuf,
    /// The prefix of the rows with their sizes. The bound does not apply to programs that are not static.
    row: &'static str,
    kind: String,
}

impl Programs {
    fn find(scale: Scale) -> Result<Programs, Failure> {
        let own = std::env::current_exe()?;
        let beside = own.parent().ok_or("the program has no folder")?;
        let programs = match scale.fixed {
            Ok(folder) => Programs {
                folder: folder.to_owned(),
                row: "program-mb",
                kind: "The programs: stripped static binaries.".to_owned(),
            },
            Err(why) => Programs {
                folder: beside.to_owned(),
                row: "program-dynamic-mb",
                kind: format!("The programs: dynamic, with their symbols. Not measured: the static program. {why}."),
            },
        };
        if programs.folder.join("flow").is_file() && programs.folder.join("by-hand").is_file() {
            return Ok(programs);
        }
        Err("the programs to start are not built: run `cargo xtask bench`, which builds them".into())
    }
}

/// The results of a program's starts.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Arm {
    start_ms: Vec<f64>,
    idle_mb: Vec<f64>,
}

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    let count = if scale.quick { 25 } else { 200 };
    let programs = Programs::find(scale)?;
    let echo = echo()?;
    // Another process with very little memory starts the programs. Forking this process, after other tables, would take
    // milliseconds.
    let role = Role::Starter { folder: programs.folder.clone(), function_port: echo.port(), count };
    let started: Result<[Arm; 2], String> = serde_json::from_str(&printed(&role)?)
        .map_err(|error| format!("the process that starts the programs gave no results: {error}"))?;
    let [mut flow, mut by_hand] = started?;
    let size =
        |name: &str| -> Result<f64, Failure> { Ok(std::fs::metadata(programs.folder.join(name))?.len() as f64 / 1e6) };
    let sizes = (size("flow")?, size("by-hand")?);
    let mut table = Table::new(&["program", "to the first 200, p50", "p99", "idle RSS", "size", "spread"]);
    let mut spreads = Vec::new();
    for (name, arm, size) in [("flow", &mut flow, sizes.0), ("by hand: axum", &mut by_hand, sizes.1)] {
        let apart = spread(&arm.start_ms);
        spreads.push(apart);
        table.lines.push(vec![
            name.to_owned(),
            format!("{:.1} ms", median(&mut arm.start_ms)),
            format!("{:.1} ms", percentile(&mut arm.start_ms, 0.99)),
            format!("{:.1} MB", median(&mut arm.idle_mb)),
            format!("{size:.1} MB"),
            percent(apart),
        ]);
    }
    let row =
        |name: &str, value, unit, floor| Row { name: name.to_owned(), value, unit, floor: Some(floor), samples: count };
    let rows = vec![
        row("cold-start-ms", median(&mut flow.start_ms), "ms", median(&mut by_hand.start_ms)),
        row("cold-start-p99-ms", percentile(&mut flow.start_ms, 0.99), "ms", percentile(&mut by_hand.start_ms, 0.99)),
        row("idle-rss-mb", median(&mut flow.idle_mb), "MB", median(&mut by_hand.idle_mb)),
        Row { samples: 1, ..row(programs.row, sizes.0, "MB", sizes.1) },
    ];
    let notes = vec![
        format!("{}: {count} starts of each, in turn.", scale.name()),
        "To the first 200: until the answer to a request that makes a call.".to_owned(),
        programs.kind,
        "At most: 10 ms, 10 MB, 8 MB. The flow contains the state managers for S3 and Redis, as by default.".to_owned(),
        noise(&spreads),
    ];
    Ok(Report { title: "start: start and size".to_owned(), tables: vec![table], notes, rows })
}

/// Starts the flow and the chain by hand in turn, this many times each.
pub(crate) fn start_all(folder: &Path, function: SocketAddr, count: usize) -> Result<[Arm; 2], Failure> {
    let mut arms = [Arm::default(), Arm::default()];
    for round in 0..=count {
        for turn in [round, round + 1] {
            let port = free_port()?;
            let command = match turn % 2 {
                0 => flow_command(folder, port, function),
                _ => by_hand_command(folder, port, function),
            };
            let (start, idle) = once(command, port)?;
            // The first start reads the program from disk.
            if round > 0 {
                arms[turn % 2].start_ms.push(start.as_secs_f64() * 1e3);
                arms[turn % 2].idle_mb.push(idle / 1e6);
            }
        }
    }
    Ok(arms)
}

fn flow_command(folder: &Path, port: u16, function: SocketAddr) -> Command {
    let mut command = Command::new(folder.join("flow"));
    command
        .env("workflow_name", "bench")
        .env("host", Ipv4Addr::LOCALHOST.to_string())
        .env("port", port.to_string())
        .env("gateway", function.to_string());
    command
}

fn by_hand_command(folder: &Path, port: u16, function: SocketAddr) -> Command {
    let mut command = Command::new(folder.join("by-hand"));
    command.args([port.to_string(), format!("http://{function}/function/{CALLED}")]);
    command
}

/// How long it took until the answer, and the memory after that.
fn once(command: Command, port: u16) -> Result<(Duration, f64), Failure> {
    let begun = Instant::now();
    let process = Process::spawn(command, port)?;
    let address = process.address();
    while !answers(address) {
        if begun.elapsed() > LIMIT {
            return Err(format!("the program does not answer after {LIMIT:?}").into());
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    let start = begun.elapsed();
    // Wait until it is idle.
    std::thread::sleep(Duration::from_millis(20));
    Ok((start, process.resident()?))
}

fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        // If nobody listens, the port may connect to itself.
        if stream.local_addr()? == stream.peer_addr()? {
            return Ok(false);
        }
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hi"))
    };
    ask().unwrap_or(false)
}
