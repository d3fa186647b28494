//! The API of a flow function about its requests.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, RawQuery, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use faasflow_admin as api;
use faasflow_core::code;
use faasflow_core::graph::Place;
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::forked::Redrive;
use faasflow_core::signature::{SignatureError, api_request, is_signed_now};
use faasflow_core::state::{ListPosition, Scope, Status};
use faasflow_core::{RequestId, duration, headers};
use faasflow_http::{ReadBodyError, now_ms, read_body};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode, Uri, request};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use uuid::Uuid;

use super::answer;
use super::cursor::{NOT_A_CURSOR, cursor, positions};
use super::ended::NOT_SHOWN;
use super::not_done::NotDone;
use super::parameters::{Recovering, Redriving, Repeating, ResultParameters, Showing};
use super::payloads::{Shown, ShownPayload};
use super::prefer::Preference;
use super::progress::{NotFound, Remembered};
use super::recover::Stalled;
use super::refused::{Answered, Refused, answered, answered_about, bad, refused};
use super::tagged::tagged;
use crate::conclusion::{Conclusion, Delivery};
use crate::deadline::Deadline;
use crate::delivery::respond;
use crate::gateway::OCTETS;
use crate::instance::Instance;

/// How many requests a page of the list has by default, and at most.
pub(super) const LISTED: usize = 50;
pub(super) const MOST_LISTED: usize = 1000;
/// How many requests `recover` looks at by default, and at most.
pub(super) const LOOKED_AT: usize = 1000;
pub(super) const MOST_LOOKED_AT: usize = 100_000;
/// How long a request must not have moved to be recovered, by default, if a phase may not take longer.
pub(super) const OLDER: Duration = Duration::from_secs(60);
/// The largest body of a request to the API, in bytes. None needs one.
const MOST_BODY: u64 = 64 << 10;

/// The routes below `/_/`.
pub(super) fn routes(function: Arc<Instance>) -> Router {
    Router::new()
        .route("/_/openapi.json", get(openapi))
        .route("/_/requests/{id}", get(status))
        .route("/_/requests/{id}/result", get(result))
        .route("/_/requests/{id}/input", get(input))
        .route("/_/requests/{id}/output", get(output))
        .route("/_/requests/{id}/answer", get(answer_of_function))
        .route("/_/requests/{id}/pause", post(pause))
        .route("/_/requests/{id}/resume", post(resume))
        .route("/_/requests/{id}/stop", post(stop))
        .route("/_/requests/{id}/redrive", post(redrive))
        .route("/_/requests/{id}/again", post(again))
        .route("/_/recover", post(recover))
        .route("/_", any(absent))
        .route("/_/", any(absent))
        .route("/_/{*rest}", any(absent))
        .with_state(function)
}

/// The answer to a method that a path below `/_/` does not have.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let reason =
        format!("`{}` does not have the method `{method}`; the header `Allow` has those that it has", uri.path());
    answered(refused(StatusCode::METHOD_NOT_ALLOWED, code::BAD_API_REQUEST, reason))
}

/// A path that would otherwise be a fresh request to the flow.
async fn absent(uri: Uri) -> Response {
    let reason = format!("a flow function has nothing at `{}`; requests to the flow itself go to `/`", uri.path());
    answered(refused(StatusCode::NOT_FOUND, code::BAD_API_REQUEST, reason))
}

/// The id in the path of a request to the API. It need not be valid.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Id, Response> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Id(id)),
            Err(_) => Err(answered(not_an_id())),
        }
    }
}

fn not_an_id<T>() -> Answered<T> {
    bad(format!("this is not a request id: an id has {}", RequestId::FORM))
}

impl Instance {
    fn remembering(&self) -> Answered<()> {
        if self.remembers {
            return Ok(());
        }
        let reason = "the flow does not remember its requests; for that it needs a shared state manager, such as `redis`, `s3` or, \
                      on the local gateway, `gateway`, and `records` must not be `off`";
        refused(StatusCode::NOT_IMPLEMENTED, code::NO_RECORDS, reason)
    }

    /// The scope of the request with this id.
    pub(super) fn scope_from(&self, id: &str) -> Answered<Scope> {
        self.remembering()?;
        match RequestId::parse(id) {
            Some(id) => Ok(self.scope_of(id.as_str())),
            None => not_an_id(),
        }
    }

    /// The same for a request that must be signed only if fresh requests must.
    async fn signed_if_verified(&self, request: Request) -> Answered<()> {
        if self.config.verify_request { self.signed(request).await } else { Ok(()) }
    }

