//! What is checked in the pages.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::again;
use super::asked;
use super::attempts;
use super::browser::{Browser, Tab};
use super::calling;
use super::crowd;
use super::elsewhere::{self, Narrow};
use super::find as finding;
use super::heads;
use super::hostile;
use super::letters;
use super::live;
use super::members;
use super::narrow;
use super::paint;
use super::stand::{self, Stand};
use crate::suite::{Suite, expect};

/// What the checks share.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) stand: Arc<Stand>,
    pub(super) browser: Arc<Browser>,
    pub(super) tab: Tab,
    pub(super) pictures: PathBuf,
    pub(super) axe: Option<Arc<String>>,
}

macro_rules! checks {
    ($suite:expr, $visit:expr, $($name:literal => $check:path),* $(,)?) => {
        $({
            let visit = $visit.clone();
            $suite.check($name, async move {
                $check(&visit).await?;
                visit.no_problems()
            }).await;
        })*
    };
}

pub(super) async fn run(suite: &Suite, visit: Visit) {
    suite.heading("The dashboard in Chromium");
    checks!(suite, visit,
        "the overview says that nothing needs attention" => calm,
        "a request is started from the page of its flow and is seen to fail" => start,
        "a failed request is redriven to success" => redrive,
        "a request is paused, resumed and stopped" => control,
        "requests are filtered by the URL, and many are stopped and redriven at once" => many,
        "a live list keeps what is selected, and the URL what is filtered and open" => steady,
        "a place shows its input, its output and its log" => payloads,
        "the page of a flow has the figures of each step" => live::figures,
        "a page shows what has happened because of an event, and asks for nothing in between" => live::by_event,
        "the overview shows what has happened because of an event" => live::overview,
        "a page that nobody sees gives up its connection" => live::hidden,
        "a dead letter is shown with its last answer and put back" => dead_letters,
        "payloads and log lines of others are shown as text" => hostile::payloads,
        "hostile names, keys, labels, reasons, headers and ids are text on every page" => hostile::everywhere,
        "what is too large to be shown is cut, and the page stays usable" => hostile::huge,
        "a list of 5,000 requests stays usable" => crowd::crowd,
        "a page shows how each of many requests ended" => crowd::ends,
        "what a page has to say does not wait for the picture of the flow" => crowd::picture_hangs,
        "a request runs again with the same input" => again::same_input,
        "a request runs again with an edited input" => again::edited,
        "the page of a request shows its query and its headers" => heads::shown,
        "a command sends a request again with its query and its headers" => heads::command,
        "what others send is quoted in a command" => heads::quoted,
        "the form for an edited request has the query and the headers of the original" => heads::edited,
        "the answer that made a place fail is shown with its headers" => heads::of_answer,
        "the log of a place has the lines of this place" => again::place_log,
        "Back and a reload lead to where the reader was" => again::back,
        "a button that changes something leaves the focus where it is" => again::focus,
        "the page of a request reads because of events" => again::events,
        "the picture of another definition is not marked" => again::other_definition,
        "the items of a for-each are counted, and failed ones are listed" => items,
        "ten thousand items are one place, whose list is searched and read a page at a time" => members::many,
        "a place that has not begun says what it waits for, and a redriven one what became of it before" => members::other_times,
        "each attempt is seen, and why a request does not go on" => attempts::retried,
        "each step of a place has a bar, and each of its calls" => attempts::steps,
        "the attempts of a place before a redrive are in its node, with their calls and answers" => attempts::generations,
        "long waits do not crush the bars, and what is lost is called so" => hours,
        "a request that is traced has a link to its trace" => traces,
        "a place has a link to the request of the flow that it called" => calling::called,
        "a page asks seldom, and for little, whether a called request exists" => asked::called,
        "no more of an input is read than a command can contain" => asked::large_input,
        "a picture is scrolled to what has failed, also after loading again, until the reader scrolls it" => live::brought,
        "a page says why there is no picture of a flow" => crowd::no_picture,
        "an id in the search box leads to its request" => find,
        "the list finds what is being retried, where and why" => finding::broken,
        "a call id is found, and the page says what is not searched" => finding::call_ids,
        "exactly the requests that match are redriven, although more match meanwhile" => finding::matching,
        "more than a thousand requests are stopped half-way and redriven" => finding::crowd,
        "flows of older versions are listed without details" => finding::older,
        "when each page is painted first is measured" => paint::table,
        "the list finds what the queue has given up, and dead letters of ended requests are discarded" => letters::given_up,
        "a gateway with a password shows its pages to those who know it" => password,
        "`faasflow ui` shows the flows of a gateway that has no more than OpenFaaS, and goes on after an outage of it" => elsewhere,
        "the page says that the gateway is away, and goes on when it is back" => away,
    );
}

