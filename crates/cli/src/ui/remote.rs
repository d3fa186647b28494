//! The gateway that the pages are about.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow_admin::{FunctionStatus, RequestList, paths};
use faasflow_core::code;
use faasflow_core::headers::{OUTCOME, REQUEST_ID};
use faasflow_core::signature::Keys;
use faasflow_http::read_body;
use futures_util::future::join_all;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::client::{Client, error_code, is_own_answer, refused};
use crate::error::{Exit, Failure};
use crate::requests::api::{FlowApi, Kind, is_no_flow};

/// How long the gateway may take to begin an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for the first look, before the pages are served, and for finding out whether a function is a flow.
const FIRST: Duration = Duration::from_secs(5);
/// How long a function that is no flow is not asked again. A flow may be deployed under its name.
const ASKED_AGAIN: Duration = Duration::from_secs(60);
/// The same for one that did not answer. Meanwhile, it counts as a flow.
const SILENT: Duration = Duration::from_secs(20);
/// How many bytes of an error of the gateway are read at most.
const ERROR_BODY: u64 = 64 << 10;

/// The gateway, and the way to its flows.
pub(super) struct Remote {
    client: Client,
    keys: Option<Arc<Keys>>,
    /// What kind it was when it was asked last.
    kind: Mutex<Option<Kind>>,
    /// The functions that were asked, whether they are flows, and until when that holds; `None` is for good.
    asked: Mutex<HashMap<String, (bool, Option<Instant>)>>,
}

/// What can be seen of the gateway.
pub(super) enum Sight {
    Whole,
    /// It does not sign, and there is no key.
    NoKey,
    /// It does not answer now.
    Away(Failure),
}

impl Remote {
    pub(super) fn new(client: Client, keys: Option<Keys>) -> Remote {
        Remote { client, keys: keys.map(Arc::new), kind: Mutex::default(), asked: Mutex::default() }
    }

    pub(super) fn base(&self) -> &str {
        self.client.base()
    }

    /// Whether there is a key to sign with.
    pub(super) fn has_key(&self) -> bool {
        self.keys.is_some()
    }

    /// Looks at the gateway before its pages are served.
    ///
    /// # Errors
    ///
    /// If it is no gateway, or refuses the user and the password. That would not become better.
    pub(super) async fn look(&self) -> Result<Sight, Failure> {
        let looking = async {
            let answer = self.client.send(Method::GET, paths::FUNCTIONS, HeaderMap::new(), Bytes::new()).await?;
            if answer.status.is_server_error() {
                let text = String::from_utf8_lossy(&answer.body);
                return Ok(Sight::Away(refused(answer.status, &answer.headers, &text)));
            }
            self.not_elsewhere(answer.status, &answer.headers)?;
            self.client.read::<Option<Vec<FunctionStatus>>>(&answer)?;
            Ok(match self.kind().await? {
                Kind::OpenFaas if !self.has_key() => Sight::NoKey,
                _ => Sight::Whole,
            })
        };
        match tokio::time::timeout(FIRST, looking).await.unwrap_or_else(|_| Err(self.late(FIRST))) {
            Err(failure @ Failure::Problems { exit: Exit::Unreachable, .. }) => Ok(Sight::Away(failure)),
            sight => sight,
        }
    }

