//! A fork of two branches and their join, beside the hops and writes that they need.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow::GatewayStore;
use faasflow_core::state::{Condition, Scope, StateManager as _};
use futures_util::future::try_join_all;

use crate::async_flow::{Piece, Pieces, Stand};
use crate::parallel::{joined, json_text};
use crate::role::Role;
use crate::rounds::Rounds;
use crate::stats::{median, noise, percent, spread};
use crate::table::{Report, Row, Table, bytes};
use crate::{Failure, Scale, block_on};

/// The flows, which remember their requests or not. The bound is that of the first.
const FLOWS: [(&str, bool); 2] = [("join", false), ("join-recorded", true)];
const BRANCHES: usize = 2;
/// The approximate size of a record that the store keeps, without its output, in bytes.
const RECORD: usize = 150;

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

/// A part of the floor: what it is, how many happen at once, and how often one follows the other.
struct Part {
    name: &'static str,
    what: What,
    at_once: usize,
    times: f64,
}

enum What {
    Piece(Piece),
    Write,
}

const fn part(name: &'static str, what: What, at_once: usize, times: f64) -> Part {
    Part { name, what, at_once, times }
}

/// The work that is unavoidable between the request and the callback.
///
/// - The request goes through the gateway, which takes as long as a call.
/// - The fork writes its members. An exchange takes each of the two envelopes to the queue, which writes it, and another exchange
///   takes it to the flow.
/// - The branches make two calls and write both results.
/// - The join writes a claim, sends one envelope in the same way, and writes its result and the end of the request. The callback is
///   an exchange.
const PARTS: [Part; 8] = [
    part("request", What::Piece(Piece::Call), 1, 1.0),
    part("4 x write", What::Write, 1, 4.0),
    part("2 x 2 exchanges", What::Piece(Piece::Exchange), BRANCHES, 2.0),
    part("2 enqueues", What::Piece(Piece::Enqueue), BRANCHES, 1.0),
    part("2 calls", What::Piece(Piece::Call), BRANCHES, 1.0),
    part("2 writes", What::Write, BRANCHES, 1.0),
    part("enqueue", What::Piece(Piece::Enqueue), 1, 1.0),
    part("3 x exchange", What::Piece(Piece::Exchange), 1, 3.0),
];

async fn run(scale: Scale) -> Result<Report, Failure> {
    let rounds = Rounds::new(scale, (9, 200), (15, 700));
    let bodies: &[usize] = if scale.quick { &[32] } else { &[32, 10_000] };
    let role = |(name, records): (&str, bool)| (name.to_owned(), Role::Joined { branches: BRANCHES, records });
    let stand = Stand::with(FLOWS.map(role).into()).await?;
    let heads: Vec<&str> = ["records", "body", "p50", "of floor", "floor"]
        .into_iter()
        .chain(PARTS.iter().map(|part| part.name))
        .chain(["spread"])
        .collect();
    let mut table = Table::new(&heads);
    let (mut rows, mut spreads, mut worst) = (Vec::new(), Vec::new(), 0.0_f64);
    let cases = FLOWS.iter().flat_map(|flow| bodies.iter().map(move |&body| (*flow, body)));
    for ((name, records), body) in cases {
        let measured = measure_body(&stand, name, body, rounds).await?;
        let us = |value: f64| format!("{value:.0} us");
        let with = if records { "on" } else { "off" };
        let mut line = vec![
            with.to_owned(),
            bytes(body),
            us(measured.p50),
            format!("{:.2} x", measured.ratio),
            us(measured.floor),
        ];
        line.extend(measured.parts.iter().zip(&PARTS).map(|(value, part)| us(value * part.times)));
        line.push(percent(measured.spread));
        table.lines.push(line);
        spreads.push(measured.spread);
        if !records {
            worst = worst.max(measured.ratio);
        }
        let mut row = |what: &str, value, unit, floor| {
            rows.push(Row { name: format!("{name}-{body}b-{what}"), value, unit, floor, samples: rounds.count });
        };
        row("p50", measured.p50, "us", Some(measured.floor));
        row("ratio", measured.ratio, "x", Some(1.0));
        row("write", measured.parts[1], "us", None);
    }
    stand.stop().await;
    rows.push(Row { name: "join-ratio".to_owned(), value: worst, unit: "x", floor: Some(1.0), samples: rounds.count });
    let notes = vec![
        format!("{}: {rounds}. One client.", scale.name()),
        "p50: from the request to the callback of a flow that forks into two asynchronous branches, each of which is one call, and joins".to_owned(),
        "them. The floor is the sum of what it cannot do without, each measured alone: a request through the gateway; for the fork, its".to_owned(),
        "members in the store, and two envelopes on their way through the queue; two calls and their results in the store; the claim, the".to_owned(),
        "envelope of the join, its result and the end of the request in the store, and the callback. What happens at the same time in both".to_owned(),
        "branches is measured twice at once. A write is a value created in the gateway's store through its API. Reads are not in the floor, and".to_owned(),
        "neither is what is recorded of a request besides: its beginning and its place on the list, which `records=off` leaves out.".to_owned(),
        format!("Without records, at worst {worst:.2} x the floor (at most 1.3)."),
        noise(&spreads),
    ];
    Ok(Report { title: "join: a fork of two branches, and their join".to_owned(), tables: vec![table], notes, rows })
}