impl Visit {
    pub(super) async fn go(&self, path: &str) -> Result<(), String> {
        self.tab.go(&format!("{}{path}", self.stand.url)).await
    }

    /// Checks a page in both widths and colours, and takes pictures of it.
    pub(super) async fn seen(&self, name: &str) -> Result<(), String> {
        let mut faults = Vec::new();
        for (width, colours) in [(1280, "light"), (1280, "dark"), (380, "light"), (380, "dark")] {
            self.tab.look(width, colours).await?;
            self.tab.picture(&self.pictures.join(format!("{name}-{width}-{colours}.png"))).await?;
            if let Some(wide) = narrow::too_wide(&self.tab, width).await? {
                faults.push(format!("{name}: at {width} pixels, one has to scroll sideways in {wide}"));
            }
            faults.extend(self.accessible(&format!("{name} {width} {colours}")).await.err());
        }
        self.tab.look(1280, "light").await?;
        expect(faults.is_empty(), || faults.join("; "))
    }

    /// Takes small pictures of what the window shows, for the documentation.
    pub(super) async fn for_the_guide(&self, name: &str) -> Result<(), String> {
        for colours in ["light", "dark"] {
            self.tab.look(1280, colours).await?;
            self.tab.eval("scrollTo(0, 0)").await?;
            self.tab.small_picture(&self.pictures.join(format!("{name}-{colours}.webp"))).await?;
        }
        self.tab.look(1280, "light").await
    }

    async fn accessible(&self, name: &str) -> Result<(), String> {
        let Some(axe) = &self.axe else { return Ok(()) };
        if self.tab.eval("typeof axe").await? == "undefined" {
            self.tab.eval(&format!("{axe}; true")).await?;
        }
        let found = self
            .tab
            .eval("axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(({ id, impact, nodes }) => \
                   ({ id, impact, nodes: nodes.map((node) => node.html.slice(0, 200) + ' ' + node.failureSummary).slice(0, 3) })))")
            .await?;
        let serious: Vec<&Value> = found
            .as_array()
            .into_iter()
            .flatten()
            .filter(|fault| fault["impact"] == "serious" || fault["impact"] == "critical")
            .collect();
        expect(serious.is_empty(), || format!("{name}: {}", json!(serious)))
    }

    pub(super) fn no_problems(&self) -> Result<(), String> {
        let problems = self.browser.take_problems();
        expect(problems.is_empty(), || format!("scripts failed, or the policy forbade something: {problems:?}"))
    }
}

async fn calm(visit: &Visit) -> Result<(), String> {
    visit.go("/ui/").await?;
    visit.tab.shows("Nothing needs attention.").await?;
    for text in ["orders", "0 running", "stock", "Ready", "In the queue"] {
        visit.tab.shows(text).await?;
    }
    visit.seen("overview-calm").await
}