    /// Reads a request to the API that must be signed, and checks the signature.
    pub(super) async fn signed(&self, request: Request) -> Answered<()> {
        self.remembering()?;
        let (parts, body) = request.into_parts();
        let body = match read_body(body, MOST_BODY, Duration::from_secs(10)).await {
            Ok(body) => body,
            Err(error) => {
                let status = match &error {
                    ReadBodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                    ReadBodyError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
                    _ => StatusCode::BAD_REQUEST,
                };
                return refused(status, error.code(), format!("{error}; the API needs no body"));
            }
        };
        if !self.config.enable_hmac {
            return Ok(());
        }
        let denied = |code, reason: String| refused(StatusCode::UNAUTHORIZED, code, reason);
        let Some(keys) = &self.keys else {
            return denied(code::NO_KEY, "this flow has no key, so it accepts no signed requests".to_owned());
        };
        let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let Some(signed_at) = text(headers::SIGNED_AT).and_then(|value| value.parse::<u64>().ok()) else {
            let reason = "the request is not signed: `X-Faasflow-Signed-At` is missing or is not a number of milliseconds; the \
                          command `faasflow requests` signs its requests";
            return denied(code::SIGNATURE_MISSING, reason.to_owned());
        };
        if !is_signed_now(signed_at, now_ms()) {
            let reason = "the request was signed too long ago, or a clock is wrong: `X-Faasflow-Signed-At` may be 5 minutes old, or \
                          1 minute ahead";
            return denied(code::SIGNED_TOO_LONG_AGO, reason.to_owned());
        }
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut signed = api_request(&self.name, parts.method.as_str(), target, signed_at).into_bytes();
        signed.extend_from_slice(&body);
        let header = parts.headers.get(headers::SIGNATURE).map(HeaderValue::as_bytes);
        match keys.verify(header, &signed) {
            Ok(()) => Ok(()),
            Err(SignatureError::Wrong) => {
                let reason = "the signature does not match this request under any key of this flow: sign the name of the flow, the \
                              method, the path with the query, the time and the body, with a key of this flow";
                denied(SignatureError::Wrong.code(), reason.to_owned())
            }
            Err(error) => {
                let reason = format!("{error}: send it as `X-Hub-Signature: sha256=<64 hexadecimal digits>`");
                denied(error.code(), reason)
            }
        }
    }

    /// The time that an answer may take.
    pub(super) fn patience(&self) -> Instant {
        Deadline::starting_now(self.config.write_timeout).state_in_steps()
    }

    /// How long a caller may wait that prefers this.
    fn granted(&self, wait: Duration) -> Duration {
        wait.min(self.patience().saturating_duration_since(Instant::now()))
    }

    /// Waits until a request has ended, as long as its caller is granted, and returns what has become of it.
    async fn awaited(&self, scope: &Scope, wait: Option<Duration>) -> Answered<Remembered> {
        let remembered = self.remembered(scope, self.patience()).await?;
        let (Some(wait), false) = (wait, remembered.status().has_ended()) else { return Ok(remembered) };
        let until = Instant::now() + wait;
        let manager = self.flow.state_manager().expect("a flow that remembers its requests has a state manager");
        let Some(mut waiting) = self.waiting.begin(manager, scope.clone(), remembered.generation()) else {
            let reason = "too many callers wait; ask again without `Prefer: wait`, or later";
            return refused(StatusCode::SERVICE_UNAVAILABLE, code::TOO_MANY_WAIT, reason);
        };
        // It may have ended before the wait began.
        let remembered = self.remembered(scope, self.patience()).await?;
        if remembered.status().has_ended() {
            return Ok(remembered);
        }
        let generation = remembered.generation();
        let is_over = waiting.until(until).await;
        loop {
            let remembered = self.remembered(scope, until.max(Instant::now() + Duration::from_secs(1))).await?;
            let is_shown = remembered.status().has_ended() || remembered.generation() != generation;
            if is_shown || !is_over || Instant::now() >= until {
                return Ok(remembered);
            }
            // The request has ended, but the store does not show it yet.
            tokio::time::sleep(NOT_SHOWN).await;
        }
    }

    /// Says where the status of an accepted request can be asked for.
    pub(crate) fn locate(&self, id: &RequestId, response: &mut Response) {
        let location = format!("/function/{}/_/requests/{id}", self.name);
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(LOCATION, location);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
    }

    /// The answer to a request that was accepted and has not ended.
    pub(crate) fn accepted(&self, id: &RequestId) -> Response {
        let mut response = respond(Conclusion::Forwarded, id, Delivery::Fresh, None);
        self.locate(id, &mut response);
        response
    }
}

pub(super) fn parameters<T: DeserializeOwned>(query: Option<&str>) -> Answered<T> {
    // The error names the parameters that there are.
    serde_html_form::from_str(query.unwrap_or_default())
        .or_else(|error| bad(format!("the query cannot be used: {error}")))
}

