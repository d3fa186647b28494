//! The environment of the checks: functions and flows behind OpenFaaS's real parts, or behind `faasflow up` alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use faasflow_core::signature::Keys;
use http::Method;
use tokio::sync::Mutex;

use crate::client::{Answer, Client};
use crate::photos;
use crate::recorder::Recorder;
use crate::server::{Recipe, Server, free_port};
use crate::severed::Severable;
use crate::tools;

/// The last versions known by name before the community edition's licence of March 2024; all are MIT.
const GATEWAY: (&str, &str) = ("github.com/openfaas/faas/gateway", "v0.0.0-20230317100158-e44448c5dca2");
const WORKER: (&str, &str) = ("github.com/openfaas/nats-queue-worker", "v0.0.0-20230117214128-3615ccb286cc");
const FAAS_CLI: (&str, &str) = ("github.com/openfaas/faas-cli", "v0.0.0-20211012083206-08e3e965c831");
const NATS: (&str, &str) = ("github.com/nats-io/nats-streaming-server", "v0.25.6");
/// OpenFaaS's gateway always listens on this port.
const GATEWAY_PORT: u16 = 8080;
/// The broker delivers again if there is no acknowledgement for this long.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(6);
/// The time limit for a phase of these flows.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// The programs of a stand.
pub(super) struct Programs {
    gateway: PathBuf,
    worker: PathBuf,
    nats: PathBuf,
    redis: PathBuf,
    prometheus: PathBuf,
    pub(super) faas_cli: PathBuf,
    /// `faasflow`, built beside this program.
    pub(super) faasflow: PathBuf,
}

impl Programs {
    pub(super) async fn install() -> Result<Programs, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        // All are tried even if one fails, because other suites can use the rest.
        let redis = tools::debian("redis-server", "redis-server").await;
        // OpenFaaS's gateway queries it for invocation counts, and panics without it.
        let prometheus = tools::debian("prometheus", "prometheus").await;
        let gateway = tools::go_module(GATEWAY.0, GATEWAY.1).await;
        let worker = tools::go_module(WORKER.0, WORKER.1).await;
        let faas_cli = install_faas_cli().await;
        let nats = tools::go(NATS.0, NATS.1).await;
        Ok(Programs {
            redis: redis?,
            prometheus: prometheus?,
            gateway: gateway?,
            worker: worker?,
            faas_cli: faas_cli?,
            nats: nats?,
            faasflow: own.with_file_name("faasflow"),
        })
    }
}

pub(super) async fn install_faas_cli() -> Result<PathBuf, String> {
    tools::go_module(FAAS_CLI.0, FAAS_CLI.1).await
}

/// OpenFaaS's own parts.
struct Real {
    _prometheus: Server,
    broker: Server,
    gateway: Server,
    worker: Server,
}

/// The environment of checks.
pub(super) struct Stand {
    /// Whether OpenFaaS's real parts are in front.
    pub(super) real: bool,
    /// The gateway.
    pub(super) url: String,
    /// The provider of the functions. It is the gateway itself if nothing is in front.
    pub(super) provider_url: String,
    pub(super) recorder: Recorder,
    pub(super) client: Client,
    pub(super) folder: tempfile::TempDir,
    openfaas: Option<Mutex<Real>>,
    provider: Mutex<Server>,
    /// The connection of the flow `graph-stored` to Redis.
    pub(super) redis: Severable,
    _redis: Server,
}

