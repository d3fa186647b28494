//! What is checked of finding requests, and of changing all that are found.

use std::sync::atomic::Ordering;

use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;

use super::browser::Tab;
use super::checks::Visit;
use super::stand::Stand;
use crate::suite::expect;

const ROWS: &str = "document.querySelectorAll('tbody tr').length";
/// What the column says about the first request.
const WHERE: &str = "(document.querySelector('tbody td.where')?.innerText ?? '')";

async fn rows(tab: &Tab, count: usize) -> Result<(), String> {
    tab.until(&format!("{count} requests are listed"), &format!("{ROWS} === {count}")).await
}

/// Sends requests to the flow `brittle`, and waits until they have ended.
async fn send(stand: &Stand, prefix: &str, count: usize, body: &str) -> Result<(), String> {
    let send = |number: usize| async move {
        let id = format!("{prefix}-{number}");
        stand.post("/function/brittle", &[("x-faasflow-request-id", &id)], body.as_bytes()).await.map(drop)
    };
    futures_util::stream::iter((1..=count).map(send)).buffer_unordered(8).try_collect().await
}

/// How many requests of `brittle` are listed with this query.
async fn count(stand: &Stand, query: &str) -> Result<usize, String> {
    let list = stand.json(&format!("/system/flows/brittle/requests?limit=1000&{query}")).await?;
    Ok(list["requests"].as_array().map_or(0, Vec::len))
}

