//! The complete traces of the photo pipelines.

use std::sync::Arc;

use super::stand::{PATIENCE, Stand};
use super::trace::Trace;
use super::tree::{Tree, call, finally, forwarded, modifier, phase, reported, request};
use crate::photos::photo;
use crate::suite::{Suite, expect};

const JPEG: (&str, &str) = ("content-type", "image/jpeg");
const TWO_FACES: &str = "the photo shows 2 faces; exactly one is needed";
/// The same size as the log writes it.
const LOGGED: &str = "step 3 (modifier `exactly_one_face`) failed: the photo shows 2 faces; exactly one is needed";

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite.check("the synchronous photo pipeline: one phase, five steps", synchronous(stand.clone())).await;
    suite.check("the asynchronous one: three phases through the queue, one trace", asynchronous(stand.clone())).await;
    suite.check("two faces, synchronously: the modifier and the request have failed", refused(stand.clone())).await;
    suite.check("two faces, asynchronously: handled, reported, and no later phase", replied(stand.clone())).await;
}

/// The sizes of the requests and answers of each function, measured by calling the functions.
struct Sizes {
    photo: usize,
    faces: usize,
    tinted: usize,
    small: usize,
    stored: usize,
}

impl Sizes {
    async fn measure(stand: &Stand, name: &str) -> Result<Sizes, String> {
        let ask = async |target: &str, body: Vec<u8>| {
            let answer = stand.invoke("function", target, &[JPEG], body).await?;
            expect(answer.status.is_success(), || format!("{target}: {} {}", answer.status, answer.text()))?;
            Ok::<_, String>(Vec::from(answer.body))
        };
        let photo = photo(name)?;
        let faces = ask("facedetect", photo.clone()).await?.len();
        let tinted = ask("colorization", photo.clone()).await?;
        let small = ask("image-resizer", tinted.clone()).await?;
        let stored = ask(&format!("file-storage?file={name}"), small.clone()).await?;
        Ok(Sizes { photo: photo.len(), faces, tinted: tinted.len(), small: small.len(), stored: stored.len() })
    }
}

/// The first three steps of both pipelines.
fn until_one_face(phase: Tree, id: &str, url: &str, sizes: &Sizes) -> Tree {
    phase
        .child(modifier(id, 1, "keep_photo", (sizes.photo, sizes.photo)))
        .child(call(id, 2, url, "facedetect", (sizes.photo, sizes.faces)))
        .child(modifier(id, 3, "exactly_one_face", (sizes.faces, sizes.photo)))
}

/// The first three steps, where the last has failed.
fn until_two_faces(phase: Tree, id: &str, url: &str, sizes: &Sizes) -> Tree {
    let modifier = modifier(id, 3, "exactly_one_face", (sizes.faces, 0));
    phase
        .child(self::modifier(id, 1, "keep_photo", (sizes.photo, sizes.photo)))
        .child(call(id, 2, url, "facedetect", (sizes.photo, sizes.faces)))
        .child(modifier.without("faasflow.bytes.out").failed("handler", TWO_FACES).exception("handler", LOGGED))
}

/// Waits for a trace, and compares it with the expected one.
async fn compare(stand: &Stand, trace: &str, flow: &str, tree: &Tree) -> Result<Trace, String> {
    let trace = stand.jaeger.until(trace, tree.spans()).await?;
    trace.expect(tree)?;
    trace.expect_times()?;
    trace.expect_service(flow)?;
    Ok(trace)
}

async fn synchronous(stand: Arc<Stand>) -> Result<(), String> {
    let flow = "upload-pipeline";
    let (id, trace) = stand.id();
    let sizes = Sizes::measure(&stand, "portrait.jpg").await?;
    let headers = [JPEG, ("x-faasflow-request-id", id.as_str())];
    let answer = stand.invoke("function", flow, &headers, photo("portrait.jpg")?).await?.expect(200)?;
    expect(answer.body.len() == sizes.small, || format!("{} bytes came out", answer.body.len()))?;
    let only = finally(phase(flow, &id, 1, 200).with("faasflow.outcome", "success"));
    let only = until_one_face(only, &id, &stand.url, &sizes)
        .child(call(&id, 4, &stand.url, "colorization", (sizes.photo, sizes.tinted)))
        .child(call(&id, 5, &stand.url, "image-resizer", (sizes.tinted, sizes.small)));
    let tree = request(flow, &id, 1, "success").child(only);
    compare(&stand, &trace, flow, &tree).await.map(drop)
}

