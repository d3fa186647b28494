//! Delivers calls from the queue to their functions, and answers to callback URLs.
//!
//! The queue does not know functions, and the router does not know deliveries.

mod callback;

use std::time::{Duration, Instant};

use axum::body::Body;
use faasflow_core::handler::BoxFuture;
use faasflow_core::{chain, headers};
use faasflow_http::{Budget, ReadBodyError, read_body};
use http::{HeaderValue, Method, Request, StatusCode, Uri};

use crate::functions::command::Cause;
use crate::functions::{Functions, NoAnswer};
use crate::monitor::Monitor;
use crate::proxy::{Proxy, Sender};
use crate::queue::{Answer, Call, Deliver, Delivery, Target, Unreachable};
use crate::room;
use crate::wanted::AnswerPart;

/// The number of bytes that are read of an answer for a dead letter.
const LARGEST_SHOWN: u64 = 64 * 1024;

/// Delivers calls from the queue through the same proxy as those of callers.
pub(crate) struct Deliveries {
    pub(crate) functions: Functions,
    pub(crate) proxy: Proxy,
    /// The limit of what is in flight.
    pub(crate) budget: Budget,
    pub(crate) monitor: Monitor,
}

impl Deliver for Deliveries {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<Answer, Unreachable>> {
        Box::pin(async move {
            let begun = Instant::now();
            let call = &delivery.call;
            let answer = match &call.target {
                Target::Function { name, path, query, callback_url } => {
                    let wanted = if callback_url.is_some() { AnswerPart::Whole } else { AnswerPart::Beginning };
                    self.to_function(&delivery, name, path, query.as_deref(), wanted).await
                }
                Target::Callback { url, .. } => self.to_callback(call, url).await,
            };
            answer.map(|answer| Answer { duration: begun.elapsed(), ..answer })
        })
    }

    fn at_once(&self, function: &str) -> usize {
        self.functions.find(function).and_then(|function| function.limits.requests()).unwrap_or(usize::MAX)
    }
}

impl Deliveries {
    /// Calls a function, and reads as much of the answer as is `wanted`.
    async fn to_function(
        &self,
        delivery: &Delivery,
        name: &str,
        path: &str,
        query: Option<&str>,
        wanted: AnswerPart,
    ) -> Result<Answer, Unreachable> {
        let call = &delivery.call;
        let beside = (call.body.len() as u64).saturating_mul(room::READ_COPIES);
        let mut share = self.budget.answer_share(room::PATIENCE).beside(beside);
        let Some(function) = self.functions.find(name) else {
            let reason = format!("it could not be reached: the function `{name}` is not deployed");
            return Err(Unreachable { reason });
        };
        let mut request = Request::new(Body::from(call.body.clone()));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().insert(headers::ATTEMPT, HeaderValue::from(delivery.attempt));
        let target = match query {
            Some(query) => format!("/?{query}").parse(),
            None => "/".parse(),
        };
        *request.uri_mut() = target.map_err(|error| Unreachable { reason: format!("{error}") })?;
        let (parts, body) = request.into_parts();
        let started = self.monitor.begin(&function.spec, &parts.headers);
        let mut cause = None;
        let answer = match self.proxy.invoke(&function, path, parts, body, Sender::Queue { wanted }).await {
            Ok(answer) => answer,
            // It was not executed, and the queue tries again later.
            Err(none @ (NoAnswer::Busy(_) | NoAnswer::NoFiles(_))) => none.response(name),
            // Another attempt would end the same way.
            Err(none @ (NoAnswer::Request(..) | NoAnswer::Unusable(_))) => {
                cause = Some(none.reason());
                none.response(name)
            }
            Err(none) => {
                started.end(none.response(name).status());
                return Err(Unreachable { reason: none.reason() });
            }
        };
        let (mut parts, body) = answer.into_parts();
        let body = match room::read_answer(Body::new(body), wanted, self.proxy.timeout, &mut share).await {
            // The answer leaves the budget here. A callback waits in the queue, which limits its bodies by itself, and takes room
            // again when it is delivered.
            Ok(body) => body,
            Err(error @ ReadBodyError::NoRoom(full)) if full.is_temporary() => {
                started.end(StatusCode::BAD_GATEWAY);
                return Err(Unreachable { reason: chain(&error) });
            }
            Err(error @ ReadBodyError::Broken(_)) if !error.is_unusable() => {
                started.end(StatusCode::BAD_GATEWAY);
                return Err(Unreachable { reason: NoAnswer::Died(chain(&error)).reason() });
            }
            // The function was executed and answered, but the answer cannot be used, and neither could the next one.
            Err(error) => {
                let none = NoAnswer::Unusable(chain(&error));
                cause = Some(none.reason());
                let (head, body) = none.response(name).into_parts();
                parts = head;
                read_body(body, LARGEST_SHOWN, self.proxy.timeout).await.unwrap_or_default()
            }
        };
        started.end(parts.status);
        let cause = cause.or_else(|| parts.extensions.get().map(|Cause(cause)| cause.clone()));
        Ok(Answer { status: parts.status, headers: parts.headers, body, duration: Duration::ZERO, cause })
    }

    /// Sends the answer of a call to its callback URL.
    async fn to_callback(&self, call: &Call, url: &Uri) -> Result<Answer, Unreachable> {
        let timeout = self.proxy.timeout;
        let exchange = async {
            let (parts, body, cause) = match callback::send(&self.proxy.client, url, call).await {
                Ok(answer) => {
                    let (mut parts, body) = answer.into_parts();
                    // Only the gateway may set this header, which says what to do with a call.
                    parts.headers.remove(headers::GATEWAY_ERROR);
                    let redirects = "it redirects to a URL that cannot be used, or has redirected ten times";
                    let cause = parts.status.is_redirection().then(|| redirects.to_owned());
                    (parts, body, cause)
                }
                Err(none @ (NoAnswer::Unusable(_) | NoAnswer::NoFiles(_))) => {
                    let (parts, body) = none.response(url.host().unwrap_or_default()).into_parts();
                    (parts, body, Some(none.reason()))
                }
                Err(none) => return Err(Unreachable { reason: none.reason() }),
            };
            let body = read_body(body, LARGEST_SHOWN, timeout).await.unwrap_or_default();
            Ok(Answer { status: parts.status, headers: parts.headers, body, duration: Duration::ZERO, cause })
        };
        let late = |_| Unreachable { reason: NoAnswer::Timeout(timeout).reason() };
        tokio::time::timeout(timeout, exchange).await.map_err(late)?
    }
}
