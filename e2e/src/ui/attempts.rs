//! Each attempt of a place, each of its steps, and each of their calls.

use std::sync::atomic::Ordering;

use super::checks::Visit;
use crate::suite::expect;

/// A callback URL is unavailable for so long that the queue gives the phase up.
pub(super) async fn retried(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.post("/async-function/fragile", &[("x-faasflow-request-id", "fragile-1")], b"17").await?.expect(202)?;
    visit.go("/ui/flows/fragile/requests/fragile-1").await?;
    let given_up = "/given up, because|gave it up after/.test(document.querySelector('.now').innerText)";
    tab.until("the page says why the first attempt was given up", given_up).await?;
    tab.until("that attempt has a bar of its own", "document.querySelectorAll('.timeline .at-gave').length > 0")
        .await?;
    visit.seen("request-retrying").await?;
    tab.shows("does not go on: the queue gave it up after 2 attempts").await?;
    tab.until("its place says so", "document.querySelector('.timeline').innerText.includes('Given up')").await?;
    visit.seen("request-given-up").await?;
    stand.courier.store(true, Ordering::SeqCst);
    tab.click(".now a", "a dead letter").await?;
    tab.shows("Dead letter").await?;
    tab.shows("Input of the place").await?;
    // Secret fields of a flow are masked in what it tells of its request, and not in the envelope.
    let folded = "[...document.querySelectorAll('details:not([open]) > summary')].some(({ innerText }) => innerText.includes('with all secrets'))";
    tab.until("the envelope is folded", folded).await?;
    visit.seen("dead-letter-of-a-flow").await?;
    tab.click("button", "Redrive").await?;
    tab.click("dialog button", "Redrive").await?;
    stand.until("fragile", "fragile-1", "success").await?;
    visit.go("/ui/flows/fragile/requests/fragile-1").await?;
    tab.shows("3 attempts").await?;
    // The function before the callback, and the last call of the callback.
    tab.until("each attempt has bars", "document.querySelectorAll('.timeline .at-gave').length === 4").await?;
    tab.until("so have its calls", "document.querySelectorAll('.timeline .at-again').length > 2").await?;
    tab.click(".timeline summary", "callback").await?;
    tab.until("each attempt is told", "document.querySelectorAll('.course li').length >= 5").await?;
    visit.seen("request-attempts").await
}

/// A function fails twice before it answers, and its flow calls it again.
pub(super) async fn steps(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.post("/async-function/patient", &[("x-faasflow-request-id", "patient-1")], b"[1,2]").await?.expect(202)?;
    stand.until("patient", "patient-1", "success").await?;
    visit.go("/ui/flows/patient/requests/patient-1").await?;
    let bar = "[...document.querySelectorAll('.timeline > li:first-child summary .bar-of rect')].map((part) => part.getAttribute('class'))";
    tab.until("the place is drawn", &format!("{bar}.length > 6")).await?;
    let parts = tab.eval(bar).await?;
    let expected = ["at-again", "at-idle", "at-again", "at-idle", "at-done", "at-done", "at-done"];
    expect(parts.to_string().contains(&expected.map(|part| format!("\"{part}\"")).join(",")), || parts.to_string())?;
    tab.shows("6 calls").await?;
    tab.click(".timeline summary", "waver").await?;
    tab.until(
        "each call is told",
        "/500 after .*, 500 after .*, 200 after/.test(document.querySelector('.steps').innerText)",
    )
    .await?;
    tab.until(
        "each item has a row",
        "/item 1 › function pass[^]*item 2 › function pass/.test(document.querySelector('.steps').innerText)",
    )
    .await?;
    visit.seen("request-steps").await
}
