//! The parts of a hop, without a network, measured by criterion. They show what became slower, also compared with the
//! last run.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use faasflow_core::envelope::{Carried, Envelope};
use faasflow_core::signature::Keys;
use faasflow_core::state::EmbeddedState;
use faasflow_core::{Context, Payload, headers};
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::process::printed;
use crate::role::Role;
use crate::stats::percent;
use crate::table::{Report, Row, Table, bytes};
use crate::{Failure, Scale};

/// Criterion's results for a part, in nanoseconds. The change is a share.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Serialize, Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Serialize, Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// The results of a part.
#[derive(Serialize, Deserialize)]
struct PartResults {
    name: String,
    size: Option<usize>,
    reads: bool,
    ns: Estimate,
    /// The change since the last run. `None` if there was none.
    change: Option<Estimate>,
}

/// The number of samples, the warm-up time, and the total time, in milliseconds.
fn settings(quick: bool) -> (usize, u64, u64) {
    if quick { (15, 20, 150) } else { (101, 300, 2000) }
}

struct Piece<'a> {
    name: &'a str,
    /// The size of the payload, if there is one.
    size: Option<usize>,
    /// Whether the part reads the payload.
    reads: bool,
    run: Box<dyn FnMut() + 'a>,
}

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    let (samples, _, length) = settings(scale.quick);
    // In a separate process, because criterion prints its findings, and so that memory is in its initial state.
    let text = printed(&Role::Pieces { quick: scale.quick })?;
    let found: Result<Vec<PartResults>, String> = serde_json::from_str(text.lines().last().unwrap_or_default())
        .map_err(|error| format!("the process that times the pieces gave no results: {error}"))?;
    let mut table = Table::new(&["piece", "payload", "time", "95 % sure", "MB/s", "since the last run"]);
    let mut rows = Vec::new();
    for PartResults { name, size, reads, ns, change } in found? {
        let shown = size.map(bytes);
        let time_ns = ns.point_estimate;
        table.lines.push(vec![
            name.clone(),
            shown.clone().unwrap_or_else(|| "-".to_owned()),
            time(time_ns),
            format!("{} to {}", time(ns.confidence_interval.lower_bound), time(ns.confidence_interval.upper_bound)),
            size.filter(|_| reads).map_or("-".to_owned(), |size| format!("{:.0}", size as f64 * 1e3 / time_ns)),
            change.map_or("-".to_owned(), |change| since(&change)),
        ]);
        let slug = shown.map(|size| format!("-{}", size.replace(' ', "").to_lowercase())).unwrap_or_default();
        let name = format!("piece-{}{slug}", name.replace(' ', "-"));
        rows.push(Row { name, value: time_ns, unit: "ns", floor: None, samples });
    }
    let notes = vec![
        format!("{}: by criterion; medians of {samples} samples, about {length} ms in all, one piece after the other.", scale.name()),
        "They have no floor. encode and decode share the payload and do not read it, so they have no MB/s. read bytes: a CRC-32 of".to_owned(),
        "the envelope, for comparison.".to_owned(),
        format!("Since the last run: the change of the median since the previous {} run, if criterion is 95 % sure that there is one.", scale.name()),
        "Noise: criterion is 95 % sure that the median is within these limits.".to_owned(),
    ];
    Ok(Report { title: "pieces: what a hop is made of".to_owned(), tables: vec![table], notes, rows })
}

/// Times all parts, and prints the results as the last line.
pub(crate) fn time_all(quick: bool) -> Result<(), Failure> {
    let found = all(quick).map_err(|error| error.to_string());
    println!("\n{}", serde_json::to_string(&found)?);
    Ok(())
}

