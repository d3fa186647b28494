//! Functions that are images, with a fake engine, to test what goes wrong. `cargo xtask e2e image` tests real containers.

mod hung;
mod leftovers;
mod logs;
mod paused;
mod podman;
mod restarts;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::engine::FakeEngine;
use crate::support::{Fixture, Got, PATIENCE, Recorder, TestServer, folder, nowhere, start_in, until, write_stack};
use faasflow_gateway::{EngineChoice, Event, Stack};
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// A gateway, its engine, and the server that all containers seem to be.
struct Stand {
    fixture: Fixture,
    engine: FakeEngine,
    inside: Recorder,
    _listening: TestServer,
}

async fn stand(functions: Option<&str>) -> Stand {
    let engine = FakeEngine::start();
    let inside = Recorder::default();
    let listening = inside.listen().await;
    {
        let mut engine = engine.inside();
        engine.port = listening.address.port();
        engine.images.insert("f:1".to_owned(), Vec::new());
    }
    let fixture = gateway(folder(functions.unwrap_or("own:\n  fprocess: cat\n")), &engine.socket).await;
    Stand { fixture, engine, inside, _listening: listening }
}

/// The folder of this machine that is mounted as the secrets of a container.
fn mounted(made: &Value) -> PathBuf {
    let mount = &made["HostConfig"]["Mounts"][0];
    assert_eq!((&mount["Type"], &mount["ReadOnly"]), (&json!("bind"), &json!(true)));
    assert_eq!(mount["Target"], "/var/openfaas/secrets");
    PathBuf::from(mount["Source"].as_str().unwrap())
}

async fn put_secret(fixture: &Fixture, method: Method, value: &str) {
    let secret = json!({ "name": "key", "value": value });
    let got = fixture.send(method, "/system/secrets", &[], secret.to_string()).await;
    assert_eq!(got.status, StatusCode::ACCEPTED, "{}", got.text());
}

async fn gateway(folder: tempfile::TempDir, socket: &std::path::Path) -> Fixture {
    start_in(folder, |options| options.engine = EngineChoice::Socket(socket.to_owned())).await.unwrap()
}

async fn deploy(fixture: &Fixture, method: Method, change: Value) -> Got {
    let mut deployment = json!({ "service": "f", "image": "f:1" });
    deployment.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    fixture.send(method, "/system/functions", &[], deployment.to_string()).await
}

async fn deployed(fixture: &Fixture, method: Method, change: Value) {
    let got = deploy(fixture, method, change).await;
    assert_eq!(got.status, StatusCode::ACCEPTED, "{}", got.text());
}

async fn status(fixture: &Fixture) -> Value {
    fixture.get("/system/function/f").await.json()
}

async fn available(fixture: &Fixture, count: u64) {
    let look = async || (status(fixture).await["availableReplicas"] == count).then_some(());
    until(&format!("{count} available"), look).await;
}

