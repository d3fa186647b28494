//! What is checked of running a request again, of the log of a place, and of what stays where it is.

use serde_json::{Value, json};

use super::checks::Visit;
use super::live::connected;
use crate::suite::expect;

const PATH: &str = "decodeURIComponent(location.pathname.split('/').at(-1))";
/// The text of the element that has the focus.
const FOCUSED: &str = "document.activeElement.textContent";

/// Presses a button of the request, as somebody does with the keyboard.
fn press(text: &str) -> String {
    format!(
        "(() => {{ const button = [...document.querySelectorAll('.actions button')].find((one) => one.textContent === {}); \
         button.focus(); button.click(); }})()",
        json!(text)
    )
}

/// A picture would be binary too; these bytes are no text in any encoding that a form could keep.
fn binary() -> Vec<u8> {
    (0..=255).cycle().take(70_000).collect()
}

pub(super) async fn same_input(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let headers = [("x-faasflow-request-id", "again-1"), ("content-type", "application/x-own")];
    stand.post("/function/mirror", &headers, &binary()).await?.expect(200)?;
    visit.go("/ui/flows/mirror/requests/again-1").await?;
    tab.shows("Succeeded").await?;
    tab.eval(&press("Run again…")).await?;
    tab.shows("Run this request again?").await?;
    visit.seen("again").await?;
    tab.click("dialog button", "With the same input").await?;
    tab.shows("It runs again as").await?;
    tab.until("the button has the focus again", &format!("{FOCUSED} === 'Run again…'")).await?;
    tab.shows("It was run again as").await?;
    tab.click("[aria-live] a", "").await?;
    tab.until("it is the page of another request", &format!("{PATH} !== 'again-1'")).await?;
    tab.shows("It repeats again-1.").await?;
    tab.shows("Succeeded").await?;
    let id = tab.eval(PATH).await?;
    let id = id.as_str().unwrap_or_default();
    let result = stand.client.get(&format!("{}/system/flows/mirror/requests/{id}/result", stand.url)).await?;
    let result = result.expect(200)?;
    expect(result.body[..] == binary()[..], || format!("the result of {id} has {} bytes", result.body.len()))?;
    let content_type = result.headers.get("content-type").and_then(|value| value.to_str().ok());
    expect(content_type == Some("application/x-own"), || format!("{content_type:?}"))?;
    let listed = stand.json("/system/flows/mirror/requests?repeats=again-1").await?;
    expect(listed["requests"].as_array().map(Vec::len) == Some(1), || format!("it runs once: {listed}"))
}

pub(super) async fn edited(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let headers = [("x-faasflow-request-id", "again-2"), ("content-type", "text/x-own")];
    stand.post("/function/mirror", &headers, "a word, ü".as_bytes()).await?.expect(200)?;
    visit.go("/ui/flows/mirror/requests/again-2").await?;
    tab.click("button", "Run again").await?;
    tab.click("dialog button", "Edit the input").await?;
    tab.until("it is the page of the flow", "location.pathname === '/ui/flows/mirror'").await?;
    let filled = "document.querySelector('textarea[name=body]')?.value === 'a word, ü' && document.querySelector('input[name=type]').value === 'text/x-own'";
    tab.until("the form has the input", filled).await?;
    tab.shows("again with an edited input").await?;
    visit.seen("again-edited").await?;
    tab.fill("textarea[name=body]", "another word").await?;
    tab.click("button", "Start").await?;
    tab.click("a", "See what became of it").await?;
    tab.shows("It repeats again-2.").await?;
    tab.shows("another word").await?;
    // A form would not keep what is no text.
    visit.go("/ui/flows/mirror?repeats=again-1").await?;
    tab.shows("choose a file as the body").await?;
    tab.until("the form is empty", "document.querySelector('textarea[name=body]').value === ''").await
}

/// Opens the place with this step. The lines beside it are in [`LINES`].
async fn open_place(visit: &Visit, step: &str) -> Result<(), String> {
    visit.tab.click(".timeline summary", step).await
}

const LINES: &str = "[...document.querySelectorAll('details[open] .lines .text')].map((line) => line.textContent)";

