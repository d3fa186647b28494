//! Starts and stops the gateway.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use faasflow_dashboard::OwnPages;
use faasflow_http::{Budget, HttpClient, Limits, MOST_HEADERS, ServerOptions, file_limit, memory_limit, serve};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::delivery::Deliveries;
use crate::error::GatewayError;
use crate::event::{Event, Events};
use crate::forwarding::PassCounter;
use crate::functions::command::Commands;
use crate::functions::container::{Containers, EngineChoice};
use crate::functions::deploy::Deployments;
use crate::functions::endings::{CONTAINERS_ENDING, PROCESS_ENDING};
use crate::functions::logs::Journal;
use crate::functions::process::{Launch, Order, supervise};
use crate::functions::storage::Storage;
use crate::functions::watch_sources::Sources;
use crate::functions::{FunctionContext, Functions, Unavailable, Upstream, build};
use crate::http::system::events::EventSource;
use crate::http::system::functions::Reports;
use crate::http::system::guard::{Credentials, Guard};
use crate::http::system::info::About;
use crate::http::system::logs::LogSources;
use crate::http::system::metrics::Gauges;
use crate::http::system::secrets::SecretFiles;
use crate::http::{AppState, Intake, Invocations, StateAccess, States, router, router_for_containers};
use crate::metrics::Metrics;
use crate::monitor::Monitor;
use crate::proxy::Proxy;
use crate::queue::{Queue, QueueOptions};
use crate::stack::Stack;
use crate::store::{RequestNews, Store, StoreLimits};
use crate::tokens::Tokens;
use crate::{private_file, secrets};

/// The largest value that the store takes by default, in bytes: 1 GiB.
const MAX_VALUE: u64 = 1 << 30;
/// How long the store keeps the values of a request after its last write by default: seven days, as long as Redis does.
const STATE_TIME_TO_LIVE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The options of a gateway.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GatewayOptions {
    /// The stack.
    pub stack: Stack,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The folder for the queue, the secrets and the deployed functions; by default `.faasflow` beside the stack file.
    pub state_dir: PathBuf,
    /// Whether functions are built with cargo's release profile.
    pub release: bool,
    /// Whether functions are built again when their sources change.
    pub watch: bool,
    /// How long a function may take to begin its answer.
    pub upstream_timeout: Duration,
    /// How long the body of an asynchronous call may take to arrive.
    pub read_timeout: Duration,
    /// How long requests in flight may go on after [`RunningGateway::stop`] was called.
    pub grace: Duration,
    /// Whether the routes under `/system` require a user and a password. These are the secrets `basic-auth-user` and
    /// `basic-auth-password`, which are generated if they do not exist.
    pub basic_auth: bool,
    /// The address of the gateway in front, if this one is its provider. Functions use that gateway instead of this one.
    pub behind: Option<String>,
    /// The address of Jaeger's pages, to which the dashboard links.
    pub traces: Option<String>,
    /// The most calls in flight; by default as many as fit into the memory.
    pub max_inflight_requests: Option<usize>,
    /// The most bytes of bodies in memory; by default half of the gateway's share of the memory.
    pub max_inflight_bytes: Option<u64>,
    /// The container engine that runs images.
    pub engine: EngineChoice,
    /// The commit that the program was built from, which `/system/info` reports.
    pub commit: String,
    /// The options of the queue.
    pub queue: QueueOptions,
    /// The largest value that the store takes, in bytes.
    pub max_value: u64,
    /// How long the store keeps the values of a request after its last write.
    pub state_time_to_live: Duration,
    /// What users call the option behind `queue.max_body`, such as `` `--queue-limit` ``. The gateway names it where it
    /// refuses a call that is too large.
    pub max_body_option: Option<String>,
}