async fn scale(fixture: &Fixture, replicas: u32) -> Got {
    fixture.post("/system/scale-function/f", json!({ "serviceName": "f", "replicas": replicas }).to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_has_the_settings_of_its_deployment() {
    let stand = stand(None).await;
    put_secret(&stand.fixture, Method::POST, "v").await;
    let given = json!({
        "envProcess": "node index.js", "envVars": { "A": "1" }, "labels": { "l": "x" }, "secrets": ["key"],
        "limits": { "memory": "64Mi", "cpu": "500m" }, "requests": { "memory": "16Mi" }, "readOnlyRootFilesystem": true,
    });
    deployed(&stand.fixture, Method::POST, given.clone()).await;
    assert_eq!(stand.fixture.post("/function/f", "body").await.text(), "answer");
    let seen = stand.inside.seen();
    assert!(seen.iter().any(|seen| seen.target == "/_/health") && seen.last().unwrap().body == "body");
    let made = stand.engine.inside().containers.values().next().unwrap().0.clone();
    let has = |list: &Value, text: &str| list.as_array().unwrap().iter().any(|found| found == text);
    let token = format!("state_gateway_token={}", stand.fixture.gateway.state_token("f"));
    for variable in ["fprocess=node index.js", "A=1", "OPENFAAS_NAME=f", "faasflow_default_store=gateway", &token] {
        assert!(has(&made["Env"], variable), "{variable}: {made}");
    }
    let host = &made["HostConfig"];
    assert_eq!((&host["Memory"], &host["CpuQuota"]), (&json!(64 << 20), &json!(50_000)));
    assert_eq!((&host["MemoryReservation"], &host["ReadonlyRootfs"]), (&json!(16 << 20), &json!(true)));
    assert_eq!((&made["Labels"]["l"], &made["Labels"]["faasflow.function"]), (&json!("x"), &json!("f")));
    let mount = mounted(&made);
    assert_eq!(std::fs::read_to_string(mount.join("key")).unwrap(), "v");
    // If a secret is replaced, a running container reads the new one.
    put_secret(&stand.fixture, Method::PUT, "new").await;
    assert_eq!(std::fs::read_to_string(mount.join("key")).unwrap(), "new");
    let status = status(&stand.fixture).await;
    for key in ["envProcess", "envVars", "secrets", "limits", "requests", "readOnlyRootFilesystem"] {
        assert_eq!(status[key], given[key], "{key}");
    }
    assert!(stand.fixture.get("/system/logs?name=f").await.text().contains("a line"));
    stand.fixture.gateway.stop().await;
    assert!(stand.engine.inside().containers.is_empty() && stand.engine.inside().stopped.len() == 1);
    assert!(!mount.exists());
}

/// They were removed as the leftovers of an earlier run, as soon as the engine was found.
#[tokio::test(flavor = "multi_thread")]
async fn containers_have_their_secrets_after_a_restart_of_the_gateway() {
    let stand = stand(None).await;
    put_secret(&stand.fixture, Method::POST, "one").await;
    deployed(&stand.fixture, Method::POST, json!({ "secrets": ["key"] })).await;
    available(&stand.fixture, 1).await;
    let Stand { fixture, engine, inside: _, _listening } = stand;
    fixture.gateway.stop().await;
    let state = fixture.folder.path().join(".faasflow");
    std::fs::create_dir_all(state.join("mounts/left")).unwrap();
    write_stack(&fixture.folder, "g:\n  image: f:1\n  secrets: [key]\n");
    let fixture = gateway(fixture.folder, &engine.socket).await;
    fixture.gateway.ready().await.unwrap();
    let mounts: Vec<_> = engine.inside().containers.values().map(|(made, _)| mounted(made)).collect();
    assert_eq!(mounts.len(), 2, "one of the stack, and one that was deployed");
    let all_are = |value: &str| mounts.iter().all(|mount| std::fs::read_to_string(mount.join("key")).unwrap() == value);
    assert!(all_are("one"));
    put_secret(&fixture, Method::PUT, "two").await;
    assert!(all_are("two"));
    assert!(!state.join("mounts/left").exists(), "an earlier run's are removed");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_pulled_is_refused_with_the_engine_s_reason() {
    let stand = stand(None).await;
    let got = deploy(&stand.fixture, Method::POST, json!({ "image": "absent:1" })).await;
    assert_eq!((got.status, got.header("x-faasflow-error-code")), (StatusCode::BAD_REQUEST, Some("FF1009")));
    for part in ["cannot pull image `absent:1`", "the registry is away", "`faas-cli build`"] {
        assert!(got.text().contains(part), "{}", got.text());
    }
    // A program that is on this machine is started, as without an engine.
    deployed(&stand.fixture, Method::POST, json!({ "image": "none", "envProcess": "tr a-z A-Z" })).await;
    assert_eq!(stand.fixture.post("/function/f", "body").await.text(), "BODY");
    let got =
        deploy(&stand.fixture, Method::PUT, json!({ "image": "absent:1", "envProcess": "no-such-program" })).await;
    assert!(got.text().contains("cannot pull image"), "{}", got.text());
    // An image that the engine has is preferred to the program, unless the annotation says otherwise.
    deployed(&stand.fixture, Method::PUT, json!({ "envProcess": "cat" })).await;
    until("the container", async || (stand.fixture.post("/function/f", "").await.text() == "answer").then_some(()))
        .await;
    let process = json!({ "envProcess": "cat", "annotations": { "faasflow.run": "process" } });
    deployed(&stand.fixture, Method::PUT, process).await;
    assert_eq!(stand.fixture.post("/function/f", "body").await.text(), "body");
    until("removal", async || stand.engine.inside().containers.is_empty().then_some(())).await;
    stand.fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_container_is_refused() {
    let stand = stand(None).await;
    for (change, reason) in [
        (json!({ "limits": { "memory": "lots" } }), "`limits`: `memory`: `lots` is not an amount of memory"),
        (json!({ "requests": { "cpu": "fast" } }), "`requests`: `cpu`: `fast` is not a number of processors"),
        (json!({ "limits": { "memory": "1Mi" }, "requests": { "memory": "2Mi" } }), "request less, or raise the limit"),
        (json!({ "labels": { "com.openfaas.scale.min": "many" } }), "`com.openfaas.scale.min` is `many`"),
        (json!({ "image": "../../containers/x" }), "is not the name of an image"),
        (json!({ "annotations": { "faasflow.run": "pod" } }), "write `container` or `process`"),
        (json!({ "image": "", "annotations": { "faasflow.run": "container" } }), "name the image"),
    ] {
        let got = deploy(&stand.fixture, Method::POST, change.clone()).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{change}: {}", got.text());
        assert!(got.text().contains(reason), "{change}: {}", got.text());
    }
    stand.fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ends_is_started_again() {
    let stand = stand(None).await;
    deployed(&stand.fixture, Method::POST, json!({})).await;
    available(&stand.fixture, 1).await;
    let id = stand.engine.inside().containers.keys().next().unwrap().clone();
    stand.engine.inside().containers.get_mut(&id).unwrap().1 = false;
    until("another", async || {
        let inside = stand.engine.inside();
        (!inside.containers.contains_key(&id) && !inside.containers.is_empty()).then_some(())
    })
    .await;
    available(&stand.fixture, 1).await;
    assert_eq!(stand.fixture.post("/function/f", "").await.text(), "answer");
    stand.fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_restarted_from_outside_is_replaced() {
    let stand = stand(None).await;
    deployed(&stand.fixture, Method::POST, json!({})).await;
    available(&stand.fixture, 1).await;
    let id = stand.engine.inside().containers.keys().next().unwrap().clone();
    let moved = Recorder::default();
    let listening = moved.listen().await;
    // The engine gives it another port, and the old port to the next container.
    stand.engine.inside().port = listening.address.port();
    until("another", async || {
        let inside = stand.engine.inside();
        (!inside.containers.contains_key(&id) && !inside.containers.is_empty()).then_some(())
    })
    .await;
    available(&stand.fixture, 1).await;
    assert_eq!(stand.fixture.post("/function/f", "").await.status, StatusCode::OK);
    let calls = moved.seen().into_iter().filter(|seen| seen.method == Method::POST).count();
    assert_eq!(calls, 1, "the one at the old port is asked nothing more");
    stand.fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_learn_why_the_engine_refused() {
    let stand = stand(None).await;
    stand.engine.inside().refuses = Some("driver failed programming external connectivity: port is taken".to_owned());
    deployed(&stand.fixture, Method::POST, json!({})).await;
    let got = stand.fixture.post("/function/f", "").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(got.text().contains("port is taken") && got.text().contains("start the function again"), "{}", got.text());
    assert_eq!(got.header("x-faasflow-error-code"), Some("FF1006"), "the code of the cause");
    stand.engine.inside().refuses = None;
    available(&stand.fixture, 1).await;
    stand.fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_deployment_says_why_the_engine_cannot_run_it() {
    let mut stand = stand(None).await;
    stand.engine.go();
    let got = deploy(&stand.fixture, Method::POST, json!({ "envProcess": "no-such-program" })).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.text().contains("`no-such-program` is not on this machine"), "{}", got.text());
    assert!(got.text().contains(&format!("{}", stand.engine.socket.display())), "{}", got.text());
    let wish = json!({ "annotations": { "faasflow.run": "container" } });
    let got = deploy(&stand.fixture, Method::POST, wish).await;
    let found = (got.status, got.header("x-faasflow-error-code"));
    assert_eq!(found, (StatusCode::SERVICE_UNAVAILABLE, Some("FF1002")), "{}", got.text());
    stand.engine.come();
    let got = deploy(&stand.fixture, Method::PUT, json!({ "image": "nowhere:1" })).await;
    assert_eq!(got.status, StatusCode::NOT_FOUND, "nothing is pulled for it: {}", got.text());
    let got = deploy(&stand.fixture, Method::POST, json!({ "image": "F:1" })).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.text().contains("`F:1`") && got.text().contains("must be lowercase"), "{}", got.text());
    stand.fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_can_run_as_a_process_does_not_need_an_engine() {
    let stand = stand(None).await;
    deployed(&stand.fixture, Method::POST, json!({ "image": "None", "envProcess": "cat" })).await;
    assert_eq!(stand.fixture.post("/function/f", "kept").await.text(), "kept");
    stand.fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_scaled_up_to_zero_and_back_on_demand() {
    let stand = stand(None).await;
    let labels = json!({ "labels": { "com.openfaas.scale.min": "2", "com.openfaas.scale.max": "3" } });
    deployed(&stand.fixture, Method::POST, labels).await;
    assert_eq!(status(&stand.fixture).await["replicas"], 2, "at once");
    available(&stand.fixture, 2).await;
    assert_eq!(scale(&stand.fixture, 3).await.status, StatusCode::ACCEPTED);
    available(&stand.fixture, 3).await;
    let many = scale(&stand.fixture, 4).await;
    assert_eq!(many.status, StatusCode::BAD_REQUEST);
    assert!(many.text().contains("com.openfaas.scale.max"), "{}", many.text());
    assert_eq!(scale(&stand.fixture, 0).await.status, StatusCode::ACCEPTED);
    assert_eq!(status(&stand.fixture).await["replicas"], 0);
    until("none", async || stand.engine.inside().containers.is_empty().then_some(())).await;
    assert!(stand.fixture.gateway.is_ready());
    assert_eq!(stand.fixture.post("/function/f", "").await.text(), "answer");
    assert_eq!(status(&stand.fixture).await["replicas"], 2);
    stand.fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_file_may_name_images() {
    let functions = "f:\n  image: f:1\n  labels:\n    com.openfaas.scale.min: 0\n  limits:\n    memory: 32Mi\n\
                     p:\n  image: f:1\n  fprocess: cat\n";
    let stand = stand(Some(functions)).await;
    stand.fixture.gateway.ready().await.unwrap();
    assert!(stand.engine.inside().containers.is_empty(), "there are to be none");
    assert_eq!(status(&stand.fixture).await["limits"], json!({ "memory": "32Mi" }));
    assert_eq!(stand.fixture.post("/function/p", "body").await.text(), "body");
    assert_eq!(stand.fixture.post("/function/f", "").await.text(), "answer");
    stand.fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_engine_images_are_reported_and_the_rest_runs() {
    let functions = folder("f:\n  image: f:1\np:\n  fprocess: cat\n");
    assert!(Stack::read(functions.path()).is_ok());
    let fixture = start_in(functions, |options| options.engine = EngineChoice::None).await.unwrap();
    let why = fixture.gateway.ready().await.unwrap_err().to_string();
    assert!(why.contains("`f`") && why.contains("start Docker or Podman") && !why.contains("`p`"), "{why}");
    assert_eq!(fixture.post("/function/p", "body").await.text(), "body");
    fixture.gateway.stop().await;
}
