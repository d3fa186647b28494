//! Requests and answers at the edge of what HTTP allows, byte by byte.

use http::Method;

use crate::support::raw::{RawServer, exchange};
use crate::support::{Fixture, Recorder, start, url};

/// The status of the first answer to some bytes; the connection is closed after the request.
async fn status(fixture: &Fixture, request: &str) -> u16 {
    let answer = exchange(fixture.gateway.address(), request).await;
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{request:?}: {answer:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn h2_chunked_wins_over_content_length() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let fixture = start(&url("f", function.address)).await;
    let chunks = "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    for headers in [
        "content-length: 2\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 2",
        "content-length: 2\r\ncontent-length: 2\r\nTransfer-Encoding: Chunked",
        "transfer-encoding: chunked",
    ] {
        let head = format!("POST /function/f HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n\r\n");
        assert_eq!(status(&fixture, &format!("{head}{chunks}")).await, 200, "{headers}");
        let seen = recorder.seen().pop().unwrap();
        assert_eq!((&seen.body[..], seen.header("content-length")), (b"hello world".as_slice(), None), "{headers}");
    }
    // What comes behind such a request may be meant to be a part of it: it is not answered.
    let smuggled = format!(
        "POST /function/f HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{chunks}\
         GET /function/f/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
    );
    let before = recorder.seen().len();
    let answer = exchange(fixture.gateway.address(), smuggled).await;
    assert_eq!((answer.matches("HTTP/1.1 ").count(), recorder.seen().len()), (1, before + 1), "{answer}");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h2_an_ambiguous_request_is_refused() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let fixture = start(&url("f", function.address)).await;
    for (headers, expected) in [
        ("content-length: 1\r\ncontent-length: 2", 400),
        ("content-length: +1", 400),
        ("content-length: 1, 1", 400),
        ("content-length: -1", 400),
        ("transfer-encoding: chunked, identity", 400),
        ("transfer-encoding: xchunked", 400),
        ("transfer-encoding: chunked\r\ntransfer-encoding: identity", 400),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", 501),
        ("transfer-encoding: gzip, chunked", 501),
        ("transfer-encoding:\r\n chunked", 400),
        ("x-folded: a\r\n b", 400),
        ("content-length : 1", 400),
    ] {
        let request = format!("POST /function/f HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n0\r\n\r\n");
        assert_eq!(status(&fixture, &request).await, expected, "{headers}");
    }
    let old = "POST /function/f HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(status(&fixture, old).await, 400);
    assert!(recorder.seen().is_empty(), "{:?}", recorder.seen());
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h2_an_answer_in_chunks_with_a_length_is_whole() {
    let function = RawServer::answering(|_| {
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec()
    })
    .await;
    let fixture = start(&url("f", function.address)).await;
    let got = fixture.post("/function/f", "x").await;
    assert_eq!((got.text(), got.header("content-length")), ("hello", None));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h11_there_is_one_host_and_names_have_no_case() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let fixture = start(&url("f", function.address)).await;
    for path in ["/function/f", "/healthz", "/system/info", "/elsewhere"] {
        for (head, expected) in [
            ("\r\n", 400),
            ("host: localhost\r\nhost: localhost\r\n", 400),
            ("host: localhost\r\nHOST: evil.example\r\n", 400),
            ("host: local host\r\n", 400),
        ] {
            let head = head.trim_start_matches("\r\n");
            let request = format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{head}\r\n");
            assert_eq!(status(&fixture, &request).await, expected, "{path} {head:?}");
        }
    }
    for (target, host, expected) in [
        ("/system/info", "LOCALHOST", 200),
        ("/system/info", "LocalHost:8080", 200),
        ("/system/info", "localhost.", 200),
        ("/system/info", "evil.example", 403),
        ("http://LOCALHOST/system/info", "localhost", 200),
        ("http://evil.example/system/info", "localhost", 403),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nconnection: close\r\nhost: {host}\r\n\r\n");
        assert_eq!(status(&fixture, &request).await, expected, "{target} {host}");
    }
    assert_eq!(status(&fixture, "GET /healthz HTTP/1.0\r\n\r\n").await, 200);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_many_and_large_headers_pass_in_both_directions() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let many: String = (0..1000).map(|number| format!("x-many-{number}: 1\r\n")).collect();
    let large = "x".repeat(900 << 10);
    let head = format!("HTTP/1.1 200 OK\r\n{many}x-large: {large}\r\ncontent-length: 0\r\n\r\n");
    let answers = RawServer::answering(move |_| head.clone().into_bytes()).await;
    let fixture = start(&format!("{}{}", url("f", function.address), url("answers", answers.address))).await;
    for number in [100, 101, 1000] {
        let headers: Vec<_> = (0..number).map(|number| (format!("x-many-{number}"), "1")).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(fixture.send(Method::POST, "/function/f", &headers, "x").await.status, 200);
        let seen = recorder.seen().pop().unwrap();
        assert_eq!(seen.headers.keys().filter(|name| name.as_str().starts_with("x-many")).count(), number);
    }
    assert_eq!(fixture.send(Method::POST, "/function/f", &[("x-large", &large)], "x").await.status, 200);
    assert_eq!(recorder.seen().pop().unwrap().header("x-large").map(str::len), Some(large.len()));
    let got = fixture.post("/function/answers", "x").await;
    assert_eq!((got.status.as_u16(), got.header("x-large").map(str::len)), (200, Some(large.len())));
    assert!(got.headers.contains_key("x-many-999"));
    fixture.gateway.stop().await;
}

/// At 1,993 and more a call was accepted, and its request then too large for the function.
#[tokio::test(flavor = "multi_thread")]
async fn r2_callers_may_send_so_many_headers_that_the_next_hop_takes_them() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let fixture = start(&url("f", function.address)).await;
    let send = async |path: &str, count: usize| {
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 1\r\n");
        // Three are in the head already.
        status(&fixture, &format!("{head}{}\r\nx", "a: b\r\n".repeat(count - 3))).await
    };
    for count in [1901, 1993, 1996, 2000] {
        assert_eq!(send("/function/f", count).await, 431, "{count}");
        assert_eq!(send("/async-function/f", count).await, 431, "{count}");
    }
    assert_eq!(send("/function/f", 1900).await, 200);
    assert_eq!(send("/async-function/f", 1900).await, 202);
    assert_eq!(recorder.until(2).await.len(), 2);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_head_that_is_too_large_is_refused_with_the_limit() {
    let fixture = start(&url("f", crate::support::nowhere())).await;
    let large = format!("GET /function/f HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "x".repeat(2 << 20));
    let many = format!("GET /function/f HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(30_000));
    for request in [large, many] {
        let answer = exchange(fixture.gateway.address(), request).await;
        assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
        assert!(answer.contains("more than 1048576 bytes, or more than "), "{answer}");
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h13_requests_that_hyper_refuses_get_a_reason() {
    let fixture = start(&url("f", crate::support::nowhere())).await;
    let long = format!("/function/f?{}", "x".repeat(70_000));
    for (target, expected, reason) in
        [("/function/f?a=<b>", "400 Bad Request", "such as `<`"), (long.as_str(), "414 URI Too Long", "65534 bytes")]
    {
        let answer = exchange(fixture.gateway.address(), format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}\r\n")) && answer.contains(reason), "{answer}");
        // Behind a request that was answered, too.
        let both = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
        let answers = exchange(fixture.gateway.address(), both).await;
        let (_, second) = answers.split_once(&format!("HTTP/1.1 {expected}\r\n")).expect("a second answer");
        assert!(second.contains(reason), "{answers}");
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h13_an_upgrade_is_refused_with_a_reason_and_one_to_http_2_is_ignored() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let fixture = start(&url("f", function.address)).await;
    let headers = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    let got = fixture.send(Method::GET, "/function/f", &headers, "").await;
    assert_eq!(got.status, 501);
    assert!(got.text().starts_with("an upgrade to `websocket` is not supported"), "{}", got.text());
    assert_eq!(fixture.send(Method::POST, "/async-function/f", &headers, "").await.status, 501);
    let request = "GET /function/f HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings, close\r\nupgrade: h2c\r\n\
                   http2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n";
    assert_eq!(status(&fixture, request).await, 200);
    assert_eq!(recorder.seen().pop().unwrap().header("upgrade"), None);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h3_an_answer_in_http_1_0_has_the_gateways_version_and_keeps_the_connection() {
    let function = RawServer::answering(|head| {
        let length = if head.contains("/length") { "content-length: 5\r\nconnection: close\r\n" } else { "" };
        format!("HTTP/1.0 200 OK\r\n{length}content-type: text/x\r\n\r\nhello").into_bytes()
    })
    .await;
    let fixture = start(&url("f", function.address)).await;
    // Two requests over one connection: the second is answered only if the first left it open.
    let requests = "GET /function/f/length HTTP/1.1\r\nhost: x\r\n\r\n\
                    GET /function/f/none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answers = exchange(fixture.gateway.address(), requests).await;
    assert_eq!(
        (answers.matches("HTTP/1.1 200 OK\r\n").count(), answers.matches("HTTP/1.0").count()),
        (2, 0),
        "{answers}"
    );
    assert_eq!(answers.matches("hello").count(), 2, "{answers}");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h4_forwarding_headers_are_added_to_and_not_replaced() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let fixture = start(&url("f", function.address)).await;
    let own = fixture.gateway.address().to_string();
    let forwarded = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.2, 10.0.0.3"),
        ("x-forwarded-host", "public.example"),
        ("x-forwarded-proto", "https"),
    ];
    for (headers, expected) in [
        (&forwarded[..], ["10.0.0.1, 10.0.0.2, 10.0.0.3, 127.0.0.1", "public.example", "https"]),
        (&[], ["127.0.0.1", own.as_str(), "http"]),
    ] {
        fixture.send(Method::POST, "/function/f", headers, "x").await;
        let seen = recorder.seen().pop().unwrap();
        let got = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"].map(|name| seen.header(name).unwrap());
        assert_eq!(got, expected);
        assert_eq!(seen.headers.get_all("x-forwarded-for").iter().count(), 1);
        // The queue delivers what its caller's request said.
        let before = recorder.seen().len();
        fixture.send(Method::POST, "/async-function/f", headers, "x").await;
        let seen = recorder.until(before + 1).await.pop().unwrap();
        let got = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"].map(|name| seen.header(name).unwrap());
        assert_eq!(got, expected);
    }
    // The server that the target names wins over `Host` (RFC 9112, 3.2.2).
    let absolute = "GET http://named.example/function/f HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n";
    assert_eq!(status(&fixture, absolute).await, 200);
    assert_eq!(recorder.seen().pop().unwrap().header("x-forwarded-host"), Some("named.example"));
    // In HTTP/2 there is no other.
    let client = faasflow_http::HttpClient::http2(std::time::Duration::from_secs(5), None).unwrap();
    let request = fixture.request(Method::POST, "/function/f", &[], axum::body::Body::empty());
    assert_eq!(client.send(request).await.unwrap().status(), 200);
    assert_eq!(recorder.seen().pop().unwrap().header("x-forwarded-host"), Some(own.as_str()));
    fixture.gateway.stop().await;
}
