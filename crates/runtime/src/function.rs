//! The flow function: its parts, and the entry point of deliveries.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use faasflow_core::description::Description;
use faasflow_core::handler::BoxFuture;
use faasflow_core::{Flow, headers};
use faasflow_http::{Budget, HttpClient, ServerOptions, without_scripts};
use futures_util::FutureExt as _;
use http::header::{CONNECTION, HeaderValue};
use http::{Method, StatusCode, Version};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::conclusion::Delivery;
use crate::config::{Config, RecordsMode};
use crate::deadline::Deadline;
use crate::definitions::Definitions;
use crate::delivery::{delivery, identify, internal_failure};
use crate::detach::Detachable;
use crate::error::StartError;
use crate::forward::{Forwarder, GatewayForwarder};
use crate::heartbeat::Heartbeat;
use crate::in_progress::InProgress;
use crate::instance::Instance;
use crate::joins::Joins;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::records::{Preference, Waiting};
use crate::step::{Answers, Caller};
use crate::trace::{Exporter, Tracer};

/// How long stopping waits for the trace server, at most.
const FLUSH: Duration = Duration::from_secs(3);

/// A flow that is served as a function. Each invocation executes one phase. Cloning is cheap.
#[derive(Clone)]
pub struct FlowFunction(pub(crate) Arc<Instance>);

impl FlowFunction {
    /// Prepares a flow to be served.
    ///
    /// # Errors
    ///
    /// If signing is on and a flow that needs a key has none, or if a setting needs something that is missing.
    pub fn new(flow: Flow, config: Config) -> Result<FlowFunction, StartError> {
        let client = client(&config)?;
        let forwarder = GatewayForwarder::new(client.clone(), config.gateway.clone(), Duration::from_secs(10));
        FlowFunction::prepare(flow, config, client, Arc::new(forwarder))
    }

    /// The same, but envelopes go through `forwarder` instead of the gateway's queue.
    ///
    /// # Errors
    ///
    /// As for [`new`](FlowFunction::new).
    pub fn with_forwarder(
        flow: Flow,
        config: Config,
        forwarder: Arc<dyn Forwarder>,
    ) -> Result<FlowFunction, StartError> {
        let client = client(&config)?;
        FlowFunction::prepare(flow, config, client, forwarder)
    }

    fn prepare(
        flow: Flow,
        config: Config,
        client: HttpClient,
        forwarder: Arc<dyn Forwarder>,
    ) -> Result<FlowFunction, StartError> {
        if flow.plan().phase_count() > 1 {
            match flow.state_manager() {
                None if config.intermediate_storage => return Err(StartError::NowhereToStore),
                None if flow.plan().needs_store() => return Err(StartError::NoSharedStore),
                Some(manager) if !manager.is_shared() && !config.single_process && flow.plan().needs_store() => {
                    return Err(StartError::NoSharedStore);
                }
                Some(manager) if !manager.supports_branches() && flow.plan().needs_store() => {
                    return Err(StartError::StoreWithoutBranches(manager.name().to_owned()));
                }
                Some(manager) if !manager.is_shared() && !config.single_process => {
                    return Err(StartError::StateNotShared(manager.name().to_owned()));
                }
                _ => {}
            }
        }
        let remembers = remembers(&flow, &config)?;
        let needs_key = config.enable_hmac && (flow.plan().phase_count() > 1 || config.verify_request);
        let keys = match config.keys() {
            Ok(keys) if config.enable_hmac => Some(keys),
            Err(error) if needs_key => return Err(error.into()),
            _ => None,
        };
        let budget = Budget::new(config.limits());
        let metrics = Arc::new(Metrics::new(&flow, &config.workflow_name, budget.clone()));
        let tracer = tracer(&flow, &config, &metrics)?;
        let Config { gateway, default_method, max_body, write_timeout, .. } = config.clone();
        let answers = Answers::new(max_body, budget.clone(), write_timeout);
        let caller = Caller::new(client, gateway, default_method, answers, &flow);
        let name = config.workflow_name.as_str().into();
        let tasks = TaskTracker::new();
        let waiting = Waiting::new(tasks.clone());
        let (readiness, heartbeat) = (Readiness::default(), Heartbeat::default());
        let inner = Instance {
            flow,
            name,
            config,
            keys,
            caller,
            forwarder,
            tasks,
            readiness,
            refusals: Arc::default(),
            heartbeat,
            metrics,
            tracer,
            budget,
            joins: Joins::default(),
            definitions: Definitions::default(),
            in_progress: InProgress::default(),
            remembers,
            waiting,
        };
        Ok(FlowFunction(Arc::new(inner)))
    }

