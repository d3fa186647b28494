//! What is checked of the query and the headers of a request, in the page, in the command that sends it again, and in the form.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::checks::Visit;
use crate::suite::expect;

/// A query with characters that mean something to shells and to curl.
const QUERY: &str = "note=a%20b&list[]=1,2&quote='$(id)'&c=%60id%60";
const TENANT: &str = "north 'pole' $HOME \"x\"";

/// The arguments that a shell gives a command. The text may have comments before the command.
pub(super) async fn arguments(command: &str) -> Result<Vec<String>, String> {
    let script = format!("curl() {{ printf '%s\\0' \"$@\"; }}\n{command}\n");
    let shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output();
    let output = shell.await.map_err(|error| format!("sh: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    expect(output.status.success() && errors.is_empty(), || format!("{command}: {errors}"))?;
    let text = String::from_utf8(output.stdout).map_err(|error| error.to_string())?;
    Ok(text.split_terminator('\0').map(str::to_owned).collect())
}

/// The command that the page shows.
pub(super) const COMMAND: &str = "document.querySelector('.copyable pre')?.textContent";

/// Sends the request that the checks are about.
async fn send(visit: &Visit, id: &str) -> Result<(), String> {
    let headers = [
        ("x-faasflow-request-id", id),
        ("content-type", "text/x-own"),
        ("x-tenant", TENANT),
        ("x-empty", ""),
        ("authorization", "Bearer t0ken-1234"),
        ("prefer", "wait=7"),
        ("user-agent", "own/1"),
    ];
    let target = format!("/function/mirror?{QUERY}");
    visit.stand.post(&target, &headers, b"@a word").await?.expect(200).map(drop)
}

pub(super) async fn shown(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    send(visit, "head-1").await?;
    visit.go("/ui/flows/mirror/requests/head-1").await?;
    tab.shows("Succeeded").await?;
    tab.click("summary", "Query and headers").await?;
    for text in [QUERY, "x-tenant", TENANT, "authorization", "[secret]"] {
        tab.shows(text).await?;
    }
    expect(tab.eval("document.body.innerText.includes('t0ken')").await? == json!(false), || "a token is shown".into())?;
    visit.seen("request-head").await?;
    tab.reload().await?;
    tab.shows(QUERY).await
}

pub(super) async fn command(visit: &Visit) -> Result<(), String> {
    let tab = &visit.tab;
    send(visit, "head-2").await?;
    visit.go("/ui/flows/mirror/requests/head-2").await?;
    tab.click("button", "Copy as curl").await?;
    tab.shows("# Headers with secret values are left out: authorization.").await?;
    let command = tab.eval(COMMAND).await?;
    let words = arguments(command.as_str().unwrap_or_default()).await?;
    let has = |pair: [&str; 2]| words.windows(2).any(|found| found == pair);
    let tenant = format!("x-tenant: {TENANT}");
    let pairs = [["-H", &tenant], ["-H", "content-type: text/x-own"], ["-H", "x-empty;"], ["--data-raw", "@a word"]];
    for pair in pairs {
        expect(has(pair), || format!("{pair:?} is missing in {words:?}"))?;
    }
    let url = format!("{}/function/mirror?{QUERY}", visit.stand.url);
    expect(words.last() == Some(&url), || format!("another URL: {words:?}"))?;
    expect(words.contains(&"--globoff".to_owned()), || {
        format!("curl would take the brackets for a pattern: {words:?}")
    })?;
    visit.seen("request-curl").await
}

/// Names and values that a shell would execute, in the command and in its comments.
pub(super) async fn quoted(visit: &Visit) -> Result<(), String> {
    visit.go("/ui/flows/mirror").await?;
    let head = json!({
        "query": "card=[secret]&a=`id`&b=$(id);c",
        "query_altered": "masked",
        "headers": [
            { "name": "x-`id`", "value": "`id` $(id) 'id'" },
            { "name": "x-'`id`", "value": "z\u{fffd}", "altered": "not_utf8" },
            { "name": "x-$id!", "value": "[secret]", "altered": "masked" },
        ],
        "headers_left_out": 3,
    });
    let script = format!(
        "Promise.all(['curl', 'heads'].map((name) => import(`${{location.origin}}/ui/assets/${{name}}.js`))).then(([{{ curl }}, {{ sendable }}]) => {{ \
         const {{ query, headers, said }} = sendable({head}); return curl({{ url: `http://h/f?${{query}}`, headers, said, text: \"it's\\n`id`\" }}); }})"
    );
    let command: Value = visit.tab.eval(&script).await?;
    let command = command.as_str().unwrap_or_default();
    let expected = [
        "-i",
        "-H",
        "x-`id`: `id` $(id) 'id'",
        "-H",
        "Content-Type:",
        "--data-raw",
        "it's\n`id`",
        "http://h/f?a=`id`&b=$(id);c",
    ];
    let words = arguments(command).await?;
    expect(words == expected, || format!("{words:?}"))?;
    let comments: Vec<&str> = command.lines().take_while(|line| line.starts_with("# ")).collect();
    // A shell that knows no comments on its command line would execute what is in them.
    let is_harmless = |line: &&str| !line.contains(['`', '$', '\'', '"', '!', ';', '&', '|']);
    expect(comments.len() == 4 && comments.iter().all(is_harmless), || format!("{comments:?}"))
}

pub(super) async fn edited(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    send(visit, "head-3").await?;
    visit.go("/ui/flows/mirror?repeats=head-3").await?;
    tab.shows("Headers with secret values are left out: authorization. Headers that only a browser sets are left out.")
        .await?;
    let form =
        "Object.fromEntries([...document.querySelectorAll('form.start [name]')].map((one) => [one.name, one.value]))";
    let filled = tab.eval(form).await?;
    let others = json!({
        "body": filled["body"], "type": filled["type"], "query": filled["query"], "wait": filled["wait"],
    });
    let expected = json!({ "body": "@a word", "type": "text/x-own", "query": QUERY, "wait": "7" });
    expect(others == expected, || format!("the form is filled with {filled}"))?;
    let headers = filled["headers"].as_str().unwrap_or_default();
    let own = headers.lines().filter(|line| line.starts_with("x-")).collect::<Vec<_>>();
    expect(own == [&format!("x-tenant: {TENANT}"), "x-empty: "], || format!("the headers are {headers}"))?;
    let foreign = ["authorization", "user-agent", "content-type", "prefer", "t0ken"];
    expect(!foreign.iter().any(|name| headers.contains(name)), || format!("the headers are {headers}"))?;
    visit.seen("again-head").await?;
    tab.fill("textarea[name=headers]", &format!("{headers}\nx-city: Zürich ☃\nx-faasflow-request-id: head-4")).await?;
    tab.fill("textarea[name=body]", "another word").await?;
    tab.click("button", "Start").await?;
    tab.click("a", "See what became of it").await?;
    tab.shows("It repeats head-3.").await?;
    tab.click("summary", "Query and headers").await?;
    for text in [TENANT, "Zürich ☃"] {
        tab.shows(text).await?;
    }
    let head = stand.json("/system/flows/mirror/requests/head-4/input/head").await?;
    let of =
        |name: &str| head["headers"].as_array().into_iter().flatten().find(|header| header["name"] == name).cloned();
    expect(of("x-city") == Some(json!({ "name": "x-city", "value": "Zürich ☃" })), || format!("{head}"))?;
    expect(of("content-type") == Some(json!({ "name": "content-type", "value": "text/x-own" })), || format!("{head}"))?;
    // A browser escapes quotes.
    let sent = head["query"].as_str().unwrap_or_default().replace("%27", "'");
    expect(sent == QUERY, || format!("the query is {sent}"))
}

/// The headers of an answer that made a place fail, and of one that an older version has kept.
pub(super) async fn of_answer(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    let parcels = [("x-faasflow-request-id", "head-5"), ("content-type", "application/json")];
    stand.post("/async-function/parcels", &parcels, b"[13]").await?.expect(202)?;
    stand.until("parcels", "head-5", "success").await?;
    visit.go("/ui/flows/parcels/requests/head-5").await?;
    tab.click(".timeline summary", "item 1").await?;
    tab.shows("Answer with status 500").await?;
    tab.click(".sides summary", "Headers").await?;
    let names = "[...document.querySelectorAll('.sides .headers dt')].map((name) => name.textContent)";
    tab.until("its headers are listed", &format!("{names}.includes('content-type')")).await?;
    visit.seen("answer-headers").await?;
    let older = "const own = window.fetch; window.fetch = async (...asked) => { if (!String(asked[0]).includes('/answer/head')) return own(...asked); \
                 return new Response(JSON.stringify({ version: 1, status: 500, headers_left_out: 0 })); }";
    visit.go("/ui/").await?;
    tab.eval(older).await?;
    tab.fill("#find-id", "head-5").await?;
    tab.eval("document.getElementById('find').requestSubmit()").await?;
    tab.click(".timeline summary", "item 1").await?;
    tab.click(".sides summary", "Headers").await?;
    tab.shows("This answer was recorded by an older version of Faasflow, which did not keep its headers.").await
}
