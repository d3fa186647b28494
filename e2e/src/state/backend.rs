//! The servers, and the settings that name them.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use faasflow::BoxFuture;
use faasflow::state::{Condition, ListQuery, Listed, Scope, StateError, StateManager, Status, Version, Watch};
use faasflow::{Redis, S3};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::tls::Certificate;
use crate::server::{Recipe, Server, free_port};

const USER: &str = "e2e-access-key";
const PASSWORD: &str = "e2e-secret-key";
const BUCKET: &str = "faasflow-e2e";

/// A running server, and everything needed to use it.
pub(crate) struct Backend {
    kind: Kind,
    port: u16,
    /// Where MinIO keeps its objects.
    data: Option<PathBuf>,
    /// Its certificate, if it uses TLS.
    certificate: Option<Certificate>,
    server: Mutex<Server>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Minio,
    Redis,
}

/// Values by name.
type Texts = Vec<(&'static str, String)>;

/// A state manager of either kind.
pub(crate) enum Manager {
    S3(S3),
    Redis(Box<Redis>),
}

impl Backend {
    /// Starts MinIO with its data in the suite's folder, or in another one.
    pub(crate) async fn minio(program: &Path, folder: &Path, data: Option<PathBuf>) -> Result<Backend, String> {
        Backend::minio_with(program, folder, data, None).await
    }

    /// Starts MinIO, with TLS if there is a certificate.
    pub(crate) async fn minio_with(
        program: &Path,
        folder: &Path,
        data: Option<PathBuf>,
        certificate: Option<Certificate>,
    ) -> Result<Backend, String> {
        let certificates = folder.join("certificates");
        std::fs::create_dir_all(&certificates).map_err(|error| error.to_string())?;
        let (port, console) = (free_port()?, free_port()?);
        let data = data.unwrap_or_else(|| folder.join("data"));
        if let Some(certificate) = &certificate {
            certificate.write(&certificates.join("public.crt"), &certificates.join("private.key"))?;
        }
        let words = ["server", &data.to_string_lossy(), "--address", &format!("127.0.0.1:{port}")].map(str::to_owned);
        let console = ["--console-address".to_owned(), format!("127.0.0.1:{console}")];
        let certificates = ["--certs-dir".to_owned(), certificates.to_string_lossy().into_owned()];
        let variables = [("MINIO_ROOT_USER", USER), ("MINIO_ROOT_PASSWORD", PASSWORD), ("MINIO_BROWSER", "off")];
        let recipe = Recipe {
            program: program.to_owned(),
            arguments: words.into_iter().chain(console).chain(certificates).collect(),
            environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            port,
            ready: None,
            log: folder.join("log"),
        };
        let backend = Backend {
            kind: Kind::Minio,
            port,
            data: Some(data),
            certificate,
            server: Mutex::new(Server::start(recipe).await?),
        };
        backend.until_well().await?;
        Ok(backend)
    }

    /// Starts Redis, which writes every command to disk.
    pub(crate) async fn redis(program: &Path, folder: &Path) -> Result<Backend, String> {
        Backend::redis_with(program, folder, None).await
    }

    /// Starts Redis, with TLS if there is a certificate.
    pub(crate) async fn redis_with(
        program: &Path,
        folder: &Path,
        certificate: Option<Certificate>,
    ) -> Result<Backend, String> {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let port = free_port()?;
        let folder_text = folder.to_string_lossy();
        let tls = match &certificate {
            None => vec![("--port", port.to_string())],
            Some(certificate) => {
                let (public, private) = (folder.join("public.crt"), folder.join("private.key"));
                certificate.write(&public, &private)?;
                vec![
                    ("--port", "0".to_owned()),
                    ("--tls-port", port.to_string()),
                    ("--tls-cert-file", public.to_string_lossy().into_owned()),
                    ("--tls-key-file", private.to_string_lossy().into_owned()),
                    ("--tls-auth-clients", "no".to_owned()),
                ]
            }
        };
        let words = [
            ("--bind", "127.0.0.1".to_owned()),
            ("--dir", folder_text.into_owned()),
            ("--appendonly", "yes".to_owned()),
            ("--appendfsync", "everysec".to_owned()),
            ("--save", String::new()),
            ("--requirepass", PASSWORD.to_owned()),
            ("--auto-aof-rewrite-percentage", "0".to_owned()),
        ];
        let recipe = Recipe {
            program: program.to_owned(),
            arguments: words.into_iter().chain(tls).flat_map(|(word, value)| [word.to_owned(), value]).collect(),
            environment: Vec::new(),
            port,
            ready: None,
            log: folder.join("log"),
        };
        let backend = Backend {
            kind: Kind::Redis,
            port,
            data: None,
            certificate,
            server: Mutex::new(Server::start(recipe).await?),
        };
        backend.until_well().await?;
        Ok(backend)
    }

    /// Listening is not enough: MinIO first checks its disks, and Redis reads its log. This also creates the bucket.
    pub(crate) async fn until_well(&self) -> Result<(), String> {
        let mut last = String::new();
        for _ in 0..600 {
            match self.manager().probe().await {
                Ok(()) => return Ok(()),
                Err(error) => last = format!("{:#}", faasflow::Error::from(error)),
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Err(format!("{} does not get well: {last}; its log ends:\n{}", self.title(), self.server.lock().await.tail()))
    }

    pub(crate) fn is_minio(&self) -> bool {
        self.kind == Kind::Minio
    }

    pub(crate) fn title(&self) -> &'static str {
        match self.kind {
            Kind::Minio => "S3, on MinIO",
            Kind::Redis => "Redis",
        }
    }

    pub(crate) fn manager(&self) -> Manager {
        self.manager_with(PASSWORD, BUCKET, true)
    }

    /// A manager with a wrong password or bucket.
    pub(crate) fn manager_with(&self, password: &str, bucket: &str, create_bucket: bool) -> Manager {
        let authorities = self.certificate.as_ref().map(|certificate| certificate.authority.clone());
        self.manager_trusting(authorities, password, bucket, create_bucket)
    }

    /// A manager that does not trust the server's certificate.
    pub(crate) fn distrustful_manager(&self) -> Manager {
        self.manager_trusting(None, PASSWORD, BUCKET, false)
    }

    fn manager_trusting(
        &self,
        authorities: Option<String>,
        password: &str,
        bucket: &str,
        create_bucket: bool,
    ) -> Manager {
        match self.kind {
            Kind::Minio => {
                let scheme = if self.certificate.is_some() { "https" } else { "http" };
                let mut builder = S3::builder(bucket)
                    .endpoint(format!("{scheme}://127.0.0.1:{}", self.port))
                    .credentials(USER, password)
                    .create_bucket(create_bucket);
                if let Some(pem) = authorities {
                    builder = builder.authorities(pem);
                }
                Manager::S3(builder.build().expect("the bucket's description fits together"))
            }
            Kind::Redis => {
                let scheme = if self.certificate.is_some() { "rediss" } else { "redis" };
                let mut builder = Redis::builder(format!("{scheme}://:{password}@127.0.0.1:{}/0", self.port));
                if let Some(pem) = authorities {
                    builder = builder.authorities(pem);
                }
                Manager::Redis(Box::new(builder.build().expect("the address is one")))
            }
        }
    }

    /// The settings that name this backend, and the secrets, as OpenFaaS would give them.
    pub(crate) fn settings(&self) -> (Texts, Texts) {
        match self.kind {
            Kind::Minio => (
                vec![
                    ("state_manager", "s3".to_owned()),
                    ("s3_url", format!("127.0.0.1:{}", self.port)),
                    ("s3_bucket", BUCKET.to_owned()),
                ],
                vec![("s3-access-key", USER.to_owned()), ("s3-secret-key", PASSWORD.to_owned())],
            ),
            Kind::Redis => (
                vec![("state_manager", "redis".to_owned())],
                vec![("redis-url", format!("redis://:{PASSWORD}@127.0.0.1:{}/0", self.port))],
            ),
        }
    }

    pub(crate) async fn kill(&self) -> Result<(), String> {
        self.server.lock().await.kill().await
    }

    pub(crate) async fn again(&self) -> Result<(), String> {
        self.server.lock().await.again().await?;
        self.until_well().await
    }

    /// Freezes the process, so that connections stay open without answers.
    pub(crate) async fn freeze(&self, frozen: bool) -> Result<(), String> {
        let id = self.server.lock().await.id().ok_or("the server does not run")?;
        let signal = if frozen { libc::SIGSTOP } else { libc::SIGCONT };
        let id = libc::pid_t::try_from(id).map_err(|error| error.to_string())?;
        #[allow(unsafe_code, reason = "the standard library sends no signals")]
        // SAFETY: kill takes plain integers; the process is a child that has not been waited for.
        let done = unsafe { libc::kill(id, signal) };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().to_string()) }
    }

    /// Sends a command to Redis, written as on its command line.
    pub(crate) async fn command(&self, command: &str) -> Result<(), String> {
        let answer = self.ask(command).await?;
        if answer == "+OK" { Ok(()) } else { Err(format!("`{command}`: {answer}")) }
    }

    /// Sends a command to Redis, and returns the lines of its answer.
    async fn ask(&self, command: &str) -> Result<String, String> {
        let ask = async {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
            stream.write_all(format!("AUTH {PASSWORD}\r\n{command}\r\nQUIT\r\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = ask.await.map_err(|error| error.to_string())?;
        let inner = answer.strip_prefix("+OK\r\n").and_then(|rest| rest.strip_suffix("\r\n+OK\r\n"));
        inner.map(str::to_owned).ok_or_else(|| format!("`{command}`: {answer}"))
    }

    /// How many values of requests of a flow have no time to live. S3 has none for objects.
    pub(crate) async fn immortal(&self, flow: &str) -> Result<usize, String> {
        if self.is_minio() {
            return Ok(0);
        }
        let script = "local immortal = 0 for _, key in ipairs(redis.call('KEYS', 'faasflow*:' .. ARGV[1] .. ':*')) do \
                      local lists = string.find(key, '^faasflow%-requests:') \
                      if not lists and redis.call('PTTL', key) < 0 then immortal = immortal + 1 end end return immortal";
        number(&self.ask(&format!("EVAL \"{script}\" 0 {flow}")).await?)
    }

    /// How many entries of the lists of a flow's requests are in the store, of whatever age.
    pub(crate) async fn entries(&self, flow: &str) -> Result<usize, String> {
        if let Some(data) = &self.data {
            // What outlives the requests still has entries elsewhere, by which it expires.
            let list = format!("/records/k-{flow}/");
            return Ok(files(data).into_iter().filter(|file| file.contains(&list)).count());
        }
        let mut all = 0;
        for command in ["ZCARD faasflow-requests", "HLEN faasflow-statuses", "ZCARD faasflow-expiry"] {
            all += number(&self.ask(&format!("{command}:{flow}")).await?)?;
        }
        Ok(all)
    }

    pub(crate) async fn stop(&self) -> Result<(), String> {
        self.kill().await
    }
}

/// An integer as Redis answers it.
fn number(answer: &str) -> Result<usize, String> {
    answer.strip_prefix(':').and_then(|number| number.parse().ok()).ok_or_else(|| format!("it answered {answer}"))
}

/// The paths of all files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path.to_string_lossy().into_owned()],
        })
        .collect()
}