    /// The description of the definition.
    #[must_use]
    pub fn description(&self) -> Description {
        Description::new(&self.0.flow, &self.0.name)
    }

    /// The routes of the flow function.
    pub fn router(&self) -> Router {
        let ready = async |State(FlowFunction(function)): State<FlowFunction>| {
            function.readiness.answer(function.flow.state_manager().cloned(), &function.refusals).await
        };
        // Requests of the flow itself do not pass the layers of these.
        let own = Router::new()
            .route("/_/health", get(async || "OK\n"))
            .route("/_/ready", get(ready))
            .route("/_/flow", get(|State(function): State<FlowFunction>| async move { Json(function.description()) }))
            .with_state(self.clone())
            .merge(crate::records::routes(&self.0))
            .method_not_allowed_fallback(crate::records::method_not_allowed)
            .layer(map_response(without_scripts));
        Router::new()
            .fallback(async |State(function): State<FlowFunction>, request: Request| function.receive(request).await)
            .with_state(self.clone())
            .merge(own)
    }

    /// The route of `/metrics`. It is served on its own port, where callers of the flow do not see it.
    pub fn metrics_router(&self) -> Router {
        crate::metrics::router(self.0.metrics.clone())
    }

    /// Makes `/_/ready` say that no more requests should be sent here. Requests that still arrive are served.
    pub(crate) fn drain(&self) {
        self.0.readiness.drain();
    }

    /// While the flow drains, asks clients to close their connections. All connections are closed at the end of the drain,
    /// and a request that is sent on one of them at that moment would be lost. In HTTP/2, the server sends a frame for this
    /// purpose.
    fn close_while_draining(&self, version: Version, mut response: Response) -> Response {
        if version <= Version::HTTP_11 && self.0.readiness.is_draining() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Binds to the address in the settings and returns it. If the port in the settings is 0, the operating system chooses
    /// one.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    pub async fn bind(&self) -> Result<(TcpListener, SocketAddr), StartError> {
        let (host, port) = (self.0.config.host.as_str(), self.0.config.listen_port());
        let fault = |source| StartError::Listen { address: format!("{host}:{port}"), source };
        let listener = TcpListener::bind((host, port)).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        Ok((listener, address))
    }

    /// Serves until `stop` resolves. Then it accepts no more connections and finishes the requests in flight within
    /// `write_timeout`.
    ///
    /// # Errors
    ///
    /// If the listener fails, or the operating system refuses a thread.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()> + Send) -> std::io::Result<()> {
        let Config { read_timeout, write_timeout, .. } = self.0.config;
        let options = ServerOptions {
            header_timeout: read_timeout,
            write_stall: write_timeout,
            grace: write_timeout,
            insert_peer: false,
            ..ServerOptions::for_memory(self.0.config.memory())
        };
        let mut until = Instant::now();
        let stop = async {
            stop.await;
            until = Instant::now() + write_timeout;
        };
        let _beating = self.0.heartbeat.start()?;
        let front = Front { function: self.clone(), router: self.router() };
        let recovering = async {
            if self.0.remembers {
                self.0.recover_after_a_death().await;
            }
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            served = faasflow_http::serve(listener, front, options, stop) => served?,
            never = recovering => match never {},
        }
        // Deliveries whose clients went away get the same time to finish.
        self.0.tasks.close();
        let _ = tokio::time::timeout_at(until, self.0.tasks.wait()).await;
        let left = until.saturating_duration_since(Instant::now());
        self.0.tracer.stop(left.clamp(FLUSH / 6, FLUSH)).await;
        Ok(())
    }

    /// Reads one delivery and works on it. If the client goes away, the work continues and `finally` still runs.
    async fn receive<B>(self, request: http::Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send>
            + Send
            + Unpin
            + 'static,
    {
        let (parts, mut body) = request.into_parts();
        let id = identify(&parts.headers, self.0.remembers);
        // Nobody waits for the answer to an envelope.
        let may_wait = self.0.remembers && delivery(&parts.headers) == Delivery::Fresh;
        let wait = may_wait.then(|| Preference::wait(&parts.headers)).flatten();
        // The clock starts at the head of the request, because the watchdog, the gateway and the queue measure from there
        // too.
        let deadline = Deadline::starting_now(self.0.config.write_timeout);
        let (place, body) = match self.0.admit(&mut body).await {
            Ok(admitted) => admitted,
            Err(error) => return self.0.turn_away(&parts, body, error, &id).await,
        };
        // Stopping waits for the token, whichever task holds it.
        let (inner, token) = (self.0.clone(), self.0.tasks.token());
        let wait = wait.map(|wait| wait.min(deadline.steps().saturating_duration_since(Instant::now())));
        let delivering = {
            let id = id.clone();
            async move {
                let response = match wait {
                    None => {
                        let response = inner.deliver(id, parts, body, deadline).await;
                        drop(place);
                        response
                    }
                    Some(wait) => {
                        let delivering = inner.deliver_waiting(id, parts, body, deadline, wait, place);
                        let mut response = Box::pin(delivering).await;
                        // A request that was refused has not been waited for.
                        let has_ended = response.headers().contains_key(headers::OUTCOME);
                        if has_ended || response.status() == StatusCode::ACCEPTED {
                            Preference::applied(Some(wait), response.headers_mut());
                        }
                        response
                    }
                };
                drop(token);
                response
            }
        };
        // A panic can only leave state of this delivery half-done, and that state is dropped.
        let delivering = AssertUnwindSafe(delivering).catch_unwind();
        Detachable::new(delivering).await.unwrap_or_else(|_| internal_failure(&id))
    }
}

