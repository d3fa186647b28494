//! What is checked of requests with many items, and of places that are not executed now.

use std::time::{Duration, Instant};

use serde_json::json;

use super::asked;
use super::browser::Tab;
use super::checks::Visit;
use crate::suite::expect;

/// The most that the page of a request with 10,000 items may read in this check, in bytes.
const MOST_READ: f64 = 1_000_000.0;
/// How long the page is watched while nothing is done in it.
const WATCHED: Duration = Duration::from_secs(15);
const ROWS: &str = "[...document.querySelectorAll('.members > li')]";
/// What the page has read, in bytes: all, and of that the status, the log and the queue. The answer of events is not over, so it does not
/// count.
const READ: &str = "(() => { const all = performance.getEntriesByType('resource'); const sum = (part) => all.filter((one) => one.name.includes(part)).reduce((sum, one) => \
                    sum + one.transferSize, 0); return ['/system/', '/requests/', '/system/logs', '/system/queue'].map(sum); })()";
/// How long it takes until the page has drawn what a click in it has changed, in milliseconds.
const INPUT: &str = "(async () => { const began = performance.now(); document.querySelector('.members > li summary').click(); \
                     await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))); return performance.now() - began; })()";

pub(super) async fn many(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.file("sifting", true)?;
    let name = |number: u32| match number {
        1..=12 => format!("bad {number}"),
        13..=42 => format!("good {number}"),
        _ => format!("slow customer {number}"),
    };
    let items: Vec<String> = (1..=10_000).map(name).collect();
    let headers = [("x-faasflow-request-id", "sift-1"), ("content-type", "application/json")];
    stand.post("/async-function/sift", &headers, json!(items).to_string().as_bytes()).await?.expect(202)?;
    let began = Instant::now();
    visit.go("/ui/flows/sift/requests/sift-1").await?;
    tab.shows("It has been in progress for").await?;
    println!("          the status of 10,000 items was shown after {} ms", began.elapsed().as_millis());
    let counts = r"/10,000: 30 done, 12 failed, [\d,]+ in progress, [\d,]+ waiting/.test(document.querySelector('.timeline').innerText)";
    tab.until("one place counts them", counts).await?;
    let singly = "document.querySelectorAll('.timeline > li').length";
    let rows = tab.eval(singly).await?;
    expect(rows.as_u64().is_some_and(|rows| rows < 20), || format!("the page has {rows} rows"))?;

    tab.click(".timeline summary", "10,000: ").await?;
    tab.until("failed ones come first", &first("Failed", 12)).await?;
    let input = tab.eval(INPUT).await?.as_f64().unwrap_or(f64::MAX);
    println!("          a click was drawn after {input:.0} ms");
    tab.fill("select[aria-label='Status of the items']", "done").await?;
    tab.until("only those are listed that are done", &format!("{ROWS}.length === 30 && {}", first("Done", 30))).await?;
    tab.fill("select[aria-label='Status of the items']", "").await?;
    search(tab, "customer 4711", "item 4711 (slow customer 4711)").await?;
    tab.click(".members summary", "item 4711").await?;
    tab.shows("only so many items are in progress at once").await?;
    search(tab, "bad 3", "item 3 (bad 3)").await?;
    tab.click(".members summary", "item 3").await?;
    tab.shows("Answer with status 500").await?;
    let input = "document.querySelector('.members .sides .payload')?.innerText.includes('bad 3')";
    tab.until("its input is shown", input).await?;
    visit.seen("request-many-items").await?;
    // What was searched for, and the items in the URL, are there again, also the one that is not on the first page.
    tab.fill("select[aria-label='Status of the items']", "failed").await?;
    tab.until("the URL has the list", "new URLSearchParams(location.search).get('status.1') === 'failed'").await?;
    tab.reload().await?;
    let kept = format!(
        "{ROWS}.length === 1 && document.querySelector('input[aria-label=\"Search the items\"]').value === 'bad 3' \
         && document.querySelector('select[aria-label=\"Status of the items\"]').value === 'failed'"
    );
    tab.until("the same items are listed", &kept).await?;
    tab.fill("select[aria-label='Status of the items']", "").await?;
    tab.fill("input[aria-label='Search the items']", "").await?;
    for place in ["1.2/2", "1.4710/2"] {
        let is_open = format!("document.querySelector('.members details[open][data-place=\"{place}\"]') !== null");
        tab.until(&format!("the place {place} is opened"), &is_open).await?;
    }
    tab.shows("Answer with status 500").await?;
    tab.click("button", "Show more").await?;
    tab.until("the next page is listed", &format!("{ROWS}.length === 101")).await?;
    tab.reload().await?;
    tab.until("two pages are listed after loading", &format!("{ROWS}.length === 101")).await?;

    // The volume of a page that is only watched.
    visit.go("/ui/flows/sift/requests/sift-1").await?;
    tab.until("one place counts them", "document.querySelector('.timeline')?.innerText.includes('10,000: 30 done, ')")
        .await?;
    tokio::time::sleep(WATCHED).await;
    let parts = tab.eval(READ).await?;
    let read = parts[0].as_f64().unwrap_or(f64::MAX);
    println!(
        "          the page has read {read} bytes in {} s; in all, and the status, the log and the queue: {parts}",
        WATCHED.as_secs()
    );
    expect(read < MOST_READ, || format!("the page has read {read} bytes"))?;
    stand.post("/system/flows/sift/requests/sift-1/stop", &[], b"").await?.expect(200)?;
    stand.file("sifting", false)?;
    tab.until("they are stopped", r"/\d failed, [\d,]+ stopped/.test(document.querySelector('.timeline').innerText)")
        .await?;
    asked::places(tab, visit).await
}

/// Whether the first of the listed items have this status.
fn first(status: &str, number: usize) -> String {
    format!(
        "{ROWS}.length >= {number} && {ROWS}.slice(0, {number}).every((row) => row.querySelector('.chip').textContent === {})",
        json!(status)
    )
}

/// Searches the items, and waits until the one that is searched for is the first one.
async fn search(tab: &Tab, text: &str, found: &str) -> Result<(), String> {
    tab.fill("input[aria-label='Search the items']", text).await?;
    let is_found = format!("{ROWS}[0]?.querySelector('.what').textContent === {}", json!(found));
    tab.until(&format!("`{text}` is found"), &is_found).await
}

pub(super) async fn other_times(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.file("slow", true)?;
    stand.order("ahead-1").await?;
    visit.go("/ui/flows/orders/requests/ahead-1").await?;
    tab.click(".timeline .ahead summary", "ship").await?;
    tab.shows("It has not begun: it waits for").await?;
    tab.until("it is called so", "document.querySelector('.timeline .ahead .chip')?.textContent === 'Not begun'")
        .await?;
    visit.seen("request-ahead").await?;
    stand.file("slow", false)?;
    stand.until("orders", "ahead-1", "success").await?;
    tab.until("nothing is ahead any more", "document.querySelector('.timeline .ahead') === null").await?;
    // This request has failed once, and was redriven.
    visit.go("/ui/flows/orders/requests/order-1").await?;
    tab.click(".timeline summary", "2 generations").await?;
    tab.shows("Before the request was redriven, it failed").await?;
    let twice = tab
        .eval("[...document.querySelectorAll('.timeline .what')].filter((one) => one.textContent.includes('ship')).length")
        .await?;
    expect(twice == 1, || format!("the place has {twice} rows"))?;
    visit.seen("request-generations").await
}