async fn asynchronous(stand: Arc<Stand>) -> Result<(), String> {
    let flow = "upload-pipeline-async";
    let (id, trace) = stand.id();
    let sizes = Sizes::measure(&stand, "portrait.jpg").await?;
    stand.recorder.clear();
    let callback = stand.recorder.url("report");
    let headers = [JPEG, ("x-faasflow-request-id", id.as_str()), ("x-faasflow-callback-url", callback.as_str())];
    let target = format!("{flow}?file=portrait.jpg");
    stand.invoke("async-function", &target, &headers, photo("portrait.jpg")?).await?.expect(202)?;
    let end = stand.recorder.until("report", 1, PATIENCE).await?.remove(0);
    expect(end.header("x-faasflow-outcome") == Some("success"), || format!("{:?}", end.headers))?;

    let url = &stand.url;
    let stored = call(&id, 6, url, "file-storage", (sizes.small, sizes.stored)).with("http.response.status_code", 201);
    let stored = stored.with("url.full", format!("{url}/function/file-storage?file=REDACTED"));
    let last = phase(flow, &id, 3, 200).with("faasflow.outcome", "success");
    let tree = request(flow, &id, 3, "success")
        .child(until_one_face(forwarded(phase(flow, &id, 1, 202), "2"), &id, url, &sizes))
        .child(forwarded(phase(flow, &id, 2, 200), "3").child(call(
            &id,
            4,
            url,
            "colorization",
            (sizes.photo, sizes.tinted),
        )))
        .child(
            finally(reported(last))
                .child(call(&id, 5, url, "image-resizer", (sizes.tinted, sizes.small)))
                .child(stored),
        );
    let trace = compare(&stand, &trace, flow, &tree).await?;
    queued(&trace)?;
    let bytes = |phase: usize| envelope(&trace, phase);
    for (phase, payload) in [(1, sizes.photo), (2, sizes.tinted)] {
        let bytes = bytes(phase)?;
        let plausible = (payload..payload + 10_000).contains(&bytes);
        expect(plausible, || format!("the envelope of phase {phase} has {bytes} bytes around {payload} of payload"))?;
    }
    Ok(())
}

/// The size of the envelope that a phase forwarded.
fn envelope(trace: &Trace, phase: usize) -> Result<usize, String> {
    let span = trace.span(&format!("phase {phase}"))?;
    let bytes = span.events.iter().find_map(|event| event.attributes.get("faasflow.envelope.bytes"));
    let bytes = bytes.and_then(|text| text.parse().ok());
    bytes.ok_or_else(|| format!("phase {phase} does not say how large its envelope was"))
}

/// Checks that the time in the queue before each later phase lies between the phases.
fn queued(trace: &Trace) -> Result<(), String> {
    for number in [2, 3] {
        let (before, phase) = (trace.span(&format!("phase {}", number - 1))?, trace.span(&format!("phase {number}"))?);
        let queued = phase.float("faasflow.queue.seconds")?;
        let most = phase.start.saturating_sub(before.start) as f64 / 1e6 + 0.002;
        expect((0.0..=most).contains(&queued), || format!("phase {number} was queued for {queued} s, of {most} s"))?;
    }
    Ok(())
}

async fn refused(stand: Arc<Stand>) -> Result<(), String> {
    let flow = "upload-pipeline";
    let (id, trace) = stand.id();
    let sizes = Sizes::measure(&stand, "two-faces.jpg").await?;
    let headers = [JPEG, ("x-faasflow-request-id", id.as_str())];
    stand.invoke("function", flow, &headers, photo("two-faces.jpg")?).await?.expect(500)?;
    let only = phase(flow, &id, 1, 500).with("faasflow.outcome", "failure").failed("handler", TWO_FACES);
    let only = until_two_faces(finally(only.exception("handler", LOGGED)), &id, &stand.url, &sizes);
    let tree = request(flow, &id, 1, "failure").failed("handler", TWO_FACES).child(only);
    compare(&stand, &trace, flow, &tree).await.map(drop)
}

async fn replied(stand: Arc<Stand>) -> Result<(), String> {
    let flow = "upload-pipeline-async";
    let (id, trace) = stand.id();
    let sizes = Sizes::measure(&stand, "two-faces.jpg").await?;
    stand.recorder.clear();
    let callback = stand.recorder.url("report");
    let headers = [JPEG, ("x-faasflow-request-id", id.as_str()), ("x-faasflow-callback-url", callback.as_str())];
    let target = format!("{flow}?file=two-faces.jpg");
    stand.invoke("async-function", &target, &headers, photo("two-faces.jpg")?).await?.expect(202)?;
    let end = stand.recorder.until("report", 1, PATIENCE).await?.remove(0);
    expect(end.header("x-faasflow-outcome") == Some("failure"), || format!("{:?}", end.headers))?;
    let first = phase(flow, &id, 1, 500)
        .with("faasflow.outcome", "failure")
        .failed("handler", TWO_FACES)
        .exception("handler", LOGGED)
        .event("failure handler", &[("faasflow.resolution", "replied")]);
    let first = finally(reported(first));
    let tree = request(flow, &id, 3, "failure").failed("handler", TWO_FACES);
    let tree = tree.child(until_two_faces(first, &id, &stand.url, &sizes));
    compare(&stand, &trace, flow, &tree).await.map(drop)
}
