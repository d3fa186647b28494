//! Who may use the pages of `faasflow ui`: the rules of the local gateway.

use http::{Method, StatusCode};

use super::openfaas::{KEY, OpenFaas};
use super::{TOKEN, Ui};

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_pages_change_anything() {
    let gateway = OpenFaas::listen().await;
    let ui = Ui::start(&gateway.url(), &["--key", KEY]);
    let token = ui.get("/system/page-token").await;
    assert_eq!(token.header("cache-control"), Some("no-store"));
    let token = token.json()["token"].as_str().unwrap().to_owned();
    let own = ("origin", ui.url.as_str());
    let known = (TOKEN, token.as_str());
    let path = "/system/flows/upload/requests/a/stop";
    let allowed: [&[(&str, &str)]; 3] = [&[own, known], &[own, known, ("sec-fetch-site", "same-origin")], &[]];
    for headers in allowed {
        assert_eq!(ui.send(Method::POST, path, headers, "").await.status, StatusCode::OK, "{headers:?}");
    }
    let refused: [&[(&str, &str)]; 7] = [
        &[("sec-fetch-site", "cross-site")],
        &[own],
        &[own, (TOKEN, "0000")],
        &[own, known, (TOKEN, "0000")],
        &[("origin", "http://evil.example"), known],
        &[("origin", "null"), known],
        &[own, known, ("sec-fetch-site", "cross-site")],
    ];
    for headers in refused {
        for path in [path, "/system/queue/redrive"] {
            assert_eq!(ui.send(Method::POST, path, headers, "").await.refused(), (403, Some("FF0731")), "{headers:?}");
        }
    }
    // A page starts requests without the token, because the function would get it.
    assert_eq!(ui.send(Method::POST, "/function/upload", &[own], "").await.status, StatusCode::ACCEPTED);
    for headers in [&[("origin", "http://evil.example")], &[("origin", "null")], &[("sec-fetch-site", "cross-site")]] {
        let got = ui.send(Method::POST, "/function/upload", headers, "").await;
        assert_eq!(got.refused(), (403, Some("FF0731")), "{headers:?}");
        let got = ui.send(Method::GET, "/system/page-token", headers, "").await;
        assert_eq!(got.refused(), (403, Some("FF0731")), "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_here_shows_nothing() {
    let gateway = OpenFaas::listen().await;
    let ui = Ui::start(&gateway.url(), &["--key", KEY]);
    for path in ["/ui/", "/ui/assets/main.js", "/system/flows", "/system/functions", "/system/page-token", "/absent"] {
        let got = ui.send(Method::GET, path, &[("host", "evil.example")], "").await;
        assert_eq!(got.refused(), (403, Some("FF0732")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_pages_need_is_passed_on() {
    let gateway = OpenFaas::listen().await;
    let ui = Ui::start(&gateway.url(), &["--key", KEY]);
    for (method, path) in [
        (Method::GET, "/system/secrets"),
        (Method::POST, "/system/secrets"),
        (Method::POST, "/system/functions"),
        (Method::PUT, "/system/functions"),
        (Method::DELETE, "/system/functions"),
        (Method::POST, "/system/scale-function/upload"),
        (Method::GET, "/function/upload"),
        (Method::POST, "/function/upload/more"),
        (Method::POST, "/async-function/upload"),
        (Method::DELETE, "/system/flows/upload/requests/a"),
        (Method::POST, "/system/flows/upload/recover"),
        (Method::GET, "/metrics"),
    ] {
        let got = ui.send(method.clone(), path, &[], "{}").await;
        assert!(
            [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&got.status),
            "{method} {path}: {got:?}"
        );
        assert!(got.header(super::CODE).is_some(), "{method} {path}: {got:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_but_the_pages_is_executed_by_a_browser() {
    let gateway = OpenFaas::listen().await;
    let ui = Ui::start(&gateway.url(), &["--key", KEY]);
    for route in faasflow_admin::ROUTES {
        let method = Method::from_bytes(route.method.as_bytes()).unwrap();
        for flow in ["upload", "absent"] {
            let path = route.path.replace("{flow}", flow).replace("{name}", flow).replace("{id}", "1");
            for host in [ui.url.trim_start_matches("http://"), "evil.example"] {
                let got = ui.send(method.clone(), &path, &[("host", host)], "").await;
                let found = [got.header("x-content-type-options"), got.header("content-security-policy")];
                let expected = [Some("nosniff"), Some("sandbox; default-src 'none'")];
                assert_eq!(found, expected, "{method} {path} at {host}: {}", got.status);
            }
        }
    }
    let page = ui.get("/ui/").await;
    assert!(page.header("content-security-policy").unwrap().contains("script-src 'self'"));
}
