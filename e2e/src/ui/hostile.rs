//! Texts of others that would do something if a page took them for anything but texts.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::browser::Tab;
use super::checks::Visit;
use super::heads::{COMMAND, arguments};
use crate::suite::expect;

/// What others may send, or call something: elements that execute something when they are parsed, a link that does when it is followed, marks
/// that turn the text around, and more than fits into a line.
pub(super) const TEXTS: [&str; 6] = [
    "<img src=x onerror=hacked=1>",
    "\"><svg onload=hacked=1>",
    "javascript:hacked=1",
    "</script><script>hacked=1</script>",
    "\u{202e}gpj.exe",
    "a-name-without-an-end-a-name-without-an-end-a-name-without-an-end-a-name-without-an-end-a-name-without-an-end-a-name",
];

/// How the page shows a text of these.
fn shown(text: &str) -> String {
    text.replace('\u{202e}', "⟨U+202E⟩")
}

/// An id of a request that is also a link. Ids have neither brackets nor quotes.
const ID: &str = "javascript:hacked";

/// A picture of one pixel.
const PNG: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 1, 0, 0, 0, 1, 8,
    4, 0, 0, 0, 0xb5, 0x1c, 0x0c, 2, 0, 0, 0, 0x0b, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x64, 0xf8, 0x0f, 0, 1,
    5, 1, 1, 0x27, 0x18, 0xe3, 0x66, 0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];

/// Checks that no script of a payload was executed once the page is drawn. Handlers such as `onerror` come after the elements.
async fn nothing_executed(tab: &Tab) -> Result<(), String> {
    let drawn = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(typeof hacked))))";
    let executed = tab.eval(drawn).await?;
    expect(executed == "undefined", || format!("`hacked` is {executed}"))
}

/// Payloads that would do something if they were taken for a page, a picture or direction marks.
pub(super) async fn payloads(visit: &Visit) -> Result<(), String> {
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
        let pictures = i32::from(id == "png");
        let is_right = format!("document.querySelectorAll('main img').length === {pictures}");
        tab.until(&format!("{id}: {pictures} pictures are shown"), &is_right).await?;
        nothing_executed(tab).await?;
        // Its input is the same.
        tab.click(".timeline summary", "").await?;
        let sides = format!("document.querySelector('.sides')?.innerText.includes({})", json!(shown));
        tab.until("the input is shown", &sides).await?;
        let pictures = 3 * pictures;
        let is_right = format!("document.querySelectorAll('main img').length === {pictures}");
        tab.until(&format!("{id}: {pictures} pictures are shown"), &is_right).await?;
        nothing_executed(tab).await?;
    }
    visit.seen("request-picture").await?;
    visit.go("/ui/flows/mirror/requests/json").await?;
    tab.shows("deep").await?;
    visit.seen("request-json").await?;
    // The log lines of the function that failed.
    visit.go("/ui/?log=ship").await?;
    tab.shows("<script>hacked = 1</script> no courier answers").await?;
    tab.shows("⟨U+202E⟩ looks reversed, \u{fffd} is not UTF-8").await?;
    nothing_executed(tab).await?;
    visit.seen("overview-log").await?;
    visit.no_problems()?;
    // Opened as a page, a payload is not executed either: the browser says that it has forbidden the scripts.
    for target in ["result", "input", "output?place=1"] {
        visit.go(&format!("/system/flows/mirror/requests/html/{target}")).await?;
        // Without scripts, no frame is ever announced.
        let executed = tab.eval("typeof hacked").await?;
        expect(executed == "undefined", || format!("{target}: `hacked` is {executed}"))?;
    }
    let problems = visit.browser.take_problems();
    let others: Vec<_> = problems.iter().filter(|problem| !is_forbidden_script(problem)).collect();
    expect(others.is_empty(), || format!("the browser reports other problems: {others:?}"))
}