impl GatewayOptions {
    /// The defaults for a stack: 127.0.0.1:8080, a debug build, watched.
    #[must_use]
    pub fn new(stack: Stack) -> GatewayOptions {
        let state_dir = stack.folder().join(".faasflow");
        GatewayOptions {
            stack,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            state_dir,
            release: false,
            watch: true,
            upstream_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            basic_auth: false,
            behind: None,
            traces: None,
            max_inflight_requests: None,
            max_inflight_bytes: None,
            engine: EngineChoice::Find,
            commit: "unknown".to_owned(),
            queue: QueueOptions::default(),
            max_value: MAX_VALUE,
            state_time_to_live: STATE_TIME_TO_LIVE,
            max_body_option: None,
        }
    }

    /// The share of the memory for each process, in bytes. The gateway and each function of the stack have equal shares.
    fn share_of_memory(&self) -> u64 {
        memory_limit() / (self.stack.functions.len() as u64 + 1)
    }

    /// Opens the queue, starts to listen, and starts the functions. These may take a while to be ready; [`RunningGateway::ready`] waits
    /// for them.
    ///
    /// # Errors
    ///
    /// If a secret is missing, the queue cannot be used, the file of a deployed function is damaged, or the gateway cannot listen on
    /// its address.
    pub async fn start(self, events: Events) -> Result<RunningGateway, GatewayError> {
        self.start_boxed(events).await
    }

    /// Boxed, so that the gateway is compiled in this crate and not again in every crate that starts it.
    fn start_boxed(self, events: Events) -> Pin<Box<dyn Future<Output = Result<RunningGateway, GatewayError>> + Send>> {
        Box::pin(self.begin(events))
    }

