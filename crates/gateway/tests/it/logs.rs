//! The log routes: by function, and by request.

use std::time::Duration;

use crate::support::{PATIENCE, start, until};
use axum::body::Body;
use http::{Method, StatusCode};

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_served_line_by_line_and_can_be_followed() {
    let fixture = start("talk:\n  fprocess: sh -c 'cat >&2'\n").await;
    fixture.post("/function/talk", "one\ntwo\nthree\n").await;
    let logs = async |query: &str| {
        let got = fixture.get(&format!("/system/logs?name=talk{query}")).await;
        assert_eq!(got.header("content-type"), Some("application/x-ndjson"));
        let lines = got.text().lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| line["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(logs("").await, ["one", "two", "three"]);
    assert_eq!(logs("&tail=2&follow=false").await, ["two", "three"]);
    for all in ["&tail=-1", "&tail=0", "&tail=", "&since=", "&since=2020-01-01T00:00:00Z", "&follow=0"] {
        assert_eq!(logs(all).await.len(), 3, "{all}");
    }
    for (query, says) in [
        ("", "name the function, /system/logs?name=NAME, or the request, /system/logs?request=ID\n"),
        ("?name=&tail=1", "name the function, "),
        ("?request=two%20words", "`request` is not the id of a request: "),
        ("?name=talk&place=2", "`place` is a place of a request: name the request as well, "),
        ("?request=a&place=x", "`place` is not a place, such as `2` or `1.0/3`: "),
        ("?name=talk&tail=few", "`tail` is `few`: write a number of lines, such as 100\n"),
        ("?name=talk&since=5m", "`since` is `5m`: write a time such as "),
    ] {
        let got = fixture.get(&format!("/system/logs{query}")).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(got.text().starts_with(says), "{}", got.text());
    }
    assert_eq!(fixture.get("/system/logs?name=absent").await.status, StatusCode::NOT_FOUND);

    let request = fixture.request(Method::GET, "/system/logs?name=talk&tail=1&follow=true", &[], Body::empty());
    let following = fixture.open(request).await;
    let reading = tokio::spawn(faasflow_http::read_body(following.into_body(), 1 << 20, crate::support::PATIENCE));
    fixture.post("/function/talk", "four\n").await;
    until("the line", async || (logs("").await.len() == 4).then_some(())).await;
    // A follower does not keep the gateway from stopping, and gets every line until then.
    fixture.gateway.stop().await;
    let heard = reading.await.unwrap().unwrap();
    let heard: Vec<_> = std::str::from_utf8(&heard).unwrap().lines().collect();
    assert_eq!(heard.len(), 2, "{heard:?}");
    let line: serde_json::Value = serde_json::from_str(heard[1]).unwrap();
    assert_eq!((line["text"].as_str(), line["name"].as_str()), (Some("four"), Some("talk")));
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z') && line["namespace"] == "openfaas-fn");
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_get_the_last_lines_of_functions_that_are_stopped() {
    let folder =
        crate::support::folder("talk:\n  fprocess: sh ./talk\n  environment:\n    mode: http\n    version: x\n");
    crate::support::server::put_into(folder.path());
    let script = "trap 'sleep 0.2; echo the last line >&2; exit' TERM\n./server &\nwait\n";
    std::fs::write(folder.path().join("talk"), script).unwrap();
    // Who waited for those who only listen would wait for longer than the test does.
    let fixture = crate::support::start_in(folder, |options| options.grace = 10 * PATIENCE).await.unwrap();
    fixture.gateway.ready().await.unwrap();
    let mut readings = Vec::new();
    for query in ["name=talk", "request=a-1"] {
        let path = format!("/system/logs?{query}&follow=true");
        let following = fixture.open(fixture.request(Method::GET, &path, &[], Body::empty())).await;
        let body = following.into_body();
        readings.push(tokio::spawn(faasflow_http::read_body(body, 1 << 20, crate::support::PATIENCE)));
    }
    tokio::time::timeout(PATIENCE, fixture.gateway.stop()).await.expect("nobody waits for those who only listen");
    let mut heard = Vec::new();
    for reading in readings {
        heard.push(String::from_utf8(reading.await.unwrap().unwrap().to_vec()).unwrap());
    }
    assert!(heard[0].contains("the last line") && heard[1].is_empty(), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_request_are_gathered_from_all_functions() {
    let folder = crate::support::folder(
        "talk:\n  fprocess: sh -c 'cat >&2'\nfails:\n  fprocess: sh -c 'echo no >&2; exit 1'\nboth:\n  \
         fprocess: sh -c 'cat >&2'\n  environment:\n    combine_output: true\nabsent:\n  fprocess: ./absent\n",
    );
    let fixture = crate::support::start_in(folder, |_| {}).await.unwrap();
    let post = async |function: &str, id: &str, body: &str| {
        let headers = [("x-faasflow-request-id", id)];
        fixture.send(Method::POST, &format!("/function/{function}"), &headers, body.to_owned()).await;
    };
    post("talk", "a-1", "one\n").await;
    post("fails", "a-1", "").await;
    post("talk", "a-10", "not [Request `a-10`]\n").await;
    post("both", "a-1", "two\nthree\n").await;
    // A process that serves many requests writes lines about all of them.
    post("talk", "other", "[Request `a-1`] four\n").await;
    post("absent", "a-1", "").await;
    let lines = async |query: &str| {
        let got = fixture.get(&format!("/system/logs?{query}")).await;
        assert_eq!(got.header("content-type"), Some("application/x-ndjson"));
        assert_eq!(got.header("x-faasflow-log-dropped"), Some(""), "nothing is left out");
        let lines = got.text().lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let text = |line: &serde_json::Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
        lines.map(|line| ["name", "text", "request_id"].map(|field| text(&line, field))).collect::<Vec<_>>()
    };
    let all = lines("request=a-1").await;
    assert_eq!(
        all[..6],
        [
            ["talk", "one", "a-1"],
            ["fails", "no", "a-1"],
            ["fails", "gateway: exit status 1", "a-1"],
            ["both", "two", "a-1"],
            ["both", "three", "a-1"],
            ["talk", "[Request `a-1`] four", "other"],
        ]
    );
    assert!(all.len() == 7 && all[6][1].starts_with("gateway: `./absent` cannot be started"), "{all:?}");
    assert_eq!(lines("request=a-1&tail=3").await, all[4..]);
    assert_eq!(lines("request=a-1&name=both").await, all[3..5]);
    assert_eq!(lines("request=a-1&since=2999-01-01T00:00:00Z").await.len(), 0);
    assert_eq!(lines("request=a-11").await.len(), 0);
    // A request without its own id has that of the call.
    fixture.send(Method::POST, "/function/talk", &[("x-call-id", "call-1")], "five\n").await;
    assert_eq!(lines("request=call-1").await, [["talk", "five", "call-1"]]);

    let request = fixture.request(Method::GET, "/system/logs?request=a-1&tail=1&follow=true", &[], Body::empty());
    let following = fixture.open(request).await;
    let reading = tokio::spawn(faasflow_http::read_body(following.into_body(), 1 << 20, crate::support::PATIENCE));
    // Also from functions that are deployed later.
    let later = r#"{"service": "later", "envProcess": "sh -c 'cat >&2'"}"#;
    assert_eq!(fixture.post("/system/functions", later).await.status, StatusCode::ACCEPTED);
    post("talk", "a-2", "not this\n").await;
    post("later", "a-1", "six\n").await;
    post("talk", "a-1", "seven\n").await;
    until("the lines", async || (lines("request=a-1").await.len() == 9).then_some(())).await;
    fixture.gateway.stop().await;
    let heard = reading.await.unwrap().unwrap();
    let heard: Vec<serde_json::Value> =
        heard.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let heard: Vec<_> = heard.iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert_eq!(heard, [all[6][1].as_str(), "six", "seven"]);
}

/// 20,000 lines come in a moment. The follower asks by function, and by request.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_gets_every_line_of_a_burst() {
    let fixture = start("burst:\n  fprocess: sh -c 'seq 20000 >&2'\n").await;
    let mut reading = Vec::new();
    for query in ["name=burst", "request=a-1"] {
        let path = format!("/system/logs?{query}&follow=true");
        let following = fixture.open(fixture.request(Method::GET, &path, &[], Body::empty())).await;
        let body = following.into_body();
        reading.push(tokio::spawn(faasflow_http::read_body(body, 16 << 20, crate::support::PATIENCE)));
    }
    fixture.send(Method::POST, "/function/burst", &[("x-faasflow-request-id", "a-1")], "").await;
    fixture.gateway.stop().await;
    for heard in reading {
        let heard = heard.await.unwrap().unwrap();
        let lines = heard.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap()["text"].clone());
        let lines: Vec<_> = lines.map(|text| text.as_str().unwrap().to_owned()).collect();
        assert_eq!(lines.len(), 20_000);
        assert!(lines.iter().enumerate().all(|(at, text)| *text == (at + 1).to_string()), "in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_lines_are_reported() {
    let fixture = start("talk:\n  fprocess: sh -c 'cat >&2'\nquiet:\n  fprocess: sh -c 'cat >&2'\n").await;
    let headers = [("x-faasflow-request-id", "early")];
    fixture.send(Method::POST, "/function/talk", &headers, "first\n").await;
    let headers = [("x-faasflow-request-id", "both")];
    fixture.send(Method::POST, "/function/quiet", &headers, "kept\n").await;
    fixture.send(Method::POST, "/function/talk", &headers, "first\n").await;
    let line = "x".repeat(1000) + "\n";
    for _ in 0..5 {
        fixture.post("/function/talk", line.repeat(1000)).await;
    }
    // If no line of a request can have been dropped, there is no note. `quiet` has dropped nothing at all.
    let headers = [("x-faasflow-request-id", "late")];
    fixture.send(Method::POST, "/function/talk", &headers, "last\n").await;
    let got = fixture.get("/system/logs?request=late").await;
    assert_eq!((got.header("x-faasflow-log-dropped"), got.text().lines().count()), (Some(""), 1));
    for query in ["request=early", "request=never", "request=both", "name=talk&tail=1"] {
        let got = fixture.get(&format!("/system/logs?{query}")).await;
        assert_eq!(got.header("x-faasflow-log-dropped"), Some("talk"), "{query}");
        assert!(!got.text().contains("first"), "{query}");
    }
    let retained = fixture.get("/system/logs?name=talk").await.text().lines().count();
    assert!((3500..4200).contains(&retained), "{retained} lines of 1000 bytes are 4 MiB");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_can_be_limited_to_a_time() {
    let fixture = start("talk:\n  fprocess: sh -c 'cat >&2'\n").await;
    let line = async |query: String| {
        let got = fixture.get(&format!("/system/logs?name=talk{query}")).await;
        let lines = got.text().lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| (line["text"].as_str().unwrap().to_owned(), line["timestamp"].clone())).collect::<Vec<_>>()
    };
    fixture.post("/function/talk", "one\n").await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    fixture.post("/function/talk", "two\n").await;
    let all = line(String::new()).await;
    let second = all[1].1.as_str().unwrap();
    for (query, expected) in [
        (format!("&since={second}"), &all[1..]),
        (format!("&since={}", second.replace('T', "+").replace('Z', "+%2B0000+UTC")), &all[1..]),
        (format!("&since={}", all[0].1.as_str().unwrap()), &all[..]),
        (format!("&since={}&tail=1", all[0].1.as_str().unwrap()), &all[1..]),
        ("&since=2999-01-01T00:00:00%2B02:00".to_owned(), &[]),
    ] {
        assert_eq!(line(query.clone()).await, expected, "{query}");
    }
    fixture.gateway.stop().await;
}

/// The lines beside a place in the dashboard.
#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_place_are_those_of_its_calls() {
    let fixture = start("talk:\n  fprocess: sh -c 'cat >&2'\n").await;
    let call = async |request: &str, key: &str, body: &str| {
        let headers = [("x-faasflow-request-id", request), ("idempotency-key", key)];
        let got = fixture.send(Method::POST, "/function/talk", &headers, body.to_owned()).await;
        assert_eq!(got.status, StatusCode::OK);
    };
    call("a", "a-2-3", "one\ntwo\nthree\n").await;
    call("a", "a-1.0/2-1", "of another place\n").await;
    call("b", "b-2-3", "of another request, a\n").await;
    fixture.post("/function/talk", "of no request\n").await;
    let of_place = async |place: &str, tail: usize| {
        let got = fixture.get(&format!("/system/logs?request=a&place={place}&tail={tail}")).await;
        (texts(&got).join(","), got.header("x-faasflow-log-left-out").unwrap().to_owned())
    };
    assert_eq!(of_place("2", 0).await, ("one,two,three".to_owned(), "0".to_owned()));
    assert_eq!(of_place("2", 1).await, ("three".to_owned(), "2".to_owned()));
    assert_eq!(of_place("1.0/2", 9).await, ("of another place".to_owned(), "0".to_owned()));
    assert_eq!(of_place("3", 9).await, (String::new(), "0".to_owned()));
    let of_request = fixture.get("/system/logs?request=a&tail=1").await;
    assert_eq!(of_request.header("x-faasflow-log-left-out"), None, "they are counted only for a place");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_serves_many_calls_writes_for_the_only_one() {
    let folder =
        crate::support::folder("serves:\n  fprocess: sh ./serves\n  environment:\n    mode: http\n    version: x\n");
    crate::support::server::put_into(folder.path());
    let script = "./server &\nuntil test -e held; do sleep 0.02; done\necho while it is held >&2\nwait\n";
    std::fs::write(folder.path().join("serves"), script).unwrap();
    let (go, fixture) = (folder.path().join("go"), crate::support::start_in(folder, |_| {}).await.unwrap());
    fixture.gateway.ready().await.unwrap();
    let headers = [("x-faasflow-request-id", "a"), ("idempotency-key", "a-2-3")];
    let holding = fixture.send(Method::POST, "/function/serves/hold", &headers, "");
    let looking = async {
        let line = async || {
            let of_place = texts(&fixture.get("/system/logs?request=a&place=2").await);
            of_place.contains(&"while it is held".to_owned()).then_some(())
        };
        until("the line", line).await;
        std::fs::write(go, "").unwrap();
    };
    let (held, ()) = tokio::join!(holding, looking);
    assert_eq!(held.status, StatusCode::OK);
    assert_eq!(texts(&fixture.get("/system/logs?request=a&place=3").await), Vec::<String>::new());
}

fn texts(got: &crate::support::Got) -> Vec<String> {
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    let lines = got.text().lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| line["text"].as_str().unwrap().to_owned()).collect()
}