/// Medians over the rounds, in microseconds.
struct JoinResults {
    p50: f64,
    floor: f64,
    ratio: f64,
    parts: [f64; PARTS.len()],
    spread: f64,
}

async fn measure_body(stand: &Stand, flow: &str, body: usize, rounds: Rounds) -> Result<JoinResults, Failure> {
    let target = stand.target(flow, json_text(body)).answered_with(joined(BRANCHES, body));
    let pieces = Pieces::new(stand, body).await?;
    let writes = Writes::new(stand, flow, body).await?;
    let (mut p50s, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut parts: [Vec<f64>; PARTS.len()] = Default::default();
    for round in 0..=rounds.count {
        let (mut p50, mut alone) = (f64::NAN, [f64::NAN; PARTS.len()]);
        for turn in 0..=PARTS.len() {
            let arm = (round + turn) % (PARTS.len() + 1);
            let Some(part) = PARTS.get(arm) else {
                p50 = median(&mut stand.load_of(&target, 1, rounds.slice).await?.latencies_us);
                continue;
            };
            let length = rounds.slice / 4;
            alone[arm] = median(&mut match part.what {
                What::Piece(piece) => pieces.at_once(piece, part.at_once, length).await?,
                What::Write => writes.at_once(part.at_once, length).await?,
            });
        }
        // The first round does not count, because files grow and caches fill.
        if round == 0 {
            continue;
        }
        let floor: f64 = alone.iter().zip(&PARTS).map(|(value, part)| value * part.times).sum();
        p50s.push(p50);
        floors.push(floor);
        ratios.push(p50 / floor);
        parts.iter_mut().zip(alone).for_each(|(all, alone)| all.push(alone));
    }
    let spread = spread(&p50s);
    Ok(JoinResults {
        p50: median(&mut p50s),
        floor: median(&mut floors),
        ratio: median(&mut ratios),
        parts: parts.map(|mut part| median(&mut part)),
        spread,
    })
}

/// Creates values in the gateway's store.
pub(crate) struct Writes {
    store: GatewayStore,
    value: Bytes,
    next: AtomicU64,
}

impl Writes {
    pub(crate) async fn new(stand: &Stand, flow: &str, body: usize) -> Result<Writes, Failure> {
        let url = format!("http://{}", stand.gateway());
        let store = GatewayStore::builder(url, stand.token(flow).await?).build()?;
        Ok(Writes { store, value: vec![b'x'; body + RECORD].into(), next: AtomicU64::new(0) })
    }

    /// Creates values for a while, several at once. Returns how long all of them took each time, in microseconds.
    pub(crate) async fn at_once(&self, count: usize, length: Duration) -> Result<Vec<f64>, Failure> {
        let request = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let scope = Scope { flow: "alone".to_owned(), request };
        let begun = Instant::now();
        let mut took_us = Vec::new();
        while begun.elapsed() < length {
            let first = took_us.len() * count;
            let start = Instant::now();
            try_join_all((first..first + count).map(|key| self.create(&scope, key))).await?;
            took_us.push(start.elapsed().as_secs_f64() * 1e6);
        }
        self.store.end_request(&scope, Duration::ZERO).await?;
        Ok(took_us)
    }

    async fn create(&self, scope: &Scope, key: usize) -> Result<(), Failure> {
        let key = format!("member/0/{key}");
        let created = self.store.set_if(scope, &key, self.value.clone(), Condition::Absent).await?;
        created.map(drop).ok_or_else(|| format!("{key} is in the store already").into())
    }
}
