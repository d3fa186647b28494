//! The two kinds of step that send a request, and the options they share.

mod option_header;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Uri};

use crate::context::Context;
use crate::failure::{Failure, IntoResolution};
use crate::payload::IntoPayload;
use crate::response::CallResponse;

use super::handler::{FailureFn, HandlerOf, ResponseFn, erase, erase_response};
use super::retry::Retry;

/// A call of a function through the gateway.
///
/// It is asynchronous unless [`sync`](Call::sync) is said: it then starts a phase of its own, except as the
/// first call of a flow. A bare name is a call with all defaults: `.apply("facedetect")`.
///
/// ```
/// use std::time::Duration;
/// use faasflow_core::{Call, Flow, Method};
///
/// let flow = Flow::builder()
///     .apply(Call::new("compress").method(Method::PUT).query("quality", "80"))
///     .apply(Call::new("colorify").sync().header("accept", "image/jpeg").timeout(Duration::from_secs(30)))
///     .build();
/// # assert!(flow.is_ok());
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Call {
    pub(crate) function: String,
    pub(crate) sync: bool,
    pub(crate) request: RequestOptions,
}

impl Call {
    /// A call of the function deployed under this name, with all defaults.
    pub fn new(function: impl Into<String>) -> Call {
        Call { function: function.into(), sync: false, request: RequestOptions::default() }
    }

    /// Calls within the phase of the step before, rather than in a phase of its own.
    ///
    /// ```
    /// use faasflow_core::{Call, Flow};
    ///
    /// let flow = Flow::builder().apply("a").apply(Call::new("b").sync()).apply("c").build().unwrap();
    /// assert_eq!(flow.plan().shape(), "[call a, call b] [call c]");
    /// ```
    pub fn sync(mut self) -> Call {
        self.sync = true;
        self
    }

    /// The name of the function.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.function
    }

    /// Whether [`sync`](Call::sync) was said.
    #[must_use]
    pub fn is_sync(&self) -> bool {
        self.sync
    }

    /// What it sends and how it treats the answer.
    #[must_use]
    pub fn options(&self) -> &RequestOptions {
        &self.request
    }
}

impl<S: Into<String>> From<S> for Call {
    fn from(function: S) -> Call {
        Call::new(function)
    }
}

/// A request to a URL outside the gateway, with the payload as its body.
///
/// The payload goes on unchanged: a callback reports, it does not transform. A URL without a scheme is `http`.
///
/// ```
/// use faasflow_core::{Callback, Flow};
///
/// let flow = Flow::builder()
///     .apply("compress")
///     .callback(Callback::new("storage.io/bucket?id=33").query_with("file", |context| context.query("file")))
///     .build();
/// # assert!(flow.is_ok());
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Callback {
    pub(crate) url: String,
    /// Set by `build` from `url`.
    pub(crate) target: Uri,
    pub(crate) request: RequestOptions,
}

impl Callback {
    /// A callback to this URL, with all defaults.
    pub fn new(url: impl Into<String>) -> Callback {
        Callback { url: url.into(), target: Uri::default(), request: RequestOptions::default() }
    }

    /// The URL, with its scheme.
    #[must_use]
    pub fn url(&self) -> &Uri {
        &self.target
    }

    /// What it sends and how it treats the answer.
    #[must_use]
    pub fn options(&self) -> &RequestOptions {
        &self.request
    }
}

impl<S: Into<String>> From<S> for Callback {
    fn from(url: S) -> Callback {
        Callback::new(url)
    }
}

/// What a [`Call`] or a [`Callback`] sends, and how it treats the answer.
#[derive(Clone, Default)]
pub struct RequestOptions {
    pub(crate) method: Option<Method>,
    pub(crate) headers: Vec<(HeaderName, Value)>,
    pub(crate) query: Vec<(String, Value)>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Retry,
    pub(crate) on_failure: Option<FailureFn>,
    pub(crate) on_response: Option<ResponseFn>,
    /// What was wrong with the arguments given; `build` reports it.
    pub(crate) faults: Vec<String>,
}

/// A value known at definition, or made for each request.
#[derive(Clone)]
pub(crate) enum Value {
    Fixed(String),
    PerRequest(MakeValue),
}

type MakeValue = Arc<dyn Fn(&Context) -> Option<String> + Send + Sync>;

impl Value {
    fn of(&self, context: &Context) -> Option<String> {
        match self {
            Value::Fixed(text) => Some(text.clone()),
            Value::PerRequest(make) => make(context),
        }
    }
}

