//! The number of instructions per request in the process that makes the calls. Other processes cannot disturb this
//! figure.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::Command;

use faasflow_core::headers;

use crate::ending::{Folder, die_with_us};
use crate::load::{Connection, Target};
use crate::process::{Process, by_hand_command, echo, sync_flow_command, under};
use crate::table::{Report, Row, Table};
use crate::tracing_cost::SAMPLED;
use crate::{Failure, Scale, block_on};

/// The number of uncounted requests before the counted ones, which make connections and other things that are made only
/// once.
const BEFORE: usize = 100;
/// The number of calls in the longer chain.
const MANY: usize = 10;
/// The arms that are analysed by part.
const BY_HAND: usize = 0;
const FLOW: usize = 2;

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let title = "instructions: the instructions of a request".to_owned();
    if Command::new("valgrind").arg("--version").output().is_err() {
        let notes =
            vec!["Not measured: `valgrind` is not installed; Debian has it in a package of that name.".to_owned()];
        return Ok(Report { title, tables: Vec::new(), notes, rows: Vec::new() });
    }
    let (few, requests) = if scale.quick { (10, 200) } else { (1, 1000) };
    let (function, traces) = (echo()?, echo()?);
    let traces = format!("http://{}", traces.address());
    let traced = [("enable_tracing", "true"), ("trace_server", &traces)];
    let mut table = Table::new(&["calls", "arm", "a request", "a call more", "of floor"]);
    let mut rows = Vec::new();
    let mut fewest: Vec<Counts> = Vec::new();
    let mut most: Vec<Counts> = Vec::new();
    for calls in if few < MANY { vec![few, MANY] } else { vec![MANY] } {
        let arms = [
            ("by hand: axum", "by-hand-axum", by_hand_command(calls, &function, false)?),
            ("by hand: hyper", "by-hand-hyper", by_hand_command(calls, &function, true)?),
            ("flow", "flow", sync_flow_command(calls, &function, &[])?),
            ("flow, no log", "flow-no-log", sync_flow_command(calls, &function, &[("RUST_LOG", "off")])?),
            ("flow, traced", "flow-traced", sync_flow_command(calls, &function, &traced)?),
        ];
        let mut floor = None;
        for (at, (name, slug, (command, port))) in arms.into_iter().enumerate() {
            let counts = counted(&command, port, requests).await?;
            let each = counts.total;
            let floor = *floor.get_or_insert(each);
            let more = fewest.get(at).map(|fewer| (each - fewer.total) / (calls - few) as f64);
            table.lines.push(vec![
                calls.to_string(),
                name.to_owned(),
                thousands(each),
                more.map_or_else(|| "-".to_owned(), thousands),
                format!("{:.3} x", each / floor),
            ]);
            let row = |name, value, floor| Row { name, value, unit: "instructions", floor, samples: requests };
            rows.push(row(format!("instructions-{slug}-{calls}"), each, Some(floor)));
            if calls == few && few < MANY {
                fewest.push(counts);
            } else {
                most.push(counts);
            }
        }
    }
    let notes = vec![
        format!(
            "{}: {requests} requests of 32 B, one after the other, after {BEFORE} uncounted ones.",
            scale.name()
        ),
        "Counted by callgrind in the process that makes the calls, without the kernel's work."
            .to_owned(),
        "The floor is `by hand: axum`, which has no log.".to_owned(),
        "Where: by the crate of the function that they are in, as far as it is one: what is compiled into its caller is its \
         caller's."
            .to_owned(),
    ];
    Ok(Report { title, tables: vec![table, parts(&fewest, &most)], notes, rows })
}

/// Where the instructions of a request with ten calls are spent, and those of each additional call, in the flow and by
/// hand.
fn parts(fewest: &[Counts], most: &[Counts]) -> Table {
    let mut table = Table::new(&["where", "flow", "by hand: axum", "a call more: flow", "by hand: axum"]);
    let of =
        |arms: &[Counts], arm: usize, part: &str| arms.get(arm).map(|arm| arm.parts.get(part).copied().unwrap_or(0.0));
    let names: BTreeSet<&str> =
        [FLOW, BY_HAND].iter().filter_map(|&arm| most.get(arm)).flat_map(|arm| arm.parts.keys()).copied().collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by(|one, other| of(most, FLOW, other).partial_cmp(&of(most, FLOW, one)).unwrap_or(Ordering::Equal));
    for part in names {
        let all = |arm| of(most, arm, part).map_or_else(|| "-".to_owned(), thousands);
        let more = |arm| match (of(most, arm, part), of(fewest, arm, part)) {
            (Some(many), Some(few)) => thousands((many - few) / (MANY - 1) as f64),
            _ => "-".to_owned(),
        };
        table.lines.push(vec![part.to_owned(), all(FLOW), all(BY_HAND), more(FLOW), more(BY_HAND)]);
    }
    table
}