    /// What kind of gateway it is.
    pub(super) async fn kind(&self) -> Result<Kind, Failure> {
        let known = *self.kind.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some(kind) => Ok(kind),
            None => Ok(self.candidates().await?.0),
        }
    }

    /// The functions, with the numbers that OpenFaaS leaves out if they are 0, and without variables, which no page shows.
    pub(super) async fn functions(&self) -> Result<Vec<FunctionStatus>, Failure> {
        let asking = self.client.json::<Option<Vec<FunctionStatus>>>(Method::GET, paths::FUNCTIONS);
        let mut functions = self.in_time(asking).await?.unwrap_or_default();
        for function in &mut functions {
            for number in [&mut function.replicas, &mut function.available_replicas, &mut function.invocation_count] {
                number.get_or_insert(0);
            }
            function.env_vars = None;
        }
        Ok(functions)
    }

    /// The names of the flows. Functions that have the key of flows and do not answer about requests are left out.
    pub(super) async fn flows(&self) -> Result<Vec<String>, Failure> {
        let (kind, candidates) = self.candidates().await?;
        let asking = candidates.into_iter().map(async |name| {
            let is_flow = self.ask_whether_flow(kind, &name).await;
            is_flow.then_some(name)
        });
        Ok(join_all(asking).await.into_iter().flatten().collect())
    }

    /// Whether a function is a flow. Others are not asked for anything: a request would run them.
    pub(super) async fn is_flow(&self, name: &str) -> Result<bool, Failure> {
        if self.known(name) == Some(true) {
            return Ok(true);
        }
        let (kind, candidates) = self.candidates().await?;
        Ok(candidates.iter().any(|candidate| candidate == name) && self.ask_whether_flow(kind, name).await)
    }

    /// Sends a request to the API of a flow. `target` is what comes after `/_` in the path of the flow, with the query.
    pub(super) async fn ask_flow(
        &self,
        method: Method,
        flow: &str,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let api = self.api(self.kind().await?);
        let answer = self.in_time(api.open(method, flow, target, headers, body)).await?;
        self.usable(answer).await
    }

    /// Sends a request to the gateway.
    pub(super) async fn ask(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let answer = self.in_time(self.client.open(method, target, headers, body)).await?;
        self.usable(answer).await
    }

    /// Calls a function. There is no limit on the time until it answers, because the page may want to wait.
    pub(super) async fn call(
        &self,
        target: &str,
        headers: HeaderMap,
        body: axum::body::Body,
    ) -> Result<Response<Incoming>, Failure> {
        self.client.open(Method::POST, target, headers, body).await
    }

    /// Asks the gateway again what kind it is, because it answered as the other one.
    pub(super) fn forget_kind(&self) {
        *self.kind.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn api(&self, kind: Kind) -> FlowApi<'_> {
        match kind {
            Kind::OpenFaas if self.keys.is_none() => FlowApi::unsigned(&self.client),
            _ => FlowApi::new(&self.client, self.keys.clone()),
        }
    }

    /// The kind of the gateway, and the functions that may be flows.
    async fn candidates(&self) -> Result<(Kind, Vec<String>), Failure> {
        let api = FlowApi::new(&self.client, self.keys.clone());
        let (kind, names) = self.in_time(api.flows_of_gateway()).await?;
        *self.kind.lock().unwrap_or_else(PoisonError::into_inner) = Some(kind);
        Ok((kind, names))
    }

    /// Whether a function is a flow, if that is known.
    fn known(&self, name: &str) -> Option<bool> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_flow, until) = *asked.get(name)?;
        until.is_none_or(|until| Instant::now() < until).then_some(is_flow)
    }

    /// Asks a function that may be a flow. One that cannot tell now counts as a flow.
    async fn ask_whether_flow(&self, kind: Kind, name: &str) -> bool {
        if let Some(is_flow) = self.known(name) {
            return is_flow;
        }
        let api = self.api(kind);
        let asking = tokio::time::timeout(FIRST, api.send(Method::GET, name, "/requests?limit=1", None));
        let (is_flow, for_how_long) = match asking.await {
            Ok(Ok(answer)) => match api.read::<RequestList>(&answer, name, "list its requests") {
                Ok(_) => (true, None),
                Err(failure) if is_no_flow(&failure) => (false, Some(ASKED_AGAIN)),
                // Any other error of a flow has a code. If the gateway answers in its place, it may be about to start.
                Err(_) if error_code(&answer.headers).is_some() && !is_own_answer(&answer.headers) => (true, None),
                Err(_) => return true,
            },
            Ok(Err(_)) => return true,
            Err(_) => (true, Some(SILENT)),
        };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(name.to_owned(), (is_flow, for_how_long.map(|time| Instant::now() + time)));
        is_flow
    }

    async fn in_time<T>(&self, asking: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(self.late(PATIENCE)))
    }

    fn late(&self, patience: Duration) -> Failure {
        self.client.unreachable(&format!("it did not answer within {patience:?}"))
    }

    /// An answer that is one of a gateway or of a flow.
    async fn usable(&self, answer: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
        // The result of a request may be anything.
        if [REQUEST_ID, OUTCOME].iter().any(|name| answer.headers().contains_key(name)) {
            return Ok(answer);
        }
        let (status, code) = (answer.status(), error_code(answer.headers()));
        self.not_elsewhere(status, answer.headers())?;
        let kind = answer.headers().get(CONTENT_TYPE);
        let is_page = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let is_denied = status == StatusCode::UNAUTHORIZED && code.is_none_or(|code| code == code::ACCESS_DENIED);
        if !is_denied && (code.is_some() || !is_page) {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let text = read_body(body, ERROR_BODY, PATIENCE).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        Err(self
            .client
            .check(status, &parts.headers, &text)
            .err()
            .unwrap_or_else(|| refused(status, &parts.headers, &text)))
    }

    /// Fails if the gateway names another address. What is sent must not go there by itself, least of all the password.
    fn not_elsewhere(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
        if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
            return Ok(());
        }
        let what = format!("the gateway at {} redirects to another address", self.base());
        let failure = Failure::failed(code::UNEXPECTED_ANSWER, what);
        let location = headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let failure = match location {
            Some(location) => failure.because_text(format!("it answered {status}, and names `{location}`")),
            None => failure.because_text(format!("it answered {status}")),
        };
        Err(failure.help("give the address at which the gateway answers itself, often the one with https"))
    }
}