async fn until_count(stand: &Stand, query: &str, wanted: usize) -> Result<(), String> {
    let mut last = 0;
    for _ in 0..600 {
        last = count(stand, query).await?;
        if last == wanted {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(format!("{last} requests are listed with `{query}`, and not {wanted}"))
}

pub(super) async fn broken(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.courier.store(false, Ordering::SeqCst);
    stand.post("/async-function/fragile", &[("x-faasflow-request-id", "find-1")], b"17").await?.expect(202)?;
    stand.file("slow", true)?;
    stand.order("find-2").await?;
    visit.go("/ui/requests?retrying=true").await?;
    rows(tab, 1).await?;
    tab.until("it says where and why", &format!("/callback.*: being retried, because/.test({WHERE})")).await?;
    let box_ = "document.querySelector('.check input').checked";
    tab.until("the filter of the URL is set", box_).await?;
    visit.seen("requests-retrying").await?;
    tab.click(".check input", "").await?;
    tab.fill("input[aria-label=Place]", "PACK").await?;
    tab.until("the request at that place is listed", &format!("{ROWS} === 1 && {WHERE} === 'function pack'")).await?;
    tab.until("the URL has the place", "location.search === '?at=PACK'").await?;
    tab.fill("input[aria-label=Place]", "").await?;
    tab.fill("select[aria-label='How long it has not moved']", "24h").await?;
    tab.shows("There are no such requests.").await?;
    tab.fill("select[aria-label='How long it has not moved']", "").await?;
    tab.fill("input[aria-label=Reason]", "answered 503").await?;
    rows(tab, 1).await?;
    between(visit).await?;
    bounds(visit).await?;
    // A filter that excludes the other is explained.
    visit.go("/ui/requests?flow=fragile&retrying=true&status=success").await?;
    tab.shows("fragile: `retrying` finds only requests that have not ended").await?;
    stand.file("slow", false)?;
    stand.until("orders", "find-2", "success").await?;
    stand.courier.store(true, Ordering::SeqCst);
    stand.post("/system/flows/fragile/requests/find-1/stop", &[], b"").await?.expect(200).map(drop)
}

/// Requests that began between two times, which are in the URL and in the question before many are changed.
async fn between(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let told = stand.json("/system/flows/orders/requests/find-2").await?;
    let began = told["started_ms"].as_u64().ok_or_else(|| format!("no time: {told}"))?;
    // The fields have whole seconds.
    let (from, to) = (began / 1000 * 1000, began / 1000 * 1000 + 1000);
    visit.go("/ui/requests?flow=orders&search=find-2").await?;
    rows(tab, 1).await?;
    tab.fill("select[aria-label='When it began']", "between").await?;
    let enter = async |index: usize, ms: u64| {
        let script = format!(
            "(() => {{ const field = document.querySelectorAll('input[type=datetime-local]')[{index}]; \
             field.value = new Date({ms} - 60000 * new Date({ms}).getTimezoneOffset()).toISOString().slice(0, 19); \
             field.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()"
        );
        tab.eval(&script).await.map(drop)
    };
    enter(0, to).await?;
    tab.shows("There are no such requests.").await?;
    enter(1, to).await?;
    tab.shows("The second time must be later than the first.").await?;
    tab.shows("The list still shows what was chosen before.").await?;
    visit.seen("requests-between-nothing").await?;
    enter(0, from).await?;
    rows(tab, 1).await?;
    let url = format!("/ui/requests?flow=orders&search=find-2&since={from}&until={to}");
    let is_there = format!("location.pathname + location.search === {}", json!(url));
    tab.until("both times are in the URL", &is_there).await?;
    tab.reload().await?;
    rows(tab, 1).await?;
    visit.seen("requests-between").await?;
    tab.click("button", "Stop all that match").await?;
    tab.shows("Stop 1 request?").await?;
    let says = "/that began between \\d\\d:\\d\\d:\\d\\d and \\d\\d:\\d\\d:\\d\\d and have “find-2”/.test(document.querySelector('dialog').innerText)";
    tab.until("the question says both times", says).await?;
    tab.click("dialog button", "Cancel").await?;
    enter(1, from).await?;
    visit.go(&format!("/ui/requests?flow=orders&until={from}&search=find-2")).await?;
    tab.shows("There are no such requests.").await
}

/// Bounds that are durations, alone and beside a time.
async fn bounds(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let told = stand.json("/system/flows/orders/requests/find-2").await?;
    let began = told["started_ms"].as_u64().ok_or_else(|| format!("no time: {told}"))?;
    let later = began / 1000 * 1000 + 3_600_000;
    let asked = [
        (
            format!("since=1h&until={later}"),
            "(in the last hour)",
            "began in the last hour, began before [-\\d: ]+ and have “find-2”",
        ),
        ("until=1ms".to_owned(), "(more than 1ms ago)", "that began more than 1ms ago and have “find-2”"),
        ("since=90m".to_owned(), "", "that began in the last 90m and have “find-2”"),
    ];
    for (query, beside, question) in asked {
        visit.go(&format!("/ui/requests?flow=orders&search=find-2&{query}")).await?;
        rows(tab, 1).await?;
        let is_beside = format!("document.querySelector('.between').textContent.includes({})", json!(beside));
        tab.until("what the URL says is beside the fields", &is_beside).await?;
        tab.click("button", "Stop all that match").await?;
        tab.shows("Stop 1 request?").await?;
        let says = format!("/{question}/.test(document.querySelector('dialog').innerText)");
        tab.until(&format!("the question for `{query}` is `{question}`"), &says).await?;
        tab.click("dialog button", "Cancel").await?;
    }
    // A time that is entered replaces only the bound of its own field.
    visit.go(&format!("/ui/requests?flow=orders&search=find-2&since=1h&until={later}")).await?;
    rows(tab, 1).await?;
    let fields = "document.querySelectorAll('input[type=datetime-local]')";
    let times = tab.eval(&format!("[...{fields}].map((field) => new Date(field.value).getTime())")).await?;
    expect(times == json!([null, later]), || format!("the fields have {times}"))?;
    let enter = format!(
        "(() => {{ {fields}[1].value = '2001-02-03T04:05:06'; {fields}[1].dispatchEvent(new Event('change')); }})()"
    );
    tab.eval(&enter).await?;
    let both = "new URLSearchParams(location.search)";
    let is_there = format!(
        "{both}.get('since') === '1h' && {both}.get('until') === String(new Date('2001-02-03T04:05:06').getTime())"
    );
    tab.until("the duration stays", &is_there).await?;
    tab.shows("orders: no time is between `since` and `until`").await?;
    // A reader who types 2026 has typed 0202 before.
    let before = tab.eval("location.search").await?;
    tab.eval(&enter.replace("2001-", "0202-")).await?;
    tab.shows("Enter a year from 1970 to 9999.").await?;
    let after = tab.eval("location.search").await?;
    expect(after == before, || format!("the filter was {before} and is {after}"))?;
    // A range of the URL in which nothing can begin is explained beside its fields.
    visit.go(&format!("/ui/requests?flow=orders&since={later}&until={began}")).await?;
    let says =
        "document.querySelector('.between').textContent.includes('The second time must be later than the first.')";
    tab.until("it is explained", says).await
}

pub(super) async fn call_ids(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let told = stand.json("/system/flows/orders/requests/find-2").await?;
    let place = &told["places"][1];
    let call = place["call_id"].as_str().ok_or_else(|| format!("no call id: {told}"))?;
    visit.go("/ui/requests").await?;
    tab.fill("input[aria-label=Search]", call).await?;
    rows(tab, 1).await?;
    tab.shows("find-2").await?;
    tab.shows(&format!("call id of place {}", place["place"].as_str().unwrap_or_default())).await?;
    tab.shows("payloads, headers, reasons and logs are not").await
}

/// U17: 7 of 500 match.
pub(super) async fn matching(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    send(stand, "shelf", 7, "no shelf").await?;
    send(stand, "till", 493, "no till").await?;
    until_count(stand, "status=failure", 500).await?;
    visit.go("/ui/requests?flow=brittle&reason=no+shelf").await?;
    rows(tab, 7).await?;
    tab.until("the column says why", &format!("{WHERE}.includes('there is no shelf')")).await?;
    tab.click("button", "Redrive all that match").await?;
    tab.shows("Redrive 7 requests?").await?;
    tab.shows("requests of brittle that have “no shelf” in their reason").await?;
    tab.shows("Keep the dashboard open").await?;
    visit.seen("requests-redrive-all").await?;
    // Another one matches while the dialogue is open.
    send(stand, "shelf-late", 1, "no shelf").await?;
    until_count(stand, "status=failure", 501).await?;
    stand.file("mended", true)?;
    tab.click("dialog button", "Redrive").await?;
    tab.shows("7 requests redriven.").await?;
    until_count(stand, "status=success", 7).await?;
    expect(count(stand, "status=success&search=shelf-late").await? == 0, || {
        "a request was redriven that matched later".to_owned()
    })?;
    until_count(stand, "status=failure", 494).await?;
    // What has changed meanwhile is refused, and the page says why.
    stand.file("mended", false)?;
    visit.go("/ui/requests?flow=brittle&search=shelf-late").await?;
    tab.click("button", "Redrive all that match").await?;
    tab.shows("Redrive 1 request?").await?;
    stand.file("mended", true)?;
    stand.post("/system/flows/brittle/requests/shelf-late-1/redrive", &[], b"").await?.expect(200)?;
    stand.until("brittle", "shelf-late-1", "success").await?;
    tab.click("dialog button", "Redrive").await?;
    tab.shows("0 requests redriven.").await?;
    tab.shows("1 request refused:").await?;
    let names = "document.querySelector('.refused a')?.textContent === 'shelf-late-1'";
    tab.until("the account names it", names).await?;
    visit.seen("requests-refused").await
}

/// There is no limit of a thousand, and what was not tried is told.
pub(super) async fn crowd(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.file("mended", false)?;
    send(stand, "crowd", 700, "no till").await?;
    until_count(stand, "status=success", 8).await?;
    stand.file("mended", true)?;
    visit.go("/ui/requests?flow=brittle&reason=no+till").await?;
    tab.click("button", "Redrive all that match").await?;
    tab.shows("Redrive 1,193 requests?").await?;
    tab.fill("dialog input[type=number]", "20").await?;
    tab.click("dialog button", "Redrive").await?;
    tab.until("it is at work", "/Redriving: [1-9]\\d* of 1,193 done/.test(document.body.innerText)").await?;
    visit.seen("requests-progress").await?;
    tab.click(".going button", "Cancel").await?;
    tab.until("it says what is left", "/\\d+ requests? redriven, and [\\d,]+ not tried/.test(document.body.innerText)")
        .await?;
    let numbers = "document.querySelector('.progress').innerText.match(/\\d[\\d,]*/g)";
    let told = tab.eval(&format!("{numbers}.map((text) => Number(text.replaceAll(',', '')))")).await?;
    let numbers: Vec<u64> = serde_json::from_value(told.clone()).map_err(|error| error.to_string())?;
    expect(numbers.iter().sum::<u64>() == 1193 && numbers[0] < 1193, || format!("the account says {told}"))?;
    tab.click("button", "Redrive all that match").await?;
    tab.shows(&format!("{} requests?", thousands(numbers[1]))).await?;
    tab.click("dialog button", "Redrive").await?;
    tab.shows(&format!("{} requests redriven.", thousands(numbers[1]))).await?;
    until_count(stand, "status=failure", 0).await
}

fn thousands(number: u64) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

/// A flow of an older version refuses parameters that it does not know.
pub(super) async fn older(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    visit.go("/ui/requests?flow=mirror").await?;
    tab.until("requests are listed", &format!("{ROWS} > 0")).await?;
    let refuses =
        json!({ "reason": "the query cannot be used: unknown field `details`, expected one of `status`, `since`" });
    tab.eval(&format!(
        "(() => {{ const real = fetch; window.refused = 0; window.listed = 0; window.fetch = (url, options) => {{ \
         if (!/flows\\/mirror\\/requests\\?/.test(url)) return real(url, options); \
         const field = /[?&](details|at|retrying|idle|reason)=/.exec(url)?.[1]; \
         if (!field) {{ listed += 1; return real(url, options); }} \
         refused += 1; return Promise.resolve(new Response({}.replace('`details`', '`' + field + '`'), {{ status: 400 }})); }}; }})()",
        json!(refuses.to_string())
    ))
    .await?;
    tab.fill("select[aria-label=Status]", "success").await?;
    tab.until("it is asked again without details", "listed > 0 && refused > 0").await?;
    tab.until("requests are still listed", &format!("{ROWS} > 0")).await?;
    tab.fill("input[aria-label=Reason]", "x").await?;
    tab.shows("mirror: it was built with an older version of Faasflow, which does not have this filter.").await
}