impl RequestOptions {
    /// The method, if one was given.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// The headers for this request, in the order given. A value that a closure made and that no header may
    /// hold is an error: the name of the header.
    ///
    /// # Errors
    ///
    /// The name of the first header whose value cannot be sent.
    pub fn headers(&self, context: &Context) -> Result<Vec<(HeaderName, HeaderValue)>, HeaderName> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            if let Some(text) = value.of(context) {
                let value = HeaderValue::from_str(&text).map_err(|_| name.clone())?;
                headers.push((name.clone(), value));
            }
        }
        Ok(headers)
    }

    /// The query for this request, encoded, after what `url_query` already holds; `None` if there is none.
    #[must_use]
    pub fn query(&self, url_query: Option<&str>, context: &Context) -> Option<String> {
        if self.query.is_empty() {
            return url_query.map(str::to_owned);
        }
        let mut encoder = form_urlencoded::Serializer::new(String::new());
        for (key, value) in &self.query {
            if let Some(value) = value.of(context) {
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

    /// How long one attempt may take, if that was said.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// When it is tried again.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    /// Asks the step's own failure handler, if there is one.
    pub fn on_failure(&self) -> Option<&FailureFn> {
        self.on_failure.as_ref()
    }

    /// The step's own reading of the answer, if there is one.
    pub fn on_response(&self) -> Option<&ResponseFn> {
        self.on_response.as_ref()
    }

    /// Whether there is a query of its own, fixed or made for each request.
    #[must_use]
    pub fn has_query(&self) -> bool {
        !self.query.is_empty()
    }

    /// Whether code runs for it: a closure that makes a value, a handler of failures or of answers.
    pub(crate) fn runs_code(&self) -> bool {
        let made = |value: &Value| matches!(value, Value::PerRequest(_));
        self.headers.iter().any(|(_, value)| made(value))
            || self.query.iter().any(|(_, value)| made(value))
            || self.on_failure.is_some()
            || self.on_response.is_some()
    }

    /// The name of a header, with its value where that is fixed. One that cannot be sent, or is an option, is a fault.
    fn header_name(&mut self, name: &str, value: Option<&str>) -> Option<HeaderName> {
        if let Some(instead) = option_header::instead(name, value) {
            self.faults.push(format!("`{name}` is an option of the step and not a header: write `{instead}`"));
            return None;
        }
        match HeaderName::try_from(name) {
            Ok(name) => Some(name),
            Err(_) => {
                self.faults.push(format!("`{name}` is not a header name: letters, digits and `-`, such as `x-token`"));
                None
            }
        }
    }
}

impl fmt::Debug for RequestOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are left out: they may be secrets.
        f.debug_struct("RequestOptions")
            .field("method", &self.method)
            .field("headers", &self.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>())
            .field("query", &self.query.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>())
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// What a closure for a header or a query value may return. `None` leaves the header or key out.
#[diagnostic::on_unimplemented(
    message = "a header or query value cannot be made from `{Self}`",
    note = "return a `String`, a `&'static str`, a number, a `bool`, or an `Option` of one: `None` leaves it out"
)]
pub trait IntoValue {
    /// The text, or `None` to leave it out.
    fn into_value(self) -> Option<String>;
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self) -> Option<String> {
        self.and_then(T::into_value)
    }
}

macro_rules! into_value {
    ($($type:ty),*) => {
        $(impl IntoValue for $type {
            fn into_value(self) -> Option<String> {
                Some(self.to_string())
            }
        })*
    };
}

