//! A call through the local gateway, compared with the call itself, with a bare proxy, and with OpenFaaS's gateway.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use faasflow_benches_deployed::CALLED;

use crate::ending::Folder;
use crate::load::Target;
use crate::process::{Process, echo, free_port};
use crate::role::Role;
use crate::rounds::{Arm, Figures, Rounds, interleave, median_ratio};
use crate::stats::noise;
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale, block_on};

/// The arm that the others are compared with: the call itself.
const FLOOR: usize = 0;
/// The fixed ports of OpenFaaS's gateway, for calls and for its metrics.
const OPENFAAS: [u16; 2] = [8080, 8082];

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let rounds = Rounds::new(scale, (7, 300), (15, 400));
    let clients: &[usize] = if scale.quick { &[1, 8] } else { &[1, 8, 32] };
    let folder = Folder::new()?;
    let echo = echo()?;
    let port = free_port()?;
    let functions = vec![(CALLED.to_owned(), echo.port())];
    let role = Role::Gateway { port, folder: folder.path().to_owned(), functions };
    let ours = Process::start(&role, port, &[])?;
    let port = free_port()?;
    let bare = Process::start(&Role::BareProxy { port, function_port: echo.port() }, port, &[])?;
    let theirs = openfaas(&echo);
    let path = format!("/function/{CALLED}");
    let heads: Vec<&str> = ["clients", "call"].into_iter().chain(Figures::HEADS).collect();
    let mut table = Table::new(&heads);
    let (mut rows, mut spreads) = (Vec::new(), Vec::new());
    let (mut ours_least, mut bare_least) = (OverOpenFaas::default(), OverOpenFaas::default());
    for &clients in clients {
        let mut arms = vec![
            Arm::new("direct", &echo, Target::new(echo.address(), &path, 32)),
            Arm::new("local gateway", &ours, Target::new(ours.address(), &path, 32)),
            Arm::new("bare hyper proxy", &bare, Target::new(bare.address(), &path, 32)),
        ];
        if let Ok(theirs) = &theirs {
            arms.push(Arm::new("OpenFaaS's gateway", theirs, Target::new(theirs.address(), &path, 32)));
        }
        let figures = interleave(&mut arms, FLOOR, clients, rounds).await?;
        for (arm, figures) in arms.iter().zip(&figures) {
            table.lines.push([vec![clients.to_string(), arm.name.to_owned()], figures.cells()].concat());
            spreads.push(figures.spread);
        }
        let floor = &figures[FLOOR];
        for (name, figures) in ["gateway", "gateway-bare-proxy", "gateway-openfaas"].iter().zip(&figures[1..]) {
            rows.extend(figures.rows(&format!("{name}-{clients}"), floor));
        }
        if let [_, ours, bare, theirs] = &arms[..] {
            ours_least.take(ours, theirs);
            bare_least.take(bare, theirs);
        }
    }
    let mut notes = vec![
        format!("{}: 32 B, {rounds}.", scale.name()),
        "The floor is the call without a gateway. cpu each is the gateway's own, and in the first line the function's."
            .to_owned(),
    ];
    match theirs {
        Ok(_) => {
            let row = |name: &str, value, floor| Row {
                name: name.to_owned(),
                value,
                unit: "x",
                floor: Some(floor),
                samples: rounds.count,
            };
            rows.push(row("gateway-rate-over-openfaas", ours_least.rate, 1.0));
            rows.push(row("gateway-p50-over-openfaas", ours_least.p50, 1.0));
            rows.push(row("gateway-bare-proxy-rate-over-openfaas", bare_least.rate, 1.0));
            rows.push(row("gateway-bare-proxy-p50-over-openfaas", bare_least.p50, 1.0));
            notes.push(format!(
                "At worst {:.2} x the requests of OpenFaaS's gateway (at least 5), and {:.2} x its p50 (at most 0.33).",
                ours_least.rate, ours_least.p50
            ));
            notes.push(format!(
                "The bare proxy, which only forwards, in the same rounds: {:.2} x the requests, {:.2} x the p50.",
                bare_least.rate, bare_least.p50
            ));
            notes.push(format!(
                "OpenFaaS's gateway is {}. The function is its provider, with nothing in between.",
                tool("gateway").as_deref().map_or_else(String::new, versioned)
            ));
        }
        Err(why) => notes.push(format!("Not measured: OpenFaaS's gateway. {why}.")),
    }
    notes.push(noise(&spreads));
    Ok(Report { title: "gateway: a call through the local gateway".to_owned(), tables: vec![table], notes, rows })
}

/// How a proxy compares with OpenFaaS's gateway, at worst.
#[derive(Clone, Copy)]
struct OverOpenFaas {
    rate: f64,
    p50: f64,
}

impl Default for OverOpenFaas {
    fn default() -> OverOpenFaas {
        OverOpenFaas { rate: f64::INFINITY, p50: 0.0 }
    }
}

impl OverOpenFaas {
    fn take(&mut self, proxy: &Arm<'_>, theirs: &Arm<'_>) {
        self.rate = self.rate.min(median_ratio(proxy.rates(), theirs.rates()));
        self.p50 = self.p50.max(median_ratio(proxy.medians(), theirs.medians()));
    }
}

/// The gateway that `cargo xtask e2e openfaas` has built, in front of the function.
fn openfaas(function: &Process) -> Result<Process, Failure> {
    let program = tool("gateway").ok_or("`cargo xtask e2e openfaas` builds it")?;
    for port in OPENFAAS {
        // Otherwise another program would be measured.
        TcpListener::bind(("0.0.0.0", port)).map_err(|error| format!("Port {port} is not available: {error}"))?;
    }
    let mut command = Command::new(program);
    command.env("functions_provider_url", format!("http://{}/", function.address())).env("direct_functions", "false");
    command.env("basic_auth", "false").env("faas_prometheus_host", "127.0.0.1").env("faas_prometheus_port", "9");
    for timeout in ["read_timeout", "write_timeout", "upstream_timeout"] {
        command.env(timeout, "60s");
    }
    Process::run(command, OPENFAAS[0])
}

/// The name of a program with its version, from the name of its folder.
fn versioned(program: &Path) -> String {
    program.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A program that `cargo xtask e2e` has built, in any version.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    let folders = std::fs::read_dir(tools).ok()?.filter_map(Result::ok);
    let mut found: Vec<PathBuf> = folders
        .filter(|folder| folder.file_name().to_string_lossy().starts_with(&format!("{name}-v")))
        .map(|folder| folder.path().join(name))
        .filter(|program| program.is_file())
        .collect();
    found.sort();
    found.pop()
}