impl Stand {
    pub(super) fn title(real: bool) -> &'static str {
        if real {
            "OpenFaaS: gateway, NATS Streaming, queue-worker; functions by faasflow up"
        } else {
            "faasflow up alone"
        }
    }

    pub(super) async fn start(programs: &Programs, real: bool) -> Result<Stand, String> {
        let folder = tempfile::Builder::new().prefix("faasflow-e2e-").tempdir().map_err(|error| error.to_string())?;
        let recorder = Recorder::start().await?;
        let redis_port = free_port()?;
        let redis = Server::start(Recipe {
            program: programs.redis.clone(),
            arguments: words(&format!("--port {redis_port} --bind 127.0.0.1 --save --appendonly no")),
            environment: Vec::new(),
            port: redis_port,
            ready: None,
            log: folder.path().join("redis.log"),
        })
        .await?;
        let severable = Severable::start(redis_port).await?;
        let stack = folder.path().join("stack.yml");
        std::fs::write(&stack, stack_text(&recorder, redis_port, severable.port())?)
            .map_err(|error| error.to_string())?;
        let provider_port = free_port()?;
        let provider_url = format!("http://127.0.0.1:{provider_port}");
        let url = if real { format!("http://127.0.0.1:{GATEWAY_PORT}") } else { provider_url.clone() };
        let mut arguments = vec!["up".to_owned(), stack.to_string_lossy().into_owned()];
        arguments.extend(words(&format!("--no-watch --no-containers --port {provider_port}")));
        if real {
            arguments.extend(words(&format!("--behind 127.0.0.1:{GATEWAY_PORT}")));
        }
        let provider = Server::start(Recipe {
            program: programs.faasflow.clone(),
            arguments,
            environment: Vec::new(),
            port: provider_port,
            ready: None,
            log: folder.path().join("faasflow-up.log"),
        })
        .await?;
        let openfaas =
            if real { Some(Mutex::new(openfaas(programs, folder.path(), &provider_url).await?)) } else { None };
        let stand = Stand {
            real,
            url,
            provider_url,
            recorder,
            client: Client::new(),
            folder,
            openfaas,
            provider: Mutex::new(provider),
            redis: severable,
            _redis: redis,
        };
        stand.until_ready().await?;
        Ok(stand)
    }

    /// Waits until all functions accept requests. The first time, they have to be built.
    pub(super) async fn until_ready(&self) -> Result<(), String> {
        let Err(why) = self.client.until_ready(&self.url).await else { return Ok(()) };
        Err(format!("{why}; the log of the provider ends: {}", self.provider.lock().await.tail()))
    }

    pub(super) async fn get(&self, url: &str) -> Result<Answer, String> {
        self.client.get(url).await
    }

    /// Invokes a function, synchronously or through the queue. `target` is its name and what follows it in the path.
    pub(super) async fn invoke(
        &self,
        route: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Result<Answer, String> {
        self.client.send(Method::POST, &format!("{}/{route}/{target}", self.url), headers, body).await
    }

    /// The last log lines of a function.
    pub(super) async fn logs(&self, function: &str) -> Result<String, String> {
        let answer = self.get(&format!("{}/system/logs?name={function}&tail=200", self.url)).await?.expect(200)?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Kills the program that delivers queued calls while it works, and restarts it.
    pub(super) async fn kill_deliverer(&self) -> Result<(), String> {
        match &self.openfaas {
            Some(openfaas) => {
                let mut openfaas = openfaas.lock().await;
                openfaas.worker.kill().await?;
                openfaas.worker.again().await
            }
            None => {
                let mut provider = self.provider.lock().await;
                provider.kill().await?;
                provider.again().await?;
                drop(provider);
                self.until_ready().await
            }
        }
    }

    pub(super) async fn kill_broker(&self) -> Result<(), String> {
        match &self.openfaas {
            Some(openfaas) => openfaas.lock().await.broker.kill().await,
            None => Err("there is no broker here".to_owned()),
        }
    }

    pub(super) async fn start_broker(&self) -> Result<(), String> {
        match &self.openfaas {
            Some(openfaas) => openfaas.lock().await.broker.again().await,
            None => Err("there is no broker here".to_owned()),
        }
    }

    /// Removes what the broker has stored, as if it kept its queue in memory, which is the default of OpenFaaS. It must be down.
    pub(super) fn lose_queue(&self) -> Result<(), String> {
        std::fs::remove_dir_all(self.folder.path().join("nats")).map_err(|error| error.to_string())
    }

    /// Signs a request to the API of a flow.
    pub(super) fn sign(&self, request: &str) -> Result<String, String> {
        let key = std::fs::read_to_string(self.folder.path().join(".faasflow/secrets/faasflow-hmac-secret"));
        let keys = Keys::parse(&key.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
        Ok(keys.sign([request.as_bytes()]))
    }

    pub(super) async fn kill_gateway(&self) -> Result<(), String> {
        match &self.openfaas {
            Some(openfaas) => openfaas.lock().await.gateway.kill().await,
            None => Err("there is no gateway in front here".to_owned()),
        }
    }

    pub(super) async fn start_gateway(&self) -> Result<(), String> {
        match &self.openfaas {
            Some(openfaas) => openfaas.lock().await.gateway.again().await,
            None => Err("there is no gateway in front here".to_owned()),
        }
    }

    pub(super) async fn stop(self) -> Result<(), String> {
        if let Some(openfaas) = self.openfaas {
            let Real { mut broker, mut gateway, mut worker, .. } = openfaas.into_inner();
            worker.kill().await?;
            gateway.kill().await?;
            broker.kill().await?;
        }
        self.provider.into_inner().stop().await
    }
}

async fn openfaas(programs: &Programs, folder: &Path, provider: &str) -> Result<Real, String> {
    for port in [GATEWAY_PORT, 8082] {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Err(format!(
                "port {port} is taken, and OpenFaaS's gateway takes no other: stop what listens there"
            ));
        }
    }
    let prometheus_port = free_port()?;
    let metrics = folder.join("prometheus.yml");
    let scrape = "global: { scrape_interval: 5s }\nscrape_configs:\n  - job_name: gateway\n    static_configs:\n      - targets: ['127.0.0.1:8082']\n";
    std::fs::write(&metrics, scrape).map_err(|error| error.to_string())?;
    let prometheus = Server::start(Recipe {
        program: programs.prometheus.clone(),
        arguments: vec![
            format!("--config.file={}", metrics.display()),
            format!("--storage.tsdb.path={}", folder.join("prometheus").display()),
            format!("--web.listen-address=127.0.0.1:{prometheus_port}"),
        ],
        environment: Vec::new(),
        port: prometheus_port,
        ready: None,
        log: folder.join("prometheus.log"),
    })
    .await?;
    let broker_port = free_port()?;
    let broker = Server::start(Recipe {
        program: programs.nats.clone(),
        arguments: [
            words(&format!("-a 127.0.0.1 -p {broker_port} -cid faas-cluster -store file -dir")),
            vec![folder.join("nats").to_string_lossy().into_owned()],
        ]
        .concat(),
        environment: Vec::new(),
        port: broker_port,
        ready: Some("Streaming Server is ready"),
        log: folder.join("nats.log"),
    })
    .await?;
    let nats = [
        ("faas_nats_address", "127.0.0.1".to_owned()),
        ("faas_nats_port", broker_port.to_string()),
        ("faas_nats_cluster_name", "faas-cluster".to_owned()),
        ("basic_auth", "false".to_owned()),
        ("faas_reconnect_delay", "500ms".to_owned()),
    ];
    let environment = |own: &[(&str, &str)]| {
        let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        nats.clone().map(|(name, value)| (name.to_owned(), value)).into_iter().chain(own).collect()
    };
    let gateway = Server::start(Recipe {
        program: programs.gateway.clone(),
        arguments: Vec::new(),
        environment: environment(&[
            ("functions_provider_url", &format!("{provider}/")),
            ("direct_functions", "false"),
            ("read_timeout", "60s"),
            ("write_timeout", "60s"),
            ("upstream_timeout", "60s"),
            ("faas_prometheus_host", "127.0.0.1"),
            ("faas_prometheus_port", &prometheus_port.to_string()),
        ]),
        port: GATEWAY_PORT,
        ready: None,
        log: folder.join("gateway.log"),
    })
    .await?;
    let worker = Server::start(Recipe {
        program: programs.worker.clone(),
        arguments: Vec::new(),
        environment: environment(&[
            ("faas_gateway_address", "127.0.0.1"),
            ("faas_gateway_port", &GATEWAY_PORT.to_string()),
            ("ack_wait", &format!("{}s", ACK_WAIT.as_secs())),
        ]),
        // It does not listen.
        port: 0,
        ready: None,
        log: folder.join("queue-worker.log"),
    })
    .await?;
    Ok(Real { _prometheus: prometheus, broker, gateway, worker })
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The functions and flows of a stand.
fn stack_text(recorder: &Recorder, redis_port: u16, severable_port: u16) -> Result<String, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name("e2e-flow");
    let program = program.display();
    let mut text = "version: 1.0\nprovider:\n  name: openfaas\n\nfunctions:\n".to_owned();
    for name in ["one", "two", "three", "callee"] {
        let url = recorder.url(name);
        text.push_str(&format!("  {name}:\n    annotations: {{ faasflow.url: '{url}' }}\n"));
    }
    let timeout = WRITE_TIMEOUT.as_secs();
    for name in ["relay", "relay-stored", "direct", "gated", "graph", "graph-first", "graph-stored", "six-stored"] {
        let redis_port = if name == "graph-stored" { severable_port } else { redis_port };
        text.push_str(&format!(
            "  {name}:\n    lang: faasflow\n    fprocess: {program}\n    secrets: [faasflow-hmac-secret]\n    environment:\n      \
             mode: http\n      E2E_FLOW: {name}\n      workflow_name: {name}\n      write_timeout: {timeout}s\n      \
             redis_url: redis://127.0.0.1:{redis_port}\n"
        ));
        if name == "relay" {
            // It has no store, even where the gateway offers one, so its requests are not remembered.
            text.push_str("      state_manager: envelope\n");
        }
    }
    text.push_str(&photos::functions()?);
    for name in photos::FLOWS {
        text.push_str(&photos::flow(name, &[])?);
    }
    Ok(text)
}
