//! The local gateway, flows behind it, and the receiver of their callbacks.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow_benches_deployed::CALLED;
use faasflow_core::headers;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Failure;
use crate::ending::Folder;
use crate::load::{Connection, Sample, Target};
use crate::process::{Process, echo, free_port};
use crate::role::Role;

/// How long a flow may take until its callback. A lost callback must not stop the run for ever.
const LIMIT: Duration = Duration::from_secs(30);

/// How long the gateway may take until it has written the tokens for its store.
const TOKENS: Duration = Duration::from_secs(20);

/// The clients that wait for the callback of a request, by its id. They get the length of the result, or `None` if the request
/// failed.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Option<usize>>>>>;

/// The processes that run while a flow is measured.
pub(crate) struct Stand {
    pub(crate) gateway: Process,
    pub(crate) flows: Vec<Process>,
    pub(crate) echo: Process,
    pub(crate) folder: Folder,
    waiting: Waiting,
    callback: HeaderValue,
    receiving: JoinSet<()>,
}

impl Stand {
    /// A gateway, and one flow for each number of phases.
    pub(crate) async fn start(phases: &[usize]) -> Result<Stand, Failure> {
        let flows = phases.iter().map(|&calls| (name(calls), Role::Flow { calls, sync: false }));
        Stand::with(flows.collect()).await
    }

    /// A gateway, and flows by their names. Flows with a store use the gateway's.
    pub(crate) async fn with(roles: Vec<(String, Role)>) -> Result<Stand, Failure> {
        let folder = Folder::new()?;
        std::fs::write(folder.path().join("faasflow-hmac-secret"), "0123456789abcdef0123456789abcdef\n")?;
        let echo = echo()?;
        let gateway_port = free_port()?;
        let mut functions = vec![(CALLED.to_owned(), echo.port())];
        for (name, _) in &roles {
            functions.push((name.clone(), free_port()?));
        }
        let ports: Vec<u16> = functions.iter().skip(1).map(|(_, port)| *port).collect();
        let role = Role::Gateway { port: gateway_port, folder: folder.path().to_owned(), functions };
        let gateway = Process::start(&role, gateway_port, &[])?;
        let mut flows = Vec::new();
        for ((name, role), port) in roles.iter().zip(ports) {
            let mut settings = vec![
                ("workflow_name", name.clone()),
                ("host", Ipv4Addr::LOCALHOST.to_string()),
                ("port", port.to_string()),
                ("gateway", format!("127.0.0.1:{gateway_port}")),
                ("secret_mount_path", folder.path().to_string_lossy().into_owned()),
            ];
            if role.needs_store() {
                settings.push(("state_manager", "gateway".to_owned()));
                settings.push(("state_gateway_token", token(folder.path(), name).await?));
            }
            match role {
                Role::Stored { records, .. } | Role::Joined { records, .. } => {
                    settings.push(("records", if *records { "on" } else { "off" }.to_owned()));
                }
                Role::OnRedis { redis, .. } => {
                    settings.push(("state_manager", "redis".to_owned()));
                    settings.push(("redis_url", format!("redis://127.0.0.1:{redis}")));
                    settings.push(("records", "on".to_owned()));
                }
                _ => {}
            }
            flows.push(Process::start(role, port, &settings)?);
        }
        let waiting = Waiting::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let callback = HeaderValue::from_str(&format!("http://{}/", listener.local_addr()?))?;
        let mut receiving = JoinSet::new();
        receiving.spawn(receive(listener, waiting.clone()));
        Ok(Stand { gateway, flows, echo, folder, waiting, callback, receiving })
    }

    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// Runs a number of clients for a while. Each sends a request, and the next one when the callback has arrived.
    pub(crate) async fn load(
        &self,
        phases: usize,
        body: usize,
        clients: usize,
        length: Duration,
    ) -> Result<Sample, Failure> {
        let target = self.target(&name(phases), vec![b'x'; body].into());
        self.load_of(&target, clients, length).await
    }

    /// What to request of a flow with this name. The payload is also the result.
    pub(crate) fn target(&self, name: &str, payload: Bytes) -> Target {
        Target::with_body(self.gateway(), &format!("/function/{name}"), payload)
            .header(headers::CALLBACK_URL, self.callback.clone())
    }