/// Whether a problem is that a policy forbade a script, an image or a style of a payload that was opened as a page.
fn is_forbidden_script(problem: &str) -> bool {
    ["Blocked script execution", "Content Security Policy"].iter().any(|text| problem.contains(text))
        && problem.contains("/system/flows/mirror/requests/html/")
}

/// Opens a page in both widths, and checks that it shows these texts as texts.
async fn harmless(visit: &Visit, path: &str, texts: &[&str]) -> Result<(), String> {
    visit.go(path).await?;
    for text in texts {
        visit.tab.shows(&shown(text)).await?;
    }
    visit.tab.look(380, "light").await?;
    intact(visit, path).await?;
    visit.tab.look(1280, "light").await?;
    intact(visit, path).await
}

/// Checks that the page has executed nothing of others, has no elements of others, and is not wider than the window.
async fn intact(visit: &Visit, path: &str) -> Result<(), String> {
    let tab = &visit.tab;
    let wide = tab.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await?;
    expect(wide == json!(0), || format!("{path} is {wide} pixels wider than the window"))?;
    let foreign = "document.querySelectorAll('[onload], [onerror], [href^=\"javascript:\" i], main script, main img:not(.picture)').length";
    let foreign = tab.eval(foreign).await?;
    expect(foreign == json!(0), || format!("{path} has {foreign} elements of others"))?;
    nothing_executed(tab).await.map_err(|why| format!("{path}: {why}"))
}

/// A word of a path or of a query.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Hostile names, keys, labels, reasons, headers, answers and log lines, on every page.
pub(super) async fn everywhere(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let headers = [("x-faasflow-request-id", ID), ("content-type", "application/json"), ("x-note", TEXTS[0])];
    let query = escaped(TEXTS[0]);
    let body = json!(TEXTS).to_string();
    stand.post(&format!("/async-function/hostile?{query}={query}"), &headers, body.as_bytes()).await?.expect(202)?;
    stand.until("hostile", ID, "failure").await?;
    request(visit).await?;
    flow(visit).await?;
    let by_key = format!("/ui/requests?search={query}");
    harmless(visit, &by_key, &[ID, TEXTS[0]]).await?;
    visit.seen("hostile-requests").await?;
    // The item that failed has this label.
    harmless(visit, &format!("/ui/requests?search={}", escaped(TEXTS[2])), &[ID, TEXTS[2]]).await?;
    queue(visit).await?;
    harmless(visit, "/ui/?log=hostile", &[TEXTS[0], TEXTS[4], "\u{fffd}\u{fffd} is not UTF-8"]).await?;
    visit.seen("hostile-log").await?;
    visit.no_problems()?;
    addresses(visit).await?;
    visit.go("/ui/").await?;
    tab.fill("#find-id", TEXTS[1]).await?;
    tab.eval("document.getElementById('find').requestSubmit()").await?;
    tab.until("it searches", "new URLSearchParams(location.search).get('search')?.includes('svg')").await?;
    intact(visit, "the page of a search").await
}

/// The page of the request, with each of its places opened.
async fn request(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    let path = format!("/ui/flows/hostile/requests/{ID}");
    harmless(visit, &path, &["Failed", TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[4]]).await?;
    let places = "[...document.querySelectorAll('.timeline > li > details > summary')]";
    let number = tab.eval(&format!("{places}.length")).await?.as_u64().unwrap_or_default();
    expect(number > 2, || format!("only {number} places are listed"))?;
    // Those inside of others, which appear when these are opened, are not opened.
    tab.eval(&format!("{places}.forEach((place) => place.click())")).await?;
    let loaded =
        "![...document.querySelectorAll('.sides, .lines')].some((one) => one.textContent.includes('Loading…'))";
    tab.until("each place shows its payloads", loaded).await?;
    tab.shows("Answer with status 500").await?;
    heads(visit).await?;
    tab.until("there are log lines", "document.querySelectorAll('.log .line').length > 0").await?;
    intact(visit, &path).await?;
    visit.seen("hostile-request").await
}