fn all(quick: bool) -> Result<Vec<PartResults>, Failure> {
    let (samples, warm_up, length) = settings(quick);
    // Next to the program, where cargo keeps its results too, so that they can be compared with those of the last run.
    let program = std::env::current_exe()?;
    let folder = program.ancestors().nth(2).ok_or("the program is in no folder")?;
    let folder = folder.join("criterion").join(if quick { "quick" } else { "full" });
    let mut criterion = Criterion::default()
        .without_plots()
        .output_directory(&folder)
        .sample_size(samples)
        .warm_up_time(Duration::from_millis(warm_up))
        .measurement_time(Duration::from_millis(length));

    let keys = Keys::parse("0123456789abcdef0123456789abcdef")?;
    let envelopes = [1000, 10_000_000].map(|size| Ok::<_, Failure>((size, envelope(size)?)));
    let envelopes = envelopes.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut pieces = Vec::new();
    for (name, calls) in [("plan of 10", 10), ("plan of 1000", 1000)] {
        let build = move || drop(black_box(faasflow_benches_deployed::flow(black_box(calls), false)));
        pieces.push(Piece { name, size: None, reads: false, run: Box::new(build) });
    }
    for (size, envelope) in &envelopes {
        let encoded = envelope.encode();
        let whole = encoded.to_bytes();
        let signature = keys.sign([&whole[..]]);
        let (keys, read) = (&keys, whole.clone());
        let mut piece = |name, reads, run| pieces.push(Piece { name, size: Some(*size), reads, run });
        // A checksum costs about as much as reading the bytes.
        piece(
            "read bytes",
            true,
            Box::new(move || _ = black_box(crc32fast::hash(black_box(&read)))) as Box<dyn FnMut()>,
        );
        // These two share the payload, whatever its size.
        piece("encode", false, Box::new(move || drop(black_box(black_box(envelope).encode()))));
        let read = whole.clone();
        piece("decode", false, Box::new(move || drop(black_box(Envelope::decode(black_box(&read))))));
        let sign = move || drop(black_box(keys.sign(encoded.parts().iter().map(|part| &part[..]))));
        piece("sign", true, Box::new(sign));
        let verify = move || _ = black_box(keys.verify(Some(signature.as_bytes()), black_box(&whole)));
        piece("verify", true, Box::new(verify));
    }

    let mut found = Vec::new();
    for Piece { name, size, reads, mut run } in pieces {
        let shown = size.map(bytes);
        let id = match &shown {
            Some(size) => BenchmarkId::new(name, size),
            None => BenchmarkId::from_parameter(name),
        };
        let mut group = criterion.benchmark_group("pieces");
        if let Some(size) = size.filter(|_| reads) {
            group.throughput(Throughput::Bytes(size as u64));
        }
        group.bench_function(id, |bencher| bencher.iter(&mut run));
        group.finish();
        let folder = shown.iter().fold(folder.join("pieces").join(name), |folder, size| folder.join(size));
        let ns = read(&folder.join("new/estimates.json"))?.median;
        let change = read(&folder.join("change/estimates.json")).ok().map(|change| change.median);
        found.push(PartResults { name: name.to_owned(), size, reads, ns, change });
    }
    Ok(found)
}

fn read(file: &Path) -> Result<Estimates, Failure> {
    let text = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

fn time(ns: f64) -> String {
    if ns < 1e5 { format!("{ns:.0} ns") } else { format!("{:.0} us", ns / 1e3) }
}

/// A change, if there is one.
fn since(change: &Estimate) -> String {
    let Interval { lower_bound, upper_bound } = change.confidence_interval;
    if lower_bound <= 0.0 && upper_bound >= 0.0 {
        return "no change".to_owned();
    }
    let sign = if change.point_estimate > 0.0 { "+" } else { "" };
    format!("{sign}{}", percent(change.point_estimate))
}

/// An envelope after the first of ten phases, with a few headers of the caller.
fn envelope(size: usize) -> Result<Envelope, Failure> {
    let flow = faasflow_benches_deployed::flow(10, false)?;
    let plan = flow.plan();
    let mut request = Context::for_test("user=1&quality=80").request().as_ref().clone();
    for (name, value) in [("user-agent", "bench"), ("accept", "*/*"), ("x-tenant", "one")] {
        request.headers.insert(http::HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    request.callback_url = Some(format!("http://127.0.0.1:1/?{}", headers::REQUEST_ID).parse()?);
    Ok(Envelope {
        request: Arc::new(request),
        place: plan.segments().nth(1).ok_or("a flow of ten phases has a second one")?.place().clone(),
        fingerprint: plan.fingerprint(),
        ahead: None,
        shape: plan.shape().to_owned(),
        sent_ms: 1_700_000_000_000,
        payload: Carried::Inline(Payload::new(vec![b'x'; size]).with_content_type("application/octet-stream")),
        state: EmbeddedState::new(),
        branching: None,
    })
}
