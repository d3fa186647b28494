//! `faasflow requests` and `faasflow invoke --wait` against a gateway whose flows the tests play.

mod again;
mod change;
mod look;
mod redrive;
mod waiting;

use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{HeaderMap, Request, Response};
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{faasflow, listen, run};

/// A request that the gateway got: method and target as in `GET /system/flows`, and its headers.
#[derive(Clone, Debug)]
struct Asked {
    what: String,
    headers: HeaderMap,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A gateway. Each answer depends on the request, and on how often the same request came before.
struct FakeGateway {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _serving: AbortOnDropHandle<()>,
}

impl FakeGateway {
    async fn listen(answer: impl Fn(&str, usize) -> Response<Body> + Clone + Send + Sync + 'static) -> FakeGateway {
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let app = axum::Router::new().fallback({
            let asked = asked.clone();
            move |request: Request<Body>| async move {
                let target = request.uri().path_and_query().unwrap();
                let what = format!("{} {target}", request.method());
                let times = {
                    let mut asked = asked.lock().unwrap();
                    let times = asked.iter().filter(|earlier| earlier.what == what).count();
                    asked.push(Asked { what: what.clone(), headers: request.headers().clone() });
                    times
                };
                answer(&what, times)
            }
        });
        let (address, _serving) = listen(app).await;
        FakeGateway { url: format!("http://{address}"), asked, _serving }
    }

    /// Runs `faasflow` with these arguments, and this on standard input.
    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = faasflow();
        command.args(arguments).args(["--gateway", &self.url]);
        Ran(run(command, input))
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, b"")
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The requests of one method.
    fn sent(&self, method: &str) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.what).filter(|what| what.starts_with(method)).collect()
    }
}

/// A command that has ended.
#[derive(Debug)]
struct Ran(Output);

impl Ran {
    fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    fn stdout(&self) -> &str {
        std::str::from_utf8(&self.0.stdout).unwrap()
    }

    fn stderr(&self) -> &str {
        std::str::from_utf8(&self.0.stderr).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

fn json(body: &str) -> Response<Body> {
    answer(200, &[("content-type", "application/json")], body.to_owned())
}

/// An error of a flow. The code is one that exists, whatever it means.
fn problem(status: u16, reason: &str) -> Response<Body> {
    let body = format!(r#"{{"request_id":"a","reason":"{reason}","code":"FF0328"}}"#);
    answer(status, &[("x-faasflow-error-code", "FF0328")], body)
}

/// The error of a flow that does not know a request.
fn unknown() -> Response<Body> {
    problem(404, "there is no request of this id")
}

/// The status of a request of the flow `upload`.
fn status(id: &str, status: &str) -> String {
    format!(
        r#"{{"version":1,"id":"{id}","flow":"upload","status":"{status}","generation":0,"started_ms":1000,"moved_ms":3000,
        "ended_ms":3000,"later":true,"places":[
        {{"place":"1","path":[],"phase":1,"steps":["facedetect"],"status":"done","began_ms":1000,"done_ms":2000,"attempts":1}},
        {{"place":"2","path":[],"phase":2,"steps":["compress"],"status":"failed","began_ms":2000,"done_ms":3000,"attempts":2,
         "reason":{{"text":"it answered 500","code":"FF0310"}}}}]}}"#
    )
}
