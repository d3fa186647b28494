//! What the queue has given up: the list of requests finds it, and that of dead letters says which of their requests have ended.

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::json;

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

pub(super) async fn given_up(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let discard = format!("{}/system/queue/dead-letters", stand.url);
    stand
        .client
        .send(Method::DELETE, &discard, &[("content-type", "application/json")], b"{}".to_vec())
        .await?
        .expect(200)?;
    stand.courier.store(false, Ordering::SeqCst);
    // The first place of one flow is given up, and the second one of the other.
    for (flow, id) in [("frail", "letter-1"), ("fragile", "letter-2")] {
        stand.post(&format!("/async-function/{flow}"), &[("x-faasflow-request-id", id)], b"17").await?.expect(202)?;
    }
    for (flow, id) in [("frail", "letter-1"), ("fragile", "letter-2")] {
        until_dead(stand, flow, id).await?;
    }
    visit.go("/ui/requests?given_up=true").await?;
    let says = |row: &str| {
        format!(
            "(({row}) => row && /Given up[^]*dead letter \\d+: .*callback.*: given up, because/.test(row.innerText) \
                 && row.querySelector('a[href^=\"/ui/queue/dead-letters/\"]'))({ROWS}.find((row) => row.innerText.includes(id)))"
        )
    };
    let both = format!("{ROWS}.length === 2 && ['letter-1', 'letter-2'].every((id) => {})", says("row"));
    tab.until("both are listed, with links to their dead letters", &both).await?;
    tab.shows("These go on when their dead letters are put back into the queue.").await?;
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
    visit.go("/ui/requests?flow=frail&search=letter-1").await?;
    let row = format!("((id) => {})('letter-1')", says("row"));
    tab.until("the row says so without the filter", &row).await?;

    visit.go("/ui/flows/frail/requests/letter-1").await?;
    tab.shows("does not go on: the queue gave it up after 2 attempts").await?;
    tab.until("its place says so", "document.querySelector('.timeline').innerText.includes('Given up')").await?;
    tab.click(".now a", "a dead letter").await?;
    tab.shows("It belongs to the request letter-1.").await?;
    ended(visit).await
}

/// One of the two requests is stopped, so its dead letter can be discarded.
async fn ended(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.post("/system/flows/fragile/requests/letter-2/stop", &[], b"").await?.expect(200)?;
    visit.go("/ui/queue").await?;
    let told = format!(
        "{LETTERS}.length === 2 && {LETTERS}.some((row) => row.innerText.includes('Request letter-1: Running.')) && {LETTERS}.some((row) => \
         row.innerText.includes('Request letter-2 has ended (Stopped): delivering this again executes nothing.'))"
    );
    tab.until("each dead letter says what has become of its request", &told).await?;
    visit.seen("queue-ended").await?;
    tab.click("#dead-letters thead input", "").await?;
    tab.click("#dead-letters button", "Discard…").await?;
    tab.shows("1 request of them has not ended, and will not go on").await?;
    tab.click("dialog button", "Cancel").await?;
    tab.click("#dead-letters thead input", "").await?;
    tab.click("#dead-letters button", "Discard 1 of ended requests…").await?;
    tab.shows("Discard 1 dead letter?").await?;
    tab.shows("delivering them again would execute nothing").await?;
    tab.click("dialog button", "Discard").await?;
    tab.shows("1 dead letter discarded.").await?;
    let left = format!("{LETTERS}.length === 1 && {LETTERS}[0].innerText.includes('letter-1')");
    tab.until("the other one is left", &left).await?;
    let letters = stand.json("/system/queue/dead-letters").await?;
    expect(letters.as_array().is_some_and(|all| all.len() == 1) && letters[0]["request"] == json!("letter-1"), || {
        format!("these are left: {letters}")
    })?;
    stand.courier.store(true, Ordering::SeqCst);
    tab.click("#dead-letters thead input", "").await?;
    tab.click("#dead-letters button", "Redrive…").await?;
    tab.click("dialog button", "Redrive").await?;
    stand.until("frail", "letter-1", "success").await?;
    visit.go("/ui/requests?given_up=true").await?;
    tab.shows("There are no such requests.").await
}