into_value!(String, &'static str, bool, char, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, f32, f64);

macro_rules! request_options {
    ($step:ident, $answer:literal) => {
        impl $step {
            /// Sends with this method, rather than the setting `default_method`. GET and HEAD carry no body.
            ///
            /// ```
            #[doc = concat!("use faasflow_core::{", stringify!($step), ", Method};")]
            ///
            #[doc = concat!("let step = ", stringify!($step), "::new(\"compress\").method(Method::PUT);")]
            /// assert_eq!(step.options().method(), Some(&Method::PUT));
            /// ```
            pub fn method(mut self, method: Method) -> $step {
                self.request.method = Some(method);
                self
            }

            /// Sends a header. Said again for the same name, both are sent. `build` reports a name or a value that
            /// no header may have, and one that is an option: `.header("method", "put")` is `.method(Method::PUT)`.
            ///
            /// ```
            #[doc = concat!("use faasflow_core::{", stringify!($step), ", Context};")]
            ///
            #[doc = concat!("let step = ", stringify!($step), "::new(\"compress\").header(\"accept\", \"image/jpeg\");")]
            /// let headers = step.options().headers(&Context::for_test("")).unwrap();
            /// assert_eq!(headers[0].1, "image/jpeg");
            /// ```
            pub fn header(mut self, name: impl AsRef<str>, value: impl Into<String>) -> $step {
                let value = value.into();
                if let Some(name) = self.request.header_name(name.as_ref(), Some(&value)) {
                    if HeaderValue::from_str(&value).is_err() {
                        self.request.faults.push(format!("header `{name}` has a value with control characters"));
                    } else {
                        self.request.headers.push((name, Value::Fixed(value)));
                    }
                }
                self
            }

            /// Sends a header whose value is made for each request; left out where the closure yields `None`.
            /// A value with control characters fails the step.
            ///
            /// ```
            #[doc = concat!("use faasflow_core::{", stringify!($step), ", Context};")]
            ///
            #[doc = concat!("let step = ", stringify!($step), "::new(\"compress\").header_with(\"x-token\", |context: &Context| context.query(\"token\"));")]
            /// let headers = |query| step.options().headers(&Context::for_test(query)).unwrap();
            /// assert_eq!(headers("token=t")[0].1, "t");
            /// assert!(headers("").is_empty());
            /// ```
            pub fn header_with<F, V>(mut self, name: impl AsRef<str>, value: F) -> $step
            where
                F: Fn(&Context) -> V + Send + Sync + 'static,
                V: IntoValue,
            {
                if let Some(name) = self.request.header_name(name.as_ref(), None) {
                    let make = Arc::new(move |context: &Context| value(context).into_value());
                    self.request.headers.push((name, Value::PerRequest(make)));
                }
                self
            }

            /// Adds a key to the query, encoded. Said again for the same key, both are sent.
            ///
            /// ```
            #[doc = concat!("use faasflow_core::{", stringify!($step), ", Context};")]
            ///
            #[doc = concat!("let step = ", stringify!($step), "::new(\"compress\").query(\"q\", \"a b\").query(\"q\", \"c\");")]
            /// let query = step.options().query(None, &Context::for_test(""));
            /// assert_eq!(query.as_deref(), Some("q=a+b&q=c"));
            /// ```
            pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> $step {
                self.request.query.push((key.into(), Value::Fixed(value.into())));
                self
            }

            /// Adds a key to the query whose value is made for each request; left out where the closure yields `None`.
            ///
            /// ```
            #[doc = concat!("use faasflow_core::{", stringify!($step), ", Context};")]
            ///
            #[doc = concat!("let step = ", stringify!($step), "::new(\"compress\").query_with(\"phase\", |context: &Context| context.phase());")]
            /// let query = step.options().query(None, &Context::for_test(""));
            /// assert_eq!(query.as_deref(), Some("phase=1"));
            /// ```
            pub fn query_with<F, V>(mut self, key: impl Into<String>, value: F) -> $step
            where
                F: Fn(&Context) -> V + Send + Sync + 'static,
                V: IntoValue,
            {
                let make = Arc::new(move |context: &Context| value(context).into_value());
                self.request.query.push((key.into(), Value::PerRequest(make)));
                self
            }

            /// How long one attempt may take, from sending to the last byte of the answer. Without it, as long
            /// as the invocation may, which is `write_timeout`. `build` reports a timeout of 0.
            ///
            /// ```
            /// use std::time::Duration;
            #[doc = concat!("use faasflow_core::", stringify!($step), ";")]
            ///
            #[doc = concat!("let step = ", stringify!($step), "::new(\"compress\").timeout(Duration::from_secs(30));")]
            /// assert_eq!(step.options().timeout(), Some(Duration::from_secs(30)));
            /// ```
            pub fn timeout(mut self, timeout: Duration) -> $step {
                if timeout.is_zero() {
                    self.request.faults.push("a timeout of 0 would fail every call".to_owned());
                }
                self.request.timeout = Some(timeout);
                self
            }

            /// When it is tried again; never, unless said.
            ///
            /// ```
            #[doc = concat!("use faasflow_core::{", stringify!($step), ", Retry};")]
            ///
            #[doc = concat!("let step = ", stringify!($step), "::new(\"compress\").retry(Retry::attempts(3));")]
            /// assert_eq!(step.options().retry().max_attempts(), 3);
            /// ```
            pub fn retry(mut self, retry: Retry) -> $step {
                self.request.retry = retry;
                self
            }

            /// Decides about a failure of this step, after its retries and before the flow's own handler.
            ///
            #[doc = concat!("`failure.recover(payload)` goes on with that payload as ", $answer, ";")]
            /// `failure.reply(payload)` ends the request with it; `failure.decline()` or an error leaves it to the flow's.
            ///
            /// ```
            #[doc = concat!("use faasflow_core::{", stringify!($step), ", Context, Failure};")]
            ///
            #[doc = concat!("let step = ", stringify!($step), "::new(\"compress\").on_failure(async |_: Context, failure: Failure| failure.decline());")]
            /// assert!(step.options().on_failure().is_some());
            /// ```
            pub fn on_failure<M: 'static, H>(mut self, handler: H) -> $step
            where
                H: HandlerOf<Failure, M>,
                H::Output: IntoResolution,
            {
                self.request.on_failure = Some(erase(handler, IntoResolution::into_resolution));
                self
            }

            /// Reads the answer, whatever its status, in place of the usual rule (2xx is success).
            ///
            #[doc = concat!("What it returns is ", $answer, "; its error is the step's failure.")]
            /// Statuses that are retried come here only from the last attempt.
            ///
            /// ```
            #[doc = concat!("use faasflow_core::{", stringify!($step), ", CallResponse, Context};")]
            ///
            #[doc = concat!("let step = ", stringify!($step), "::new(\"compress\").on_response(async |_: Context, answer: CallResponse| answer.status().to_string());")]
            /// assert!(step.options().on_response().is_some());
            /// ```
            pub fn on_response<M: 'static, H>(mut self, handler: H) -> $step
            where
                H: HandlerOf<CallResponse, M>,
                H::Output: IntoPayload,
            {
                self.request.on_response = Some(erase_response(handler));
                self
            }
        }
    };
}

request_options!(Call, "the step's output");
request_options!(Callback, "the payload of the next step");