/// The service of a flow function. Nearly all requests are deliveries. They bypass the router, which would cost several
/// thousand instructions for each.
#[derive(Clone)]
struct Front {
    function: FlowFunction,
    router: Router,
}

impl<B> Service<http::Request<B>> for Front
where
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send> + Send + Unpin + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (function, version) = (self.function.clone(), request.version());
        // The router also knows how to answer a HEAD request.
        let path = request.uri().path();
        if path.starts_with("/_/") || path == "/_" || request.method() == Method::HEAD {
            let answering = self.router.call(request);
            return Box::pin(async move { Ok(function.close_while_draining(version, answering.await?)) });
        }
        Box::pin(async move {
            let response = function.clone().receive(request).await;
            Ok(function.close_while_draining(version, response))
        })
    }
}

/// Whether the flow remembers its requests.
fn remembers(flow: &Flow, config: &Config) -> Result<bool, StartError> {
    let manager = flow.state_manager();
    match (config.records, manager) {
        (RecordsMode::Off, _) | (RecordsMode::Auto, None) => Ok(false),
        (RecordsMode::Auto, Some(manager)) => Ok(manager.is_shared() && manager.supports_records()),
        (RecordsMode::On, None) => Err(StartError::NowhereToRemember("a flow without a state manager".to_owned())),
        (RecordsMode::On, Some(manager)) if !manager.supports_records() => {
            Err(StartError::NowhereToRemember(format!("the state manager `{}`", manager.name())))
        }
        (RecordsMode::On, Some(_)) => Ok(true),
    }
}

/// The client that sends the flow's requests.
fn client(config: &Config) -> Result<HttpClient, StartError> {
    let connect_timeout = Duration::from_secs(5).min(config.write_timeout);
    let Some(path) = &config.authorities else { return Ok(HttpClient::new(connect_timeout)) };
    let pem = std::fs::read(path).map_err(|error| unreadable(path, error))?;
    HttpClient::with_authorities(connect_timeout, &pem)
        .map_err(|error| StartError::Authorities { path: path.clone(), source: error.into() })
}

fn unreadable(path: &Path, source: std::io::Error) -> StartError {
    StartError::UnreadableAuthorities { path: path.to_owned(), source: source.into() }
}

/// Traces the deliveries of a flow.
fn tracer(flow: &Flow, config: &Config, metrics: &Metrics) -> Result<Tracer, StartError> {
    if !config.enable_tracing {
        return Ok(Tracer::new(None, config.sampling, flow));
    }
    let server = config.trace_server.clone();
    let fault = |source| StartError::Tracing { server: config.trace_server.to_string(), source };
    let authorities = match &config.authorities {
        None => None,
        Some(path) => Some(std::fs::read(path).map_err(|error| unreadable(path, error))?),
    };
    tracing::info!("Exporting traces to {server}");
    if let Some(hint) = server.hint() {
        tracing::warn!("`trace_server` is {server}, which probably does not accept traces: {hint}");
    }
    let (name, options) = (&config.workflow_name, &config.trace_options);
    let exporter = Exporter::start(server, name, options, authorities.as_deref(), metrics.spans()).map_err(fault)?;
    Ok(Tracer::new(Some(exporter), config.sampling, flow))
}