pub(super) async fn place_log(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.file("courier", true)?;
    stand.order("again-3").await?;
    stand.until("orders", "again-3", "success").await?;
    visit.go("/ui/flows/orders/requests/again-3").await?;
    open_place(visit, "function pack").await?;
    // The function does not write the id of the request.
    tab.until("the function's line is there", &format!("{LINES}.includes('packing order')")).await?;
    let lines = tab.eval(LINES).await?;
    let place = tab.eval("document.querySelector('details[open]').dataset.place").await?;
    let place = place.as_str().unwrap_or_default();
    let others: Vec<&Value> = lines
        .as_array()
        .into_iter()
        .flatten()
        .filter(|line| {
            let line = line.as_str().unwrap_or_default();
            let is_here = line.split_whitespace().any(|word| word == format!("place={place}"));
            line.contains(" phase=") && !is_here
        })
        .collect();
    expect(others.is_empty(), || format!("lines of other places: {others:?}"))?;
    expect(lines.as_array().is_some_and(|lines| lines.len() >= 3), || format!("too few lines: {lines}"))?;
    visit.seen("place-log").await
}

pub(super) async fn back(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    let rows = |number: u32| format!("document.querySelectorAll('tbody tr').length === {number}");
    let is_there = "Math.abs(scrollY - 3000) < 3";
    visit.go("/ui/requests?flow=mirror").await?;
    tab.until("a page is listed", &rows(100)).await?;
    tab.click("button", "Show more").await?;
    tab.until("two pages are listed", &rows(200)).await?;
    tab.eval("scrollTo(0, 3000)").await?;
    tab.until("it has scrolled", is_there).await?;
    let seen = "[...document.querySelectorAll('tbody a')].find((one) => one.getBoundingClientRect().top > 200)";
    tab.eval(&format!("{seen}.click()")).await?;
    tab.until("it is the page of a request", "location.pathname.includes('/requests/')").await?;
    tab.shows("Succeeded").await?;
    let summary = "document.querySelector('.timeline summary')";
    tab.eval(&format!("{summary}.click()")).await?;
    tab.shows("Place 1, phase 1.").await?;
    tab.eval("history.back()").await?;
    tab.until("the list is as long as before", &rows(200)).await?;
    tab.until("it is where it was", is_there).await?;
    tab.reload().await?;
    tab.until("the list is as long as before after loading", &rows(200)).await?;
    tab.until("it is where it was after loading", is_there).await?;
    tab.eval("history.forward()").await?;
    tab.until("the place is still open", "document.querySelector('.timeline details')?.open === true").await
}

pub(super) async fn focus(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.file("slow", true)?;
    stand.order("again-4").await?;
    visit.go("/ui/flows/orders/requests/again-4").await?;
    tab.shows("function pack is being executed.").await?;
    tab.eval(&press("Pause")).await?;
    tab.shows("Somebody has paused it").await?;
    tab.until("the button in its place has the focus", &format!("{FOCUSED} === 'Resume'")).await?;
    tab.eval(&press("Copy as curl")).await?;
    stand.file("slow", false)?;
    stand.post("/system/flows/orders/requests/again-4/resume", &[], b"").await?.expect(200)?;
    tab.shows("Succeeded").await?;
    tab.until("the button keeps the focus", &format!("{FOCUSED} === 'Copy as curl'")).await
}

pub(super) async fn events(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.file("slow", true)?;
    stand.order("again-5").await?;
    visit.go("/ui/flows/orders/requests/again-5").await?;
    tab.shows("function pack is being executed.").await?;
    connected(tab).await?;
    let last = "Math.max(0, ...performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/requests/again-5')).map((one) => one.startTime))";
    tab.until("the page does not ask", &format!("performance.now() - ({last}) > 5000")).await?;
    let words = tab.eval("document.querySelector('.words').textContent").await?;
    tab.until("times go on", &format!("document.querySelector('.words').textContent !== {words}")).await?;
    stand.file("slow", false)?;
    let began = tab.eval("performance.now()").await?.as_f64().unwrap_or_default();
    tab.shows("Succeeded").await?;
    let took = tab.eval("performance.now()").await?.as_f64().unwrap_or(f64::MAX) - began;
    expect(took < 10_000.0, || format!("the page shows the end after {took} ms, so it did not hear of it"))
}

pub(super) async fn other_definition(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    visit.go("/ui/requests?flow=orders&search=again-3").await?;
    tab.shows("again-3").await?;
    // As a flow answers that was deployed since.
    let answer = "const own = window.fetch; window.fetch = async (...asked) => { const answer = await own(...asked); \
                  if (!String(asked[0]).endsWith('/requests/again-3')) return answer; \
                  return new Response(JSON.stringify({ ...await answer.json(), is_deployed: false })); }";
    tab.eval(answer).await?;
    tab.click("tbody a", "again-3").await?;
    tab.shows("This request began with another definition of the flow").await?;
    tab.until("the flow is drawn", "document.querySelectorAll('svg.flow .call').length === 4").await?;
    tab.until("no step is marked", "document.querySelectorAll('svg.flow [class*=at-]').length === 0").await
}
