//! `faasflow up` with flows and functions that the pages show.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::hostile;
use crate::client::{Answer, Client};
use crate::server::{Recipe, Server, free_port};

/// The functions. `pack` waits while there is a file, `sift-one` does for some items, and `ship` fails until there is one. What `ship` writes looks like HTML.
const FUNCTIONS: &str = r#"
  stock:
    fprocess: sh -c 'cat >/dev/null; sleep 0.4; echo "{\"left\":7,\"shelf\":\"C 12\"}"'
  price:
    fprocess: sh -c 'cat >/dev/null; echo "{\"cents\":1990,\"currency\":\"EUR\"}"'
  pack:
    fprocess: sh -c 'echo "packing order" >&2; while test -e slow; do sleep 0.1; done; cat'
  weigh:
    fprocess: sh -c 'read -r parcel; test "$parcel" != 13 && echo "$parcel"'
  sift-one:
    fprocess: sh -c 'read -r item; case "$item" in *bad*) echo "bad item $item"; exit 3;; *slow*) while test -e sifting; do sleep 0.2; done;; esac; echo "$item"'
  pass:
    fprocess: cat
  waver:
    fprocess: sh -c 'echo >> wavered; test "$(wc -l < wavered)" -gt 2 && cat'
  ship:
    fprocess: sh -c 'if test -e courier; then cat; else echo "<script>hacked = 1</script> no courier answers <img src=x onerror=\"hacked = 1\">" >&2; printf "\342\200\256 looks reversed, \377 is not UTF-8\n" >&2; exit 3; fi'
"#;

/// Where Jaeger would be.
pub(super) const TRACES: &str = "http://127.0.0.1:16686";

/// A gateway that asks for a password, and the URL of its pages with user and password.
pub(super) async fn with_password(folder: &Path) -> Result<(Server, String), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let port = free_port()?;
    let arguments = ["up", &folder.to_string_lossy(), "--no-stack", "--basic-auth", "--port"].map(str::to_owned);
    let up = Server::start(Recipe {
        program: own.with_file_name("faasflow"),
        arguments: arguments.into_iter().chain([port.to_string()]).collect(),
        environment: Vec::new(),
        port,
        ready: Some("The dashboard is at"),
        log: folder.join("up.log"),
    })
    .await?;
    let secret = folder.join(".faasflow/secrets/basic-auth-password");
    let password = std::fs::read_to_string(&secret).map_err(|error| format!("{}: {error}", secret.display()))?;
    Ok((up, format!("http://admin:{}@127.0.0.1:{port}/ui/", password.trim())))
}