/// The part of the work that a function belongs to, by its name.
fn part(function: &str) -> &'static str {
    // The first match counts.
    const PARTS: [(&str, &str); 29] = [
        ("runtime::log", "the flow's log"),
        ("faasflow", "the chain itself"),
        ("hyper_util::client", "the client's pool"),
        ("SipHasher", "the client's pool"),
        ("sip::Hasher", "the client's pool"),
        ("hash_one", "the client's pool"),
        ("hyper", "HTTP/1"),
        ("httparse", "HTTP/1"),
        ("header", "headers and URLs"),
        ("http::", "headers and URLs"),
        ("axum", "router"),
        ("tower", "router"),
        ("matchit", "router"),
        ("tokio::runtime::time", "timers"),
        ("tokio::time", "timers"),
        ("imespec", "timers"),
        ("clock_gettime", "timers"),
        ("tokio", "tasks and sockets"),
        ("mio::", "tasks and sockets"),
        ("epoll", "tasks and sockets"),
        ("mi_", "memory"),
        ("mem", "copies"),
        ("fmt", "texts"),
        ("pad_integral", "texts"),
        ("write_str", "texts"),
        ("alloc", "memory"),
        ("free", "memory"),
        ("bytes::", "memory"),
        ("prometheus", "metrics"),
    ];
    PARTS.iter().find(|(of, _)| function.contains(of)).map_or("others", |&(_, part)| part)
}

/// The number of instructions of this many requests.
async fn counted(command: &Command, port: u16, requests: usize) -> Result<Counts, Failure> {
    let folder = Folder::new()?;
    let out = folder.path().join("counts");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", out.display()));
    let process = Process::run(under(valgrind, command), port)?;
    let target = Target::new(process.address(), "/", 32).header(headers::TRACEPARENT, SAMPLED);
    let mut connection = Connection::open(process.address()).await?;
    for _ in 0..BEFORE {
        connection.ask(&target).await?;
    }
    control(&process, "--zero")?;
    for _ in 0..requests {
        connection.ask(&target).await?;
    }
    control(&process, "--dump")?;
    let file = out.with_extension("1");
    let text =
        std::fs::read_to_string(&file).map_err(|error| format!("callgrind wrote no {}: {error}", file.display()))?;
    let counts = Counts::read(&text).ok_or_else(|| format!("callgrind says no total in {}", file.display()))?;
    Ok(counts.each(requests))
}

fn control(process: &Process, what: &str) -> Result<(), Failure> {
    let mut command = Command::new("callgrind_control");
    die_with_us(&mut command);
    let output = command.arg(what).arg(process.id().to_string()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("callgrind_control {what} failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// What callgrind counted.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    total: f64,
    parts: BTreeMap<&'static str, f64>,
}

impl Counts {
    /// Reads the output of callgrind: the functions, the costs of each executed line, and calls. The cost of a call is
    /// in the line after it, and is also counted in the called function.
    fn read(text: &str) -> Option<Counts> {
        let mut counts = Counts::default();
        let mut functions: HashMap<&str, &'static str> = HashMap::new();
        let (mut at, mut called) = ("others", false);
        for line in text.lines() {
            if let Some(total) = line.strip_prefix("totals: ") {
                counts.total = total.trim().parse().ok()?;
            } else if let Some(function) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
                // The name is given only at the first mention.
                let (number, name) = function.split_once(' ').unwrap_or((function, ""));
                let part = match name {
                    "" => functions.get(number).copied().unwrap_or("others"),
                    name => functions.entry(number).or_insert(part(name)),
                };
                if line.starts_with("fn=") {
                    at = part;
                }
            } else if line.starts_with("calls=") {
                called = true;
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<f64>().ok());
                if let Some(cost) = cost.filter(|_| !std::mem::take(&mut called)) {
                    *counts.parts.entry(at).or_default() += cost;
                }
            }
        }
        (counts.total > 0.0).then_some(counts)
    }

    /// Divides by the number of requests.
    fn each(self, requests: usize) -> Counts {
        let requests = requests as f64;
        let parts = self.parts.into_iter().map(|(part, count)| (part, count / requests)).collect();
        Counts { total: self.total / requests, parts }
    }
}

fn thousands(count: f64) -> String {
    format!("{:.1} k", count / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_called_function_is_counted_once() {
        let text = "events: Ir\n\nfl=(1) a.rs\nfn=(1) faasflow_runtime::caller::send\n12 30\n+1 20\ncfn=(2) malloc\ncalls=2 +3\n\
                    * 400\n\nfn=(2)\n7 400\nfn=(3) hyper::proto::h1::conn\n1 50\ntotals: 500\n";
        let counts = Counts::read(text).unwrap().each(10);
        let parts = [("HTTP/1", 5.0), ("memory", 40.0), ("the chain itself", 5.0)];
        assert_eq!(counts, Counts { total: 50.0, parts: parts.into() });
        assert_eq!(Counts::read("nothing"), None);
    }
}
