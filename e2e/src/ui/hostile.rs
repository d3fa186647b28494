//! Payloads and log lines that would do something if they were taken for anything but texts.

use serde_json::json;

use super::checks::Visit;
use crate::suite::expect;

/// A picture of one pixel.
const PNG: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 1, 0, 0, 0, 1, 8,
    4, 0, 0, 0, 0xb5, 0x1c, 0x0c, 2, 0, 0, 0, 0x0b, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x64, 0xf8, 0x0f, 0, 1,
    5, 1, 1, 0x27, 0x18, 0xe3, 0x66, 0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];

/// Payloads that would do something if they were taken for a page, a picture or direction marks.
pub(super) async fn hostile(visit: &Visit) -> Result<(), String> {
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
        tab.until("nothing of it was executed", "typeof hacked === 'undefined'").await?;
        // Its input is the same.
        tab.click(".timeline summary", "").await?;
        let sides = format!("document.querySelector('.sides')?.innerText.includes({})", json!(shown));
        tab.until("the input is shown", &sides).await?;
        let pictures = 3 * pictures;
        let is_right = format!("document.querySelectorAll('main img').length === {pictures}");
        tab.until(&format!("{id}: {pictures} pictures are shown"), &is_right).await?;
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
    visit.no_problems()?;
    // Opened as a page, a payload is not executed either: the browser says that it has forbidden the scripts.
    for target in ["result", "input", "output?place=1"] {
        visit.go(&format!("/system/flows/mirror/requests/html/{target}")).await?;
        tab.until("nothing of it was executed", "typeof hacked === 'undefined'").await?;
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
