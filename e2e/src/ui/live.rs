//! What is checked of pages that are live.

use serde_json::{Value, json};

use super::browser::Tab;
use super::checks::Visit;
use crate::suite::expect;

/// How long a page must have asked for nothing until it counts as one that waits for events. Without events, pages ask every two seconds.
const QUIET_MS: u32 = 5000;
/// A page that waits for events asks at the latest after 15 seconds, so what it shows earlier is because of an event.
const BEFORE_MS: f64 = 14_000.0;

/// Waits until the page gets events.
pub(super) async fn connected(tab: &Tab) -> Result<(), String> {
    tab.until("the page gets events", "document.documentElement.dataset.events === 'on'").await
}

/// When the page last asked for something, in milliseconds since it was opened. The answer with events is not over, so it does not count.
const LAST: &str = "Math.max(0, ...performance.getEntriesByType('resource').filter((one) => one.initiatorType === 'fetch').map((one) => one.startTime))";

/// Waits until the page has asked for nothing for a while. Returns when it last did.
async fn quiet(tab: &Tab) -> Result<f64, String> {
    connected(tab).await?;
    tab.until("the page asks for nothing", &format!("performance.now() - ({LAST}) > {QUIET_MS}")).await?;
    tab.eval(LAST).await?.as_f64().ok_or_else(|| "the page says no time".to_owned())
}

/// Checks that the page asked again, and not because its time had come.
async fn asked_because_of_an_event(tab: &Tab, before: f64) -> Result<(), String> {
    tab.until("the page has asked again", &format!("({LAST}) > {before}")).await?;
    let after = format!(
        "Math.min(...performance.getEntriesByType('resource').map((one) => one.startTime).filter((time) => time > {before}))"
    );
    let waited = tab.eval(&after).await?.as_f64().unwrap_or(f64::MAX) - before;
    expect(waited < BEFORE_MS, || format!("the page asked after {waited} ms, which it does without an event too"))
}

pub(super) async fn by_event(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    visit.go("/ui/requests?flow=mirror").await?;
    let before = quiet(tab).await?;
    stand.post("/function/mirror", &[("x-faasflow-request-id", "live-1")], b"x").await?.expect(200)?;
    tab.shows("live-1").await?;
    asked_because_of_an_event(tab, before).await?;
    // A request of another flow does not concern this page.
    let before = quiet(tab).await?;
    stand.order("live-2").await?;
    stand.until("orders", "live-2", "success").await?;
    let last = tab.eval(LAST).await?;
    expect(last == json!(before), || format!("the page has asked at {last}, after {before}"))
}

pub(super) async fn overview(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    visit.go("/ui/").await?;
    let before = quiet(tab).await?;
    let number = tab.eval(CALLS_OF_PASS).await?;
    stand.post("/function/pass", &[], b"x").await?.expect(200)?;
    let more = number.as_u64().unwrap_or_default() + 1;
    tab.until("the call is counted", &format!("({CALLS_OF_PASS}) === {more}")).await?;
    asked_because_of_an_event(tab, before).await?;
    let bars = "[...document.querySelectorAll('.chart')].map((chart) => chart.getAttribute('aria-label'))";
    let labels = tab.eval(bars).await?;
    let says = |at: usize, text: &str| labels[at].as_str().is_some_and(|label| label.contains(text));
    expect(
        says(0, "Requests per minute") && says(1, "Calls of functions per minute") && says(2, "In the queue"),
        || format!("the charts are {labels}"),
    )?;
    expect(!says(0, "none in the last hour"), || format!("the requests are not in the chart: {labels}"))?;
    // The minute that is not over would look as if there were fewer calls.
    let open = "[...document.querySelectorAll('.chart')].map((chart) => [...chart.querySelectorAll('.bar-all')].findIndex((bar) => \
                bar.classList.contains('bar-open')))";
    let open = tab.eval(open).await?;
    expect(open == json!([59, 59, -1]), || {
        format!("the bars of {open} are drawn as those of a minute that is not over")
    })?;
    expect(says(0, "in this minute, which is not over") && says(2, " now, "), || format!("the charts are {labels}"))?;
    let drawn =
        "[...document.querySelectorAll('.bar-all')].filter((bar) => Number(bar.getAttribute('height')) > 0).length > 1";
    tab.until("there are bars", drawn).await
}

/// The number of calls in the row of the function `pass`.
const CALLS_OF_PASS: &str = "(() => { const row = [...document.querySelectorAll('tbody tr')].find((row) => row.cells[0].textContent === 'pass'); \
                             return row ? Number(row.cells[2].textContent.replaceAll(',', '')) : null; })()";