async fn start(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    visit.go("/ui/flows/orders").await?;
    tab.until("the flow is drawn", "document.querySelectorAll('svg.flow .call').length === 4").await?;
    tab.click("summary", "Start a request").await?;
    tab.fill("textarea[name=body]", r#"{"article": "lamp", "number": 2}"#).await?;
    tab.fill("input[name=type]", "application/json").await?;
    tab.fill("textarea[name=headers]", "X-Faasflow-Request-Id: order-1").await?;
    tab.fill("input[name=wait]", "20").await?;
    tab.click("button", "Show as curl").await?;
    tab.shows("curl -i -H 'X-Faasflow-Request-Id: order-1'").await?;
    tab.click("button", "Start").await?;
    tab.shows("It ended as failure").await?;
    visit.seen("flow").await?;
    tab.click("a", "See what became of it").await?;
    tab.until("it is the page of the request", "location.pathname === '/ui/flows/orders/requests/order-1'").await?;
    for text in ["Failed", "It failed after", "function ship", "packing order"] {
        tab.shows(text).await?;
    }
    tab.until("the failed step is marked", "document.querySelectorAll('svg.flow .call.at-failed').length === 1")
        .await?;
    tab.click("button", "Show the place").await?;
    tab.until("its place is in the URL", "new URLSearchParams(location.search).has('place')").await?;
    // What it failed with, beside what made it fail.
    for text in ["Answer with status 500", "no courier answers", "Download it"] {
        tab.shows(text).await?;
    }
    let input = r#"/left"?: ?7/.test(document.querySelector('.sides').innerText)"#;
    tab.until("the input of the failed place is shown", input).await?;
    // In a narrow window, the picture is larger than its frame.
    tab.look(380, "light").await?;
    let is_seen = "(() => { const [step, frame] = ['.call.at-failed', '.picture-of-flow'].map((one) => document.querySelector(one).getBoundingClientRect()); \
                   return step.left >= frame.left && step.right <= frame.right; })()";
    tab.until("the picture shows the failed step", is_seen).await?;
    visit.seen("request-failed").await
}

async fn redrive(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    visit.go("/ui/").await?;
    tab.shows("orders has 1 request that failed in the last 24 hours.").await?;
    tab.click("a", "See them").await?;
    tab.until("it is listed", "document.querySelectorAll('tbody tr').length === 1").await?;
    visit.stand.file("courier", true)?;
    tab.click("tbody a", "order-1").await?;
    tab.until("it is the page of the request", "location.pathname === '/ui/flows/orders/requests/order-1'").await?;
    tab.click("button", "Redrive what failed").await?;
    tab.shows("Redrive this request?").await?;
    visit.seen("dialog").await?;
    tab.click("dialog button", "Redrive").await?;
    tab.shows("Succeeded").await?;
    tab.shows("It was redriven once.").await?;
    tab.shows("cents").await?;
    tab.until("no step is marked as failed", "document.querySelectorAll('svg.flow .call.at-failed').length === 0")
        .await?;
    visit.seen("request-succeeded").await
}

async fn control(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    visit.stand.file("slow", true)?;
    visit.stand.order("order-2").await?;
    visit.go("/ui/flows/orders/requests/order-2").await?;
    tab.shows("function pack is being executed.").await?;
    tab.until("its bar grows", "document.querySelector('.timeline .at-running') !== null").await?;
    visit.seen("request-running").await?;
    tab.click("button", "Pause").await?;
    tab.shows("Somebody has paused it").await?;
    tab.shows("function pack had begun before and is brought to its end; nothing else begins.").await?;
    tab.until("its place waits", "document.querySelectorAll('svg.flow .call.at-waiting').length === 1").await?;
    tab.shows("Waiting").await?;
    visit.seen("request-paused").await?;
    visit.stand.file("slow", false)?;
    tab.shows("1 place waits until somebody resumes it.").await?;
    tab.click("button", "Resume").await?;
    visit.stand.until("orders", "order-2", "success").await?;
    tab.shows("Succeeded").await?;
    visit.stand.file("slow", true)?;
    visit.stand.order("order-3").await?;
    visit.go("/ui/flows/orders/requests/order-3").await?;
    tab.shows("function pack is being executed.").await?;
    tab.click("button", "Stop").await?;
    tab.click("dialog button", "Stop").await?;
    tab.shows("Somebody stopped it").await?;
    let stopped = "document.querySelectorAll('svg.flow .call.at-stopped').length === 1";
    tab.until("the place that did not end is stopped", stopped).await?;
    tab.click(".timeline summary", "Stopped").await?;
    tab.shows("It was stopped with the request; it may never have begun.").await?;
    visit.seen("request-stopped").await
}

async fn many(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    for number in 1..=7 {
        stand.order(&format!("many-{number}")).await?;
    }
    visit.go("/ui/requests?flow=orders&status=running").await?;
    tab.until("all seven are listed", "document.querySelectorAll('tbody tr').length === 7").await?;
    visit.seen("requests").await?;
    tab.click("thead input", "").await?;
    tab.click("button", "Stop…").await?;
    tab.shows("Stop 7 requests?").await?;
    tab.click("dialog button", "Stop").await?;
    tab.shows("7 requests stopped.").await?;
    tab.fill("select[aria-label=Status]", "stopped").await?;
    tab.until("the URL has the filter", "new URLSearchParams(location.search).get('status') === 'stopped'").await?;
    // The seven, and the one that another check has stopped.
    tab.until("they are listed as stopped", "document.querySelectorAll('tbody tr').length === 8").await?;
    tab.fill("input[aria-label='Search']", "many-").await?;
    tab.until("the id is a filter", "document.querySelectorAll('tbody tr').length === 7").await?;
    stand.file("slow", false)?;
    tab.click("thead input", "").await?;
    tab.click("button", "Redrive…").await?;
    tab.shows("Redrive 7 requests?").await?;
    tab.click("dialog button", "Redrive").await?;
    tab.shows("7 requests redriven.").await?;
    for number in 1..=7 {
        stand.until("orders", &format!("many-{number}"), "success").await?;
    }
    let last = stand.json("/system/flows/orders/requests/order-3").await?;
    expect(last["status"] == "stopped", || format!("a request that was not listed was redriven: {last}"))
}

async fn steady(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    visit.go("/ui/requests?flow=orders&search=or").await?;
    tab.until("three are listed", "document.querySelectorAll('tbody tr').length === 3").await?;
    tab.eval("document.querySelector('tbody input').click()").await?;
    tab.eval("window.selected = document.querySelector('tbody tr')").await?;
    stand.order("order-new").await?;
    stand.until("orders", "order-new", "success").await?;
    tab.shows("Show 1 new request").await?;
    let kept = "document.querySelector('tbody tr') === selected && document.querySelector('tbody input').checked";
    tab.until("the selected row is where it was", kept).await?;
    tab.reload().await?;
    tab.shows("Show 1 new request").await?;
    let first = "document.querySelector('tbody tr')";
    tab.until("it is still selected after loading", &format!("{first}?.querySelector('input').checked === true"))
        .await?;
    tab.until("it is counted", "document.body.innerText.includes('1 request selected')").await?;
    tab.eval(&format!("window.selected = {first}")).await?;
    tab.click("button", "Show 1 new request").await?;
    tab.until("the new one is listed first", "document.querySelector('tbody tr').innerText.includes('order-new')")
        .await?;
    tab.until("the other one is still selected", "selected.querySelector('input').checked && selected.isConnected")
        .await?;
    tab.go(&format!("{}/ui/requests?flow=orders&search=or", stand.url)).await?;
    tab.until("the filter is used after loading", "document.querySelectorAll('tbody tr').length === 4").await?;
    visit.go("/ui/flows/orders/requests/order-2?place=1.0%2F2").await?;
    tab.until("the place of the URL is open", "document.querySelector('details[data-place=\"1.0/2\"]')?.open === true")
        .await?;
    tab.shows("Place 1.0/2, phase 2.").await
}

async fn items(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let parcels: Vec<u32> = (1..=30).collect();
    let headers = [("x-faasflow-request-id", "parcels-1"), ("content-type", "application/json")];
    stand.post("/async-function/parcels", &headers, json!(parcels).to_string().as_bytes()).await?.expect(202)?;
    visit.go("/ui/flows/parcels/requests/parcels-1").await?;
    stand.until("parcels", "parcels-1", "success").await?;
    tab.shows("Succeeded").await?;
    tab.shows("30: 29 done, 1 failed").await?;
    tab.until(
        "the failed item is seen in the flow",
        "document.querySelectorAll('svg.flow .call.at-failed').length === 1",
    )
    .await?;
    // From the failed item to what it failed with.
    let listed = tab.eval("document.querySelectorAll('.timeline > li').length").await?;
    expect(listed == json!(2), || format!("the failed item is not only in the list of items: {listed} places"))?;
    tab.click(".timeline summary", "30: 29 done, 1 failed").await?;
    tab.until(
        "the failed item is the first one",
        "document.querySelector('.members .what')?.textContent === 'item 13'",
    )
    .await?;
    tab.click(".members summary", "item 13").await?;
    tab.shows("Answer with status 500").await?;
    tab.until("its input is shown", "document.querySelector('.sides .payload')?.innerText.trim() === '13'").await?;
    visit.seen("request-items").await?;
    // The list is opened to show the item that is why a request ended.
    let headers = [("x-faasflow-request-id", "scales-1"), ("content-type", "application/json")];
    stand.post("/async-function/scales", &headers, json!(parcels).to_string().as_bytes()).await?.expect(202)?;
    stand.until("scales", "scales-1", "failure").await?;
    visit.go("/ui/flows/scales/requests/scales-1").await?;
    tab.click("button", "Show the place").await?;
    let has_focus = "document.activeElement.closest('.members details[open]')?.dataset.place === '1.12/2'";
    tab.until("the failed item is opened and has the focus", has_focus).await?;
    tab.shows("Answer with status 500").await
}

async fn dead_letters(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.file("courier", false)?;
    let token = ("authorization", "Bearer t0ken-5678");
    for number in 1..=3 {
        stand
            .post("/async-function/ship", &[("x-call-id", &format!("call-{number}")), token], b"{\"order\":17}")
            .await?
            .expect(202)?;
    }
    visit.go("/ui/queue").await?;
    tab.until("three dead letters are listed", "document.querySelectorAll('#dead-letters tbody tr').length === 3")
        .await?;
    visit.seen("queue").await?;
    visit.go("/ui/").await?;
    tab.shows("3 dead letters").await?;
    visit.seen("overview").await?;
    tab.click("a", "See why").await?;
    tab.click("#dead-letters tbody a", "").await?;
    for text in ["Dead letter", "Last answer", "What was sent", "no courier answers"] {
        tab.shows(text).await?;
    }
    let says = |text: &str| format!("document.querySelector('main').textContent.includes('{text}')");
    tab.until("the token is masked", &format!("{} && !{}", says("[secret]"), says("t0ken"))).await?;
    visit.seen("dead-letter").await?;
    tab.click("summary", "with all secrets").await?;
    tab.until("the token is shown to those who ask", &says("Bearer t0ken-5678")).await?;
    stand.file("courier", true)?;
    tab.click("button", "Redrive").await?;
    tab.click("dialog button", "Redrive").await?;
    tab.until("two are left", "document.querySelectorAll('#dead-letters tbody tr').length === 2").await?;
    tab.click("#dead-letters thead input", "").await?;
    tab.click("#dead-letters button", "Redrive…").await?;
    tab.shows("Redrive 2 dead letters?").await?;
    tab.click("dialog button", "Redrive").await?;
    tab.shows("2 dead letters put back into the queue.").await?;
    tab.shows("There are none.").await
}

/// Inputs and outputs of places, and what joins begin with.
async fn payloads(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    visit.go("/ui/flows/orders/requests/order-2").await?;
    tab.click(".timeline summary", "function pack").await?;
    for text in ["What is joined", "left: 7", "cents: 1990", "Output"] {
        tab.shows(text).await?;
    }
    tab.until(
        "the lines of the place are there",
        "document.querySelector('.lines').innerText.includes('packing order')",
    )
    .await?;
    let lines = tab.eval("document.querySelector('.lines').innerText").await?;
    expect(!lines.to_string().contains("function `ship`"), || format!("lines of another place are shown: {lines}"))?;
    visit.seen("request-payloads").await?;
    // Both stay as they are while the page asks again.
    tab.eval("window.kept = [...document.querySelectorAll('.sides .payload')]").await?;
    let asked =
        "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/requests/order-2')).length";
    let before = tab.eval(asked).await?.as_u64().unwrap_or_default();
    for times in 1..=3 {
        // It is refused, because the request has ended, and the pages hear of it.
        visit.stand.post("/system/flows/orders/requests/order-2/pause", &[], b"").await?.expect(409)?;
        tab.until("the page has asked again", &format!("{asked} >= {}", before + times)).await?;
    }
    let loaded =
        "performance.getEntriesByType('resource').filter(({ name }) => /order-2\\/(input|output)/.test(name)).length";
    expect(tab.eval(loaded).await? == json!(2), || "payloads are fetched more than once".to_owned())?;
    tab.until("payloads are kept", "kept.length > 0 && kept.every((one) => one.isConnected)").await
}

/// What would take hours to wait for: the modules of the page are given requests that were paused overnight, parked or lost.
async fn hours(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    visit.go("/ui/flows/orders/requests/order-2").await?;
    let script = "Promise.all(['scale', 'course', 'why'].map((name) => import(`${location.origin}/ui/assets/${name}.js`))).then(([{ scaleOf }, { \
         partsOf }, { whyNot }]) => { const hour = 3600000; const [scale, cuts] = scaleOf(0, 8 * hour, [[0, 400], [8 * hour - 600, 8 * hour]], \
         1000); const place = { place: '2', path: [], phase: 2, steps: ['function `pack`'], status: 'running', attempts: 0, call_id: 'b' }; \
         const request = { flow: 'orders', status: 'running', started_ms: 0, moved_ms: 400, places: [place] }; const said = (status, calls) => \
         whyNot({ ...request, status }, { calls, letters: [], isWhole: true }, hour).flat().map((part) => part.code ?? part).join(''); \
         const waits = [{ call_id: 'b', attempt: 1, in_flight: false, due_ms: 0, accepted_ms: 400, function: 'orders' }]; \
         const fork = { place: '1', path: [], phase: 1, steps: [], status: 'done', done_ms: 400, members: { all: 30, at_most: 20, done: 30 } }; \
         const following = (place, moved_ms) => partsOf(place, { ...request, moved_ms, places: [fork, place] }, hour, []); \
         const item = (number) => following({ place: `1.${number - 1}/2`, path: [`item-${number}`], phase: 2, steps: [], status: 'done', attempts: 1, \
         queued_ms: 900, began_ms: 900, last_began_ms: 900, done_ms: hour }, hour).map(({ kind }) => kind); \
         const after = following({ ...place, place: '3', call_id: 'c' }, 9000); \
         return { items: [item(20), item(21)], after: after.map(({ from }) => from), widths: [scale(400), 1000 - scale(8 * hour - 600)].map(Math.round), cuts: cuts.length, \
         parts: partsOf(place, request, hour, waits).map(({ kind, from, to }) => [kind, from, to]), \
         lost: said('running', []), queued: said('running', waits), parked: said('parked', []) }; })";
    let found = tab.eval(script).await?;
    expect(found["widths"] == json!([200, 300]) && found["cuts"] == 1, || format!("the bars are crushed: {found}"))?;
    expect(found["parts"] == json!([["queue", 400, 3_600_000]]), || {
        format!("the time in the queue is not shown: {found}")
    })?;
    // An item waits for its turn if as many as may be in progress come before it, whatever has ended since then.
    expect(found["items"] == json!([["queue", "done"], ["slot", "done"]]), || {
        format!("the waiting is shown wrong: {found}")
    })?;
    // What comes after items that are only counted waits when these have ended.
    expect(found["after"] == json!([9000]), || format!("the waiting begins too early: {found}"))?;
    let says = |name: &str, text: &str| {
        expect(found[name].as_str().is_some_and(|said| said.contains(text)), || format!("{name}: {}", found[name]))
    };
    says("lost", "faasflow requests recover orders")?;
    says("queued", "function pack waits in the queue for its first delivery, which is next in turn.")?;
    says("parked", "until somebody deploys a definition")
}

/// The link to the trace of a request whose caller has it traced.
async fn traces(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("x-faasflow-request-id", "traced"), ("traceparent", parent)];
    stand.post("/function/mirror", &headers, b"x").await?.expect(200)?;
    visit.go("/ui/flows/mirror/requests/traced").await?;
    let link = format!(
        "document.querySelector('a[href=\"{}/trace/0af7651916cd43dd8448eb211c80319c\"]') !== null",
        stand::TRACES
    );
    tab.until("there is a link to its trace", &link).await
}

