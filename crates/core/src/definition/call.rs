//! Calls of functions, and their options.

use std::time::Duration;

use http::Method;

use crate::context::Context;
use crate::failure::{Failure, IntoResolution};
use crate::payload::IntoPayload;
use crate::response::CallResponse;

use super::handler::{HandlerOf, erase, erase_response};
use super::options::RequestOptions;
use super::retry::Retry;
use super::value::{IntoValue, Value, ValueFrom};

/// A call of a function through the gateway.
///
/// Calls are asynchronous by default, and start a phase of their own, except the first call of a flow.
/// [`sync`](Call::sync) makes one synchronous. A bare name is a call with all defaults: `.apply("facedetect")`.
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

    /// Whether it is synchronous: see [`sync`](Call::sync).
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

/// Options of the request.
impl Call {
    /// Sends with this method, rather than the setting `default_method`. GET and HEAD carry no body.
    ///
    /// ```
    /// use faasflow_core::{Call, Method};
    ///
    /// let call = Call::new("compress").method(Method::PUT);
    /// assert_eq!(call.options().method(), Some(&Method::PUT));
    /// ```
    pub fn method(mut self, method: Method) -> Call {
        self.request.method = Some(method);
        self
    }

    /// Sends a header. Given twice for the same name, both are sent. `build` reports a name or a value that no header may
    /// have, and a name that is an option: `.header("method", "put")` is `.method(Method::PUT)`.
    ///
    /// ```
    /// use faasflow_core::{Call, Context};
    ///
    /// let call = Call::new("compress").header("accept", "image/jpeg");
    /// let headers = call.options().headers(&Context::for_test("")).unwrap();
    /// assert_eq!(headers[0].1, "image/jpeg");
    /// ```
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Call {
        self.request.add_header(name.as_ref(), value.into());
        self
    }

    /// Sends a header whose value is made for each request. It is left out where the closure yields `None`. A value with
    /// control characters fails the step. [`header_from`](Call::header_from) takes extractors instead of the context.
    ///
    /// ```
    /// use faasflow_core::{Call, Context};
    ///
    /// let call = Call::new("compress").header_with("x-token", |context| context.query("token"));
    /// let headers = |query| call.options().headers(&Context::for_test(query)).unwrap();
    /// assert_eq!(headers("token=t")[0].1, "t");
    /// assert!(headers("").is_empty());
    /// ```
    pub fn header_with<F, V>(mut self, name: impl AsRef<str>, value: F) -> Call
    where
        F: Fn(&Context) -> V + Send + Sync + 'static,
        V: IntoValue,
    {
        self.request.make_header(name.as_ref(), Value::per_request(value));
        self
    }

    /// Sends a header whose value is made for each request from any number of extractors, as handlers take them. It is left
    /// out where the closure yields `None`. The step fails where an extractor cannot be made, or the value has control
    /// characters.
    ///
    /// ```
    /// use faasflow_core::{Call, RequestState};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Login { token: String } // what an earlier step has kept as `token`
    ///
    /// let call = Call::new("compress")
    ///     .header_from("x-token", |RequestState(login): RequestState<Login>| login.token);
    /// assert!(call.options().extracts());
    /// ```
    pub fn header_from<M: 'static, F>(mut self, name: impl AsRef<str>, value: F) -> Call
    where
        F: ValueFrom<M>,
        F::Output: IntoValue,
    {
        self.request.make_header(name.as_ref(), Value::extracted(value));
        self
    }

    /// Adds a key to the query, encoded. Given twice for the same key, both are sent.
    ///
    /// ```
    /// use faasflow_core::{Call, Context};
    ///
    /// let call = Call::new("compress").query("tag", "a b").query("tag", "c");
    /// let query = call.options().query(None, &Context::for_test(""));
    /// assert_eq!(query.as_deref(), Some("tag=a+b&tag=c"));
    /// ```
    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Call {
        self.request.query.push((key.into(), Value::Fixed(value.into())));
        self
    }

    /// Adds a key to the query whose value is made for each request. It is left out where the closure yields `None`.
    /// [`query_from`](Call::query_from) takes extractors instead of the context.
    ///
    /// ```
    /// use faasflow_core::{Call, Context};
    ///
    /// let call = Call::new("compress").query_with("file", |context| context.query("file"));
    /// let query = call.options().query(None, &Context::for_test("file=a.jpg&user=7"));
    /// assert_eq!(query.as_deref(), Some("file=a.jpg"));
    /// ```
    pub fn query_with<F, V>(mut self, key: impl Into<String>, value: F) -> Call
    where
        F: Fn(&Context) -> V + Send + Sync + 'static,
        V: IntoValue,
    {
        self.request.query.push((key.into(), Value::per_request(value)));
        self
    }