/// The query and the headers of the request, those of the answer of a function, and the command that sends the request again.
async fn heads(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    tab.eval("document.querySelectorAll('details.head > summary').forEach((summary) => summary.click())").await?;
    let values = "[...document.querySelectorAll('.headers dd')].map((value) => value.textContent)";
    let query = escaped(TEXTS[0]);
    let (query, note) = (json!(format!("{query}={query}")), json!(TEXTS[0]));
    tab.until("the query is shown", &format!("{values}.includes({query})")).await?;
    tab.until("the header is shown", &format!("{values}.includes({note})")).await?;
    let answered = format!("{values}.includes({note} + '\u{fffd} (not UTF-8; some bytes are replaced)')");
    tab.until("the header of the answer is shown", &answered).await?;
    tab.click("button", "Copy as curl").await?;
    tab.until("there is a command", &format!("{COMMAND}?.length > 0")).await?;
    let command = tab.eval(COMMAND).await?;
    let words = arguments(command.as_str().unwrap_or_default()).await?;
    let (note, body) = (format!("x-note: {}", TEXTS[0]), shown(&json!(TEXTS).to_string()));
    expect(words.contains(&note) && words.contains(&body), || format!("the command has the arguments {words:?}"))
}

/// The page of the flow: its picture, the form and what it remembers.
async fn flow(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    harmless(visit, "/ui/flows/hostile", &[ID]).await?;
    for text in TEXTS {
        // The picture has another sign for what cannot be seen.
        let beginning: String = text.trim_start_matches('\u{202e}').chars().take(12).collect();
        let drawn = format!("document.querySelector('svg.flow')?.textContent.includes({})", json!(beginning));
        tab.until(&format!("`{beginning}` is drawn"), &drawn).await?;
    }
    tab.click("summary", "Start a request").await?;
    tab.fill("textarea[name=body]", TEXTS[0]).await?;
    tab.fill("textarea[name=headers]", &format!("X-Note: {}", TEXTS[1])).await?;
    tab.fill("input[name=wait]", "20").await?;
    tab.click("button", "Show as curl").await?;
    tab.shows(TEXTS[1]).await?;
    tab.click("button", "Start").await?;
    // It wants a list of texts.
    tab.until(
        "there is an answer",
        "/It ended as|The answer has status/.test(document.querySelector('form.start').innerText)",
    )
    .await?;
    visit.go("/ui/flows/hostile").await?;
    tab.click("summary", "Start a request").await?;
    tab.until(
        "the form remembers it",
        &format!("document.querySelector('form.start select').textContent.includes({})", json!(TEXTS[0])),
    )
    .await?;
    let calls =
        tab.eval("document.querySelectorAll('svg.flow [role=button]').length").await?.as_u64().unwrap_or_default();
    for index in 0..calls {
        tab.eval(&format!("document.querySelectorAll('svg.flow [role=button]')[{index}].dispatchEvent(new MouseEvent('click', {{ bubbles: true }}))"))
            .await?;
        intact(visit, "the page of a step").await?;
    }
    visit.seen("hostile-flow").await
}

/// A call in the queue, and one that the queue has given up.
async fn queue(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let query = escaped(TEXTS[0]);
    let call = |what: &'static str| [("x-call-id", what), ("x-note", TEXTS[0]), ("content-type", "text/html")];
    // A dead letter keeps the beginning of the last answer.
    let given_up = [TEXTS[2].as_bytes(), TEXTS[0].as_bytes(), b"\xff".as_slice()].concat();
    stand
        .post(&format!("/async-function/spiteful/{query}?{query}"), &call("\"><svg/onload=hacked=1>"), &given_up)
        .await?
        .expect(202)?;
    stand.post("/async-function/spiteful", &call("<img/src=x/onerror=hacked=1>"), b"hold").await?.expect(202)?;
    harmless(visit, "/ui/queue", &["<img/src=x/onerror=hacked=1>", "Being delivered"]).await?;
    tab.until("the dead letter is listed", "document.querySelectorAll('#dead-letters tbody tr').length === 1").await?;
    intact(visit, "/ui/queue").await?;
    visit.seen("hostile-queue").await?;
    tab.click("#dead-letters tbody a", "").await?;
    for text in ["Last answer", TEXTS[0], TEXTS[2]] {
        tab.shows(text).await?;
    }
    tab.eval("document.querySelectorAll('main details').forEach((one) => { one.open = true; })").await?;
    tab.shows("x-note").await?;
    intact(visit, "the page of a dead letter").await?;
    visit.seen("hostile-dead-letter").await?;
    stand.holds.store(false, Ordering::SeqCst);
    tab.click("button", "Discard").await?;
    tab.click("dialog button", "Discard").await?;
    tab.shows("The queue is empty.").await
}

