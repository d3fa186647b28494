//! Callbacks to URLs, and their options.

use std::time::Duration;

use http::{Method, Uri};

use crate::context::Context;
use crate::failure::{Failure, IntoResolution};
use crate::payload::IntoPayload;
use crate::response::CallResponse;

use super::handler::{HandlerOf, erase, erase_response};
use super::options::RequestOptions;
use super::retry::Retry;
use super::value::{IntoValue, Value, ValueFrom};

/// A request to a URL outside the gateway, with the payload as its body.
///
/// The next step receives the same payload, not the answer. If the URL has no scheme, `http` is assumed.
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
    /// Creates a callback to this URL, with default options.
    pub fn new(url: impl Into<String>) -> Callback {
        Callback { url: url.into(), target: Uri::default(), request: RequestOptions::default() }
    }

    /// The URL, with its scheme.
    #[must_use]
    pub fn url(&self) -> &Uri {
        &self.target
    }

    /// The request it sends, and how it treats the answer.
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

/// Options of the request.
impl Callback {
    /// Sets the HTTP method. The default is the setting `default_method`. A GET or HEAD request has no body.
    ///
    /// ```
    /// use faasflow_core::{Callback, Method};
    ///
    /// let callback = Callback::new("storage.io/bucket").method(Method::PUT);
    /// assert_eq!(callback.options().method(), Some(&Method::PUT));
    /// ```
    pub fn method(mut self, method: Method) -> Callback {
        self.request.method = Some(method);
        self
    }

    /// Adds a header. If you add two headers with the same name, both are sent. `build` reports names and values that are not
    /// valid, and names of options: write `.method(Method::PUT)` instead of `.header("method", "put")`.
    ///
    /// ```
    /// use faasflow_core::{Callback, Context};
    ///
    /// let callback = Callback::new("storage.io/bucket").header("x-storage-class", "cold");
    /// let headers = callback.options().headers(&Context::for_test("")).unwrap();
    /// assert_eq!(headers[0].1, "cold");
    /// ```
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Callback {
        self.request.add_header(name.as_ref(), value.into());
        self
    }

    /// Adds a header whose value the closure computes for each request. If the closure returns `None`, the header is not sent.
    /// A value with control characters makes the step fail. To use extractors instead of the context, see
    /// [`header_from`](Callback::header_from).
    ///
    /// ```
    /// use faasflow_core::{Callback, Context};
    ///
    /// let callback = Callback::new("storage.io/bucket").header_with("x-token", |context| context.query("token"));
    /// let headers = |query| callback.options().headers(&Context::for_test(query)).unwrap();
    /// assert_eq!(headers("token=t")[0].1, "t");
    /// assert!(headers("").is_empty());
    /// ```
    pub fn header_with<F, V>(mut self, name: impl AsRef<str>, value: F) -> Callback
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
    /// use faasflow_core::{Callback, RequestState};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Login { token: String } // an earlier step stored it under the key `token`
    ///
    /// let callback = Callback::new("storage.io/bucket")
    ///     .header_from("x-token", |RequestState(login): RequestState<Login>| login.token);
    /// assert!(callback.options().extracts());
    /// ```
    pub fn header_from<M: 'static, F>(mut self, name: impl AsRef<str>, value: F) -> Callback
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
    /// use faasflow_core::{Callback, Context};
    ///
    /// let callback = Callback::new("storage.io/bucket").query("tag", "a b").query("tag", "c");
    /// let query = callback.options().query(None, &Context::for_test(""));
    /// assert_eq!(query.as_deref(), Some("tag=a+b&tag=c"));
    /// ```
    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Callback {
        self.request.query.push((key.into(), Value::Fixed(value.into())));
        self
    }

    /// Adds a key to the query, whose value the closure computes for each request. If the closure returns `None`, the key is
    /// left out. To use extractors instead of the context, see [`query_from`](Callback::query_from).
    ///
    /// ```
    /// use faasflow_core::{Callback, Context};
    ///
    /// let callback = Callback::new("storage.io/bucket").query_with("file", |context| context.query("file"));
    /// let query = callback.options().query(None, &Context::for_test("file=a.jpg&user=7"));
    /// assert_eq!(query.as_deref(), Some("file=a.jpg"));
    /// ```
    pub fn query_with<F, V>(mut self, key: impl Into<String>, value: F) -> Callback
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
    /// use faasflow_core::{Callback, Context, Query};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Size { width: u32 }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> faasflow_core::Result<()> {
    /// let callback = Callback::new("storage.io/bucket").query_from("half", |Query(size): Query<Size>| size.width / 2);
    /// let context = Context::for_test("width=80");
    /// let options = callback.options().extracted(&context).await?.unwrap();
    /// assert_eq!(options.query(None, &context).as_deref(), Some("half=40"));
    /// # Ok(()) }
    /// ```
    pub fn query_from<M: 'static, F>(mut self, key: impl Into<String>, value: F) -> Callback
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
    /// use faasflow_core::Callback;
    ///
    /// let callback = Callback::new("storage.io/bucket").timeout(Duration::from_secs(30));
    /// assert_eq!(callback.options().timeout(), Some(Duration::from_secs(30)));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Callback {
        self.request.limit(timeout);
        self
    }

    /// Sets when to try again. The default is to do so only during an outage: see [`Retry::on_unreachable`].
    ///
    /// ```
    /// use faasflow_core::{Callback, Retry};
    ///
    /// let callback = Callback::new("storage.io/bucket").retry(Retry::attempts(3));
    /// assert_eq!(callback.options().retry().max_attempts(), 3);
    /// ```
    pub fn retry(mut self, retry: Retry) -> Callback {
        self.request.retry = retry;
        self
    }

    /// Handles a failure of this callback, after all retries and before the failure handler of the flow. The handler takes any
    /// number of extractors and, as its last parameter, the [`Failure`].
    ///
    /// - `failure.recover(payload)` continues the flow, with the payload as the input of the next step.
    /// - `failure.reply(payload)` ends the request with the payload.
    /// - `failure.decline()` leaves the decision to the handler of the flow. An error from the handler or from an extractor
    ///   does the same.
    ///
    /// ```
    /// use faasflow_core::{Callback, Failure};
    ///
    /// // The flow continues even if the copy cannot be stored.
    /// let callback = Callback::new("storage.io/bucket")
    ///     .on_failure(async |failure: Failure| failure.recover(failure.payload().clone()));
    /// assert!(callback.options().on_failure().is_some());
    /// ```
    pub fn on_failure<M: 'static, H>(mut self, handler: H) -> Callback
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
    /// What the handler returns becomes the payload of the next step, in place of the one that was sent. If it returns an error,
    /// the callback fails. An answer that is retried reaches the handler only if it is the last attempt's.
    ///
    /// ```
    /// use faasflow_core::{Callback, CallResponse};
    ///
    /// // The next step receives the address of the stored payload instead of the payload.
    /// let callback = Callback::new("storage.io/bucket")
    ///     .on_response(async |answer: CallResponse| answer.header("location").unwrap_or_default().to_owned());
    /// assert!(callback.options().on_response().is_some());
    /// ```
    pub fn on_response<M: 'static, H>(mut self, handler: H) -> Callback
    where
        H: HandlerOf<CallResponse, M>,
        H::Output: IntoPayload,
    {
        self.request.on_response = Some(erase_response(handler));
        self
    }
}
