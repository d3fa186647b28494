//! What is checked in the pages.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::browser::{Browser, Tab};
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

/// A picture of one pixel.
const PNG: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 1, 0, 0, 0, 1, 8,
    4, 0, 0, 0, 0xb5, 0x1c, 0x0c, 2, 0, 0, 0, 0x0b, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x64, 0xf8, 0x0f, 0, 1,
    5, 1, 1, 0x27, 0x18, 0xe3, 0x66, 0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];

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
        "a dead letter is shown with its last answer and put back" => dead_letters,
        "payloads and log lines of others are shown as text" => hostile,
        "a list of a thousand requests stays usable" => crowd,
        "the items of a for-each are counted, and failed ones are listed" => items,
        "an id in the search box leads to its request" => find,
        "a gateway with a password shows its pages to those who know it" => password,
        "the page says that the gateway is away, and goes on when it is back" => away,
    );
}

impl Visit {
    async fn go(&self, path: &str) -> Result<(), String> {
        self.tab.go(&format!("{}{path}", self.stand.url)).await
    }

    /// Checks a page in both widths and colours, and takes pictures of it.
    async fn seen(&self, name: &str) -> Result<(), String> {
        let mut faults = Vec::new();
        for (width, colours) in [(1280, "light"), (1280, "dark"), (380, "light"), (380, "dark")] {
            self.tab.look(width, colours).await?;
            self.tab.picture(&self.pictures.join(format!("{name}-{width}-{colours}.png"))).await?;
            let page = "document.documentElement";
            let wide = self.tab.eval(&format!("{page}.scrollWidth - {page}.clientWidth")).await?;
            faults.extend((wide != json!(0)).then(|| format!("{name} is {wide} pixels wider than {width}")));
            faults.extend(self.accessible(&format!("{name} {width} {colours}")).await.err());
        }
        self.tab.look(1280, "light").await?;
        expect(faults.is_empty(), || faults.join("; "))
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

    fn no_problems(&self) -> Result<(), String> {
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
    visit.seen("request-failed").await?;
    // For the guide.
    for colours in ["light", "dark"] {
        tab.look(1280, colours).await?;
        tab.eval("scrollTo(0, 0)").await?;
        tab.small_picture(&visit.pictures.join(format!("dashboard-{colours}.webp"))).await?;
    }
    tab.look(1280, "light").await
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
    tab.shows("It is at function pack").await?;
    visit.seen("request-running").await?;
    tab.click("button", "Pause").await?;
    tab.shows("Somebody has paused it").await?;
    tab.click("button", "Resume").await?;
    visit.stand.file("slow", false)?;
    visit.stand.until("orders", "order-2", "success").await?;
    tab.shows("Succeeded").await?;
    visit.stand.file("slow", true)?;
    visit.stand.order("order-3").await?;
    visit.go("/ui/flows/orders/requests/order-3").await?;
    tab.click("button", "Stop").await?;
    tab.click("dialog button", "Stop").await?;
    tab.shows("Somebody stopped it").await
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
    tab.fill("input[aria-label='Part of the id']", "many-").await?;
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
    visit.go("/ui/requests?flow=orders&id=or").await?;
    tab.until("three are listed", "document.querySelectorAll('tbody tr').length === 3").await?;
    tab.eval("document.querySelector('tbody input').click()").await?;
    tab.eval("window.selected = document.querySelector('tbody tr')").await?;
    stand.order("order-new").await?;
    stand.until("orders", "order-new", "success").await?;
    tab.shows("Show 1 new request").await?;
    let kept = "document.querySelector('tbody tr') === selected && document.querySelector('tbody input').checked";
    tab.until("the selected row is where it was", kept).await?;
    tab.click("button", "Show 1 new request").await?;
    tab.until("the new one is listed first", "document.querySelector('tbody tr').innerText.includes('order-new')")
        .await?;
    tab.until("the other one is still selected", "selected.querySelector('input').checked && selected.isConnected")
        .await?;
    tab.go(&format!("{}/ui/requests?flow=orders&id=or", stand.url)).await?;
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
    tab.shows("29 of 30 done").await?;
    tab.until(
        "the failed item is seen in the flow",
        "document.querySelectorAll('svg.flow .call.at-failed').length === 1",
    )
    .await?;
    visit.seen("request-items").await
}

async fn crowd(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let send = |worker: u32| async move {
        for number in 0..150 {
            let id = format!("crowd-{worker}-{number}");
            stand.post("/function/mirror", &[("x-faasflow-request-id", &id)], b"x").await?.expect(200)?;
        }
        Ok::<(), String>(())
    };
    futures_util::future::try_join_all((0..8).map(send)).await?;
    visit.go("/ui/requests?flow=mirror").await?;
    for listed in (100..1000).step_by(100) {
        tab.until("a page is listed", &format!("document.querySelectorAll('tbody tr').length === {listed}")).await?;
        tab.click("button", "Show more").await?;
    }
    tab.until("a thousand are listed", "document.querySelectorAll('tbody tr').length === 1000").await?;
    tab.shows("The newest 1000 are listed; filters show others.").await?;
    let took = tab
        .eval(
            "(async () => { const field = document.querySelector('input[aria-label=\"Part of the id\"]'); const begun = performance.now(); \
             field.value = 'crowd-7-'; field.dispatchEvent(new Event('input', { bubbles: true })); document.body.offsetHeight; \
             return performance.now() - begun; })()",
        )
        .await?;
    let took = took.as_f64().unwrap_or(f64::MAX);
    println!("          the filter answers a key within {took:.0} ms");
    expect(took < 1000.0, || format!("a key takes {took} ms"))?;
    tab.shows("crowd-7-149").await
}

async fn dead_letters(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.file("courier", false)?;
    for number in 1..=3 {
        stand
            .post("/async-function/ship", &[("x-call-id", &format!("call-{number}"))], b"{\"order\":17}")
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
    visit.seen("dead-letter").await?;
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

/// Payloads that would do something if they were taken for a page, a picture or direction marks.
async fn hostile(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let payloads: [(&str, &str, &[u8], &str); 7] = [
        (
            "html",
            "text/html",
            b"<script>hacked = 1</script><img src=x onerror='hacked = 1'>",
            "<script>hacked = 1</script>",
        ),
        (
            "svg",
            "image/svg+xml",
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='hacked = 1'/>",
            "onload='hacked = 1'",
        ),
        (
            "json",
            "application/json",
            br#"{"<b>":"<img src=x onerror=hacked=1>","deep":[1,{"a":null}]}"#,
            "<img src=x onerror=hacked=1>",
        ),
        ("bytes", "text/plain", &[0xff, 0xfe, 0x00, 0x41], "ff fe 00 41"),
        ("reversed", "text/plain", "\u{202e}gpj.exe".as_bytes(), "⟨U+202E⟩gpj.exe"),
        ("not-png", "image/png", b"<script>hacked = 1</script>", "<script>hacked = 1</script>"),
        ("png", "image/png", PNG, "image/png"),
    ];
    for (id, kind, body, shown) in payloads {
        let headers = [("x-faasflow-request-id", id), ("content-type", kind)];
        stand.post("/function/mirror", &headers, body).await?.expect(200)?;
        visit.go(&format!("/ui/flows/mirror/requests/{id}")).await?;
        tab.shows("Succeeded").await?;
        tab.shows(shown).await?;
        let pictures = tab.eval("document.querySelectorAll('main img').length").await?;
        expect(pictures == json!(i32::from(id == "png")), || format!("{id}: {pictures} pictures are shown"))?;
        tab.until("nothing of it was executed", "typeof hacked === 'undefined'").await?;
    }
    visit.seen("request-picture").await?;
    visit.go("/ui/flows/mirror/requests/json").await?;
    tab.shows("deep").await?;
    visit.seen("request-json").await?;
    // The log lines of the function that failed.
    visit.go("/ui/?log=ship").await?;
    tab.shows("<script>hacked = 1</script> no courier answers").await?;
    tab.shows("⟨U+202E⟩ looks reversed, \u{fffd} is not UTF-8").await?;
    tab.until("nothing of it was executed", "typeof hacked === 'undefined'").await?;
    visit.seen("overview-log").await?;
    // Opened as a page, a result is not executed either.
    visit.go("/system/flows/mirror/requests/html/result").await?;
    tab.until("nothing of it was executed", "typeof hacked === 'undefined'").await?;
    visit.browser.take_problems();
    Ok(())
}

async fn find(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    visit.go("/ui/").await?;
    tab.fill("#find-id", "order-2").await?;
    tab.eval("document.getElementById('find').requestSubmit()").await?;
    tab.until("it is the page of the request", "location.pathname === '/ui/flows/orders/requests/order-2'").await?;
    tab.fill("#find-id", "not-there").await?;
    tab.eval("document.getElementById('find').requestSubmit()").await?;
    tab.shows("Only ids of listed requests are searched").await
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
    // The token of the gateway before is not valid any more.
    stand.file("slow", true)?;
    stand.order("order-4").await?;
    visit.go("/ui/flows/orders/requests/order-4").await?;
    tab.click("button", "Pause").await?;
    tab.shows("Somebody has paused it").await?;
    stand.file("slow", false)
}
