//! The gateway as OpenFaaS's own behaves: routes, headers, statuses.

use std::time::Duration;

use crate::support::{Recorder, nowhere, start, start_with, until, url};
use axum::body::Body;
use http::{Method, StatusCode};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_id_is_made_when_absent_and_returned_only_then() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let fixture = start(&url("f", function.address)).await;

    let made = fixture.post("/function/f", "x").await;
    let id = made.header("x-call-id").expect("it is returned").to_owned();
    assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 4);
    let given = fixture.send(Method::POST, "/function/f", &[("x-call-id", "mine")], "x").await;
    assert_eq!(given.header("x-call-id"), None);

    let seen = recorder.seen();
    assert_eq!(seen[0].header("x-call-id"), Some(id.as_str()));
    assert_eq!(seen[1].header("x-call-id"), Some("mine"));
    for (got, seen) in [(&made, &seen[0]), (&given, &seen[1])] {
        for nanos in [got.header("x-start-time").unwrap(), seen.header("x-start-time").unwrap()] {
            let nanos: u128 = nanos.parse().unwrap();
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
            assert!(nanos <= now && now - nanos < 600_000_000_000, "{nanos} is now, in nanoseconds");
        }
        assert_eq!(got.header("x-served-by"), Some("faasflow"));
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(seen.header("x-forwarded-host"), Some(fixture.gateway.address().to_string().as_str()));
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn method_path_query_headers_and_body_pass_through() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let base = format!("f:\n  annotations:\n    faasflow.url: http://{}/base/\n", function.address);
    let fixture = start(&format!("{base}{}", url("function", function.address))).await;
    let headers = [("x-mine", "1"), ("x-forwarded-for", "10.0.0.1"), ("connection", "x-hop"), ("x-hop", "gone")];
    for (asked, expected) in [
        ("/function/f", "/base/"),
        ("/function/f/", "/base/"),
        ("/function/f.openfaas-fn", "/base/"),
        ("/function/f/a%2Fb/c?x=1&x=2&y=%20", "/base/a%2Fb/c?x=1&x=2&y=%20"),
        ("/function/f.openfaas-fn/a?q", "/base/a?q"),
        // A function may be named like the route.
        ("/function/function/function/x", "/function/x"),
        ("/function/function/", "/"),
    ] {
        let body = vec![0, 255, 10, 13, 0];
        let got = fixture.send(Method::PUT, asked, &headers, body.clone()).await;
        assert_eq!((got.status, got.text()), (StatusCode::OK, "answer"), "{asked}");
        assert_eq!((got.header("x-own"), got.header("content-type")), (Some("1"), Some("text/x-own")));
        assert_eq!(got.header("x-openfaas-internal"), None, "only the gateway's own words have it");
        let seen = recorder.seen().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("PUT", expected), "{asked}");
        assert_eq!(&seen.body[..], body);
        assert_eq!((seen.header("x-mine"), seen.header("x-hop")), (Some("1"), None));
        assert_eq!(seen.header("x-forwarded-for"), Some("10.0.0.1, 127.0.0.1"));
        assert_eq!(seen.header("host"), Some(function.address.to_string().as_str()));
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_an_answer_is_distinguished_from_one_that_answers() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let functions = format!("{}{}", url("gone", nowhere()), url("silent", silent.local_addr().unwrap()));
    let fixture = start_with(&functions, |options| options.upstream_timeout = Duration::from_millis(300)).await;

    let gone = fixture.post("/function/gone", "x").await;
    assert_eq!(gone.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!((gone.text(), gone.header("x-openfaas-internal")), ("Can't reach service for: gone.\n", Some("proxy")));
    let silent = fixture.post("/function/silent", "x").await;
    assert_eq!((silent.status, silent.header("x-openfaas-internal")), (StatusCode::BAD_GATEWAY, Some("proxy")));
    let absent = fixture.post("/function/absent", "x").await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    assert_eq!(absent.text(), "the function `absent` is not deployed; deployed functions: gone, silent\n");
    assert_eq!(fixture.post("/function/a%20b", "x").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(fixture.get("/elsewhere").await.status, StatusCode::NOT_FOUND);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_not_ready_is_503() {
    let folder = crate::support::folder("f:\n  handler: ./f\n");
    std::fs::create_dir(folder.path().join("f")).unwrap();
    // A package without a program: it will never run.
    let manifest =
        "[package]\nname = \"f\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n";
    std::fs::write(folder.path().join("f/Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.path().join("f/lib.rs"), "").unwrap();
    let fixture = crate::support::start_in(folder, |_| {}).await.unwrap();
    let error = fixture.gateway.ready().await.unwrap_err().to_string();
    assert_eq!(error, "not all functions run:\n  - `f`: it could not be built");
    let got = fixture.post("/function/f", "x").await;
    assert_eq!((got.status, got.header("x-openfaas-internal")), (StatusCode::SERVICE_UNAVAILABLE, Some("proxy")));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_call_is_accepted_and_delivered_as_the_worker_does() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let fixture = start(&url("f", function.address)).await;
    let headers = [("x-mine", "1"), ("x-call-id", "c1"), ("content-type", "text/x")];
    let accepted = fixture.send(Method::POST, "/async-function/f.openfaas-fn/a/b?x=1", &headers, "body").await;
    assert_eq!((accepted.status, accepted.body.len()), (StatusCode::ACCEPTED, 0));
    assert_eq!((accepted.header("x-call-id"), accepted.header("x-faasflow-duplicate")), (Some("c1"), None));
    assert!(accepted.header("x-start-time").is_some() && accepted.header("x-served-by").is_some());

    let seen = recorder.until(1).await.remove(0);
    assert_eq!((seen.method.as_str(), seen.target.as_str(), &seen.body[..]), ("POST", "/a/b?x=1", b"body".as_slice()));
    for (name, value) in headers {
        assert_eq!(seen.header(name), Some(value));
    }

    let again = fixture.send(Method::POST, "/async-function/f", &headers, "other body").await;
    assert_eq!((again.status, again.header("x-faasflow-duplicate")), (StatusCode::ACCEPTED, Some("true")));
    let made = fixture.post("/async-function/f", "third").await;
    assert_eq!(uuid::Uuid::parse_str(made.header("x-call-id").unwrap()).unwrap().get_version_num(), 4);
    let seen = recorder.until(2).await;
    assert_eq!((seen.len(), &seen[1].body[..]), (2, b"third".as_slice()), "the duplicate went nowhere");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_asynchronous_calls_are_refused() {
    let function = Recorder::default().listen().await;
    let fixture = start_with(&url("f", function.address), |options| {
        options.queue.max_body = 10;
        options.read_timeout = Duration::from_secs(2);
    })
    .await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let got = fixture.send(method.clone(), "/async-function/f", &[], "").await;
        assert_eq!((got.status, got.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("POST")), "{method}");
    }
    for bad in ["", "ftp://x/", "http://", "::"] {
        let got = fixture.send(Method::POST, "/async-function/f", &[("x-callback-url", bad)], "x").await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{bad}: {}", got.text());
    }
    let got = fixture.post("/async-function/f", "elevenbytes").await;
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(got.text().starts_with("the queue takes bodies up to 10 bytes"), "{}", got.text());
    // Also when it does not say beforehand how much it is.
    let parts = futures_util::stream::iter(["four", "four", "four"].map(Ok::<_, std::io::Error>));
    let got = fixture.post("/async-function/f", Body::from_stream(parts)).await;
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE);
    let stalled = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let got = fixture.post("/async-function/f", Body::from_stream(stalled)).await;
    assert_eq!(got.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(fixture.post("/async-function/absent", "x").await.status, StatusCode::NOT_FOUND);
    assert_eq!(fixture.gateway.queue().stats().await.unwrap().totals.accepted, 0);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_reports_how_the_call_ended() {
    let (functions, callbacks) = (Recorder::default(), Recorder::default());
    let (function, callback) = (functions.listen().await, callbacks.listen().await);
    functions.answers("/bad", &[500]);
    // A failed callback is tried again, unlike at OpenFaaS.
    callbacks.answers("/back", &[503, 200]);
    let fixture = start(&format!("{}{}", url("f", function.address), url("gone", nowhere()))).await;
    let back = format!("http://{}/back?to=me", callback.address);
    let ask = async |path: &str, id: &str| {
        let headers = [("x-callback-url", back.as_str()), ("x-call-id", id)];
        assert_eq!(fixture.send(Method::POST, path, &headers, "x").await.status, StatusCode::ACCEPTED);
    };
    ask("/async-function/f.openfaas-fn", "good").await;
    ask("/async-function/f/bad", "bad").await;
    ask("/async-function/gone", "gone").await;
    let seen = callbacks.until(4).await;
    let of = |id| seen.iter().rfind(|seen| seen.header("x-call-id") == Some(id)).unwrap();
    for (id, status, name, body) in
        [("good", "200", "f.openfaas-fn", "answer"), ("bad", "500", "f", "answer"), ("gone", "503", "gone", "")]
    {
        let seen = of(id);
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/back?to=me"), "{id}");
        assert_eq!(seen.header("x-function-status"), Some(status), "{id}");
        assert_eq!(seen.header("x-function-name"), Some(name), "{id}");
        assert_eq!(seen.body, body, "{id}");
        let seconds = seen.header("x-duration-seconds").unwrap();
        assert!(seconds.parse::<f64>().is_ok() && seconds.split_once('.').unwrap().1.len() == 6, "{seconds}");
        assert_eq!(seen.header("x-own"), (!body.is_empty()).then_some("1"), "{id}");
    }
    assert_eq!(functions.seen()[0].header("x-callback-url"), Some(back.as_str()), "the function sees it as well");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_accepted_returned_and_passed_on() {
    let (functions, callbacks) = (Recorder::default(), Recorder::default());
    let (function, callback) = (functions.listen().await, callbacks.listen().await);
    let own =
        crate::support::listen(axum::Router::new().fallback(|| async { [("x-faasflow-request-id", "its-own")] })).await;
    let stack = url("f", function.address) + &url("own", own.address) + &url("gone", nowhere());
    let fixture = start(&(stack + "show:\n  fprocess: env\n")).await;
    let id = [("x-faasflow-request-id", "order-17")];
    let answered = |got: &crate::support::Got| got.header("x-faasflow-request-id").map(str::to_owned);
    for (path, expected) in [
        ("/function/f", "order-17"),
        ("/function/show", "order-17"),
        ("/function/gone", "order-17"),
        ("/function/absent", "order-17"),
        ("/async-function/f", "order-17"),
        // A flow knows best.
        ("/function/own", "its-own"),
    ] {
        let got = fixture.send(Method::POST, path, &id, "x").await;
        assert_eq!(answered(&got).as_deref(), Some(expected), "{path}: {got:?}");
        if path == "/function/show" {
            assert!(got.text().contains("Http_X_Faasflow_Request_Id=order-17\n"), "{}", got.text());
        }
    }
    let seen = functions.until(2).await;
    assert!(seen.iter().all(|seen| seen.header("x-faasflow-request-id") == Some("order-17")), "{seen:?}");

    // None is made, and one that is none is not repeated.
    assert_eq!(answered(&fixture.post("/function/f", "x").await), None);
    let invalid = fixture.send(Method::POST, "/function/f", &[("x-faasflow-request-id", "two words")], "x").await;
    assert_eq!(answered(&invalid), None);

    let back = format!("http://{}/back", callback.address);
    for (number, path) in ["f", "own", "gone"].into_iter().enumerate() {
        let headers = [("x-callback-url", back.as_str()), ("x-call-id", path), id[0]];
        fixture.send(Method::POST, &format!("/async-function/{path}"), &headers, "x").await;
        let seen = callbacks.until(number + 1).await;
        let expected = if path == "own" { "its-own" } else { "order-17" };
        let seen = seen.iter().find(|seen| seen.header("x-call-id") == Some(path)).unwrap();
        assert_eq!(seen.header("x-faasflow-request-id"), Some(expected), "{path}");
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_api_lists_functions_and_versions() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let described = "  image: i:1\n  labels:\n    a: b\n  annotations:\n    c: 1\n  secrets: [s]\n  fprocess: cat\n";
    let folder = crate::support::folder(&format!("{}cmd:\n{described}", url("f", function.address)));
    std::fs::create_dir_all(folder.path().join(".faasflow/secrets")).unwrap();
    std::fs::write(folder.path().join(".faasflow/secrets/s"), "x").unwrap();
    let fixture = crate::support::start_in(folder, |_| {}).await.unwrap();
    assert_eq!(fixture.get("/healthz").await.text(), "OK");
    fixture.post("/function/f", "x").await;

    let all = fixture.get("/system/functions").await.json();
    assert_eq!((all[0]["name"].as_str(), all[1]["name"].as_str()), (Some("cmd"), Some("f")));
    let one = fixture.get("/system/function/f?usage=1").await.json();
    assert_eq!(
        (&one["invocationCount"], &one["availableReplicas"], &one["replicas"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!((one["namespace"].as_str(), one["name"].as_str()), (Some("openfaas-fn"), Some("f")));
    let cmd = fixture.get("/system/function/cmd.openfaas-fn").await.json();
    assert_eq!((cmd["image"].as_str(), cmd["labels"]["a"].as_str()), (Some("i:1"), Some("b")));
    assert_eq!((cmd["annotations"]["c"].as_str(), cmd["secrets"][0].as_str()), (Some("1"), Some("s")));
    assert!(one["usage"]["totalMemoryBytes"].is_u64() && cmd["usage"].is_null());
    assert!(cmd["createdAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(cmd["envProcess"].as_str(), Some("cat"), "as faas-cli describe shows it");
    assert_eq!(fixture.get("/system/function/absent").await.status, StatusCode::NOT_FOUND);
    let same = fixture.get("/system/functions?namespace=openfaas-fn").await.json();
    assert_eq!((&same, &fixture.get("/system/functions?namespace=&usage=0").await.json()), (&all, &all));

    let info = fixture.get("/system/info").await.json();
    assert_eq!(info["version"]["release"].as_str(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(info["provider"]["provider"].as_str(), Some("faasflow"));
    assert_eq!(fixture.get("/system/namespaces").await.json(), serde_json::json!(["openfaas-fn"]));
    let secrets = fixture.get("/system/secrets").await.json();
    assert_eq!(secrets, serde_json::json!([{ "name": "s", "namespace": "openfaas-fn" }]));
    assert_eq!(info["limits"], serde_json::json!({ "asyncBody": 256_000, "upstreamTimeout": "60s" }));
    let forwarded = fixture.send(Method::GET, "/system/info", &[("x-forwarded-host", "g:8080")], "").await.json();
    assert_eq!(forwarded["provider"], "faasflow", "a gateway in front reads the provider's own form: {forwarded}");
    assert_eq!((&forwarded["orchestration"], &forwarded["limits"]), (&"processes".into(), &info["limits"]));
    assert_eq!(forwarded["version"]["release"].as_str(), Some(env!("CARGO_PKG_VERSION")));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_namespaces_are_empty() {
    let folder = crate::support::folder("f:\n  fprocess: cat\n");
    std::fs::create_dir_all(folder.path().join(".faasflow/secrets")).unwrap();
    std::fs::write(folder.path().join(".faasflow/secrets/s"), "x").unwrap();
    let fixture = crate::support::start_in(folder, |_| {}).await.unwrap();
    for list in ["/system/functions", "/system/secrets"] {
        for (namespace, count) in [("", 1), ("?namespace=", 1), ("?namespace=openfaas-fn", 1), ("?namespace=other", 0)]
        {
            let listed = fixture.get(&format!("{list}{namespace}")).await.json();
            assert_eq!(listed.as_array().unwrap().len(), count, "{list}{namespace}");
        }
    }
    for (method, path) in [
        (Method::GET, "/system/function/f?namespace="),
        (Method::GET, "/system/logs?name=f&namespace="),
        (Method::POST, "/system/scale-function/f?namespace="),
    ] {
        let got = fixture.send(method.clone(), &format!("{path}other"), &[], "").await;
        let says = "the namespace `other` does not exist: the only one is `openfaas-fn`\n";
        assert_eq!((got.status, got.text()), (StatusCode::NOT_FOUND, says), "{path}");
        let got = fixture.send(method, &format!("{path}openfaas-fn"), &[], "").await;
        assert!(got.status.is_success(), "{path}: {got:?}");
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_names_of_openfaas() {
    let recorder = Recorder::default();
    recorder.answers("/bad", &[500]);
    let function = recorder.listen().await;
    let fixture = start(&(url("f", function.address) + &url("gone", nowhere()))).await;
    let fresh = fixture.get("/metrics").await.text().to_owned();
    for line in [
        "gateway_function_invocation_started{function_name=\"f.openfaas-fn\"} 0",
        "gateway_function_invocation_total{code=\"200\",function_name=\"f.openfaas-fn\"} 0",
        "gateway_function_invocation_started{function_name=\"gone.openfaas-fn\"} 0",
    ] {
        assert!(fresh.lines().any(|found| found == line), "{line}\n{fresh}");
    }
    fixture.post("/function/f", "x").await;
    fixture.post("/function/f/bad", "x").await;
    fixture.post("/async-function/f", "x").await;
    fixture.post("/async-function/gone", "x").await;
    recorder.until(3).await;
    let text = until("the count", async || {
        let text = fixture.get("/metrics").await.text().to_owned();
        let done = ["faasflow_queue_delivered_total 1", "faasflow_queue_dead_total 1"];
        done.iter().all(|line| text.contains(line)).then_some(text)
    })
    .await;
    for line in [
        "gateway_function_invocation_started{function_name=\"f.openfaas-fn\"} 3",
        "gateway_function_invocation_total{code=\"200\",function_name=\"f.openfaas-fn\"} 2",
        "gateway_function_invocation_total{code=\"500\",function_name=\"f.openfaas-fn\"} 1",
        "gateway_functions_seconds_count{code=\"200\",function_name=\"f.openfaas-fn\"} 2",
        "gateway_functions_seconds_bucket{code=\"500\",function_name=\"f.openfaas-fn\",le=\"+Inf\"} 1",
        "faasflow_function_available{function_name=\"f.openfaas-fn\"} 1",
        "faasflow_function_restarts_total{function_name=\"f.openfaas-fn\"} 0",
        "gateway_service_count{function_name=\"f.openfaas-fn\"} 1",
        "# TYPE gateway_function_invocation_total counter",
        "# TYPE faasflow_queue_oldest_age_seconds gauge",
        &format!("faasflow_gateway_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
        "faasflow_queue_depth 0",
        "faasflow_queue_accepted_total 2",
        "gateway_function_invocation_started{function_name=\"gone.openfaas-fn\"} 3",
        "gateway_function_invocation_total{code=\"500\",function_name=\"gone.openfaas-fn\"} 3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    fixture.gateway.stop().await;
}

/// What is started is ended, also where nobody is there to be answered.
#[tokio::test(flavor = "multi_thread")]
async fn invocations_that_break_off_are_counted_as_ended() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let breaks = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = breaks.local_addr().unwrap();
    let breaking = tokio::spawn(async move {
        while let Ok((mut caller, _)) = breaks.accept().await {
            let _ = caller.read(&mut [0; 4096]).await;
            let _ = caller.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        }
    });
    let fixture = start(&format!("slow:\n  fprocess: sleep 60\n{}", url("breaks", address))).await;
    let counts = async |what: &str, line: &str| {
        until(what, async || {
            fixture.get("/metrics").await.text().lines().any(|found| found.starts_with(line)).then_some(())
        })
        .await;
    };
    let mut client = tokio::net::TcpStream::connect(fixture.gateway.address()).await.unwrap();
    client.write_all(b"GET /function/slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    counts("the start", "gateway_function_invocation_started{function_name=\"slow.openfaas-fn\"} 1").await;
    drop(client);
    let gone = "gateway_function_invocation_total{code=\"499\",function_name=\"slow.openfaas-fn\"} 1";
    counts("the one whose client is gone", gone).await;
    fixture.post("/async-function/breaks", "x").await;
    let broken = "gateway_function_invocation_total{code=\"502\",function_name=\"breaks.openfaas-fn\"} ";
    counts("the one that broke off", broken).await;
    breaking.abort();
    fixture.gateway.stop().await;
}

/// Many clients send all before they read anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_first_learns_that_it_is_refused() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let fixture = start("echo:\n  fprocess: cat\n").await;
    let address = fixture.gateway.address();
    for _ in 0..20 {
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = "POST /async-function/echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 3000000\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&[b'x'; 3_000_000]).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
    }
}
