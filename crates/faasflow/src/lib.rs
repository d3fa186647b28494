#![doc = include_str!("../README.md")]

#[cfg(any(doc, doctest))]
pub mod guide;

pub use bytes;
pub use faasflow_core::{
    Branches, Call, CallResponse, Callback, Choice, Code, Complete, Context, DefinitionError, Error, Failure, Flow,
    FlowBuilder, ForEach, FromContext, FromPayload, Graph, HeaderMap, IntoBranchName, IntoItems, IntoPayload, Items,
    Json, MemberOutcome, MemberResult, Method, OptionalFromContext, Outcome, Payload, Query, RequestId, RequestState,
    Resolution, Result, Retry, StatusCode, TraceContext, code,
    failure::FailureKind,
    graph::Place,
    handler::BoxFuture,
    state::{self, Scope, StateError, StateManager},
};
pub use faasflow_runtime::{Forward, ForwardError, Forwarder, Uuid};
pub use faasflow_state::Memory;
#[cfg(feature = "gateway")]
pub use faasflow_state::{GatewayStore, GatewayStoreBuilder};
#[cfg(feature = "redis")]
pub use faasflow_state::{Redis, RedisBuilder};
#[cfg(feature = "s3")]
pub use faasflow_state::{S3, S3Builder};

/// A step mostly allocates, copies and frees memory, on any thread. The allocators of glibc and musl are slow at that.
#[cfg(all(target_os = "linux", feature = "mimalloc"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves a flow as a function until the process is asked to stop. This is a complete program:
///
/// ```no_run
/// # fn define() -> Result<faasflow::Flow, faasflow::DefinitionError> { faasflow::Flow::builder().apply("facedetect").build() }
/// fn main() -> faasflow::Result<()> {
///     faasflow::serve(define()?)
/// }
/// ```
///
/// It reads its settings from environment variables, which OpenFaaS sets. With the argument `describe` the program prints the
/// definition as JSON and exits.
///
/// # Errors
///
/// If the flow cannot start, for example because a setting is not valid, the signing key is missing, the port is in use, or
/// the state manager does not work.
pub fn serve(flow: Flow) -> Result<()> {
    faasflow_runtime::serve(flow, faasflow_state::open)
}

/// Serves a flow that sends its envelopes through something other than the gateway's queue, such as your own message broker.
/// [`Forwarder`] describes what the broker must do. Otherwise this is the same as [`serve`].
///
/// You create the forwarder before the async runtime exists, so it should connect when it receives the first envelope.
///
/// ```no_run
/// use faasflow::{BoxFuture, Forward, ForwardError, Forwarder};
///
/// struct Broker { /* … */ }
///
/// impl Broker {
///     /// Publishes a message under an id. The broker drops a message whose id it has already seen.
///     async fn publish(&self, id: &str, headers: faasflow::HeaderMap, body: Vec<u8>) -> std::io::Result<()> {
/// #       let _ = (id, headers, body);
///         // …
/// #       Ok(())
///     }
/// }
///
/// impl Forwarder for Broker {
///     fn forward(&self, forward: Forward) -> BoxFuture<'_, Result<(), ForwardError>> {
///         Box::pin(async move {
///             let id = forward.call_id.to_string();
///             let published = self.publish(&id, forward.headers(), forward.body.concat()).await;
///             published.map_err(|error| ForwardError::temporary(format!("the broker cannot be reached: {error}"), None))
///         })
///     }
/// }
///
/// # fn define() -> Result<faasflow::Flow, faasflow::DefinitionError> { faasflow::Flow::builder().apply("facedetect").build() }
/// fn main() -> faasflow::Result<()> {
///     faasflow::serve_with_forwarder(define()?, Broker { /* … */ })
/// }
/// ```
///
/// # Errors
///
/// As for [`serve`].
pub fn serve_with_forwarder(flow: Flow, forwarder: impl Forwarder) -> Result<()> {
    faasflow_runtime::serve_with_forwarder(flow, faasflow_state::open, forwarder)
}
