//! Many requests at once.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::checks::Visit;
use super::live;
use crate::suite::expect;

/// How many requests the list has to cope with, and how many are sent at once.
const REQUESTS: usize = 5000;
const WORKERS: usize = 50;
/// How many requests a page watches.
const WATCHED: usize = 200;

pub(super) async fn crowd(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let begun = Instant::now();
    let send = |worker: usize| async move {
        for number in 0..REQUESTS / WORKERS {
            let id = format!("crowd-{worker}-{number}");
            stand.post("/function/mirror", &[("x-faasflow-request-id", &id)], b"x").await?.expect(200)?;
        }
        Ok::<(), String>(())
    };
    try_join_all((0..WORKERS).map(send)).await?;
    println!("          {REQUESTS} requests were made in {:.1} s", begun.elapsed().as_secs_f64());
    visit.go("/ui/requests?flow=mirror").await?;
    tab.until("there are rows", "document.querySelector('tbody tr') !== null").await?;
    let rows = tab.eval("performance.now()").await?.as_f64().unwrap_or(f64::MAX);
    println!("          the first rows were there {rows:.0} ms after the list was opened");
    for listed in (100..1000).step_by(100) {
        tab.until("a page is listed", &format!("document.querySelectorAll('tbody tr').length === {listed}")).await?;
        tab.click("button", "Show more").await?;
    }
    tab.until("a thousand are listed", "document.querySelectorAll('tbody tr').length === 1000").await?;
    steady(visit).await?;
    let took = key(visit, "crowd-7-").await?;
    println!("          the filter answers a key within {took:.0} ms");
    expect(took < 1000.0, || format!("a key takes {took} ms"))?;
    tab.shows("crowd-7-99").await?;
    // One of the oldest, which is on none of the pages above.
    key(visit, "crowd-3-0").await?;
    let first = "document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody tr').innerText.includes('crowd-3-0')";
    tab.until("an old one is found by its id", first).await?;
    key(visit, "").await?;
    tab.fill("select[aria-label=Status]", "failure").await?;
    tab.shows("There are no such requests.").await?;
    tab.fill("select[aria-label=Status]", "success").await?;
    tab.until("a page of them is listed", "document.querySelectorAll('tbody tr').length === 100").await
}

/// Types into the search field. Returns how long the page was busy with it, in milliseconds.
async fn key(visit: &Visit, text: &str) -> Result<f64, String> {
    let script = format!(
        "(() => {{ const field = document.querySelector('input[aria-label=\"Search\"]'); const begun = performance.now(); \
         field.value = {}; field.dispatchEvent(new Event('input', {{ bubbles: true }})); document.body.offsetHeight; \
         return performance.now() - begun; }})()",
        json!(text)
    );
    visit.tab.eval(&script).await?.as_f64().ok_or_else(|| "the page says no time".to_owned())
}

/// Nothing moves while somebody reads far down in the list.
async fn steady(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    tab.eval("scrollTo(0, 9000); window.read = [...document.querySelectorAll('tbody tr')].find((row) => row.getBoundingClientRect().top > 0); \
              window.at = read.getBoundingClientRect().top")
        .await?;
    for number in 0..30 {
        let id = format!("later-{number}");
        stand.post("/function/mirror", &[("x-faasflow-request-id", &id)], b"x").await?.expect(200)?;
    }
    tab.shows("Show 30 new requests").await?;
    let moved = tab.eval("read.isConnected ? Math.abs(read.getBoundingClientRect().top - at) : null").await?;
    expect(moved.as_f64().is_some_and(|moved| moved < 2.0), || format!("what is read has moved by {moved} pixels"))
}

/// The last states that a page shows are those of the records, also after a time without events.
pub(super) async fn ends(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    visit.go("/ui/requests?flow=parcels&search=watched-").await?;
    live::connected(tab).await?;
    let send = |number: usize| async move {
        let headers = [("content-type", "application/json")];
        let id = format!("watched-{number}");
        let headers = [("x-faasflow-request-id", id.as_str()), headers[0]];
        // Each seventh fails, because its input is no list.
        let body: &[u8] = if number.is_multiple_of(7) { b"{}" } else { b"[1,2]" };
        stand.post("/async-function/parcels", &headers, body).await?.expect(202).map(drop)
    };
    try_join_all((0..WATCHED).map(send)).await?;
    let (failed, done) = (WATCHED.div_ceil(7), WATCHED - WATCHED.div_ceil(7));
    let mut counts = (0, 0);
    for _ in 0..1200 {
        let list = stand.json("/system/flows/parcels/requests?limit=500&search=watched-").await?;
        let requests = list["requests"].as_array().cloned().unwrap_or_default();
        let with = |status: &str| requests.iter().filter(|request| request["status"] == status).count();
        counts = (with("failure"), with("success"));
        if counts == (failed, done) {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    expect(counts == (failed, done), || {
        format!("{counts:?} requests failed and succeeded; expected {failed} and {done}")
    })?;
    tab.until("a page is listed", "document.querySelectorAll('tbody tr').length >= 100").await?;
    tab.click("button", "Show more").await?;
    let chips = |kind: &str| format!("document.querySelectorAll('tbody .chip.{kind}').length");
    let shown = format!("{} === {failed} && {} === {done}", chips("bad"), chips("good"));
    tab.until("the page shows the end of each", &shown).await
}

/// The gateway does not answer with the picture, and everything else is there.
pub(super) async fn picture_hangs(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    tab.hang(Some("*/drawing")).await?;
    let shown = async {
        visit.go("/ui/flows/parcels/requests/watched-0").await?;
        for text in ["Failed", "It failed after"] {
            tab.shows(text).await?;
        }
        tab.until("its place is listed", "document.querySelectorAll('.timeline li').length > 0").await?;
        tab.until("there are lines of its log", "document.querySelectorAll('.log .line').length > 0").await?;
        let drawn = tab.eval("document.querySelector('svg.flow') !== null").await?;
        expect(drawn == Value::Bool(false), || "the picture is there, although it should hang".to_owned())
    }
    .await;
    tab.hang(None).await?;
    shown
}

/// Some refusals end with a full stop, and others do not.
pub(super) async fn no_picture(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    for said in ["the flow does not describe itself", "This gateway has no pictures."] {
        visit.go("/ui/").await?;
        let refuse = format!(
            "(() => {{ const own = window.fetch; window.fetch = async (...asked) => (String(asked[0]).endsWith('/drawing') \
             ? new Response({}, {{ status: 404 }}) : own(...asked)); }})()",
            json!(said)
        );
        tab.eval(&refuse).await?;
        tab.click("a[href='/ui/flows/parcels']", "").await?;
        let told = format!("{}.", said.trim_end_matches('.'));
        let is_told = format!("document.querySelector('.picture-of-flow')?.textContent === {}", json!(told));
        tab.until("it says why", &is_told).await?;
    }
    Ok(())
}