pub(super) async fn figures(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    visit.go("/ui/flows/orders").await?;
    tab.until("the flow is drawn", "document.querySelectorAll('svg.flow .call').length === 4").await?;
    // The request `order-1` has failed once at this step.
    let row = "[...document.querySelectorAll('tbody tr')].find((row) => row.cells[0].textContent === 'ship')";
    tab.until("its calls are counted", &format!("Number({row}?.cells[1].textContent) > 1")).await?;
    tab.until("its failure is counted", &format!("Number({row}?.cells[4].textContent) > 0")).await?;
    tab.until("a duration is known", &format!("/\\d (ms|s)$/.test({row}?.cells[3].textContent)")).await?;
    tab.until(
        "the node has a badge",
        "document.querySelectorAll('svg.flow .badge.failed[visibility=visible]').length > 0",
    )
    .await?;
    let node =
        "[...document.querySelectorAll('svg.flow [role=button]')].find((node) => node.textContent.includes('ship'))";
    tab.eval(&format!("{node}.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'Enter', bubbles: true }}))")).await?;
    tab.shows("Latest failures").await?;
    let link = "document.querySelector('.step-details tbody a')?.textContent === 'order-1'";
    tab.until("its latest failure leads to the request", link).await?;
    tab.until("the step is in the URL", "new URLSearchParams(location.search).has('step')").await?;
    visit.seen("flow-step").await?;
    zoomed(tab).await?;
    // A call in progress is seen at its node.
    stand.file("slow", true)?;
    stand.order("live-running").await?;
    tab.until(
        "it is seen where it is",
        "document.querySelector('svg.flow .badge.running[visibility=visible]')?.textContent === '1'",
    )
    .await?;
    visit.seen("flow-running").await?;
    stand.file("slow", false)?;
    stand.until("orders", "live-running", "success").await?;
    tab.until("it has gone on", "document.querySelector('svg.flow .badge.running[visibility=visible]') === null").await
}

/// The size of the picture and what of it is seen stay the same. A picture that nobody has zoomed fits a narrow window.
async fn zoomed(tab: &Tab) -> Result<(), String> {
    let frame = "document.querySelector('.picture-of-flow')";
    let width = "Number(document.querySelector('svg.flow')?.getAttribute('width'))";
    let natural = tab.eval(width).await?.as_f64().unwrap_or_default();
    tab.look(380, "light").await?;
    tab.until("it is made smaller", &format!("{width} < {natural}")).await?;
    tab.click(".zoom button", "Fit").await?;
    tab.until("it fits", &format!("{width} > 0 && {frame}.scrollWidth <= {frame}.clientWidth")).await?;
    tab.look(1280, "light").await?;
    tab.until("it fits a wide window in its own size", &format!("{width} === {natural}")).await?;
    for larger in [1.25, 1.5, 2.0] {
        tab.eval("document.querySelector('[aria-label=\"Zoom in\"]').click()").await?;
        tab.until("it is larger", &format!("{width} === {}", natural * larger)).await?;
    }
    tab.eval(&format!("{frame}.scrollTo(120, 0)")).await?;
    tab.until("the scroll position is kept", "history.state?.picture?.join() === '120,0'").await?;
    tab.reload().await?;
    let same = format!("{width} === {} && {frame}.scrollLeft === 120", natural * 2.0);
    tab.until("it is the same after loading", &same).await?;
    tab.eval("document.querySelector('[aria-label=\"Zoom out\"]').click()").await?;
    tab.until("the size is in the URL", "new URLSearchParams(location.search).get('zoom') === '150'").await
}

/// What the page itself has scrolled is not kept as if the reader had done it.
pub(super) async fn brought(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let headers = [("x-faasflow-request-id", "live-brought"), ("content-type", "application/json")];
    stand.post("/async-function/parcels", &headers, b"[12,13]").await?.expect(202)?;
    stand.until("parcels", "live-brought", "success").await?;
    let frame = "document.querySelector('.picture-of-flow')";
    let seen =
        format!("{frame}.scrollLeft + {frame}.scrollTop > 0 && document.querySelector('svg.flow .at-failed') !== null");
    // A position would be kept 150 ms after the scroll event, which is dispatched before the next frame.
    let later =
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 300))))";
    visit.go("/ui/flows/parcels/requests/live-brought?zoom=400").await?;
    for what in ["the failed step is seen", "it is seen after loading again"] {
        tab.until(what, &seen).await?;
        tab.eval(later).await?;
        let kept = tab.eval("history.state?.picture ?? null").await?;
        expect(kept == Value::Null, || format!("the position {kept} is kept as that of the reader"))?;
        tab.reload().await?;
    }
    tab.until("it is drawn again", &seen).await?;
    tab.eval(&format!("{frame}.scrollTo(3, 0)")).await?;
    tab.until("what the reader has scrolled to is kept", "history.state?.picture?.join() === '3,0'").await?;
    tab.reload().await?;
    tab.until("it is there after loading", &format!("{frame}.scrollLeft === 3 && {frame}.scrollTop === 0")).await
}

/// Browsers have few connections to one server, so pages in the background must not use them up.
pub(super) async fn hidden(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    visit.go("/ui/requests?flow=mirror").await?;
    connected(tab).await?;
    let see = |state: &str| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ configurable: true, value: {state} }}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    tab.eval(&see("true")).await?;
    tab.until("it gets no events", "document.documentElement.dataset.events === 'off'").await?;
    stand.post("/function/mirror", &[("x-faasflow-request-id", "live-hidden")], b"x").await?.expect(200)?;
    // It does not ask again and again instead.
    tab.until("the page asks for nothing", &format!("performance.now() - ({LAST}) > {QUIET_MS}")).await?;
    let is_shown = tab.eval("document.body.innerText.includes('live-hidden')").await?;
    expect(is_shown == Value::Bool(false), || "a hidden page has asked".to_owned())?;
    tab.eval(&see("false")).await?;
    connected(tab).await?;
    tab.shows("live-hidden").await
}