impl Manager {
    fn inner(&self) -> &dyn StateManager {
        match self {
            Manager::S3(manager) => manager,
            Manager::Redis(manager) => &**manager,
        }
    }
}

impl StateManager for Manager {
    fn name(&self) -> &str {
        self.inner().name()
    }

    fn supports_branches(&self) -> bool {
        self.inner().supports_branches()
    }

    fn supports_records(&self) -> bool {
        self.inner().supports_records()
    }

    fn begin_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        key: &'a str,
        value: bytes::Bytes,
    ) -> BoxFuture<'a, Result<bool, StateError>> {
        self.inner().begin_request(scope, started_ms, key, value)
    }

    fn list_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        self.inner().list_request(scope, started_ms, status)
    }

    fn retire_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
        keep_for: Duration,
        known_for: Duration,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        self.inner().retire_request(scope, started_ms, status, keep_for, known_for)
    }

    fn list_requests<'a>(
        &'a self,
        flow: &'a str,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StateError>> {
        self.inner().list_requests(flow, query)
    }

    fn remove_expired<'a>(&'a self, flow: &'a str, limit: usize) -> BoxFuture<'a, Result<usize, StateError>> {
        self.inner().remove_expired(flow, limit)
    }

    fn get_across<'a>(
        &'a self,
        scopes: &'a [Scope],
        key: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Option<bytes::Bytes>>, StateError>> {
        self.inner().get_across(scopes, key)
    }

    fn is_expired<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<bool, StateError>> {
        self.inner().is_expired(scope)
    }

    fn watch<'a>(&'a self, flow: &'a str) -> BoxFuture<'a, Result<Option<Box<dyn Watch>>, StateError>> {
        self.inner().watch(flow)
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StateError>> {
        self.inner().probe()
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<bytes::Bytes>, StateError>> {
        self.inner().get(scope, key)
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: bytes::Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.inner().set(scope, key, value)
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        self.inner().remove(scope, key)
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.inner().remove_request(scope)
    }

    fn get_many<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<bytes::Bytes>>, StateError>> {
        self.inner().get_many(scope, keys)
    }

    fn end_request<'a>(&'a self, scope: &'a Scope, keep_for: Duration) -> BoxFuture<'a, Result<(), StateError>> {
        self.inner().end_request(scope, keep_for)
    }

    fn get_versioned<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(bytes::Bytes, Version)>, StateError>> {
        self.inner().get_versioned(scope, key)
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: bytes::Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        self.inner().set_if(scope, key, value, condition)
    }
}
