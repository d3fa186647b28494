//! What the checks run on: functions and flows behind OpenFaaS's real parts, or behind `faasflow up` alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use faasflow_runtime::http::{HttpClient, read_body};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::sync::Mutex;

use super::recorder::Recorder;
use crate::server::{Recipe, Server, free_port};
use crate::tools;

/// The last versions known by name before the community edition's licence of March 2024; all are MIT.
const GATEWAY: (&str, &str) = ("github.com/openfaas/faas/gateway", "v0.0.0-20230317100158-e44448c5dca2");
const WORKER: (&str, &str) = ("github.com/openfaas/nats-queue-worker", "v0.0.0-20230117214128-3615ccb286cc");
const FAAS_CLI: (&str, &str) = ("github.com/openfaas/faas-cli", "v0.0.0-20211012083206-08e3e965c831");
const NATS: (&str, &str) = ("github.com/nats-io/nats-streaming-server", "v0.25.6");
/// OpenFaaS's gateway listens there, and nowhere else.
const GATEWAY_PORT: u16 = 8080;
/// After this long without an acknowledgement the broker delivers again.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(6);
/// How long one phase of the flows here may take.
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
        Ok(Programs {
            gateway: tools::go_module(GATEWAY.0, GATEWAY.1).await?,
            worker: tools::go_module(WORKER.0, WORKER.1).await?,
            faas_cli: tools::go_module(FAAS_CLI.0, FAAS_CLI.1).await?,
            nats: tools::go(NATS.0, NATS.1).await?,
            redis: tools::debian("redis-server", "redis-server").await?,
            // OpenFaaS's gateway asks it for invocation counts, and panics where there is none.
            prometheus: tools::debian("prometheus", "prometheus").await?,
            faasflow: own.with_file_name("faasflow"),
        })
    }
}

/// The parts that are OpenFaaS's.
struct Real {
    _prometheus: Server,
    broker: Server,
    gateway: Server,
    worker: Server,
}

/// Where checks run.
pub(super) struct Stand {
    /// Whether OpenFaaS's real parts are in front.
    pub(super) real: bool,
    /// The gateway.
    pub(super) url: String,
    /// Where the functions are: the provider, which is the gateway itself where nothing is in front.
    pub(super) provider_url: String,
    pub(super) recorder: Recorder,
    pub(super) client: HttpClient,
    pub(super) folder: tempfile::TempDir,
    openfaas: Option<Mutex<Real>>,
    provider: Mutex<Server>,
    _redis: Server,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(400)]).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn expect(self, status: u16) -> Result<Answer, String> {
        if self.status.as_u16() == status {
            Ok(self)
        } else {
            Err(format!("it was answered with {} instead of {status}: {}", self.status, self.text()))
        }
    }
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
        let stack = folder.path().join("stack.yml");
        std::fs::write(&stack, stack_text(&recorder, redis_port)?).map_err(|error| error.to_string())?;
        let provider_port = free_port()?;
        let provider_url = format!("http://127.0.0.1:{provider_port}");
        let url = if real { format!("http://127.0.0.1:{GATEWAY_PORT}") } else { provider_url.clone() };
        let mut arguments = vec!["up".to_owned(), stack.to_string_lossy().into_owned()];
        arguments.extend(words(&format!("--no-watch --port {provider_port}")));
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
            client: HttpClient::new(Duration::from_secs(5)),
            folder,
            openfaas,
            provider: Mutex::new(provider),
            _redis: redis,
        };
        stand.until_ready().await?;
        Ok(stand)
    }

    /// Waits until all functions take requests, which the first time means that they are built.
    pub(super) async fn until_ready(&self) -> Result<(), String> {
        let mut waiting = String::new();
        for _ in 0..3000 {
            let answer = self.get(&format!("{}/system/functions", self.url)).await;
            match answer {
                Ok(answer) if answer.status.is_success() => {
                    let list: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
                    let list = list.as_array().cloned().unwrap_or_default();
                    // OpenFaaS's gateway leaves a zero out.
                    let missing =
                        list.iter().filter(|function| function["availableReplicas"].as_u64().unwrap_or(0) == 0);
                    let missing: Vec<&str> = missing.filter_map(|function| function["name"].as_str()).collect();
                    if missing.is_empty() && !list.is_empty() {
                        return Ok(());
                    }
                    waiting = missing.join(", ");
                }
                Ok(answer) => waiting = format!("{}: {}", answer.status, answer.text()),
                Err(why) => waiting = why,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("not ready: {waiting}; the log of the provider ends: {}", self.provider.lock().await.tail()))
    }

    pub(super) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.client.send(request).await.map_err(|error| faasflow_core::chain(&error))?;
            let (parts, body) = response.into_parts();
            let body = read_body(body, 1 << 30, Duration::from_secs(60)).await.map_err(|error| error.to_string())?;
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        let late = |_| format!("{url} did not answer within 90 s");
        tokio::time::timeout(Duration::from_secs(90), exchange).await.map_err(late)?
    }

    pub(super) async fn get(&self, url: &str) -> Result<Answer, String> {
        self.send(Method::GET, url, &[], Body::empty()).await
    }

    /// Invokes a function, synchronously or through the queue; `target` is its name, and what follows.
    pub(super) async fn invoke(
        &self,
        route: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Result<Answer, String> {
        self.send(Method::POST, &format!("{}/{route}/{target}", self.url), headers, body).await
    }

    /// The last lines that a function has logged.
    pub(super) async fn logs(&self, function: &str) -> Result<String, String> {
        let answer = self.get(&format!("{}/system/logs?name={function}&tail=200", self.url)).await?.expect(200)?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Kills what delivers queued calls in the middle of its work, and starts it again.
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
        // It listens nowhere.
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
fn stack_text(recorder: &Recorder, redis_port: u16) -> Result<String, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name("e2e-flow");
    let program = program.display();
    let mut text = "version: 1.0\nprovider:\n  name: openfaas\n\nfunctions:\n".to_owned();
    for name in ["one", "two", "three", "callee"] {
        let url = recorder.url(name);
        text.push_str(&format!("  {name}:\n    annotations: {{ faasflow.url: '{url}' }}\n"));
    }
    let timeout = WRITE_TIMEOUT.as_secs();
    for name in ["relay", "relay-stored", "direct", "gated"] {
        text.push_str(&format!(
            "  {name}:\n    lang: faasflow\n    fprocess: {program}\n    secrets: [faasflow-hmac-secret]\n    environment:\n      \
             mode: http\n      E2E_FLOW: {name}\n      workflow_name: {name}\n      write_timeout: {timeout}s\n      \
             redis_url: redis://127.0.0.1:{redis_port}\n"
        ));
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/upload-pipeline");
    let example = example.canonicalize().map_err(|error| error.to_string())?;
    let example = example.display();
    for name in ["facedetect", "colorization", "image-resizer", "file-storage"] {
        text.push_str(&format!("  {name}:\n    lang: rust-http\n    handler: {example}/functions/{name}\n"));
        if name == "file-storage" {
            text.push_str("    environment: { storage_dir: ./storage }\n");
        }
    }
    for name in ["upload-pipeline", "upload-pipeline-async"] {
        text.push_str(&format!(
            "  {name}:\n    lang: faasflow\n    handler: {example}/flows/{name}\n    environment_file: [{example}/flow.yml]\n    \
             secrets: [faasflow-hmac-secret]\n"
        ));
    }
    Ok(text)
}
