//! What is checked of what pages ask for: no more than they need, and again after an outage.

use serde_json::json;

use super::browser::Tab;
use super::checks::Visit;
use crate::suite::expect;

/// Runs a script in a page of the dashboard, which can replace `fetch`, and follows a link from there, so that the script stays in force.
async fn follow(visit: &Visit, script: &str, path: &str) -> Result<(), String> {
    visit.go("/ui/queue").await?;
    visit.tab.eval(&format!("(() => {{ {script} }})()")).await?;
    let follow = format!(
        "(() => {{ const link = document.createElement('a'); link.href = {}; document.body.append(link); link.click(); link.remove(); }})()",
        json!(path)
    );
    visit.tab.eval(&follow).await.map(drop)
}

/// A command has no large body, so no more of it is read than shows that it is large.
pub(super) async fn large_input(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.post("/function/mirror", &[("x-faasflow-request-id", "asked-1")], b"x").await?.expect(200)?;
    // The body never ends. After 1 MiB, no more of it comes.
    let script = "const own = window.fetch; window.sent = 0; window.cancelled = false; const piece = new Uint8Array(4096).fill(120); \
                  window.fetch = async (...asked) => (!String(asked[0]).endsWith('/asked-1/input') ? own(...asked) \
                  : new Response(new ReadableStream({ \
                    pull: (body) => { if (sent > 1 << 20) return new Promise(() => {}); sent += piece.length; body.enqueue(piece); }, \
                    cancel: () => { cancelled = true; } })));";
    follow(visit, script, "/ui/flows/mirror/requests/asked-1").await?;
    tab.click("button", "Copy as curl").await?;
    tab.shows("The body is large or cannot be typed: download the input of the first place as asked-1-input.").await?;
    tab.until("the rest is not wanted", "cancelled").await?;
    let sent = tab.eval("sent").await?;
    expect(sent.as_u64().is_some_and(|sent| (20_000..40_000).contains(&sent)), || format!("it has read {sent} bytes"))
}

/// Whether a request exists that a place has called is asked for without its status, and not more often than every 5 s, also after an
/// error.
pub(super) async fn called(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.post("/async-function/outer", &[("x-faasflow-request-id", "asked-2")], b"x").await?.expect(202)?;
    stand.until("outer", "asked-2", "success").await?;
    let script = "const own = window.fetch; window.asked = []; window.fetch = async (...all) => { \
                  if (!String(all[0]).includes('/flows/mirror/requests/asked-2.')) return own(...all); \
                  const one = { at: performance.now() }; asked.push(one); \
                  const answer = asked.length === 1 ? new Response('busy', { status: 503 }) : await own(...all); \
                  one.status = answer.status; return answer; };";
    follow(visit, script, "/ui/flows/outer/requests/asked-2").await?;
    tab.click(".timeline summary", "function mirror").await?;
    tab.until("it is asked for", "asked.length === 1 && asked[0].status === 503").await?;
    // The page looks at the place each time it is opened.
    let place = "[...document.querySelectorAll('.timeline > li > details')].find((one) => one.textContent.includes('function mirror'))";
    let open = format!("(() => {{ {place}.open = !{place}.open; return asked.length > 1; }})()");
    tab.until("it is asked for again", &open).await?;
    tab.eval(&format!("{place}.open = true")).await?;
    tab.shows("It called the flow mirror: request asked-2.").await?;
    let told = tab.eval("[asked.length, asked[1].status, asked[1].at - asked[0].at]").await?;
    // The page notes the time a little before it asks, which is what is measured here.
    let is_seldom = told[2].as_f64().is_some_and(|gap| gap >= 4500.0);
    expect(told[0] == json!(2) && told[1] == json!(304) && is_seldom, || {
        format!("the number of questions, the status of the last answer, and the time between them: {told}")
    })
}

/// The items that the URL names are asked for four at a time, and one that cannot be told now is asked for again, although nothing happens
/// any more: the request, which has 10,000 items, was stopped.
pub(super) async fn places(tab: &Tab, visit: &Visit) -> Result<(), String> {
    // No answer comes before four were asked for, and one of them is a refusal. Later, the page asks for what is open in the list.
    let script = "const own = window.fetch; window.places = { asked: 0, at_once: 0, refused: 0 }; let enough; \
                  const four = new Promise((come) => { enough = come; }); \
                  window.fetch = async (...all) => { \
                  if (!/requests\\/sift-1\\/place\\?place=1\\.47/.test(all[0])) return own(...all); \
                  places.asked += 1; \
                  if (places.asked === 4) setTimeout(() => { places.at_once = places.asked; enough(); }, 100); \
                  await four; \
                  if (!String(all[0]).endsWith('1.4702%2F2') || places.refused > 0) return own(...all); \
                  places.refused += 1; return new Response('busy', { status: 503 }); };";
    let names: Vec<String> = (4700..4706).map(|item| format!("place=1.{item}%2F2")).collect();
    follow(visit, script, &format!("/ui/flows/sift/requests/sift-1?place=1&{}", names.join("&"))).await?;
    for item in 4700..4706 {
        let is_open = format!("document.querySelector('.members details[open][data-place=\"1.{item}/2\"]') !== null");
        tab.until(&format!("the place 1.{item}/2 is opened"), &is_open).await?;
    }
    let told = tab.eval("[places.refused, places.at_once]").await?;
    expect(told == json!([1, 4]), || format!("refused, and asked for at once: {told}"))
}
