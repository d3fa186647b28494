//! The pieces that a hop is made of, without a network: so that what makes one slower is seen.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faasflow_core::envelope::{Carried, Envelope};
use faasflow_core::signature::Keys;
use faasflow_core::state::EmbeddedState;
use faasflow_core::{Context, Payload, headers};
use http::HeaderValue;

use crate::stats::{median, noise, percent, spread};
use crate::table::{Report, Row, Table, bytes};
use crate::{Failure, Scale};

/// How long one timing is, at least: a clock is read before it and after.
const BATCH: Duration = Duration::from_millis(2);

type Piece<'a> = (&'static str, Box<dyn FnMut() + 'a>);

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    let rounds = if scale.quick { 15 } else { 101 };
    let mut table = Table::new(&["piece", "payload", "time", "MB/s", "spread"]);
    let (mut rows, mut spreads) = (Vec::new(), Vec::new());
    let mut row = |name: &str, size: Option<usize>, reads: bool, mut times: Vec<f64>| {
        let apart = spread(&times);
        let ns = median(&mut times);
        let (shown, slug) = match size {
            None => ("-".to_owned(), String::new()),
            Some(size) => (bytes(size), format!("-{}", bytes(size).replace(' ', "").to_lowercase())),
        };
        table.lines.push(vec![
            name.to_owned(),
            shown,
            if ns < 1e5 { format!("{ns:.0} ns") } else { format!("{:.0} us", ns / 1e3) },
            size.filter(|_| reads).map_or("-".to_owned(), |size| format!("{:.0}", size as f64 * 1e3 / ns)),
            percent(apart),
        ]);
        spreads.push(apart);
        let name = format!("piece-{}{slug}", name.replace(' ', "-"));
        rows.push(Row { name, value: ns, unit: "ns", floor: None, samples: times.len() });
    };
    for calls in [10, 1000] {
        let name = if calls == 10 { "plan of 10" } else { "plan of 1000" };
        let mut build = || drop(black_box(faasflow_benches_deployed::flow(black_box(calls), false)));
        row(name, None, false, timed(&mut build, rounds));
    }
    let keys = Keys::parse("0123456789abcdef0123456789abcdef")?;
    for size in [1000, 10_000_000] {
        let envelope = envelope(size)?;
        let encoded = envelope.encode();
        let whole = encoded.to_bytes();
        // A checksum over the same bytes is about what reading them costs.
        let signature = keys.sign([&whole[..]]);
        let pieces: [Piece<'_>; 5] = [
            ("read bytes", Box::new(|| _ = black_box(crc32fast::hash(black_box(&whole))))),
            ("encode", Box::new(|| drop(black_box(black_box(&envelope).encode())))),
            ("decode", Box::new(|| drop(black_box(Envelope::decode(black_box(&whole)))))),
            ("sign", Box::new(|| drop(black_box(keys.sign(encoded.parts().iter().map(|part| &part[..])))))),
            ("verify", Box::new(|| _ = black_box(keys.verify(Some(signature.as_bytes()), black_box(&whole))))),
        ];
        for (name, mut piece) in pieces {
            // The other two share the payload, whatever its size.
            row(name, Some(size), !["encode", "decode"].contains(&name), timed(&mut *piece, rounds));
        }
    }
    let notes = vec![
        format!("{}: {rounds} timings of at least {} ms each; medians.", scale.name(), BATCH.as_millis()),
        "encode and decode share the payload, and do not read it: so they have no MB/s. read bytes: a CRC-32 of the envelope, for comparison."
            .to_owned(),
        noise(&spreads),
    ];
    Ok(Report { title: "pieces: what a hop is made of".to_owned(), tables: vec![table], notes, rows })
}

/// An envelope as it is after the first of ten phases, with a few headers of its caller.
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
        position: plan.after(plan.start()).ok_or("a flow of ten phases has a second one")?,
        fingerprint: plan.fingerprint(),
        shape: plan.shape().to_owned(),
        sent_ms: 1_700_000_000_000,
        payload: Carried::Inline(Payload::new(vec![b'x'; size]).with_content_type("application/octet-stream")),
        state: EmbeddedState::new(),
    })
}

/// Nanoseconds for each run, timing by timing.
fn timed(piece: &mut dyn FnMut(), rounds: usize) -> Vec<f64> {
    let mut batch = |runs: u32| {
        let start = Instant::now();
        (0..runs).for_each(|_| piece());
        start.elapsed()
    };
    let mut runs = 1;
    while batch(runs) < BATCH {
        runs *= 2;
    }
    (0..rounds).map(|_| batch(runs).as_secs_f64() * 1e9 / f64::from(runs)).collect()
}