    async fn begin(self, events: Events) -> Result<RunningGateway, GatewayError> {
        let secrets = self.state_dir.join("secrets");
        secrets::prepare(&self.stack, &secrets)?;
        let credentials = self.basic_auth.then(|| secrets::credentials(&secrets)).transpose()?;
        let memory = self.share_of_memory();
        let fitting = Limits::for_memory(memory).within_files(file_limit());
        let budget = Budget::new(Limits {
            requests: self.max_inflight_requests.unwrap_or(fitting.requests),
            bytes: self.max_inflight_bytes.unwrap_or(fitting.bytes),
        });
        let mut options = self.queue.clone();
        // Waiting bodies in memory are not part of the budget for bodies in flight, and must fit next to it.
        let reserved = (memory / 8).min(budget.capacity() / 2);
        options.kept_bodies = options.kept_bodies.min(usize::try_from(reserved).unwrap_or(usize::MAX));
        options.budget = Some(budget.clone());
        let queue_file = self.state_dir.join("queue.redb");
        let queue = Queue::open(&queue_file, options)?;
        let limits = StoreLimits { max_value: self.max_value, time_to_live: self.state_time_to_live };
        let store = Store::open(&self.state_dir, limits)?;
        let key = self.state_dir.join("state-key");
        let unreadable = |error: std::io::Error| GatewayError::Unreadable { path: key.clone(), source: error.into() };
        let tokens = Tokens::open(&key).map_err(unreadable)?;
        // Read after the queue is locked, because until then another gateway may use the folder and deploy.
        let storage = Storage::open(self.state_dir.join("functions"))?;
        let deployed = storage.read()?;
        let address = self.listen;
        let fault = |source| GatewayError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        for (id, fault) in queue.unreadable().await? {
            tracing::error!("record {id} of {} cannot be read and stays there: {fault}", queue_file.display());
        }
        private_file::sweep(&secrets);
        storage.sweep();
        let stop = Stop::default();
        let tasks = TaskTracker::new();
        let journal = Journal::new(events.clone());
        let client = HttpClient::with_most_headers(Duration::from_secs(5), MOST_HEADERS);
        let containers = Containers::new(self.engine, &self.state_dir, address, self.behind.clone(), client.clone());
        containers.sweep_secrets();
        let context = FunctionContext {
            gateway: self.behind.clone().unwrap_or_else(|| reachable(address)),
            store: format!("http://{}", reachable(address)),
            tokens: tokens.clone(),
            secrets: secrets.clone(),
            memory,
            containers: containers.clone(),
            events: events.clone(),
            journal: journal.clone(),
            stop: stop.functions.clone(),
        };
        let folder = self.stack.folder().to_owned();
        let deployments = Arc::new(Deployments::new(folder, storage, context, tasks.clone()));
        let functions = deployments.functions().clone();
        let commands = Commands::new(tasks.clone(), stop.functions.clone(), budget.clone());
        let under_way = TaskTracker::new();
        let metrics = Arc::new(Metrics::default());
        let monitor = Monitor::new(functions.clone(), queue.clone(), metrics.clone());
        store.tell({
            let monitor = monitor.clone();
            move |scope, news| {
                let (flow, id) = (&scope.function, &scope.request);
                match news {
                    RequestNews::Begun => monitor.request_began(flow, id),
                    RequestNews::Changed(status) => monitor.request_changed(flow, id, Some(status)),
                    RequestNews::Ended(status) => monitor.request_ended(flow, id, status),
                }
            }
        });
        let proxy = Proxy { client, commands, passes: PassCounter::new(), timeout: self.upstream_timeout };
        let deliveries = Deliveries {
            functions: functions.clone(),
            proxy: proxy.clone(),
            budget: budget.clone(),
            monitor: monitor.clone(),
        };
        let state = AppState::new(States {
            invocations: Arc::new(Invocations {
                functions: functions.clone(),
                proxy: proxy.clone(),
                budget: budget.clone(),
                monitor: monitor.clone(),
                behind: self.behind.is_some(),
                under_way: under_way.clone(),
            }),
            intake: Arc::new(Intake {
                functions: functions.clone(),
                queue: queue.clone(),
                budget: budget.clone(),
                max_body: self.queue.max_body,
                max_body_option: self.max_body_option,
                read_timeout: self.read_timeout,
            }),
            functions: functions.clone(),
            deployments: deployments.clone(),
            reports: Arc::new(Reports {
                metrics: metrics.clone(),
                monitor: monitor.clone(),
                containers: containers.clone(),
            }),
            guard: Arc::new(Guard {
                pages: OwnPages::new(credentials.is_some()),
                credentials: credentials.map(|(user, password)| Credentials::new(user, password)),
                local: address.ip().is_loopback(),
                behind: self.behind.is_some(),
            }),
            about: Arc::new(About {
                commit: self.commit,
                max_async_body: self.queue.max_body,
                upstream_timeout: self.upstream_timeout,
                traces: self.traces,
            }),
            secrets: Arc::new(SecretFiles { folder: secrets, containers: containers.clone() }),
            logs: Arc::new(LogSources { functions: functions.clone(), journal, silent: stop.listening.clone() }),
            gauges: Arc::new(Gauges {
                functions: functions.clone(),
                queue: queue.clone(),
                metrics,
                budget,
                store: store.clone(),
            }),
            monitor: monitor.clone(),
            events: Arc::new(EventSource { monitor: monitor.clone(), silent: stop.listening.clone() }),
            queue: queue.clone(),
            proxy,
            state_access: Arc::new(StateAccess {
                store: store.clone(),
                tokens: tokens.clone(),
                watches: Default::default(),
                silent: stop.listening.clone(),
            }),
        });

        // Clients that follow logs stay connected until the functions have ended, so that they get the last lines.
        let options = ServerOptions {
            grace: 2 * self.grace + PROCESS_ENDING.max(CONTAINERS_ENDING),
            ..ServerOptions::for_memory(memory)
        };
        containers.open_by({
            let (state, options, accepting) = (state.clone(), options.clone(), stop.accepting.clone());
            let tasks = tasks.clone();
            Box::new(move |listener, bridge| {
                let router = router_for_containers(&state, bridge);
                let (options, accepting) = (options.clone(), accepting.clone());
                tasks.spawn(async move {
                    if let Err(error) = serve(listener, router, options, accepting.cancelled_owned()).await {
                        tracing::error!("functions in containers can no longer reach this gateway: {error}");
                    }
                });
            })
        });
        deployments.begin(&self.stack, deployed);
        tasks.spawn({
            let (containers, stop) = (containers.clone(), stop.functions.clone());
            async move {
                stop.run_until_cancelled(containers.sweep()).await;
            }
        });
        let serving = tokio::spawn({
            let (router, accepting) = (router(&state), stop.accepting.clone());
            async move { serve(listener, router, options, accepting.cancelled_owned()).await }
        });
        let delivering = tokio::spawn({
            let (queue, deliveries, stop) = (queue.clone(), Arc::new(deliveries), stop.delivering.clone());
            async move { queue.run(deliveries, stop).await }
        });
        tasks.spawn({
            let (store, stop) = (store.clone(), stop.functions.clone());
            async move { store.collect(stop).await }
        });
        tasks.spawn(monitor.run(stop.functions.clone()));
        let mut orders = HashMap::new();
        for (function, _) in functions.cargo_projects() {
            let (order, ordered) = unbounded_channel();
            orders.insert(function.spec.name.clone(), order);
            tasks.spawn(supervise(function, ordered, stop.functions.clone(), events.clone()));
        }
        let builder = Builder { functions: functions.clone(), orders, release: self.release, events };
        tasks.spawn({
            let (stop, watch) = (stop.functions.clone(), self.watch);
            async move { stop.run_until_cancelled(builder.run(watch)).await }
        });
        Ok(RunningGateway {
            address,
            functions,
            containers,
            queue,
            store,
            tokens,
            stop,
            under_way,
            serving,
            delivering,
            tasks,
            grace: self.grace,
        })
    }
}

