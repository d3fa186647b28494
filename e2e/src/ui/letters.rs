//! What the queue has given up: the list of requests finds it, and that of dead letters says which of their requests have ended.

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::json;

use super::browser::Tab;
use super::checks::Visit;
use super::stand::Stand;
use crate::suite::expect;

const ROWS: &str = "[...document.querySelectorAll('tbody tr')]";
const LETTERS: &str = "[...document.querySelectorAll('#dead-letters tbody tr')]";

/// Waits until the queue has given up a delivery of this request.
async fn until_dead(stand: &Stand, flow: &str, id: &str) -> Result<(), String> {
    let path = format!("/system/queue/dead-letters?function={flow}&request={id}");
    for _ in 0..600 {
        if stand.json(&path).await?.as_array().is_some_and(|letters| letters.len() == 1) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(format!("the queue did not give up {id}"))
}

async fn begin(stand: &Stand, flow: &str, id: &str) -> Result<(), String> {
    let headers = [("x-faasflow-request-id", id)];
    stand.post(&format!("/async-function/{flow}"), &headers, b"17").await?.expect(202).map(drop)
}

pub(super) async fn given_up(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let discard = format!("{}/system/queue/dead-letters", stand.url);
    stand
        .client
        .send(Method::DELETE, &discard, &[("content-type", "application/json")], b"{}".to_vec())
        .await?
        .expect(200)?;
    stand.courier.store(false, Ordering::SeqCst);
    unnamed(visit).await?;
    clocks(tab).await?;
    stand.courier.store(true, Ordering::SeqCst);
    begin(stand, "frail", "letter-3").await?;
    stand.until("frail", "letter-3", "success").await?;
    stand.courier.store(false, Ordering::SeqCst);
    // The first delivery of one request is given up, so it has not begun. Of the others, it is the second place, and the first one after
    // a redrive.
    begin(stand, "frail", "letter-1").await?;
    begin(stand, "fragile", "letter-2").await?;
    stand.post("/system/flows/frail/requests/letter-3/redrive?from=1", &[], b"").await?.expect(200)?;
    for (flow, id) in [("frail", "letter-1"), ("fragile", "letter-2"), ("frail", "letter-3")] {
        until_dead(stand, flow, id).await?;
    }
    visit.go("/ui/requests?given_up=true").await?;
    let says = |id: &str| {
        format!(
            "((row) => row !== undefined && /Given up[^]*dead letter \\d+: .*callback.*: given up, because/.test(row.innerText) \
             && row.querySelector('a[href^=\"/ui/queue/dead-letters/\"]') !== null)({ROWS}.find((row) => row.innerText.includes('{id}')))"
        )
    };
    let both = format!("{ROWS}.length === 2 && {} && {}", says("letter-2"), says("letter-3"));
    tab.until("both are listed, with links to their dead letters", &both).await?;
    tab.shows("These go on when their dead letters are put back into the queue.").await?;
    tab.shows("1 other request with dead letters has not begun").await?;
    visit.seen("requests-given-up").await?;
    tab.click(".check + .check input", "").await?;
    tab.until("without the filter, others are listed", &format!("location.search === '' && {ROWS}.length > 2")).await?;
    tab.click(".check + .check input", "").await?;
    let is_back = format!("location.search === '?given_up=true' && {ROWS}.length === 2");
    tab.until("the filter is in the URL", &is_back).await?;
    // They can be stopped together, but they have not failed.
    let able = "((names) => names.join() === 'Stop all that match…')([...document.querySelectorAll('.actions button:not([disabled])')] \
                .map((button) => button.innerText).filter((name) => name.includes('all that match')))";
    tab.until("they can be stopped", able).await?;
    visit.go("/ui/requests?flow=frail&search=letter-3").await?;
    tab.until("the row says so without the filter", &says("letter-3")).await?;

    visit.go("/ui/flows/frail/requests/letter-1").await?;
    tab.shows("If it has not begun, it begins when that is put back into the queue.").await?;
    tab.click("a", "dead letter").await?;
    tab.shows("It belongs to the request letter-1.").await?;
    visit.go("/ui/flows/frail/requests/letter-3").await?;
    tab.shows("does not go on: the queue gave it up after 2 attempts").await?;
    tab.until("its place says so", "document.querySelector('.timeline').innerText.includes('Given up')").await?;
    tab.click(".now a", "a dead letter").await?;
    tab.shows("It belongs to the request letter-3.").await?;
    ended(visit).await
}

/// One of the requests is stopped, so its dead letter can be discarded.
async fn ended(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.post("/system/flows/fragile/requests/letter-2/stop", &[], b"").await?.expect(200)?;
    visit.go("/ui/queue").await?;
    let told = format!(
        "{LETTERS}.length === 3 && ['1 has not begun, or is no longer remembered.', '3: Running.', \
         '2 has ended (Stopped): delivering this again executes nothing.'] \
         .every((text) => {LETTERS}.some((row) => row.innerText.includes(`Request letter-${{text}}`)))"
    );
    tab.until("each dead letter says what has become of its request", &told).await?;
    visit.seen("queue-ended").await?;
    tab.click("#dead-letters thead input", "").await?;
    tab.click("#dead-letters button", "Discard…").await?;
    tab.shows("1 of them belongs to a request that has not ended").await?;
    tab.shows("1 may not have begun: the flow does not know its request.").await?;
    tab.click("dialog button", "Cancel").await?;
    tab.click("#dead-letters thead input", "").await?;
    tab.click("#dead-letters button", "Discard 1 whose request has ended…").await?;
    tab.shows("Discard 1 dead letter?").await?;
    tab.shows("delivering them again would execute nothing").await?;
    tab.click("dialog button", "Discard").await?;
    tab.shows("1 dead letter discarded.").await?;
    let left = format!("{LETTERS}.length === 2 && !{LETTERS}.some((row) => row.innerText.includes('letter-2'))");
    tab.until("the others are left", &left).await?;
    let letters = stand.json("/system/queue/dead-letters").await?;
    let left: Vec<_> = letters.as_array().into_iter().flatten().map(|letter| &letter["request"]).collect();
    let is_left = |id: &str| left.contains(&&json!(id));
    expect(left.len() == 2 && is_left("letter-1") && is_left("letter-3"), || format!("these are left: {letters}"))?;
    stand.courier.store(true, Ordering::SeqCst);
    tab.click("#dead-letters thead input", "").await?;
    tab.click("#dead-letters button", "Redrive…").await?;
    tab.click("dialog button", "Redrive").await?;
    for id in ["letter-1", "letter-3"] {
        stand.until("frail", id, "success").await?;
    }
    visit.go("/ui/requests?given_up=true").await?;
    tab.shows("There are no such requests.").await
}

/// The call of a flow whose request has no name and has not begun: only the flow knows which of its fields are secret, so it is folded,
/// and the page says that the request is lost without it.
async fn unnamed(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let headers = [("x-call-id", "letter-4"), ("x-faasflow-request-id", "not an id")];
    stand.post("/async-function/frail", &headers, b"word-of-4").await?.expect(202)?;
    until_dead(stand, "frail", "letter-4").await?;
    visit.go("/ui/queue").await?;
    tab.click("#dead-letters tbody a", "").await?;
    tab.shows("The flow does not know its request: it has not begun").await?;
    let shown = tab.eval("document.querySelector('main').textContent").await?;
    let is_folded = shown.as_str().is_some_and(|text| {
        text.contains("with all secrets") && !text.contains("word-of-4") && !text.contains("It belongs to")
    });
    expect(is_folded, || format!("the page says {shown}"))?;
    tab.click("summary", "with all secrets").await?;
    tab.shows("word-of-4").await?;
    tab.click("button", "Discard…").await?;
    tab.shows("1 may not have begun: the flow does not know its request.").await?;
    tab.click("dialog button", "Discard").await?;
    tab.shows("There are none.").await
}

/// The clocks of a flow and of the gateway differ, or a request has another open place: the modules are given such requests.
async fn clocks(tab: &Tab) -> Result<(), String> {
    let script = "import(`${location.origin}/ui/assets/letters.js`).then(({ inParts, isGivenUp, isPlaceGivenUp, letterOf }) => { \
         const letter = { id: 1, call_id: 'a', died_ms: 10000 }; const at = { call_id: 'b', more: 0 }; \
         const of = (more) => ({ status: 'running', letters: [letter], at, moved_ms: 11000, ...more }); \
         const place = (ms) => letterOf({ call_id: 'a', given_up: [{ given_up_ms: ms }] }, [letter], { places: [] })?.id ?? null; \
         return [isGivenUp(of({})), isGivenUp(of({ moved_ms: 60000 })), isGivenUp(of({ moved_ms: 60000, at: { ...at, call_id: 'a' } })), \
         [{ more: 1 }, { members: 3 }, { partial: true }].map((more) => isGivenUp(of({ at: { ...at, ...more } }))), \
         ['a', 'b'].map((call_id) => [isPlaceGivenUp, isGivenUp].map((is) => is(of({ at: { call_id, more: 1 } })))), \
         place(11000), place(60000), inParts(['1', '2', '3'], 2), \
         inParts(Array(100).fill(':'.repeat(128)), 50).map((part) => part.length)]; })";
    let told = tab.eval(script).await?;
    let parts = [10; 10];
    let wanted = json!([
        true,
        false,
        true,
        [false, false, false],
        [[true, false], [false, false]],
        1,
        null,
        [["1", "2"], ["3"]],
        parts
    ]);
    expect(told == wanted, || format!("{told}, and not {wanted}"))
}
