//! The options that calls and callbacks share: the request that they send, and how they treat its answer.

mod option_header;

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::context::Context;
use crate::error::Result;

use super::fault::FaultKind;
use super::handler::{FailureFn, ResponseFn};
use super::retry::Retry;
use super::value::Value;

/// What a [`Call`](crate::Call) or a [`Callback`](crate::Callback) sends, and how it treats the answer. The methods of
/// those types set it.
#[derive(Clone, Default)]
pub struct RequestOptions {
    pub(crate) method: Option<Method>,
    pub(crate) headers: Vec<(HeaderName, Value)>,
    pub(crate) query: Vec<(String, Value)>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Retry,
    pub(crate) on_failure: Option<FailureFn>,
    pub(crate) on_response: Option<ResponseFn>,
    /// Invalid arguments, which `build` reports.
    pub(crate) faults: Vec<FaultKind>,
}

impl RequestOptions {
    /// The method, if one is set.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// Runs the extractors for one request, and returns a copy of the options that contains their values. Returns
    /// `None` if no value needs an extractor.
    ///
    /// On the original options, [`headers`](RequestOptions::headers) and [`query`](RequestOptions::query) leave these
    /// values out.
    ///
    /// # Errors
    ///
    /// The error of the first extractor that fails.
    pub async fn extracted(&self, context: &Context) -> Result<Option<Box<RequestOptions>>> {
        if !self.extracts() {
            return Ok(None);
        }
        let mut options = RequestOptions { headers: Vec::new(), query: Vec::new(), ..self.clone() };
        for (name, value) in &self.headers {
            options.headers.extend(value.extract(context).await?.map(|value| (name.clone(), value)));
        }
        for (key, value) in &self.query {
            options.query.extend(value.extract(context).await?.map(|value| (key.clone(), value)));
        }
        Ok(Some(Box::new(options)))
    }

    /// Whether extractors make the value of a header or of the query.
    #[must_use]
    pub fn extracts(&self) -> bool {
        let extracted = |value: &Value| matches!(value, Value::Extracted(_));
        self.headers.iter().any(|(_, value)| extracted(value)) || self.query.iter().any(|(_, value)| extracted(value))
    }

    /// The headers for this request, in the order in which they were added.
    ///
    /// # Errors
    ///
    /// The name of the first header whose value cannot be sent, because a closure made a value that no header can hold.
    pub fn headers(&self, context: &Context) -> std::result::Result<Vec<(HeaderName, HeaderValue)>, HeaderName> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            if let Some(text) = value.for_request(context) {
                let value = HeaderValue::from_str(&text).map_err(|_| name.clone())?;
                headers.push((name.clone(), value));
            }
        }
        Ok(headers)
    }

    /// The encoded query for this request, appended to `url_query`; `None` if there is none.
    #[must_use]
    pub fn query(&self, url_query: Option<&str>, context: &Context) -> Option<String> {
        if self.query.is_empty() {
            return url_query.map(str::to_owned);
        }
        let mut encoder = form_urlencoded::Serializer::new(String::new());
        for (key, value) in &self.query {
            if let Some(value) = value.for_request(context) {
                encoder.append_pair(key, &value);
            }
        }
        let own = encoder.finish();
        match url_query {
            Some(before) if own.is_empty() => Some(before.to_owned()),
            Some(before) if !before.is_empty() => Some(format!("{before}&{own}")),
            _ => (!own.is_empty()).then_some(own),
        }
    }

    /// How long one attempt may take, if there is a limit.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// When and how often the request is retried.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    /// The failure handler of the step, if there is one.
    pub fn on_failure(&self) -> Option<&FailureFn> {
        self.on_failure.as_ref()
    }

    /// The handler that reads the answer, if the step has one.
    pub fn on_response(&self) -> Option<&ResponseFn> {
        self.on_response.as_ref()
    }

    /// Whether the step adds to the query, with fixed values or with values made for each request.
    #[must_use]
    pub fn has_query(&self) -> bool {
        !self.query.is_empty()
    }

    /// Whether it runs user code: a closure that makes a value, a failure handler, or a handler that reads the answer.
    pub(crate) fn runs_code(&self) -> bool {
        let made = |value: &Value| !matches!(value, Value::Fixed(_));
        self.headers.iter().any(|(_, value)| made(value))
            || self.query.iter().any(|(_, value)| made(value))
            || self.on_failure.is_some()
            || self.on_response.is_some()
    }

    /// Adds a header whose value is fixed.
    pub(super) fn add_header(&mut self, name: &str, value: String) {
        let Some(name) = self.header_name(name, Some(&value)) else { return };
        if HeaderValue::from_str(&value).is_err() {
            self.faults.push(FaultKind::HeaderValue(name.to_string()));
        } else {
            self.headers.push((name, Value::Fixed(value)));
        }
    }

    /// Adds a header whose value is made for each request.
    pub(super) fn make_header(&mut self, name: &str, value: Value) {
        if let Some(name) = self.header_name(name, None) {
            self.headers.push((name, value));
        }
    }

    /// Limits the time of one attempt.
    pub(super) fn limit(&mut self, timeout: Duration) {
        if timeout.is_zero() {
            self.faults.push(FaultKind::ZeroTimeout);
        }
        self.timeout = Some(timeout);
    }

    /// Parses the name of a header. If the name is invalid, or names an option of the step, this adds a fault and
    /// returns `None`. `value` is the value of the header, if it is fixed.
    fn header_name(&mut self, name: &str, value: Option<&str>) -> Option<HeaderName> {
        if let Some(instead) = option_header::instead(name, value) {
            self.faults.push(FaultKind::OptionAsHeader { name: name.to_owned(), instead });
            return None;
        }
        match HeaderName::try_from(name) {
            Ok(name) => Some(name),
            Err(_) => {
                self.faults.push(FaultKind::HeaderName(name.to_owned()));
                None
            }
        }
    }
}

impl fmt::Debug for RequestOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are left out because they may be secrets.
        f.debug_struct("RequestOptions")
            .field("method", &self.method)
            .field("headers", &self.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>())
            .field("query", &self.query.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>())
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
