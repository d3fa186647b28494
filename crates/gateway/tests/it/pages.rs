//! The pages of the dashboard, and what they may change.

use axum::body::Body;
use faasflow_core::code;
use http::{Method, StatusCode};
use serde_json::json;

use crate::support::raw::exchange;
use crate::support::{Fixture, Recorder, TestServer, listen, start, start_with, url};

/// A function that runs elsewhere and has the key for signing, as in a stack file.
fn flow(server: &TestServer) -> String {
    format!("{}  secrets: [faasflow-hmac-secret]\n", url("upload", server.address))
}

/// What is sent, the host, the token, the origin, further headers, and the status of the answer.
type Case<'a> = (&'a str, &'a str, Option<&'a str>, &'a str, &'a [(&'a str, &'a str)], u16);

const TOKEN: &str = "x-faasflow-page-token";

/// The address as `Host` has it, and the origin of the gateway's own pages.
fn own(fixture: &Fixture) -> (String, String) {
    let host = fixture.gateway.address().to_string();
    let origin = format!("http://{host}");
    (host, origin)
}

async fn token(fixture: &Fixture, more: &[(&str, &str)]) -> String {
    let got = fixture.send(Method::GET, "/system/page-token", more, "").await;
    assert_eq!((got.status, got.header("cache-control")), (StatusCode::OK, Some("no-store")), "{}", got.text());
    got.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_gateways_own_pages_change_requests_and_the_queue() {
    let recorder = Recorder::default();
    let server = recorder.listen().await;
    let fixture = start(&flow(&server)).await;
    let (host, origin) = own(&fixture);
    let token = token(&fixture, &[("sec-fetch-site", "same-origin")]).await;
    let port = fixture.gateway.address().port();
    let rebound = format!("evil.example:{port}");
    let (rebound_origin, elsewhere) = (format!("http://{rebound}"), "http://127.0.0.1:1".to_owned());
    let other_case = origin.replace("http", "HTTP");
    let long = format!("{token}0");
    let cases: [Case; 11] = [
        ("its own page", &host, Some(&token), &origin, &[], 200),
        ("its own page, as browsers say", &host, Some(&token), &origin, &[("sec-fetch-site", "same-origin")], 200),
        ("no token", &host, None, &origin, &[], 403),
        ("a wrong token", &host, Some("0000"), &origin, &[], 403),
        ("an empty token", &host, Some(""), &origin, &[], 403),
        ("a longer token", &host, Some(&long), &origin, &[], 403),
        ("another port", &host, Some(&token), &elsewhere, &[], 403),
        ("no origin that can be named", &host, Some(&token), "null", &[], 403),
        ("another scheme", &host, Some(&token), &other_case, &[], 403),
        ("a name that leads here", &rebound, Some(&token), &rebound_origin, &[], 403),
        ("another site, as browsers say", &host, Some(&token), &origin, &[("sec-fetch-site", "cross-site")], 403),
    ];
    for path in ["/system/flows/upload/requests/a/stop", "/system/queue/redrive"] {
        for (what, host, token, origin, more, expected) in &cases {
            let mut headers = vec![("host", *host), ("origin", *origin)];
            headers.extend(token.map(|token| (TOKEN, token)));
            headers.extend(*more);
            let seen = recorder.seen().len();
            let got = fixture.send(Method::POST, path, &headers, "{}").await;
            assert_eq!(got.status.as_u16(), *expected, "{what}: {path}: {}", got.text());
            if *expected == 403 {
                assert_eq!(recorder.seen().len(), seen, "{what}: {path}");
            }
        }
    }
    // Twice: which one counts would depend on who reads.
    let (first, second) = ((TOKEN, token.as_str()), (TOKEN, "0000"));
    for headers in [
        [("origin", origin.as_str()), first, second],
        [("origin", origin.as_str()), ("origin", "http://evil.example"), first],
    ] {
        let got = fixture.send(Method::POST, "/system/queue/redrive", &headers, "{}").await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    fixture.gateway.stop().await;
}

/// A page that a function serves has the same origin and can get the token.
#[tokio::test(flavor = "multi_thread")]
async fn no_page_can_deploy_functions_or_change_secrets() {
    let fixture = start("own:\n  fprocess: cat\n").await;
    let (_, origin) = own(&fixture);
    let token = token(&fixture, &[]).await;
    let headers = [("origin", origin.as_str()), (TOKEN, token.as_str())];
    let deployment = json!({ "service": "f", "envProcess": "cat" }).to_string();
    for (method, path) in [
        (Method::POST, "/system/functions"),
        (Method::PUT, "/system/functions"),
        (Method::DELETE, "/system/functions"),
        (Method::POST, "/system/scale-function/own"),
        (Method::POST, "/system/secrets"),
        (Method::PUT, "/system/secrets"),
        (Method::POST, "/system/flows/../functions"),
        (Method::POST, "//system/flows/../functions"),
    ] {
        let got = fixture.send(method.clone(), path, &headers, deployment.clone()).await;
        assert!(
            [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&got.status),
            "{method} {path}: {}",
            got.status
        );
    }
    assert_eq!(fixture.gateway.function_names(), ["own"]);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_pages_do_not_get_the_token() {
    let fixture = start("own:\n  fprocess: cat\n").await;
    for headers in [
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
        [("sec-fetch-site", "none")],
        [("origin", "http://evil.example")],
        [("origin", "null")],
        [("host", "evil.example")],
    ] {
        let got = fixture.send(Method::GET, "/system/page-token", &headers, "").await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{headers:?}");
        assert!(!got.text().contains("token\":"), "{headers:?}");
    }
    // Nobody else's page may read what it gets.
    let got = fixture.get("/system/page-token").await;
    assert_eq!(got.header("access-control-allow-origin"), None);
    fixture.gateway.stop().await;
    let other = start("own:\n  fprocess: cat\n").await;
    let (mine, again) = (token(&other, &[]).await, got.json()["token"].as_str().unwrap().to_owned());
    assert_ne!(mine, again, "each gateway has its own");
    assert_eq!(mine.len(), 64);
    other.gateway.stop().await;
}

/// A gateway that others can reach is at every name that leads to it, so only the password tells a page that is not its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_a_password_may_have_any_name_and_one_without_may_not() {
    let any = || std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    let open = start_with("own:\n  fprocess: cat\n", |options| options.listen = any()).await;
    let named = [("host", "gateway.example:8080")];
    assert_eq!(open.send(Method::GET, "/system/page-token", &named, "").await.status, StatusCode::FORBIDDEN);
    let known = token(&open, &[]).await;
    let page = [named[0], ("origin", "http://gateway.example:8080"), (TOKEN, known.as_str())];
    assert_eq!(open.send(Method::POST, "/system/queue/redrive", &page, "{}").await.status, StatusCode::FORBIDDEN);
    open.gateway.stop().await;

    let guarded = start_with("own:\n  fprocess: cat\n", |options| {
        options.listen = any();
        options.basic_auth = true;
    })
    .await;
    let password =
        std::fs::read_to_string(guarded.folder.path().join(".faasflow/secrets/basic-auth-password")).unwrap();
    let authorization = {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("admin:{}", password.trim())))
    };
    let known = ("authorization", authorization.as_str());
    assert_eq!(guarded.send(Method::GET, "/system/page-token", &named, "").await.status, StatusCode::UNAUTHORIZED);
    let token = token(&guarded, &[named[0], known]).await;
    let page = [named[0], ("origin", "http://gateway.example:8080"), (TOKEN, token.as_str())];
    let without = guarded.send(Method::POST, "/system/queue/redrive", &page, "{}").await;
    assert_eq!(without.status, StatusCode::UNAUTHORIZED, "the token is no password");
    let with = [page[0], page[1], page[2], known];
    assert_eq!(guarded.send(Method::POST, "/system/queue/redrive", &with, "{}").await.status, StatusCode::OK);
    let other = [named[0], ("origin", "http://evil.example"), page[2], known];
    assert_eq!(guarded.send(Method::POST, "/system/queue/redrive", &other, "{}").await.status, StatusCode::FORBIDDEN);
    for path in ["/ui/", "/ui/assets/main.js"] {
        let got = guarded.get(path).await;
        assert_eq!((got.status, got.header("www-authenticate").is_some()), (StatusCode::UNAUTHORIZED, true), "{path}");
        assert_eq!(guarded.send(Method::GET, path, &[known], "").await.status, StatusCode::OK, "{path}");
    }
    guarded.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_led_from_the_root_to_the_pages_and_a_foreign_name_leads_nowhere() {
    let fixture = start("own:\n  fprocess: cat\n").await;
    let browser = [("accept", "text/html,application/xhtml+xml")];
    let got = fixture.send(Method::GET, "/", &browser, "").await;
    assert_eq!((got.status.as_u16(), got.header("location")), (307, Some("/ui/")));
    assert_eq!(fixture.get("/").await.header("x-faasflow-error-code"), Some(code::NO_ROUTE.as_str()));
    assert_eq!(fixture.send(Method::POST, "/", &browser, "").await.status, StatusCode::NOT_FOUND);
    let page = fixture.get("/ui/").await;
    assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    for path in ["/ui/", "/ui/requests", "/ui/assets/main.js"] {
        let got = fixture.send(Method::GET, path, &[("host", "evil.example:8080")], "").await;
        assert_eq!(got.header("x-faasflow-error-code"), Some(code::FOREIGN_HOST.as_str()), "{path}");
    }
    let odd = b"GET /ui/../system/functions HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    let answer = exchange(fixture.gateway.address(), odd).await;
    assert!(answer.starts_with("HTTP/1.1 403 ") || answer.starts_with("HTTP/1.1 404 "), "{answer}");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_not_executed_by_a_browser() {
    let server = listen(axum::Router::new().fallback(|| async {
        ([("content-type", "text/html"), ("content-security-policy", "script-src *")], "<script>steal()</script>")
    }))
    .await;
    let fixture = start(&flow(&server)).await;
    let got = fixture.get("/system/flows/upload/requests/a/result").await;
    assert_eq!(got.text(), "<script>steal()</script>");
    assert_eq!(got.header("content-security-policy"), Some("sandbox; default-src 'none'"));
    assert_eq!(got.headers.get_all("content-security-policy").iter().count(), 1);
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_drawn_from_its_description_and_anything_else_is_not() {
    let description = json!({
        "name": "upload", "fingerprint": "9b2d", "state": "envelope", "on_failure": false, "finally": false,
        "phases": [{ "number": 1, "steps": [
            { "number": 1, "name": "function `<b>`", "kind": "call", "function": "<b>", "sync": false },
        ] }],
    });
    let server = listen(axum::Router::new().route(
        "/_/flow",
        axum::routing::get(move || {
            let description = description.clone();
            async move { axum::Json(description) }
        }),
    ))
    .await;
    let fixture = start(&flow(&server)).await;
    let drawing = fixture.get("/system/flows/upload/drawing").await.json();
    assert_eq!(drawing["fingerprint"], "9b2d");
    let shapes = drawing["shapes"].as_array().unwrap();
    let call = shapes.iter().find(|shape| shape["kind"] == "call").unwrap();
    assert_eq!((&call["name"], &call["step"], &call["lines"]), (&json!("<b>"), &json!(1), &json!(["<b>"])));
    let [width, height] = [&drawing["width"], &drawing["height"]].map(|length| length.as_i64().unwrap());
    for shape in shapes {
        let [x, y, wide, high] = ["x", "y", "width", "height"].map(|name| shape[name].as_i64().unwrap());
        assert!(x >= 0 && y >= 0 && x + wide <= width && y + high <= height, "{shape}");
    }
    fixture.gateway.stop().await;

    let recorder = Recorder::default();
    let server = recorder.listen().await;
    let fixture = start(&flow(&server)).await;
    let got = fixture.get("/system/flows/upload/drawing").await;
    assert_eq!(
        (got.status, got.header("x-faasflow-error-code")),
        (StatusCode::NOT_FOUND, Some(code::NOT_A_FLOW.as_str()))
    );
    fixture.gateway.stop().await;
}

/// What is stored may be HTML of others, and refusals quote what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_the_api_is_executed_by_a_browser() {
    let server = Recorder::default().listen().await;
    let fixture = start(&flow(&server)).await;
    let mut asked: Vec<(Method, String)> = Vec::new();
    for route in faasflow_admin::ROUTES.iter().filter(|route| route.path.starts_with("/system")) {
        let method = Method::from_bytes(route.method.as_bytes()).unwrap();
        for flow in ["upload", "absent"] {
            let path = route.path.replace("{flow}", flow).replace("{name}", flow).replace("{id}", "1");
            asked.push((method.clone(), path));
        }
    }
    let others = [(Method::GET, "/system"), (Method::GET, "/system/absent"), (Method::PATCH, "/system/queue")];
    asked.extend(others.map(|(method, path)| (method, path.to_owned())));
    for (method, path) in asked {
        for host in [fixture.gateway.address().to_string(), "evil.example".to_owned()] {
            let request = fixture.request(method.clone(), &path, &[("host", &host)], axum::body::Body::empty());
            let answer = fixture.open(request).await;
            let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            let found = [header("x-content-type-options"), header("content-security-policy")];
            let expected = ["nosniff", "sandbox; default-src 'none'"].map(|value| Some(value.to_owned()));
            assert_eq!(found, expected, "{method} {path} at {host}: {}", answer.status());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_another_site_is_refused_without_an_origin_too() {
    let recorder = Recorder::default();
    let server = recorder.listen().await;
    let fixture = start(&flow(&server)).await;
    for path in ["/system/flows/upload/requests/a/stop", "/system/queue/redrive", "/system/functions"] {
        for site in ["cross-site", "same-site", "same-origin"] {
            let got = fixture.send(Method::POST, path, &[("sec-fetch-site", site)], "").await;
            let found = (got.status, got.header("x-faasflow-error-code"));
            assert_eq!(found, (StatusCode::FORBIDDEN, Some("FF0731")), "{path} {site}");
        }
    }
    assert!(recorder.seen().is_empty());
    let got =
        fixture.send(Method::POST, "/system/flows/upload/requests/a/stop", &[("sec-fetch-site", "none")], "").await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
}

/// A page whose own name leads to this machine (DNS rebinding) tries every form in which it may ask for something.
#[tokio::test(flavor = "multi_thread")]
async fn no_form_of_a_path_lets_a_foreign_name_in() {
    let recorder = Recorder::default();
    let server = recorder.listen().await;
    let fixture = start(&flow(&server)).await;
    let address = fixture.gateway.address();
    let targets =
        ["/ui/", "/system/functions", "/system/flows/upload/requests", "/system/queue/calls", "/system/events"];
    for target in targets {
        let (first, rest) = target[1..].split_once('/').unwrap();
        let escaped = format!("%{:02x}{}", first.as_bytes()[0], &first[1..]);
        let forms = [
            target.to_owned(),
            format!("/x/..{target}"),
            format!("/function/../{first}/{rest}"),
            format!("/{target}"),
            format!("/./{first}/{rest}"),
            format!("/{escaped}/{rest}"),
            format!("/ui/..%2f{first}/{rest}"),
            format!("/{}/{rest}", first.to_uppercase()),
            format!("{target};a=b"),
            format!("http://evil.example{target}"),
        ];
        for form in forms {
            for more in ["", "origin: http://evil.example\r\n", "origin: null\r\n"] {
                let request =
                    format!("GET {form} HTTP/1.1\r\nhost: evil.example:8080\r\n{more}connection: close\r\n\r\n");
                let answer = exchange(address, request.as_bytes()).await;
                let status = answer.split(' ').nth(1).unwrap_or_default();
                assert!(["400", "403", "404"].contains(&status), "{form} {more}: {answer}");
                assert!(!answer.to_ascii_lowercase().contains("access-control-allow-origin"), "{form}: {answer}");
            }
        }
        // In the form that is meant, the refusal says why.
        let got = fixture.send(Method::GET, target, &[("host", "evil.example:8080")], "").await;
        assert_eq!(got.header("x-faasflow-error-code"), Some(code::FOREIGN_HOST.as_str()), "{target}");
    }
    assert!(recorder.seen().is_empty(), "the flow was asked");
    fixture.gateway.stop().await;
}

/// Browsers let any page open a WebSocket, and tell only by `Origin` which one it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_gets_no_events() {
    let fixture = start("own:\n  fprocess: cat\n").await;
    let (host, origin) = own(&fixture);
    let upgrade = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (what, name, from, code) in [
        ("another page", host.as_str(), "http://evil.example", code::FROM_WEB_PAGE),
        ("a page without a name", &host, "null", code::FROM_WEB_PAGE),
        ("a name that leads here", "evil.example", "http://evil.example", code::FOREIGN_HOST),
        ("its own page at another name", "evil.example", &origin, code::FOREIGN_HOST),
    ] {
        let headers = [&upgrade[..], &[("host", name), ("origin", from)]].concat();
        // The answer with events has no end.
        let got = fixture.open(fixture.request(Method::GET, "/system/events", &headers, Body::empty())).await;
        let told = got.headers().get("x-faasflow-error-code").and_then(|told| told.to_str().ok());
        assert_eq!((got.status(), told), (StatusCode::FORBIDDEN, Some(code.as_str())), "{what}");
    }
    fixture.gateway.stop().await;
}

/// A form needs no script, and the browser sends the password by itself once somebody has entered it.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_changes_nothing_although_the_browser_has_the_password() {
    let recorder = Recorder::default();
    let server = recorder.listen().await;
    let fixture = start_with(&flow(&server), |options| options.basic_auth = true).await;
    let password =
        std::fs::read_to_string(fixture.folder.path().join(".faasflow/secrets/basic-auth-password")).unwrap();
    let authorization = {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("admin:{}", password.trim())))
    };
    let known = ("authorization", authorization.as_str());
    let (_, own_origin) = own(&fixture);
    let paths = [
        "/system/flows/upload/requests/a/stop",
        "/system/flows/upload/requests/a/redrive",
        "/system/flows/upload/requests/a/pause",
        "/system/flows/upload/recover",
        "/system/queue/redrive",
        "/system/functions",
        "/system/scale-function/upload",
    ];
    let kinds = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"];
    for path in paths {
        for origin in ["http://evil.example", "null", own_origin.as_str()] {
            for kind in kinds {
                // Its own pages have a token, which no form can send.
                let headers = [known, ("origin", origin), ("content-type", kind)];
                let got = fixture.send(Method::POST, path, &headers, "a=b").await;
                let told = (got.status, got.header("x-faasflow-error-code"));
                assert_eq!(
                    told,
                    (StatusCode::FORBIDDEN, Some(code::FROM_WEB_PAGE.as_str())),
                    "{path}: {origin}: {kind}"
                );
            }
        }
    }
    assert!(recorder.seen().is_empty(), "the flow was asked");
    // A program with the password may, so the refusals above are because of the page.
    let got = fixture.send(Method::POST, paths[0], &[known], "").await;
    assert_eq!((got.status, recorder.seen().len()), (StatusCode::OK, 1));
    fixture.gateway.stop().await;
}
