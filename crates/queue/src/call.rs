//! The contents of a queue: calls of functions, and callbacks, which send an answer to a URL.

use bytes::Bytes;
use faasflow_http::now_ms;
use http::{HeaderMap, Uri};

/// A call that is not in the queue yet.
#[derive(Clone, Debug)]
pub struct NewCall {
    /// The id of the invocation. A second call of the same function with this id is a duplicate within the window.
    pub call_id: String,
    /// The name of the function as it was invoked.
    pub function: String,
    /// The rest of the path after the name: empty, or beginning with `/`.
    pub path: String,
    /// The query, without the `?`.
    pub query: Option<String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The URL that gets the function's answer.
    pub callback_url: Option<Uri>,
}

/// The result of [`Queue::enqueue`](crate::Queue::enqueue).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The store has it, and it will be delivered.
    New,
    /// A call with this id was accepted before, so this one is dropped.
    Duplicate,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a function.
    Function {
        /// Its name as it was invoked.
        name: String,
        /// The rest of the path after the name: empty, or beginning with `/`.
        path: String,
        /// The query, without the `?`.
        query: Option<String>,
        /// The URL that gets the answer.
        callback_url: Option<Uri>,
    },
    /// To a URL, with the answer of a function.
    Callback {
        /// The URL.
        url: Uri,
        /// The function that gave the answer.
        function: String,
    },
}

/// An accepted call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The id of the invocation.
    pub call_id: String,
    /// Where it goes.
    pub target: Target,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub accepted_ms: u64,
}

impl Call {
    pub(crate) fn new(call: NewCall) -> Call {
        let NewCall { call_id, function, path, query, headers, body, callback_url } = call;
        let target = Target::Function { name: function, path, query, callback_url };
        Call { call_id, target, headers, body, accepted_ms: now_ms() }
    }

    /// The name of the function that it goes to; for a callback, of the function whose answer it carries.
    #[must_use]
    pub fn function(&self) -> &str {
        match &self.target {
            Target::Function { name, .. } => name,
            Target::Callback { function, .. } => function,
        }
    }

    /// Whether it is a callback.
    #[must_use]
    pub fn is_callback(&self) -> bool {
        matches!(self.target, Target::Callback { .. })
    }

    /// The key by which duplicates are found: the id of the invocation and the function. The function is part of it because a
    /// callback to an asynchronous route is a call of another function with the same id.
    #[must_use]
    pub fn duplicate_key(&self) -> String {
        format!("{} {}", self.call_id, bare_name(self.function()))
    }

    /// The lane of the call. Calls of one lane share a limit of concurrent deliveries, and lanes take turns. Each function is a
    /// lane, and so is each host of callback URLs.
    #[must_use]
    pub fn lane(&self) -> String {
        match &self.target {
            Target::Function { name, .. } => bare_name(name).to_owned(),
            Target::Callback { url, .. } => {
                format!("callback {}:{}", url.host().unwrap_or_default(), url.port_u16().unwrap_or_default())
            }
        }
    }
}

/// The namespace of all functions of a local gateway.
pub const NAMESPACE: &str = "openfaas-fn";

/// The name of a function without its namespace. Both forms of the name mean the same function.
#[must_use]
pub fn bare_name(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((bare, NAMESPACE)) => bare,
        _ => name,
    }
}
