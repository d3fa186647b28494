//! Tests the gateway's store through the state manager that flows use.

#[cfg(target_os = "linux")]
mod expiry;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use faasflow_core::state::{Condition, ListQuery, Scope, StateManager as _, Status};
use faasflow_state::GatewayStore;
use faasflow_testkit::conformance;
use http::{Method, StatusCode};
use tokio::task::JoinSet;

use crate::support::{self, Fixture, until};

fn manager(fixture: &Fixture, function: &str) -> GatewayStore {
    GatewayStore::builder(fixture.gateway.url(), fixture.gateway.state_token(function)).build().unwrap()
}

/// A stack with one function, which runs elsewhere.
fn stack() -> String {
    support::url("f", support::nowhere())
}

fn scope(request: &str) -> Scope {
    Scope { flow: "flow".into(), request: request.into() }
}

async fn create(manager: &GatewayStore, request: &str, key: &str, value: impl Into<Bytes>) -> bool {
    manager.set_if(&scope(request), key, value.into(), Condition::Absent).await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_conforms() {
    let fixture = support::start(&stack()).await;
    let manager = manager(&fixture, "conformance");
    manager.probe().await.unwrap();
    let report = conformance::check(manager).await;
    report.assert();
    assert!(report.supports_conditions() && report.supports_end_request());
    assert!(report.supports_records() && report.supports_watches());
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_do_not_see_each_other() {
    let fixture = support::start(&stack()).await;
    let (a, b) = (manager(&fixture, "a"), manager(&fixture, "b"));
    assert!(create(&a, "r", "key", "of a").await);
    assert!(create(&b, "r", "key", "of b").await);
    b.remove_request(&scope("r")).await.unwrap();
    assert_eq!(a.get(&scope("r"), "key").await.unwrap().unwrap(), "of a");
    assert!(a.begin_request(&scope("r"), 7, "begun@0", Bytes::from("x")).await.unwrap());
    assert_eq!(b.list_requests("flow", &ListQuery::newest(9)).await.unwrap(), []);
    assert_eq!(b.get_across(&[scope("r")], "begun@0").await.unwrap(), [None]);
    assert!(b.begin_request(&scope("r"), 9, "begun@0", Bytes::from("x")).await.unwrap());
    assert_eq!(a.list_requests("flow", &ListQuery::newest(9)).await.unwrap()[0].started_ms, 7);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_survive_a_restart_and_those_that_outlive_a_request_expire() {
    let fixture = support::start(&stack()).await;
    let first = manager(&fixture, "f");
    let large = Bytes::from(vec![7; 300_000]);
    assert!(create(&first, "r", "payload/1", large.clone()).await);
    assert!(create(&first, "ended", "over@0", "ended").await);
    first.end_request(&scope("ended"), Duration::from_secs(3600)).await.unwrap();
    assert!(create(&first, "soon", "over@0", "ended").await);
    first.end_request(&scope("soon"), Duration::from_millis(1)).await.unwrap();
    for (request, started_ms) in [("r", 7), ("remembered", 8)] {
        assert!(first.begin_request(&scope(request), started_ms, "begun@0", Bytes::from("x")).await.unwrap());
    }
    let day = Duration::from_secs(24 * 3600);
    first.retire_request(&scope("remembered"), 8, Status::Success, day, day).await.unwrap();
    let Fixture { gateway, folder, .. } = fixture;
    gateway.stop().await;

    let fixture = support::start_in(folder, |_| {}).await.unwrap();
    let second = manager(&fixture, "f");
    let listed = second.list_requests("flow", &ListQuery::newest(9)).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|line| (line.request.as_str(), line.status)).collect();
    assert_eq!(listed, [("remembered", Status::Success), ("r", Status::Running)]);
    assert!(!second.begin_request(&scope("r"), 7, "begun@0", Bytes::from("x")).await.unwrap());
    assert_eq!(second.get(&scope("r"), "payload/1").await.unwrap().unwrap(), large);
    assert!(!create(&second, "ended", "over@0", "again").await, "it is still ended after a restart");
    let gone = async || second.get(&scope("soon"), "over@0").await.unwrap().is_none().then_some(());
    until("it expires", gone).await;
    fixture.gateway.stop().await;
}

/// The gateway used to look for the file again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_whose_file_is_missing_is_an_error_of_the_store() {
    let fixture = support::start(&stack()).await;
    let manager = manager(&fixture, "f");
    manager.set(&scope("r"), "small", Bytes::from("small")).await.unwrap();
    manager.set(&scope("r"), "large", vec![7; 300_000].into()).await.unwrap();
    for file in std::fs::read_dir(fixture.folder.path().join(".faasflow/state-values")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let limit = support::PATIENCE;
    let (scope, keys) = (scope("r"), ["small", "large"]);
    let one = tokio::time::timeout(limit, manager.get(&scope, "large")).await.unwrap().unwrap_err();
    let many = tokio::time::timeout(limit, manager.get_many(&scope, &keys)).await.unwrap().unwrap_err();
    for error in [one, many] {
        assert!(error.to_string().contains("503 (FF0507)"), "{error}");
        assert!(error.to_string().contains("of a value is missing"), "{error}");
    }
    assert_eq!(manager.get(&scope, "small").await.unwrap().unwrap(), "small");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_a_value_over_the_limit_is_refused_with_both_sizes() {
    let fixture = support::start_with(&stack(), |options| options.max_value = 100_000).await;
    let manager = manager(&fixture, "f");
    manager.set(&scope("r"), "key", vec![1; 100_000].into()).await.unwrap();
    let error = manager.set(&scope("r"), "key", vec![2; 100_001].into()).await.unwrap_err();
    assert!(!error.is_temporary());
    assert_eq!(error.sizes(), Some((100_001, 100_000)));
    let text = error.to_string();
    assert!(text.contains("FF0505") && text.contains("100001 bytes") && text.contains("up to 100000"), "{text}");
    assert_eq!(manager.get(&scope("r"), "key").await.unwrap().unwrap(), vec![1; 100_000]);
    let error = manager.set(&scope("r"), &"k".repeat(5000), Bytes::new()).await.unwrap_err();
    assert!(error.to_string().contains("FF0719") && error.to_string().contains("5000"), "{error}");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_functions_can_use_the_store_and_web_pages_cannot() {
    let fixture = support::start(&stack()).await;
    let bearer = format!("Bearer {}", fixture.gateway.state_token("f"));
    let value = "/state/value?flow=f&request=r&key=k";
    let routes = [
        (Method::GET, "/state"),
        (Method::GET, value),
        (Method::PUT, value),
        (Method::POST, value),
        (Method::DELETE, value),
        (Method::POST, "/state/values?flow=f&request=r"),
        (Method::GET, "/state/keys?flow=f&request=r"),
        (Method::DELETE, "/state/request?flow=f&request=r"),
        (Method::POST, "/state/request?flow=f&request=r&key=k&started_ms=7"),
        (Method::PUT, "/state/request?flow=f&request=r&started_ms=7&status=paused"),
        (Method::GET, "/state/requests?flow=f"),
        (Method::POST, "/state/across?key=k"),
        (Method::GET, "/state/watch?flow=f"),
    ];
    for (method, path) in routes {
        let send = async |headers: &[(&str, &str)]| fixture.send(method.clone(), path, headers, Body::empty()).await;
        for token in ["", "Bearer", "Bearer f.00", "Basic Zjpn", &bearer.replace("f.", "g.")] {
            let got = send(&[("authorization", token)]).await;
            let code = got.header("x-faasflow-error-code");
            assert_eq!((got.status, code), (StatusCode::UNAUTHORIZED, Some("FF0510")), "{method} {path} {token}");
        }
        let rebound = send(&[("authorization", &bearer), ("host", "evil.example")]).await;
        assert_eq!(rebound.header("x-faasflow-error-code"), Some("FF0732"), "{method} {path}");
        if method != Method::GET {
            let page = send(&[("authorization", &bearer), ("origin", "https://evil.example")]).await;
            assert_eq!(page.header("x-faasflow-error-code"), Some("FF0731"), "{method} {path}");
        }
    }
    let wrong = fixture.send(Method::PATCH, value, &[("authorization", &bearer)], Body::empty()).await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_the_parameter_that_cannot_be_used() {
    let fixture = support::start(&stack()).await;
    let bearer = format!("Bearer {}", fixture.gateway.state_token("f"));
    let scope = "flow=f&request=r";
    let many = format!("{{\"keys\":[{}]}}", vec!["\"k\""; 1001].join(","));
    let scopes = vec![r#"{"flow":"f","request":"r"}"#; 1001].join(",");
    let scopes = format!("{{\"requests\":[{scopes}]}}");
    let cases = [
        (Method::GET, "/state/value?flow=f&request=r".to_owned(), "", "`key`"),
        (Method::GET, "/state/value?flow=f&key=r".to_owned(), "", "`request`"),
        (Method::POST, format!("/state/value?{scope}&key=k"), "x", "a POST needs a condition"),
        (Method::DELETE, format!("/state/request?{scope}&keep_ms=-1"), "", "`keep_ms`"),
        (Method::GET, format!("/state/keys?{scope}&limit=1001"), "", "from 1 to 1000"),
        (Method::GET, format!("/state/keys?{scope}&limit=x"), "", "from 1 to 1000"),
        (Method::POST, format!("/state/values?{scope}"), "nonsense", "not a list of keys"),
        (Method::POST, format!("/state/values?{scope}"), &many, "has 1001 keys, and at most 1000"),
        (Method::POST, format!("/state/request?{scope}&key=k"), "x", "`started_ms`"),
        (Method::POST, format!("/state/request?{scope}&key=k&started_ms=x"), "x", "`started_ms` is a number"),
        (Method::PUT, format!("/state/request?{scope}&started_ms=7"), "", "`status`"),
        (Method::PUT, format!("/state/request?{scope}&started_ms=7&status=done"), "", "`done` is not a status"),
        (Method::PUT, format!("/state/request?{scope}&started_ms=7&status=paused&known_ms=7"), "", "needs `keep_ms`"),
        (Method::GET, "/state/requests?limit=7".to_owned(), "", "`flow`"),
        (Method::GET, "/state/requests?flow=f&limit=1001".to_owned(), "", "from 1 to 1000"),
        (Method::GET, "/state/requests?flow=f&status=done".to_owned(), "", "`done` is not a status"),
        (Method::GET, "/state/requests?flow=f&after=r".to_owned(), "", "`after_ms` and `after` are given together"),
        (Method::GET, "/state/requests?flow=f&after_ms=7".to_owned(), "", "`after_ms` and `after` are given together"),
        (Method::POST, "/state/across?key=k".to_owned(), "nonsense", "not a list of requests"),
        (Method::POST, "/state/across?key=k".to_owned(), &scopes, "has 1001 requests, and at most 1000"),
    ];
    for (method, path, body, expected) in cases {
        let got = fixture.send(method, &path, &[("authorization", &bearer)], body.to_owned()).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(got.text().contains(expected), "{path}: {}", got.text());
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_with_sizes_and_versions() {
    let fixture = support::start(&stack()).await;
    let manager = manager(&fixture, "f");
    for (key, length) in [("a b", 3), ("large", 200_000), ("over@0", 1)] {
        manager.set(&scope("r"), key, vec![1; length].into()).await.unwrap();
    }
    let (_, version) = manager.get_versioned(&scope("r"), "a b").await.unwrap().unwrap();
    let bearer = format!("Bearer {}", fixture.gateway.state_token("f"));
    let list = async |rest: &str| {
        let path = format!("/state/keys?flow=flow&request=r{rest}");
        fixture.send(Method::GET, &path, &[("authorization", &bearer)], Body::empty()).await.json()
    };
    let page = list("&limit=2").await;
    assert_eq!(page["more"], true);
    assert_eq!(page["keys"][0], serde_json::json!({ "key": "a b", "version": version.as_str(), "bytes": 3 }));
    assert_eq!(page["keys"][1]["bytes"], 200_000);
    let rest = list("&after=large").await;
    assert_eq!((&rest["more"], rest["keys"].as_array().unwrap().len()), (&false.into(), 1));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_listed_in_pages() {
    let fixture = support::start(&stack()).await;
    let manager = manager(&fixture, "f");
    for (request, started_ms) in [("a", 7), ("b", 8), ("c", 7)] {
        assert!(manager.begin_request(&scope(request), started_ms, "begun@0", Bytes::from("x")).await.unwrap());
    }
    let bearer = format!("Bearer {}", fixture.gateway.state_token("f"));
    let list = async |rest: &str| {
        let path = format!("/state/requests?flow=flow{rest}");
        fixture.send(Method::GET, &path, &[("authorization", &bearer)], Body::empty()).await.json()
    };
    let line =
        |request, started_ms| serde_json::json!({ "request": request, "started_ms": started_ms, "status": "running" });
    let page = list("&limit=2").await;
    assert_eq!(page, serde_json::json!({ "requests": [line("b", 8), line("c", 7)], "more": true }));
    let rest = list("&limit=2&after_ms=7&after=c&status=running").await;
    assert_eq!(rest, serde_json::json!({ "requests": [line("a", 7)], "more": false }));
    assert_eq!(list("&since_ms=9").await, serde_json::json!({ "requests": [], "more": false }));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_and_gateways_without_a_store_are_explained() {
    let fixture = support::start(&stack()).await;
    let stranger = GatewayStore::builder(fixture.gateway.url(), "f.00").build().unwrap();
    let error = stranger.probe().await.unwrap_err();
    assert!(!error.is_temporary() && error.to_string().contains("FF0510"), "{error}");
    assert!(error.help().unwrap().contains("`state_gateway_token`"));
    fixture.gateway.stop().await;

    let other = support::Recorder::default();
    other.answers("/state", &[404]);
    let listening = other.listen().await;
    let elsewhere = GatewayStore::builder(format!("http://{}", listening.address), "f.00").build().unwrap();
    let error = elsewhere.probe().await.unwrap_err();
    assert!(!error.is_temporary() && error.to_string().ends_with("has no store"), "{error}");
    let unreachable = GatewayStore::builder(support::nowhere().to_string(), "f.00").build().unwrap();
    assert!(unreachable.probe().await.unwrap_err().is_temporary());
}

/// The environment variable that makes a test run a gateway in a separate process. Its value is the gateway's folder.
const PART: &str = "FAASFLOW_TEST_STORE";

fn part() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the test sets it for its own second process")]
    std::env::var_os(PART).map(PathBuf::from)
}

/// A gateway in a separate process.
struct Process {
    child: Child,
    url: String,
    token: String,
}

impl Process {
    /// Runs one test of this program again, as a gateway in this folder.
    fn start(test: &str, folder: &Path) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("state_store::{test}"), "--nocapture"]).env(PART, folder);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = |name: &str| {
            lines.find_map(|line| line.unwrap().split_once(name).map(|(_, rest)| rest.to_owned())).expect(name)
        };
        Process { url: told("URL "), token: told("TOKEN "), child }
    }

    /// Runs the gateway until the process is killed.
    async fn play(folder: &Path, change: impl FnOnce(&mut faasflow_gateway::GatewayOptions)) -> ! {
        let functions: String = stack().lines().map(|line| format!("  {line}\n")).collect();
        std::fs::write(folder.join("stack.yml"), format!("functions:\n{functions}")).unwrap();
        let mut options = faasflow_gateway::GatewayOptions::new(faasflow_gateway::Stack::read(folder).unwrap());
        options.listen = ([127, 0, 0, 1], 0).into();
        options.engine = faasflow_gateway::EngineChoice::None;
        change(&mut options);
        let (events, _happened) = tokio::sync::mpsc::unbounded_channel();
        let gateway = options.start(events).await.unwrap();
        println!("URL {}", gateway.url());
        println!("TOKEN {}", gateway.state_token("f"));
        loop {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
    }

    fn manager(&self) -> GatewayStore {
        GatewayStore::builder(&self.url, &self.token).build().unwrap()
    }

    /// Kills it without a warning (SIGKILL).
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Three times, 32 tasks write until the gateway is killed, at some moment after many of their writes were answered. Afterwards, every write that was answered is there, and its key cannot be
/// claimed again.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_loses_nothing_that_was_answered() {
    const TEST: &str = "a_killed_gateway_loses_nothing_that_was_answered";
    if let Some(folder) = part() {
        Process::play(&folder, |_| {}).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut answered: Vec<(String, usize)> = Vec::new();
    for round in 0..3 {
        let process = Process::start(TEST, folder.path());
        let mut writers = JoinSet::new();
        let all = Arc::new(AtomicUsize::new(0));
        for writer in 0..32 {
            let (manager, all) = (process.manager(), all.clone());
            writers.spawn(async move {
                let mut written = Vec::new();
                for number in 0.. {
                    let key = format!("member/{round}/{}", writer * 100_000 + number);
                    // Some are large enough for a file.
                    let length = if number % 10 == 9 { 100_000 + number } else { number };
                    let value = Bytes::from(vec![b'v'; length]);
                    match manager.set_if(&scope("r"), &key, value, Condition::Absent).await {
                        Ok(created) => assert!(created.is_some()),
                        Err(_) => break,
                    }
                    written.push((key, length));
                    all.fetch_add(1, SeqCst);
                }
                written
            });
        }
        until("many writes are answered", async || (all.load(SeqCst) >= 500).then_some(())).await;
        process.kill();
        while let Some(written) = writers.join_next().await {
            answered.extend(written.unwrap());
        }
    }
    println!("{} writes were answered before the kills", answered.len());
    let process = Process::start(TEST, folder.path());
    let manager = process.manager();
    for keys in answered.chunks(1000) {
        let names: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
        let found = manager.get_many(&scope("r"), &names).await.unwrap();
        for ((key, length), found) in keys.iter().zip(found) {
            assert_eq!(found.map(|found| found.len()), Some(*length), "{key}");
        }
    }
    let (key, _) = &answered[0];
    assert!(!create(&manager, "r", key, "again").await);
    manager.remove_request(&scope("r")).await.unwrap();
    let values = folder.path().join(".faasflow/state-values");
    until("their files are removed", async || (std::fs::read_dir(&values).unwrap().count() == 0).then_some(())).await;
    process.kill();
}

/// A limit on the size of files stands in for a disk that is full: the system refuses to write in both cases.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_values_loses_none_and_recovers() {
    const TEST: &str = "a_full_disk_refuses_values_loses_none_and_recovers";
    if let Some(folder) = part() {
        crate::queue_file::limit_files(4 << 20);
        Process::play(&folder, |options| options.watch = false).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(TEST, folder.path());
    let manager = process.manager();
    let mut written = 0;
    let error = loop {
        match manager.set(&scope("r"), &format!("key {written}"), vec![1; 50_000].into()).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1000, "the limit has no effect");
    };
    assert!(error.is_temporary() && error.to_string().contains("507 (FF0506)"), "{error}");
    // A large value has its own file, which is limited too.
    let error = manager.set(&scope("r"), "large", vec![1; 5 << 20].into()).await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("507 (FF0506)"), "{error}");
    let check = async || {
        for number in 0..written {
            let found = manager.get(&scope("r"), &format!("key {number}")).await.unwrap();
            assert_eq!(found.map(|found| found.len()), Some(50_000), "{number} of {written}");
        }
    };
    check().await;
    allow_files(process.child.id(), 64 << 20);
    let write = async || manager.set(&scope("r"), &format!("key {written}"), vec![1; 50_000].into()).await.ok();
    until("there is space again", write).await;
    manager.set(&scope("r"), "large", vec![1; 5 << 20].into()).await.unwrap();
    check().await;
    process.kill();
}

/// Sets how large the files of another process may be, in bytes.
#[allow(unsafe_code, reason = "the standard library sets no limits")]
fn allow_files(process: u32, bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: it takes plain values.
    let set =
        unsafe { libc::prlimit(process.cast_signed(), libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(set, 0);
}
