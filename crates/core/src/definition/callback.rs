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

/// Options of the request.
impl Callback {
    /// Sends with this method, rather than the setting `default_method`. GET and HEAD carry no body.
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

    /// Sends a header. Given twice for the same name, both are sent. `build` reports a name or a value that no header may
    /// have, and a name that is an option: `.header("method", "put")` is `.method(Method::PUT)`.
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

    /// Sends a header whose value is made for each request. It is left out where the closure yields `None`. A value with
    /// control characters fails the step. [`header_from`](Callback::header_from) takes extractors instead of the context.
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

    /// Sends a header whose value is made for each request from any number of extractors, as handlers take them. It is left
    /// out where the closure yields `None`. The step fails where an extractor cannot be made, or the value has control
    /// characters.
    ///
    /// ```
    /// use faasflow_core::{Callback, RequestState};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Login { token: String } // what an earlier step has kept as `token`
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

    /// Adds a key to the query, encoded. Given twice for the same key, both are sent.
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

    /// Adds a key to the query whose value is made for each request. It is left out where the closure yields `None`.
    /// [`query_from`](Callback::query_from) takes extractors instead of the context.
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

    /// Adds a key to the query whose value is made for each request from any number of extractors, as handlers take them. It
    /// is left out where the closure yields `None`. The step fails where an extractor cannot be made.
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

    /// How long one attempt may take, from sending to the last byte of the answer. Without it, as long as the invocation
    /// may, which is `write_timeout`. `build` reports a timeout of 0.
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

    /// When it is tried again. Without it, only in an outage: see [`Retry::on_unreachable`].
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

    /// Decides about a failure of this callback, after its retries and before the flow's own handler. The handler takes any
    /// number of extractors and, last, the [`Failure`].
    ///
    /// `failure.recover(payload)` lets the flow go on, with that payload for the next step; `failure.reply(payload)` ends the
    /// request with it. `failure.decline()`, an error and an extractor that cannot be made leave the decision to the flow's
    /// handler.
    ///
    /// ```
    /// use faasflow_core::{Callback, Failure};
    ///
    /// // A copy that is not kept is no reason to stop.
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

    /// Reads the answer, whatever its status, instead of taking 2xx for success and all else for a failure. The handler takes
    /// any number of extractors and, last, the [`CallResponse`].
    ///
    /// What it returns takes the place of the payload that was sent, as the payload of the next step; its error is the failure
    /// of the callback. Statuses that are retried come here only from the last attempt.
    ///
    /// ```
    /// use faasflow_core::{Callback, CallResponse};
    ///
    /// // The address under which the payload was kept goes on, and not the payload.
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
