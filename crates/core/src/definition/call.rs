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
/// Calls are asynchronous by default: each one starts a new phase, except the first call of a flow.
/// [`sync`](Call::sync) makes a call synchronous. If you need no options, pass the name alone: `.apply("facedetect")`.
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
    /// Creates a call of the function with this name, with default options.
    pub fn new(function: impl Into<String>) -> Call {
        Call { function: function.into(), sync: false, request: RequestOptions::default() }
    }

    /// Makes the call synchronous: it runs in the same phase as the step before it.
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

    /// Whether the call is synchronous: see [`sync`](Call::sync).
    #[must_use]
    pub fn is_sync(&self) -> bool {
        self.sync
    }

    /// The request it sends, and how it treats the answer.
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
    /// Sets the HTTP method. The default is the setting `default_method`. A GET or HEAD request has no body.
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

    /// Adds a header. If you add two headers with the same name, both are sent. `build` reports names and values that are not
    /// valid, and names of options: write `.method(Method::PUT)` instead of `.header("method", "put")`.
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

    /// Adds a header whose value the closure computes for each request. If the closure returns `None`, the header is not sent.
    /// A value with control characters makes the step fail. To use extractors instead of the context, see
    /// [`header_from`](Call::header_from).
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

    /// Adds a header whose value the closure computes for each request from extractors, as in a handler. If the closure returns
    /// `None`, the header is not sent. The step fails if an extractor fails or the value has control characters.
    ///
    /// ```
    /// use faasflow_core::{Call, RequestState};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Login { token: String } // an earlier step stored it under the key `token`
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

    /// Adds a key and value to the query, and encodes them. If you add a key twice, both values are sent.
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

    /// Adds a key to the query, whose value the closure computes for each request. If the closure returns `None`, the key is
    /// left out. To use extractors instead of the context, see [`query_from`](Call::query_from).
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

    /// Adds a key to the query, whose value the closure computes for each request from extractors, as in a handler. If the
    /// closure returns `None`, the key is left out. The step fails if an extractor fails.
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

    /// Limits how long one attempt may take, from sending the request to the last byte of the answer. By default an attempt may
    /// take as long as the invocation, which is limited by the setting `write_timeout`. `build` reports a timeout of 0.
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

    /// Sets when to try again. The default is to do so only during an outage: see [`Retry::on_unreachable`].
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

    /// Handles a failure of this call, after all retries and before the failure handler of the flow. The handler takes any
    /// number of extractors and, as its last parameter, the [`Failure`].
    ///
    /// - `failure.recover(payload)` continues the flow, with the payload as the output of the call.
    /// - `failure.reply(payload)` ends the request with the payload.
    /// - `failure.decline()` leaves the decision to the handler of the flow. An error from the handler or from an extractor
    ///   does the same.
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

    /// Handles the answer, no matter which status it has. Without this handler, 2xx is success and everything else is a
    /// failure. The handler takes any number of extractors and, as its last parameter, the [`CallResponse`].
    ///
    /// The call succeeds with what the handler returns, or fails with its error. An answer that is retried reaches the handler
    /// only if it is the last attempt's.
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