/// Addresses that somebody sends a reader.
async fn addresses(visit: &Visit) -> Result<(), String> {
    // In the narrow window, more can be too wide.
    visit.tab.look(380, "light").await?;
    for text in TEXTS {
        let word = escaped(text);
        for path in [
            format!("/ui/?log={word}"),
            format!("/ui/flows/{word}"),
            format!("/ui/flows/orders?step={word}"),
            format!("/ui/flows/{word}/requests/{word}"),
            format!("/ui/flows/hostile/requests/{ID}?place={word}"),
            format!("/ui/requests?flow={word}&status={word}&since={word}&search={word}"),
            format!("/ui/queue?function={word}"),
            format!("/ui/queue/dead-letters/{word}"),
        ] {
            visit.go(&path).await?;
            visit.tab.until("it says something", "document.querySelector('main h1') !== null").await?;
            intact(visit, &path).await?;
            visit.no_problems()?;
        }
        visit.go(&format!("/ui/{word}")).await?;
        intact(visit, "a page that does not exist").await?;
    }
    visit.tab.look(1280, "light").await
}

/// A line and a payload that are too large to be shown as a whole, and JSON that is deeper than anybody looks.
pub(super) async fn huge(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let payloads: [(&str, &str, Vec<u8>, &str); 4] = [
        ("huge-line", "text/plain", vec![b'x'; 1 << 20], "only the beginning is shown"),
        (
            "huge-json",
            "application/json",
            format!("[\"{}\"]", "x".repeat(1 << 20)).into_bytes(),
            "only the beginning is shown",
        ),
        ("huge-payload", "text/plain", b"one line of many\n".repeat((20 << 20) / 17), "more than 4.0 MiB"),
        ("deep", "application/json", [vec![b'['; 20_000], vec![b']'; 20_000]].concat(), "[[[[[[[["),
    ];
    for (id, kind, body, text) in payloads {
        let headers = [("x-faasflow-request-id", id), ("content-type", kind)];
        stand.post("/function/mirror", &headers, &body).await?.expect(200)?;
        harmless(visit, &format!("/ui/flows/mirror/requests/{id}"), &["Succeeded", text]).await?;
        tab.click(".timeline summary", "").await?;
        tab.until(
            "the input is shown",
            &format!("document.querySelector('.sides')?.innerText.includes({})", json!(text)),
        )
        .await?;
        intact(visit, id).await?;
        // The page still answers.
        let took = "new Promise((done) => { const begun = performance.now(); document.querySelector('.timeline summary').click(); \
                    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begun))); })";
        let took = tab.eval(took).await?.as_f64().unwrap_or(f64::MAX);
        println!("          {id}: a click is shown within {took:.0} ms");
        expect(took < 2000.0, || format!("{id}: a click takes {took} ms"))?;
    }
    let long = "i".repeat(128);
    stand.post("/function/mirror", &[("x-faasflow-request-id", &long)], b"x").await?.expect(200)?;
    for path in [
        "/ui/requests?flow=mirror".to_owned(),
        "/ui/flows/mirror".to_owned(),
        format!("/ui/flows/mirror/requests/{long}"),
    ] {
        harmless(visit, &path, &[&long]).await?;
    }
    Ok(())
}