    /// Adds a key to the query whose value is made for each request from any number of extractors, as handlers take them. It
    /// is left out where the closure yields `None`. The step fails where an extractor cannot be made.
    ///
    /// ```
    /// use faasflow_core::{Call, Context, Query};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Size { width: u32 }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> faasflow_core::Result<()> {
    /// let call = Call::new("compress").query_from("half", |Query(size): Query<Size>| size.width / 2);
    /// let context = Context::for_test("width=80");
    /// let options = call.options().extracted(&context).await?.unwrap();
    /// assert_eq!(options.query(None, &context).as_deref(), Some("half=40"));
    /// # Ok(()) }
    /// ```
    pub fn query_from<M: 'static, F>(mut self, key: impl Into<String>, value: F) -> Call
    where
        F: ValueFrom<M>,
        F::Output: IntoValue,
    {
        self.request.query.push((key.into(), Value::extracted(value)));
        self
    }

    /// How long one attempt may take, from sending to the last byte of the answer. Without it, as long as the invocation
    /// may, which is `write_timeout`. `build` reports a timeout of 0.
    ///
    /// ```
    /// use std::time::Duration;
    /// use faasflow_core::Call;
    ///
    /// let call = Call::new("compress").timeout(Duration::from_secs(30));
    /// assert_eq!(call.options().timeout(), Some(Duration::from_secs(30)));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Call {
        self.request.limit(timeout);
        self
    }

    /// When it is tried again. Without it, only in an outage: see [`Retry::on_unreachable`].
    ///
    /// ```
    /// use faasflow_core::{Call, Retry};
    ///
    /// let call = Call::new("compress").retry(Retry::attempts(3));
    /// assert_eq!(call.options().retry().max_attempts(), 3);
    /// ```
    pub fn retry(mut self, retry: Retry) -> Call {
        self.request.retry = retry;
        self
    }

    /// Decides about a failure of this call, after its retries and before the flow's own handler. The handler takes any
    /// number of extractors and, last, the [`Failure`].
    ///
    /// `failure.recover(payload)` makes that payload the output of the call, and the flow goes on; `failure.reply(payload)`
    /// ends the request with it. `failure.decline()`, an error and an extractor that cannot be made leave the decision to
    /// the flow's handler.
    ///
    /// ```
    /// use faasflow_core::{Call, Failure, Query};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Options { #[serde(default)] strict: bool }
    ///
    /// let call = Call::new("translate").on_failure(async |Query(options): Query<Options>, failure: Failure| {
    ///     if options.strict { failure.decline() } else { failure.recover(failure.payload().clone()) }
    /// });
    /// assert!(call.options().on_failure().is_some());
    /// ```
    pub fn on_failure<M: 'static, H>(mut self, handler: H) -> Call
    where
        H: HandlerOf<Failure, M>,
        H::Output: IntoResolution,
    {
        self.request.on_failure = Some(erase(handler, IntoResolution::into_resolution));
        self
    }

    /// Reads the answer, whatever its status, instead of taking 2xx for success and all else for a failure. The handler takes
    /// any number of extractors and, last, the [`CallResponse`].
    ///
    /// What it returns is the output of the call; its error is the failure of the call. Statuses that are retried come here
    /// only from the last attempt.
    ///
    /// ```
    /// use faasflow_core::{Call, CallResponse, Error, Payload, Result, StatusCode};
    ///
    /// async fn read(answer: CallResponse) -> Result<Payload> {
    ///     match answer.status() {
    ///         StatusCode::NOT_FOUND => Ok(Payload::empty()),
    ///         status if status.is_success() => Ok(answer.into_payload()),
    ///         status => Err(Error::msg(format!("it answered {status}"))),
    ///     }
    /// }
    ///
    /// let call = Call::new("lookup").on_response(read);
    /// assert!(call.options().on_response().is_some());
    /// ```
    pub fn on_response<M: 'static, H>(mut self, handler: H) -> Call
    where
        H: HandlerOf<CallResponse, M>,
        H::Output: IntoPayload,
    {
        self.request.on_response = Some(erase_response(handler));
        self
    }
}
