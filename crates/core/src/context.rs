//! The context of a request: what a step can find out about it, and its state.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::graph::Place;
use crate::outcome::Outcome;
use crate::state::{EmbeddedState, Scope, StateManager, StateValue, Store, ValueKind, add_search_key, search_key};

/// The id of a request: 1 to 128 ASCII letters, digits, `-`, `_`, `.` or `:`, but neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// What an id is, for messages, as in "an id has 1 to 128 letters, …".
    pub const FORM: &str = "1 to 128 letters, digits, `-`, `_`, `.` or `:`, and is neither `.` nor `..`";

    /// Parses an id. Returns `None` if it is not valid: ids come from callers and are used in logs, keys and paths of URLs.
    ///
    /// ```
    /// use faasflow_core::RequestId;
    ///
    /// assert_eq!(RequestId::parse("order-17").unwrap().as_str(), "order-17");
    /// assert_eq!(RequestId::parse("two words"), None);
    /// // Clients remove these from the path of a URL, even if they are escaped.
    /// assert_eq!(RequestId::parse(".."), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<RequestId> {
        let valid = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
            && text != "."
            && text != "..";
        valid.then(|| RequestId(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The W3C trace context of a request, as its headers carried it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TraceContext {
    /// `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// `tracestate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Everything about a request that does not change from its first call to its end.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// The request id.
    pub id: RequestId,
    /// The name of the flow.
    pub flow: Arc<str>,
    /// The query string of the first call, without the `?`, as it came.
    pub query: String,
    /// The headers of the first call that are the caller's own.
    pub headers: HeaderMap,
    /// Where to report the end of the request.
    pub callback_url: Option<Uri>,
    /// The trace context of the first call.
    pub trace: TraceContext,
    /// When the request started, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// The invocation that began it, where the caller chose the request's id: two callers may choose the same.
    pub invocation: Option<String>,
}

impl RequestInfo {
    /// The scope of the request's state, which no other request has, also not one of the same id.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let request = match &self.invocation {
            None => self.id.to_string(),
            Some(invocation) => format!("{}.{}", self.id, hex::encode(&Sha256::digest(invocation)[..8])),
        };
        Scope { flow: self.flow.to_string(), request }
    }
}

/// The context of a request: its id, its place in the flow, its query and headers, and its state.
///
/// Cloning is cheap. Clones share the state.
#[derive(Clone)]
pub struct Context {
    request: Arc<RequestInfo>,
    store: Arc<Store>,
    place: Place,
    outcome: Option<Outcome>,
    /// How long the record of the request is kept after its end, if the request is remembered.
    keep_record: Option<Duration>,
}

impl Context {
    /// The context of one phase of a request whose state travels in its envelope.
    #[must_use]
    pub fn embedded(request: Arc<RequestInfo>, place: impl Into<Place>, state: EmbeddedState) -> Context {
        Context {
            request,
            store: Arc::new(Store::Embedded(state.into())),
            place: place.into(),
            outcome: None,
            keep_record: None,
        }
    }

    /// The context of one phase of a request whose state a manager keeps.
    #[must_use]
    pub fn external(request: Arc<RequestInfo>, place: impl Into<Place>, manager: Arc<dyn StateManager>) -> Context {
        let scope = request.scope();
        let store = Arc::new(Store::External(manager, scope));
        Context { request, store, place: place.into(), outcome: None, keep_record: None }
    }

    /// The same context for a request that is remembered, and whose record is kept for this time after its end.
    #[must_use]
    pub fn remembered_for(mut self, keep_record: Duration) -> Context {
        self.keep_record = Some(keep_record);
        self
    }

    /// The same context, reaching its state through this manager; where state is embedded, it stays so.
    #[must_use]
    pub fn through(mut self, manager: Arc<dyn StateManager>) -> Context {
        if let Store::External(..) = *self.store {
            self.store = Arc::new(Store::External(manager, self.request.scope()));
        }
        self
    }