async fn find(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    visit.go("/ui/").await?;
    tab.fill("#find-id", "order-2").await?;
    tab.eval("document.getElementById('find').requestSubmit()").await?;
    tab.until("it is the page of the request", "location.pathname === '/ui/flows/orders/requests/order-2'").await?;
    tab.fill("#find-id", "not-there").await?;
    tab.eval("document.getElementById('find').requestSubmit()").await?;
    tab.shows("No request has this in its id, a search key or a label").await
}

async fn password(visit: &Visit) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (up, url) = stand::with_password(folder.path()).await?;
    visit.tab.go(&url).await?;
    visit.tab.shows("No flow is deployed.").await?;
    visit.tab.shows("Nothing needs attention.").await?;
    // It gets its token too.
    let token = "fetch(location.origin + '/system/page-token').then((answer) => answer.status)";
    expect(visit.tab.eval(token).await? == json!(200), || "the page does not get its token".to_owned())?;
    up.stop().await
}

async fn elsewhere(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let mut gateway = Narrow::start(&stand.url).await?;
    let log = visit.pictures.join("faasflow-ui.log");
    let (ui, url) = elsewhere::start(&format!("http://{}", gateway.address), &stand.key(), &log).await?;
    tab.go(&format!("{url}/ui/")).await?;
    let no_queue = "This gateway does not tell what is in its queue.";
    for text in [no_queue, "orders", "parcels", "Ready"] {
        tab.shows(text).await?;
    }
    visit.seen("elsewhere-overview").await?;
    tab.go(&format!("{url}/ui/queue")).await?;
    tab.shows(no_queue).await?;
    tab.go(&format!("{url}/ui/flows/mirror")).await?;
    tab.until("the flow is drawn", "document.querySelectorAll('svg.flow .modifier').length === 1").await?;
    tab.click("summary", "Start a request").await?;
    tab.fill("textarea[name=body]", "from elsewhere").await?;
    tab.fill("textarea[name=headers]", "X-Faasflow-Request-Id: elsewhere-1").await?;
    tab.fill("input[name=wait]", "20").await?;
    tab.click("button", "Start").await?;
    tab.shows("It ended as success").await?;
    tab.click("a", "See what became of it").await?;
    for text in ["It succeeded after", "from elsewhere", "This gateway cannot find log lines by request."] {
        tab.shows(text).await?;
    }
    tab.click("summary", "Query and headers").await?;
    tab.shows("content-type").await?;
    tab.click("button", "Redrive from…").await?;
    tab.click("dialog button", "Redrive").await?;
    tab.shows("It was redriven once.").await?;
    visit.seen("elsewhere-request").await?;
    tab.go(&format!("{url}/ui/requests?flow=mirror")).await?;
    tab.shows("elsewhere-1").await?;
    gateway.end();
    tab.shows(&format!("The gateway at http://{} cannot be reached", gateway.address)).await?;
    tab.shows("elsewhere-1").await?;
    visit.seen("elsewhere-away").await?;
    gateway.again().await?;
    tab.until("the warning is gone", "document.getElementById('trouble').hidden").await?;
    ui.stop().await
}

async fn away(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    visit.go("/ui/requests?flow=orders").await?;
    tab.shows("order-1").await?;
    let mut up = stand.up.lock().await;
    up.kill().await?;
    tab.shows("The gateway does not answer.").await?;
    tab.shows("order-1").await?;
    visit.seen("away").await?;
    up.again().await?;
    drop(up);
    stand.client.until_ready(&stand.url).await?;
    tab.until("the warning is gone", "document.getElementById('trouble').hidden").await?;
    live::connected(tab).await?;
    stand.order("order-after").await?;
    tab.shows("order-after").await?;
    // The token of the gateway before is not valid any more.
    stand.file("slow", true)?;
    stand.order("order-4").await?;
    visit.go("/ui/flows/orders/requests/order-4").await?;
    tab.click("button", "Pause").await?;
    tab.shows("Somebody has paused it").await?;
    stand.file("slow", false)
}