    /// The same load for any target.
    pub(crate) async fn load_of(&self, target: &Target, clients: usize, length: Duration) -> Result<Sample, Failure> {
        let mut connections = Vec::with_capacity(clients);
        for _ in 0..clients {
            connections.push(Connection::open(target.address).await?);
        }
        let begun = Instant::now();
        let mut running = JoinSet::new();
        for mut connection in connections {
            let (target, waiting) = (target.clone(), self.waiting.clone());
            running.spawn(async move {
                let mut latencies_us = Vec::new();
                while latencies_us.is_empty() || begun.elapsed() < length {
                    latencies_us.push(once(&mut connection, &target, &waiting, LIMIT).await?);
                }
                Ok::<_, Failure>(latencies_us)
            });
        }
        let mut latencies_us = Vec::new();
        while let Some(client) = running.join_next().await {
            latencies_us.extend(client??);
        }
        Ok(Sample { latencies_us, seconds: begun.elapsed().as_secs_f64() })
    }

    /// The time from one request to its callback, in microseconds. It fails after `limit`.
    pub(crate) async fn request(&self, target: &Target, limit: Duration) -> Result<f64, Failure> {
        let mut connection = Connection::open(target.address).await?;
        once(&mut connection, target, &self.waiting, limit).await
    }

    /// The token by which a flow uses the gateway's store.
    pub(crate) async fn token(&self, flow: &str) -> Result<String, Failure> {
        token(self.folder.path(), flow).await
    }

    /// The processor time of the gateway and the flows, in seconds.
    pub(crate) fn processor_time(&self) -> Result<f64, Failure> {
        [&self.gateway].into_iter().chain(&self.flows).map(Process::processor_time).sum()
    }

    pub(crate) async fn stop(mut self) {
        self.receiving.shutdown().await;
    }
}

fn name(phases: usize) -> String {
    format!("flow-{phases}")
}

/// The token by which a function uses the gateway's store.
async fn token(folder: &Path, function: &str) -> Result<String, Failure> {
    let file = token_file(folder, function);
    let begun = Instant::now();
    loop {
        match std::fs::read_to_string(&file) {
            Ok(token) if token.ends_with('\n') => return Ok(token.trim().to_owned()),
            _ if begun.elapsed() > TOKENS => {
                return Err(format!("the gateway has not written {} after {TOKENS:?}", file.display()).into());
            }
            _ => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// Where the gateway writes the token of a function.
pub(crate) fn token_file(folder: &Path, function: &str) -> PathBuf {
    folder.join(format!("token-of-{function}"))
}

/// The time from the request to its callback, in microseconds.
async fn once(
    connection: &mut Connection,
    target: &Target,
    waiting: &Waiting,
    limit: Duration,
) -> Result<f64, Failure> {
    let id = Uuid::now_v7().to_string();
    let (tell, ended) = oneshot::channel();
    waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), tell);
    let target = target.clone().header(headers::REQUEST_ID, HeaderValue::from_str(&id)?);
    let begun = Instant::now();
    connection.ask(&target).await?;
    match tokio::time::timeout(limit, ended).await {
        Ok(Ok(Some(length))) if length == target.answer => Ok(begun.elapsed().as_secs_f64() * 1e6),
        Ok(Ok(Some(length))) => {
            Err(format!("request {id} ended with {length} bytes instead of {}", target.answer).into())
        }
        Ok(_) => Err(format!("request {id} failed").into()),
        Err(_) => Err(format!("the callback of request {id} did not arrive within {limit:?}").into()),
    }
}

async fn receive(listener: TcpListener, waiting: Waiting) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let waiting = waiting.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| reported(waiting.clone(), request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn reported(waiting: Waiting, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let length = body.collect().await.ok().map(|body| body.to_bytes().len());
    let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let waits = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(text(headers::REQUEST_ID));
    let mut response = Response::default();
    match waits {
        Some(tell) => drop(tell.send(length.filter(|_| text(headers::OUTCOME) == "success"))),
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}