/// Parses a parameter that was given.
pub(super) fn number(name: &str, text: Option<&str>, default: usize, most: usize) -> Answered<usize> {
    match text.map(str::parse) {
        None => Ok(default),
        Some(Ok(number)) if (1..=most).contains(&number) => Ok(number),
        Some(_) => bad(format!("`{name}` must be a number from 1 to {most}")),
    }
}

/// Parses a parameter that is `false` if it is absent.
pub(super) fn flag(name: &str, text: Option<&str>) -> Answered<bool> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => bad(format!("`{name}` must be `true` or `false`")),
    }
}

async fn openapi(State(function): State<Arc<Instance>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], super::openapi::document(&function.name)).into_response()
}

async fn status(State(function): State<Arc<Instance>>, Id(id): Id, request: Request) -> Response {
    let asked = request.headers().clone();
    let answer = async {
        function.signed_if_verified(request).await?;
        let scope = function.scope_from(&id)?;
        let wait = Preference::wait(&asked).map(|wait| function.granted(wait));
        let remembered = function.awaited(&scope, wait).await?;
        let told = function.status_with_earlier(&scope, &remembered).await.map_err(NotFound::Store)?;
        let mut response = tagged(StatusCode::OK, &told, &asked);
        Preference::applied(wait, response.headers_mut());
        Ok(response)
    };
    answered_about(&id, answer.await)
}

async fn result(
    State(function): State<Arc<Instance>>,
    Id(id): Id,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let asked = request.headers().clone();
    let answer = async {
        function.signed_if_verified(request).await?;
        let ResultParameters { masked } = parameters(query.as_deref())?;
        let is_masked = flag("masked", masked.as_deref())?;
        let scope = function.scope_from(&id)?;
        let wait = Preference::wait(&asked).map(|wait| function.granted(wait));
        let remembered = function.awaited(&scope, wait).await?;
        let mut response = match remembered.status().has_ended() {
            true => {
                let conclusion = function.result_of(&remembered.info, remembered.generation()).await;
                let conclusion = if is_masked { conclusion.masked(function.flow.secrets()) } else { conclusion };
                respond(conclusion, &remembered.info.id, Delivery::Fresh, None)
            }
            false => {
                let told = answer::status(&function, &remembered);
                let mut response = tagged(StatusCode::ACCEPTED, &told, &HeaderMap::new());
                function.locate(&remembered.info.id, &mut response);
                response
            }
        };
        Preference::applied(wait, response.headers_mut());
        Ok(response)
    };
    answered_about(&id, answer.await)
}

async fn input(State(function): State<Arc<Instance>>, Id(id): Id, query: RawQuery, request: Request) -> Response {
    show(&function, &id, query, request, Shown::Input).await
}

async fn output(State(function): State<Arc<Instance>>, Id(id): Id, query: RawQuery, request: Request) -> Response {
    show(&function, &id, query, request, Shown::Output).await
}

async fn answer_of_function(
    State(function): State<Arc<Instance>>,
    Id(id): Id,
    query: RawQuery,
    request: Request,
) -> Response {
    show(&function, &id, query, request, Shown::Answer).await
}

/// The place that a parameter names.
pub(super) fn named(place: Option<&str>) -> Answered<Place> {
    match place.and_then(Place::parse) {
        Some(place) => Ok(place),
        None => bad("`place` must be a place as the status of the request lists it, such as `2` or `1.0/3`"),
    }
}

/// Answers with a payload of a request.
async fn show(function: &Instance, id: &str, query: RawQuery, request: Request, shown: Shown) -> Response {
    let answer = async {
        function.signed(request).await?;
        let scope = function.scope_from(id)?;
        let Showing { place } = parameters(query.0.as_deref())?;
        let place = match (place.as_deref(), shown) {
            (None, Shown::Input) => None,
            (place, _) => Some(named(place)?),
        };
        let ShownPayload { payload, is_masked } = function.shown(&scope, place.as_ref(), shown).await?;
        let content_type = payload.content_type_header().cloned().unwrap_or(OCTETS);
        let mut response = Response::new(Body::from(payload.into_bytes()));
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        Ok(saying_if_masked(response, is_masked))
    };
    answered_about(id, answer.await)
}

/// An answer for people, which says whether secret values are masked in it.
pub(super) fn saying_if_masked(mut response: Response, is_masked: bool) -> Response {
    if is_masked {
        response.headers_mut().insert(headers::MASKED, HeaderValue::from_static("true"));
    }
    response
}

/// Does something to its end, even if the client leaves.
async fn to_its_end<T: Send + 'static>(
    function: &Instance,
    work: impl Future<Output = Result<T, NotDone>> + Send + 'static,
) -> Answered<T> {
    match function.tasks.spawn(work).await {
        Ok(done) => Ok(done?),
        Err(_) => {
            refused(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, "the flow function itself failed; see its log")
        }
    }
}

