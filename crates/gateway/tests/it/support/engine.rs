//! A fake container engine. It answers the few requests of Docker's API that the gateway makes, and records them. A test
//! chooses the server that its containers seem to be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use faasflow_http::read_body;
use futures_util::StreamExt as _;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

/// The address of this machine in the network of a [`podman`](Inside::podman). It is reserved for documentation (RFC 5737).
pub(crate) const PODMAN_BRIDGE: &str = "198.51.100.1";

/// Its state, and the requests that it got.
#[derive(Default)]
pub(crate) struct Inside {
    /// Its images, each with the command of its health check.
    pub(crate) images: BTreeMap<String, Vec<String>>,
    /// Its containers by id: the body of the request that created each, and whether it runs.
    pub(crate) containers: BTreeMap<String, (Value, bool)>,
    /// The port of this machine at which all containers are reached.
    pub(crate) port: u16,
    /// The error with which it refuses to create containers.
    pub(crate) refuses: Option<String>,
    /// Whether it never answers.
    pub(crate) slow: bool,
    /// Whether it creates a container but closes the connection before it answers.
    pub(crate) loses_answers: bool,
    /// How many containers it is creating, and the most that it created at once.
    pub(crate) making: (usize, usize),
    /// How long it takes to pull any image, or `None` if it cannot.
    pub(crate) pull: Option<Duration>,
    /// How many times it was asked to pull.
    pub(crate) pulls: usize,
    /// Whether it creates a container but never answers.
    pub(crate) hangs_at_making: bool,
    /// The containers that it cannot remove.
    pub(crate) stuck: BTreeSet<String>,
    /// How long it takes to remove a container.
    pub(crate) removal: Duration,
    /// The answer in place of a list of containers.
    pub(crate) lists: Option<Value>,
    /// Whether it cannot stop containers.
    pub(crate) cannot_stop: bool,
    /// Whether it behaves like Podman: it uses other words, and has another network.
    pub(crate) podman: bool,
    /// The containers that are paused.
    pub(crate) paused: BTreeSet<String>,
    /// The health that it reports for each container.
    pub(crate) health: Option<Value>,
    /// The log of each container in the format of the API, and whether the log stays open.
    pub(crate) log: Option<(Vec<u8>, bool)>,
    /// Whether answers about a container never end, and how many bytes of them were sent.
    pub(crate) endless: bool,
    pub(crate) sent: usize,
    pub(crate) stopped: Vec<String>,
    /// How many containers it has created.
    pub(crate) made: usize,
}

pub(crate) struct FakeEngine {
    pub(crate) socket: PathBuf,
    inside: Arc<Mutex<Inside>>,
    _folder: tempfile::TempDir,
    /// Its own runtime, so that its connections end with it.
    serving: Option<Runtime>,
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.break_off();
    }
}

impl FakeEngine {
    pub(crate) fn start() -> FakeEngine {
        let folder = tempfile::Builder::new().prefix("engine").tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let mut engine = FakeEngine { socket, inside: Arc::default(), _folder: folder, serving: None };
        engine.come();
        engine
    }

    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// Ends all connections. The containers go on.
    pub(crate) fn go(&mut self) {
        self.break_off();
        std::fs::remove_file(&self.socket).unwrap();
    }

    fn break_off(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.shutdown_background();
        }
    }

    pub(crate) fn come(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&self.socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let inside = self.inside.clone();
        let app = Router::new().fallback(move |request: Request| {
            let inside = inside.clone();
            async move { answer(&inside, request).await }
        });
        runtime.spawn(async move {
            let listener = UnixListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        self.serving = Some(runtime);
    }
}

/// The entry of a container in a list.
pub(crate) fn summary(id: &str, made: &Value) -> Value {
    let name = format!("/{}", made["Name"].as_str().unwrap_or_default());
    // Podman's word for a container that has just ended.
    json!({ "Id": id, "Names": [name], "Labels": made["Labels"], "State": "stopped" })
}

fn fault(status: u16, message: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(json!({ "message": message }))).into_response()
}

/// The most bytes of an endless answer that are sent, so that a test ends even if the gateway does not close the connection.
const ENDLESS: usize = 128 << 20;