    /// Returns the same context with the outcome of the request, which [`outcome`](Context::outcome) then returns.
    ///
    /// ```
    /// use faasflow_core::{Context, Outcome};
    ///
    /// let context = Context::for_test("");
    /// assert_eq!(context.outcome(), None);
    /// assert_eq!(context.with_outcome(Outcome::Failure).outcome(), Some(Outcome::Failure));
    /// ```
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Context {
        self.outcome = Some(outcome);
        self
    }

    /// Everything about the request that does not change from its first call to its end.
    #[must_use]
    pub fn request(&self) -> &Arc<RequestInfo> {
        &self.request
    }

    /// The request id.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.request.id.as_str()
    }

    /// The name of the flow.
    #[must_use]
    pub fn flow_name(&self) -> &str {
        &self.request.flow
    }

    /// The number of the phase, from 1.
    #[must_use]
    pub fn phase(&self) -> usize {
        self.place.phase()
    }

    /// Where the request stands in the plan of the flow.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The first value of a key in the query of the request, decoded. `None` if the query does not have the key. A key without
    /// a value has an empty one.
    ///
    /// ```
    /// use faasflow_core::Context;
    ///
    /// let context = Context::for_test("file=a%20b.jpg&file=c&loud");
    /// assert_eq!(context.query("file").as_deref(), Some("a b.jpg"));
    /// assert_eq!(context.query("loud").as_deref(), Some(""));
    /// assert_eq!(context.query("absent"), None);
    /// ```
    #[must_use]
    pub fn query(&self, key: &str) -> Option<String> {
        self.query_values(key).next()
    }

    /// All values of a key in the query of the request, decoded, in the order in which they were sent.
    ///
    /// ```
    /// use faasflow_core::Context;
    ///
    /// assert_eq!(Context::for_test("tag=a&tag=b").query_all("tag"), ["a", "b"]);
    /// ```
    #[must_use]
    pub fn query_all(&self, key: &str) -> Vec<String> {
        self.query_values(key).collect()
    }

    fn query_values(&self, key: &str) -> impl Iterator<Item = String> {
        form_urlencoded::parse(self.request.query.as_bytes())
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.into_owned())
    }

    /// A header of the request. The case of the name does not matter. `None` if there is no such header or it is not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.request.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }

    /// How the request ended. Known in `finally`; `None` in other handlers.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Stores a value for later steps of this request, in this phase and the next ones. It replaces an earlier value of the
    /// key.
    ///
    /// [`Bytes`], and other types that serialize as bytes, are stored raw; all others as JSON. For `Vec<u8>` and slices use
    /// [`set_bytes`](Context::set_bytes), because serde serializes them as lists of numbers.
    ///
    /// ```
    /// use faasflow_core::Context;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> faasflow_core::Result<()> {
    /// let context = Context::for_test("");
    /// context.set("attempt", 2_u8).await?;
    /// assert_eq!(context.get::<u8>("attempt").await?, Some(2));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// If the value cannot be written as JSON, or the state manager fails.
    pub async fn set<T: Serialize>(&self, key: &str, value: T) -> Result<()> {
        let value = StateValue::write(key, &value)?;
        self.store.set(key, value).await
    }

    /// Reads a value that [`set`](Context::set) stored. `None` if there is no value.
    ///
    /// ```
    /// use faasflow_core::Context;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> faasflow_core::Result<()> {
    /// let context = Context::for_test("");
    /// assert_eq!(context.get::<String>("name").await?, None);
    /// context.set("name", "Ada").await?;
    /// assert_eq!(context.get::<String>("name").await?.as_deref(), Some("Ada"));
    /// assert!(context.get::<u8>("name").await.unwrap_err().to_string().starts_with("state `name` holds a JSON string"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// If the value is not a `T` (the message names the key and both types), or if the state manager fails.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        match self.store.get(key).await? {
            Some(value) => value.read(key).map(Some),
            None => Ok(None),
        }
    }

    /// Stores bytes as they are, without copying them. They replace an earlier value of the key.
    ///
    /// ```
    /// use faasflow_core::Context;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> faasflow_core::Result<()> {
    /// let context = Context::for_test("");
    /// context.set_bytes("photo", vec![0xff, 0xd8]).await?;
    /// assert_eq!(context.get_bytes("photo").await?.unwrap(), vec![0xff, 0xd8]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// If the state manager fails.
    pub async fn set_bytes(&self, key: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let value = StateValue::raw(bytes.into());
        self.store.set(key, value).await
    }

    /// Reads raw bytes. `None` if there is no value.
    ///
    /// # Errors
    ///
    /// If the value was stored as JSON, or if the state manager fails.
    pub async fn get_bytes(&self, key: &str) -> Result<Option<Bytes>> {
        match self.store.get(key).await? {
            Some(StateValue { kind: ValueKind::Bytes, bytes }) => Ok(Some(bytes)),
            Some(StateValue { kind: ValueKind::Json, .. }) => {
                Err(Error::msg(format!("state `{key}` holds JSON, not raw bytes: read it with `get`")))
            }
            None => Ok(None),
        }
    }

    /// Removes a value. A missing key is not an error.
    ///
    /// ```
    /// use faasflow_core::Context;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> faasflow_core::Result<()> {
    /// let context = Context::for_test("");
    /// context.set("name", "Ada").await?;
    /// context.remove("name").await?;
    /// assert_eq!(context.get::<String>("name").await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// If the state manager fails.
    pub async fn remove(&self, key: &str) -> Result<()> {
        self.store.remove(key).await
    }

    /// Adds a search key, by which people can find the request: an order number, for example. `faasflow requests --search` and the
    /// requests API find it for as long as the request is remembered.
    ///
    /// A request can have [`MAX_SEARCH_KEYS`](crate::state::MAX_SEARCH_KEYS) of them, and several requests can have the same one. To
    /// add a key that it has already changes nothing, so a phase may be delivered again. Blanks around the key do not count.
    ///
    /// If the flow does not remember its requests, there is nothing to find, and the key is only checked.
    ///
    /// ```
    /// use faasflow_core::{Context, Flow, Json};
    ///
    /// #[derive(serde::Deserialize, serde::Serialize)]
    /// struct Order { number: String }
    ///
    /// let flow = Flow::builder().modify(async |context: Context, Json(order): Json<Order>| {
    ///     context.key(&order.number).await?;
    ///     Ok(Json(order))
    /// });
    /// assert!(flow.build().is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// If the key is empty, has more than [`MAX_SEARCH_KEY`](crate::state::MAX_SEARCH_KEY) bytes or has control characters; if the
    /// request has too many; or if the state manager fails.
    pub async fn key(&self, key: &str) -> Result<()> {
        let key = search_key(key)?;
        match (&*self.store, self.keep_record) {
            (Store::External(manager, scope), Some(keep_for)) => {
                add_search_key(&**manager, scope, self.request.started_ms, keep_for, key).await
            }
            _ => Ok(()),
        }
    }

    /// The values that travel in the envelope. Empty if a state manager stores them.
    #[must_use]
    pub fn embedded_state(&self) -> EmbeddedState {
        self.store.embedded()
    }

    /// Creates a context for testing handlers: request `test` of flow `test` in phase 1, with its state in memory.
    ///
    /// ```
    /// use faasflow_core::Context;
    ///
    /// let context = Context::for_test("quality=80&tag=a&tag=b");
    /// assert_eq!(context.query("quality").as_deref(), Some("80"));
    /// assert_eq!(context.query_all("tag"), ["a", "b"]);
    /// ```
    #[must_use]
    pub fn for_test(query: &str) -> Context {
        let request = RequestInfo {
            id: RequestId("test".into()),
            flow: "test".into(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            callback_url: None,
            trace: TraceContext::default(),
            started_ms: 0,
            invocation: None,
        };
        Context::embedded(Arc::new(request), 1, EmbeddedState::new())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("request_id", &self.request.id)
            .field("flow_name", &self.request.flow)
            .field("phase", &self.phase())
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}
