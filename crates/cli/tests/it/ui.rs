//! `faasflow ui`, against `faasflow up` and against a gateway like OpenFaaS's.

mod access;
mod local;
mod openfaas;
mod start;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::Body;
use faasflow_http::{HttpClient, read_body};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;

use crate::support::{PATIENCE, faasflow, signal};

const CODE: &str = "x-faasflow-error-code";
const TOKEN: &str = "x-faasflow-page-token";

/// A running `faasflow ui`.
struct Ui {
    child: Child,
    /// Such as `http://127.0.0.1:40000`.
    url: String,
    printed: Arc<Mutex<Vec<String>>>,
    client: HttpClient,
}

impl Ui {
    /// Starts it on a free port, and waits until it serves.
    fn start(gateway: &str, options: &[&str]) -> Ui {
        let mut command = faasflow();
        command.args(["ui", "--port", "0", "--gateway", gateway]).args(options);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn({
            let printed = printed.clone();
            move || stderr.lines().map_while(Result::ok).for_each(|line| printed.lock().unwrap().push(line))
        });
        let client = HttpClient::new(PATIENCE);
        let mut ui = Ui { child, url: String::new(), printed, client };
        let said = ui.until_printed("The dashboard is at ");
        ui.url = said.trim_start_matches("The dashboard is at ").split("/ui/").next().unwrap().to_owned();
        ui
    }

    /// Waits until it has printed a line with this text, and returns the line.
    fn until_printed(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let printed = self.printed.lock().unwrap().clone();
            if let Some(line) = printed.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}: {printed:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Got {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = self.client.send(request.body(Body::from(body.to_owned())).unwrap());
        let (parts, body) = tokio::time::timeout(PATIENCE, sent).await.expect("it answers").unwrap().into_parts();
        let body = read_body(body, 1 << 24, PATIENCE).await.unwrap();
        Got { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&body).into_owned() }
    }

    async fn get(&self, path: &str) -> Got {
        self.send(Method::GET, path, &[], "").await
    }

    /// Sends what a page sends for a change.
    async fn change(&self, method: Method, path: &str, body: &str) -> Got {
        let token = self.get("/system/page-token").await.json()["token"].as_str().unwrap().to_owned();
        let headers = [("origin", self.url.as_str()), (TOKEN, token.as_str()), ("sec-fetch-site", "same-origin")];
        self.send(method, path, &headers, body).await
    }

    /// Ends it as Ctrl-C does, and returns the exit code.
    fn stop(mut self) -> Option<i32> {
        signal("-INT", self.child.id());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer, read to its end.
#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The status and the code of a refusal.
    fn refused(&self) -> (u16, Option<&str>) {
        (self.status.as_u16(), self.header(CODE))
    }
}