fn changed(id: &str, status: Status, generation: Option<u32>) -> Response {
    let mut told = api::RequestChange::default();
    told.version = api::REQUESTS_VERSION;
    (told.id, told.status, told.generation) = (id.to_owned(), answer::status_of(status), generation.map(u64::from));
    Json(told).into_response()
}

/// Changes a request whose owner has signed for it.
async fn change(
    function: Arc<Instance>,
    id: String,
    request: Request,
    work: impl FnOnce(Arc<Instance>, Scope) -> BoxFuture<'static, Result<Status, NotDone>>,
) -> Response {
    let answer = async {
        function.signed(request).await?;
        let scope = function.scope_from(&id)?;
        let status = to_its_end(&function, work(function.clone(), scope)).await?;
        Ok(changed(&id, status, None))
    };
    answered_about(&id, answer.await)
}

async fn pause(State(function): State<Arc<Instance>>, Id(id): Id, request: Request) -> Response {
    change(function, id, request, |this, scope| Box::pin(async move { this.pause(&scope).await })).await
}

async fn resume(State(function): State<Arc<Instance>>, Id(id): Id, request: Request) -> Response {
    change(function, id, request, |this, scope| Box::pin(async move { this.resume(&scope).await })).await
}

async fn stop(State(function): State<Arc<Instance>>, Id(id): Id, request: Request) -> Response {
    change(function, id, request, |this, scope| Box::pin(async move { this.stop(&scope).await })).await
}

async fn redrive(
    State(function): State<Arc<Instance>>,
    Id(id): Id,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let answer = async {
        function.signed(request).await?;
        let Redriving { from } = parameters(query.as_deref())?;
        let from = match from.as_deref() {
            None | Some("failed") => Redrive::Failed,
            Some(phase) => match phase.parse() {
                Ok(phase) => Redrive::Phase(phase),
                Err(_) => return bad("`from` must be `failed` or the number of a phase"),
            },
        };
        let (this, scope) = (function.clone(), function.scope_from(&id)?);
        let generation = to_its_end(&function, async move { this.redrive(&scope, from).await }).await?;
        Ok(changed(&id, Status::Running, Some(generation)))
    };
    answered_about(&id, answer.await)
}

async fn again(
    State(function): State<Arc<Instance>>,
    Id(id): Id,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let answer = async {
        function.signed(request).await?;
        let new = match parameters::<Repeating>(query.as_deref())?.id {
            None => RequestId::parse(&Uuid::now_v7().to_string()).expect("a UUID is a valid request id"),
            Some(id) => match RequestId::parse(&id) {
                Some(id) => id,
                None => return bad(format!("`id` must be the id of the new request: an id has {}", RequestId::FORM)),
            },
        };
        let (this, scope, begun) = (function.clone(), function.scope_from(&id)?, new.clone());
        let done = to_its_end(&function, async move { this.again(&scope, begun).await }).await;
        done.map_err(|refused| match refused.status {
            // To ask again, the caller needs the id. The request begins once.
            StatusCode::SERVICE_UNAVAILABLE => Box::new(Refused { id: Some(new.to_string()), ..*refused }),
            _ => refused,
        })?;
        let mut told = api::RequestChange::default();
        told.version = api::REQUESTS_VERSION;
        (told.id, told.status, told.repeats) = (new.to_string(), api::RequestStatus::Running, Some(id.clone()));
        let mut response = (StatusCode::ACCEPTED, Json(told)).into_response();
        function.locate(&new, &mut response);
        Ok(response)
    };
    answered_about(&id, answer.await)
}

/// The position of the cursor of a recovery.
fn position_of(text: &str) -> Answered<ListPosition> {
    match positions(text) {
        Some((position, None)) => Ok(position),
        _ => bad(NOT_A_CURSOR),
    }
}

async fn recover(State(function): State<Arc<Instance>>, RawQuery(query): RawQuery, request: Request<Body>) -> Response {
    let answer = async {
        function.signed(request).await?;
        let asked: Recovering = parameters(query.as_deref())?;
        let older = match asked.older.as_deref().map(duration::parse) {
            None => OLDER,
            Some(Ok(older)) => older,
            Some(Err(_)) => return bad("`older` must be a duration such as `60s`"),
        };
        let force = flag("force", asked.force.as_deref())?;
        let limit = number("limit", asked.limit.as_deref(), LOOKED_AT, MOST_LOOKED_AT)?;
        let after = asked.cursor.as_deref().map(position_of).transpose()?;
        let stalled = Stalled { force, ..Stalled::new(older) };
        let recovered = function.recover(stalled, limit, after, &function.time_to_answer()).await;
        let (mut told, after) = recovered.map_err(NotFound::Store)?;
        told.cursor = after.as_ref().map(cursor);
        Ok(Json(told).into_response())
    };
    answered(answer.await)
}
