//! Each attempt of a place, each of its steps, and each of their calls.

use std::sync::atomic::Ordering;

use super::checks::Visit;
use super::stand::Stand;
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

/// A function fails twice in each generation, until a courier is there in the third one.
pub(super) async fn generations(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.file("courier", false)?;
    stand.post("/async-function/stubborn", &[("x-faasflow-request-id", "stubborn-1")], b"17").await?.expect(202)?;
    stand.until("stubborn", "stubborn-1", "failure").await?;
    redriven(stand).await?;
    stand.until("stubborn", "stubborn-1", "failure").await?;
    visit.go("/ui/flows/stubborn/requests/stubborn-1").await?;
    tab.click(".timeline summary", "2 generations").await?;
    tab.until("the answer of this generation is shown", &is_answer_of("1@1", 1)).await?;
    stand.file("courier", true)?;
    redriven(stand).await?;
    stand.until("stubborn", "stubborn-1", "success").await?;
    tab.shows("3 generations").await?;
    tab.until(
        "the place is still one node, and open",
        "document.querySelectorAll('.timeline > li').length === 1 && document.querySelector('.timeline details').open",
    )
    .await?;
    let kinds = "[...document.querySelectorAll('.timeline > li > details > summary .bar-of rect')].map((part) => part.getAttribute('class').slice(3)).filter((kind) => !['idle', 'queue'].includes(kind)).join()";
    tab.until("each attempt is in its bar, in order", &format!("{kinds} === 'again,failed,again,failed,done'")).await?;
    let course = "[...document.querySelectorAll('.course li')].map((one) => one.innerText).filter((text) => !/queue|waiting/.test(text))";
    let in_order = format!(
        "(([first, second, last, ...more]) => more.length === 0 && first.includes('failed in generation 0: it answered 500') && \
         second.includes('failed in generation 1: it answered 500') && last.includes('executed'))({course})"
    );
    tab.until("each attempt is told with its generation, in order", &in_order).await?;
    tab.shows("Steps in generation 1").await?;
    tab.click(".inside summary", "Steps of 1 earlier delivery").await?;
    tab.shows("Steps in generation 0").await?;
    let calls = "[...document.querySelectorAll('.steps')].filter((steps) => /calls: 500 after .*, 500 after /.test(steps.innerText)).length === 2";
    tab.until("both tell each call", calls).await?;
    tab.until("no earlier answer is asked for before it is unfolded", &format!("!({})", is_answer_of("1", 1))).await?;
    tab.click(".inside summary", "Answer in generation 0, with status 500").await?;
    tab.until("the first answer is shown", &is_answer_of("1", 1)).await?;
    tab.click(".inside summary", "Answer in generation 1, with status 500").await?;
    tab.until("the second answer is shown too", &is_answer_of("1@1", 2)).await?;
    visit.seen("request-generations-answers").await?;
    // A flow may have too much to tell, and one of an older version tells less.
    for (change, text) in [
        (
            "delete one.step_times, delete one.answer, one.details_left_out = true",
            "because the answer has reached its limit of details",
        ),
        (
            "delete one.step_times, delete one.answer, delete one.place, delete one.last_began_ms",
            "failed in generation 0: it answered 500",
        ),
        (
            "told.generation = 7, delete one.step_times, delete one.answer",
            "It was redriven 7 times. Of what it did before, the last 5 generations are shown.",
        ),
    ] {
        visit.go("/ui/").await?;
        let less = format!(
            "const own = window.fetch; window.fetch = async (...asked) => {{ const answer = await own(...asked); \
             const told = await answer.clone().json().catch(() => null); if (told?.id !== 'stubborn-1' || !told.places) return answer; \
             for (const one of told.places[0].earlier) {change}; return new Response(JSON.stringify(told)); }}"
        );
        tab.eval(&less).await?;
        tab.fill("#find-id", "stubborn-1").await?;
        tab.eval("document.getElementById('find').requestSubmit()").await?;
        tab.click(".timeline summary", "3 generations").await?;
        tab.shows(text).await?;
        let is_less = format!("{kinds} === 'failed,failed,done' && document.querySelector('.inside .steps') === null");
        tab.until("the bar has what is told", &is_less).await?;
    }
    Ok(())
}

/// Redrives the request when its end is complete.
async fn redriven(stand: &Stand) -> Result<(), String> {
    for _ in 0..600 {
        let answer = stand.post("/system/flows/stubborn/requests/stubborn-1/redrive", &[], b"").await?;
        match answer.status.as_u16() {
            409 => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            _ => return answer.expect(200).map(drop),
        }
    }
    Err("the request cannot be redriven".to_owned())
}

/// Whether so many answers are shown, among them that of this place.
fn is_answer_of(place: &str, number: usize) -> String {
    format!(
        "(() => {{ const shown = [...document.querySelectorAll('section[aria-label=\"Answer with status 500\"]')]; \
         return shown.length === {number} && shown.every((one) => one.innerText.includes('no courier answers')) && \
         document.querySelector('a[download=\"answer-{place}\"]')?.checkVisibility() === true; }})()"
    )
}