/// The parts that stop, in this order.
#[derive(Clone, Debug, Default)]
struct Stop {
    delivering: CancellationToken,
    accepting: CancellationToken,
    functions: CancellationToken,
    listening: CancellationToken,
}

/// Builds functions at the start and when they change.
struct Builder {
    functions: Functions,
    orders: HashMap<String, UnboundedSender<Order>>,
    release: bool,
    events: Events,
}

impl Builder {
    async fn run(self, watch: bool) {
        let projects: Vec<(String, PathBuf)> = self
            .functions
            .cargo_projects()
            .into_iter()
            .map(|(function, folder)| (function.spec.name.clone(), folder))
            .collect();
        if projects.is_empty() {
            return;
        }
        // Watching starts before the first build, so that no change is missed.
        let sources = if watch { Sources::watch(projects.clone()).map(Some) } else { Ok(None) };
        self.build(&projects, &projects).await;
        match sources {
            Ok(None) => {}
            Ok(Some(mut sources)) => loop {
                let changed = sources.changed().await;
                for function in &changed {
                    let _ = self.events.send(Event::Changed { function: function.clone() });
                }
                let wanted: Vec<_> = projects.iter().filter(|(name, _)| changed.contains(name)).cloned().collect();
                self.build(&wanted, &projects).await;
            },
            Err(error) => tracing::warn!(%error, "sources cannot be watched, so changes are not noticed"),
        }
    }

    async fn build(&self, projects: &[(String, PathBuf)], all: &[(String, PathBuf)]) {
        // Each function starts as soon as it is built.
        let mut running = HashSet::new();
        let built = build::build(projects, all, self.release, &self.events, |programs| {
            for (name, folder) in projects {
                if let (Some(order), Some(program)) = (self.orders.get(name), programs.get(folder))
                    && running.insert(name.clone())
                {
                    let _ = order.send(Order::Run(Launch::new(program.clone())));
                }
            }
        });
        let built = built.await;
        if !built.faults.is_empty() {
            let problems = built.faults.iter().map(GatewayError::problem).collect();
            let _ = self.events.send(Event::BuildFailed { problems });
        }
        for (name, folder) in projects {
            if let (Some(order), None) = (self.orders.get(name), built.programs.get(folder)) {
                let _ = order.send(Order::Broken(Unavailable::NotBuilt));
            }
        }
    }
}

