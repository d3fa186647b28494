#![doc = include_str!("../README.md")]

#[cfg(any(doc, doctest))]
pub mod guide;

pub use bytes;
pub use faasflow_core::{
    Call, CallResponse, Callback, Code, Context, DefinitionError, Error, Failure, Flow, FlowBuilder, FromContext,
    FromPayload, HeaderMap, IntoPayload, Json, Method, OptionalFromContext, Outcome, Payload, Query, RequestId,
    RequestState, Resolution, Result, Retry, StatusCode, TraceContext, code,
    failure::FailureKind,
    handler::BoxFuture,
    state::{self, Scope, StateError, StateManager},
};
pub use faasflow_runtime::{Forward, ForwardError, Forwarder, Uuid};
pub use faasflow_state::Memory;
#[cfg(feature = "redis")]
pub use faasflow_state::{Redis, RedisBuilder};
#[cfg(feature = "s3")]
pub use faasflow_state::{S3, S3Builder};

/// What a step does is to allocate, to copy and to free, on any thread. Neither glibc nor musl is made for that.
#[cfg(all(target_os = "linux", feature = "mimalloc"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves a flow as a function until it is told to stop. This is the whole of a deployed program:
///
/// ```no_run
/// # fn define() -> Result<faasflow::Flow, faasflow::DefinitionError> { faasflow::Flow::builder().apply("facedetect").build() }
/// fn main() -> faasflow::Result<()> {
///     faasflow::serve(define()?)
/// }
/// ```
///
/// Settings are environment variables, as OpenFaaS gives them. With the argument `describe` the program prints the
/// definition as JSON and ends.
///
/// # Errors
///
/// If it cannot start: a setting that cannot be used, no key for signing, a port that is taken, a state manager that
/// will not work.
pub fn serve(flow: Flow) -> Result<()> {
    faasflow_runtime::serve(flow, faasflow_state::open)
}

/// Serves a flow whose envelopes go another way than through the gateway's queue: through a message broker of yours, for
/// instance. [`Forwarder`] says what is expected of whoever takes them. Everything else is as with [`serve`].
///
/// The forwarder is made before the program has a runtime for async code, so it should connect when the first envelope
/// comes.
///
/// ```no_run
/// use faasflow::{BoxFuture, Forward, ForwardError, Forwarder};
///
/// struct Broker { /* … */ }
///
/// impl Broker {
///     /// Publishes a message under an id. One that the broker has already is dropped.
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