/// The beginning of an endless answer.
fn endless(inside: &Arc<Mutex<Inside>>) -> Response {
    let inside = inside.clone();
    let parts = futures_util::stream::unfold(0, move |sent| {
        let inside = inside.clone();
        async move {
            let part = if sent == 0 { b"{\"State\":{\"Running\":true},\"x\":\"".to_vec() } else { vec![b'x'; 1 << 16] };
            inside.lock().unwrap().sent += part.len();
            let sent = sent + part.len();
            (sent < ENDLESS).then_some((Ok::<_, std::io::Error>(part), sent))
        }
    });
    Body::from_stream(parts).into_response()
}

/// A frame of a log: the number of the output, three unused bytes, the length, and the text.
pub(crate) fn frame(output: u8, text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[output, 0, 0, 0][..], &length, text.as_bytes()].concat()
}

async fn answer(shared: &Arc<Mutex<Inside>>, request: Request) -> Response {
    let inside = &**shared;
    let (parts, body) = request.into_parts();
    let body = read_body(body, 1 << 20, Duration::from_secs(10)).await.unwrap();
    let path = parts.uri.path().to_owned();
    // Without the version of the API.
    let path = path.strip_prefix("/v").and_then(|rest| Some(rest.split_once('/')?.1)).unwrap_or(&path).to_owned();
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    if inside.lock().unwrap().slow {
        return std::future::pending().await;
    }
    if inside.lock().unwrap().endless && matches!(words[..], ["containers", _, "json"]) {
        return endless(shared);
    }
    if let ["containers", id, "wait"] = words[..] {
        // A container at another port was restarted, so it has ended in between.
        let port = inside.lock().unwrap().port;
        let lives = |id: &str| {
            let inside = inside.lock().unwrap();
            inside.port == port && inside.containers.get(id).is_some_and(|(_, runs)| *runs)
        };
        while lives(id) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        return axum::Json(json!({ "StatusCode": 3 })).into_response();
    }
    if parts.method == Method::DELETE {
        let removal = inside.lock().unwrap().removal;
        tokio::time::sleep(removal).await;
    }
    let is_create = words[..] == ["containers", "create"];
    if is_create {
        {
            let making = &mut inside.lock().unwrap().making;
            *making = (making.0 + 1, making.1.max(making.0 + 1));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        inside.lock().unwrap().making.0 -= 1;
    }
    if words[..] == ["images", "create"] {
        let pull = {
            let mut inside = inside.lock().unwrap();
            inside.pulls += 1;
            inside.pull
        };
        tokio::time::sleep(pull.unwrap_or_default()).await;
    }
    let answer = answered(&mut inside.lock().unwrap(), &parts, &words, &body);
    let hangs = is_create && inside.lock().unwrap().hangs_at_making;
    if hangs { std::future::pending().await } else { answer }
}

fn answered(inside: &mut Inside, parts: &Parts, words: &[&str], body: &[u8]) -> Response {
    let json = |value: Value| axum::Json(value).into_response();
    match (&parts.method, words) {
        (&Method::GET, ["_ping"]) => Body::from("OK").into_response(),
        (&Method::GET, ["version"]) => {
            let name = if inside.podman { "Podman Engine" } else { "Engine" };
            let part = json!({ "Name": name, "Version": "1" });
            json(json!({ "Version": "1", "ApiVersion": "1.41", "Components": [part] }))
        }
        (&Method::GET, ["info"]) => json(json!({ "SecurityOptions": ["name=seccomp,profile=default"] })),
        (&Method::GET, ["networks", "bridge"]) if inside.podman => {
            let config = json!([{ "Subnet": format!("{PODMAN_BRIDGE}/16"), "Gateway": PODMAN_BRIDGE }]);
            json(json!({ "Name": "bridge", "IPAM": { "Config": config } }))
        }
        (&Method::GET, ["networks", _]) => fault(404, "no such network"),
        (&Method::GET, ["containers", "json"]) => {
            if let Some(list) = &inside.lists {
                return json(list.clone());
            }
            let ids = inside.containers.iter().filter(|(_, (made, _))| {
                let query = parts.uri.query().unwrap_or_default();
                let owner = made["Labels"]["faasflow.gateway"].as_str().unwrap_or_default();
                !owner.is_empty() && query.contains(owner)
            });
            json(ids.map(|(id, (made, _))| summary(id, made)).collect())
        }
        (&Method::GET, ["images", name @ .., "json"]) if name.iter().any(|part| part.contains(char::is_uppercase)) => {
            fault(400, "invalid reference format: repository name must be lowercase")
        }
        (&Method::GET, ["images", name @ .., "json"]) => match inside.images.get(&name.join("/")) {
            Some(check) => {
                json(json!({ "Id": "i", "Config": { "Healthcheck": { "Test": check, "Interval": 1_000_000_000 } } }))
            }
            None => fault(404, "No such image"),
        },
        (&Method::POST, ["images", "create"]) if inside.pull.is_some() => {
            let query = parts.uri.query().unwrap_or_default();
            let name = query.split('&').find_map(|pair| pair.strip_prefix("fromImage=")).unwrap_or_default();
            inside.images.insert(name.replace("%3A", ":"), Vec::new());
            Body::from("{\"status\":\"Done\"}\r\n").into_response()
        }
        (&Method::POST, ["images", "create"]) => fault(500, "the registry is away"),
        (&Method::POST, ["containers", "create"]) => {
            if let Some(why) = &inside.refuses {
                return fault(400, why);
            }
            let body: Value = serde_json::from_slice(body).unwrap();
            // Docker checks mounts. For `Binds` it creates a missing folder.
            let mounts = body["HostConfig"]["Mounts"].as_array().cloned().unwrap_or_default();
            for source in mounts.iter().filter_map(|mount| mount["Source"].as_str()) {
                if !std::path::Path::new(source).exists() {
                    return fault(400, &format!("bind source path does not exist: {source}"));
                }
            }
            inside.made += 1;
            let id = format!("c{}", inside.made);
            let mut body = body;
            let query = parts.uri.query().unwrap_or_default();
            body["Name"] = query.split('&').find_map(|pair| pair.strip_prefix("name=")).unwrap_or_default().into();
            inside.containers.insert(id.clone(), (body, false));
            if inside.loses_answers {
                let broken = futures_util::stream::once(async { Err::<&str, _>(std::io::Error::other("broken off")) });
                return Body::from_stream(broken).into_response();
            }
            (StatusCode::CREATED, axum::Json(json!({ "Id": id, "Warnings": [] }))).into_response()
        }
        (&Method::POST, ["containers", id, "start"]) => {
            inside.containers.get_mut(*id).unwrap().1 = true;
            StatusCode::NO_CONTENT.into_response()
        }
        (&Method::GET, ["containers", id, "json"]) => match inside.containers.get(*id) {
            Some((_, runs)) => {
                let ports = json!({ "8080/tcp": [{ "HostIp": "127.0.0.1", "HostPort": inside.port.to_string() }] });
                let paused = inside.paused.contains(*id);
                let status = match (inside.podman, runs, paused) {
                    (true, false, _) => "stopped",
                    (false, false, _) => "exited",
                    (_, true, true) => "paused",
                    (_, true, false) => "running",
                };
                // Podman reports that a paused container does not run.
                let running = *runs && !(paused && inside.podman);
                let state = json!({
                    "Status": status, "Running": running, "Paused": paused, "ExitCode": 3, "Health": inside.health,
                });
                json(json!({ "State": state, "NetworkSettings": { "Ports": ports } }))
            }
            None => fault(404, "No such container"),
        },
        (&Method::GET, ["containers", _, "logs"]) => {
            let Some((log, more)) = inside.log.clone() else { return Body::from(frame(1, "a line\n")).into_response() };
            let begins = futures_util::stream::once(async move { Ok::<_, std::io::Error>(log) });
            if more {
                Body::from_stream(begins.chain(futures_util::stream::pending())).into_response()
            } else {
                Body::from_stream(begins).into_response()
            }
        }
        (&Method::POST, ["containers", _, "stop"]) if inside.cannot_stop => {
            fault(500, "tried to kill container, but did not receive an exit event")
        }
        (&Method::POST, ["containers", id, "stop"]) => {
            inside.stopped.push((*id).to_owned());
            if let Some((_, runs)) = inside.containers.get_mut(*id) {
                *runs = false;
            }
            StatusCode::NO_CONTENT.into_response()
        }
        (&Method::DELETE, ["containers", id]) => {
            let named = inside.containers.iter().find(|(known, (made, _))| *known == id || made["Name"] == **id);
            match named.map(|(id, _)| id.clone()) {
                Some(id) if inside.stuck.contains(&id) => fault(500, "device or resource busy"),
                Some(id) => {
                    inside.containers.remove(&id);
                    StatusCode::NO_CONTENT.into_response()
                }
                None => fault(404, "No such container"),
            }
        }
        (method, _) => fault(501, &format!("{method} {}", words.join("/"))),
    }
}