/// A running gateway. If it is dropped without [`stop`](RunningGateway::stop), its functions are killed with the process.
#[derive(Debug)]
pub struct RunningGateway {
    address: SocketAddr,
    functions: Functions,
    containers: Containers,
    queue: Queue,
    store: Store,
    tokens: Tokens,
    stop: Stop,
    under_way: TaskTracker,
    serving: JoinHandle<std::io::Result<()>>,
    delivering: JoinHandle<()>,
    tasks: TaskTracker,
    grace: Duration,
}

impl RunningGateway {
    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", reachable(self.address))
    }

    /// The URL of its dashboard.
    #[must_use]
    pub fn dashboard_url(&self) -> String {
        format!("{}{}", self.url(), faasflow_dashboard::PATH)
    }

    /// The names of its functions, from the stack and from deployments.
    #[must_use]
    pub fn function_names(&self) -> Vec<String> {
        self.functions.names()
    }

    /// Its queue.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The token by which a function of this name uses the store. The functions that the gateway runs have it in their
    /// environment, as `state_gateway_token`.
    #[must_use]
    pub fn state_token(&self, function: &str) -> String {
        self.tokens.of(function)
    }

    /// Waits until every function accepts requests or has failed.
    ///
    /// # Errors
    ///
    /// If a function has failed, for example because it could not be built. The text names each one with the reason.
    pub async fn ready(&self) -> Result<(), GatewayError> {
        let mut reasons = BTreeMap::new();
        for function in self.functions.all() {
            let mut watching = function.upstream.subscribe();
            let settled = watching.wait_for(|upstream| !matches!(upstream, Upstream::Pending(_))).await;
            if let Ok(upstream) = settled
                && let Upstream::Broken(why) | Upstream::Failing(why) = &*upstream
            {
                reasons.insert(function.spec.name.clone(), why.describe());
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(GatewayError::Functions { reasons }) }
    }

    /// Whether every function accepts requests now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.functions.all().iter().all(|function| function.upstream.borrow().takes_requests())
    }

    /// Lets requests in flight finish within [`grace`](GatewayOptions::grace), stops the functions, and closes the queue.
    ///
    /// A flow in the middle of a phase calls its functions through this gateway. So the gateway accepts requests until nothing is under
    /// way or the grace period is over. Clients that follow logs get all lines until the functions have ended.
    pub async fn stop(self) {
        self.stop.delivering.cancel();
        self.under_way.close();
        let mut delivering = self.delivering;
        let finishing = async {
            let _ = (&mut delivering).await;
            self.under_way.wait().await;
        };
        let finished = tokio::time::timeout(self.grace, finishing).await.is_ok();
        if !finished {
            tracing::warn!("calls are still under way after {:?}; their functions are stopped now", self.grace);
            // Unfinished calls are delivered after the next start.
            delivering.abort();
        }
        self.stop.accepting.cancel();
        if finished {
            // For calls that came in the last moment.
            let _ = tokio::time::timeout(self.grace, self.under_way.wait()).await;
        }
        self.stop.functions.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.containers.end().await;
        self.stop.listening.cancel();
        let mut serving = self.serving;
        if tokio::time::timeout(self.grace, &mut serving).await.is_err() {
            tracing::warn!(
                "requests were still in flight {:?} after the functions had ended; their connections are closed",
                self.grace
            );
            serving.abort();
            let _ = serving.await;
        }
        // For a deployment that came in the last moment.
        self.tasks.wait().await;
        self.queue.close().await;
        self.store.close().await;
    }
}

/// The address for functions on this machine. An address that stands for all interfaces becomes that of the loopback.
fn reachable(address: SocketAddr) -> String {
    let ip = if address.ip().is_unspecified() { [127, 0, 0, 1].into() } else { address.ip() };
    SocketAddr::new(ip, address.port()).to_string()
}