/// A callback URL that is unavailable until it is told to accept something.
async fn courier() -> Result<(Arc<AtomicBool>, String), String> {
    let accepts = Arc::new(AtomicBool::new(false));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
    let url = format!("http://{}/", listener.local_addr().map_err(|error| error.to_string())?);
    let answers = accepts.clone();
    let answer = async move || match answers.load(Ordering::SeqCst) {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((accepts, url))
}

/// A function that answers with what it gets, as HTML. It fails if it gets `javascript:`, and waits for `holds` to end if it gets `hold`.
async fn spiteful(holds: Arc<AtomicBool>) -> Result<String, String> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
    let url = format!("http://{}", listener.local_addr().map_err(|error| error.to_string())?);
    let answer = async move |body: Bytes| {
        let has = |word: &str| String::from_utf8_lossy(&body).contains(word);
        while has("hold") && holds.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let status = if has("javascript:") { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        let mut answer = Response::new(Body::from([&body, &b"\xff"[..]].concat()));
        *answer.status_mut() = status;
        let note = HeaderValue::from_bytes(b"<img src=x onerror=hacked=1>\xff").expect("headers may have such bytes");
        answer.headers_mut().insert("content-type", HeaderValue::from_static("text/html"));
        answer.headers_mut().insert("x-note", note);
        answer
    };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

pub(super) struct Stand {
    pub(super) url: String,
    pub(super) client: Client,
    pub(super) up: tokio::sync::Mutex<Server>,
    folder: PathBuf,
    /// Whether the callback URL of the flows `fragile` and `frail` accepts anything.
    pub(super) courier: Arc<AtomicBool>,
    /// Whether calls of `spiteful` that ask for it are held.
    pub(super) holds: Arc<AtomicBool>,
}

impl Stand {
    pub(super) async fn start(folder: &Path) -> Result<Stand, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut text = format!("version: 1.0\nprovider:\n  name: openfaas\n\nfunctions:{FUNCTIONS}");
        let (courier, courier_url) = courier().await?;
        let holds = Arc::new(AtomicBool::new(true));
        let spiteful = spiteful(holds.clone()).await?;
        text.push_str(&format!("  spiteful:\n    annotations: {{ faasflow.url: '{spiteful}' }}\n"));
        for flow in [
            "orders", "parcels", "sift", "mirror", "fragile", "frail", "brittle", "hostile", "patient", "outer",
            "scales", "stubborn",
        ] {
            text.push_str(&format!(
                "  {flow}:\n    lang: faasflow\n    fprocess: {}\n    secrets: [faasflow-hmac-secret]\n    environment:\n      \
                 mode: http\n      E2E_FLOW: {flow}\n      state_manager: gateway\n",
                own.with_file_name("e2e-flow").display()
            ));
            if flow == "hostile" {
                text.push_str(&format!("      E2E_NAMES: '{}'\n", json!(hostile::TEXTS)));
            }
            if ["fragile", "frail"].contains(&flow) {
                // Its deliveries are given up soon.
                text.push_str(&format!("      write_timeout: 4s\n      E2E_CALLBACK: {courier_url}\n"));
            }
        }
        std::fs::write(folder.join("stack.yml"), text).map_err(|error| error.to_string())?;
        let port = free_port()?;
        let arguments =
            ["up", &folder.to_string_lossy(), "--no-watch", "--queue-attempts", "2", "--traces", TRACES, "--port"];
        let arguments = arguments.map(str::to_owned);
        let up = Server::start(Recipe {
            program: own.with_file_name("faasflow"),
            arguments: arguments.into_iter().chain([port.to_string()]).collect(),
            environment: Vec::new(),
            port,
            ready: Some("The dashboard is at http://127.0.0.1"),
            log: folder.join("up.log"),
        })
        .await?;
        let (client, url) = (Client::new(), format!("http://127.0.0.1:{port}"));
        if let Err(why) = client.until_ready(&url).await {
            return Err(format!("{why}; the log of faasflow up ends: {}", up.tail()));
        }
        Ok(Stand { url, client, up: up.into(), folder: folder.to_owned(), courier, holds })
    }

    /// The file of the key of the flows.
    pub(super) fn key(&self) -> PathBuf {
        self.folder.join(".faasflow/secrets/faasflow-hmac-secret")
    }

    /// Creates or removes a file that a function looks for.
    pub(super) fn file(&self, name: &str, is_there: bool) -> Result<(), String> {
        let path = self.folder.join(name);
        let done = if is_there { std::fs::write(&path, "") } else { std::fs::remove_file(&path) };
        done.map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(super) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
        self.client.send(Method::POST, &format!("{}{path}", self.url), headers, body.to_vec()).await
    }

    /// Starts a request of the flow `orders` through the queue.
    pub(super) async fn order(&self, id: &str) -> Result<(), String> {
        let headers = [("x-faasflow-request-id", id), ("content-type", "application/json")];
        self.post("/async-function/orders", &headers, br#"{"article":"lamp","number":2}"#).await?.expect(202).map(drop)
    }

    pub(super) async fn json(&self, path: &str) -> Result<Value, String> {
        let answer = self.client.get(&format!("{}{path}", self.url)).await?.expect(200)?;
        serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
    }

    /// Waits until a request has this status.
    pub(super) async fn until(&self, flow: &str, id: &str, status: &str) -> Result<(), String> {
        let path = format!("{}/system/flows/{flow}/requests/{id}", self.url);
        let mut last = String::new();
        for _ in 0..600 {
            last = self.client.get(&path).await?.text();
            if last.contains(&format!("\"status\":\"{status}\",\"generation\"")) {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Err(format!("{id} did not become {status}: {last}"))
    }
}
