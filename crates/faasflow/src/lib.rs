#![doc = include_str!("../../../README.md")]

#[cfg(any(doc, doctest))]
pub mod guide;

pub use bytes;
#[allow(deprecated, reason = "it works until it is removed")]
pub use faasflow_core::State;
pub use faasflow_core::{
    Call, CallResponse, Callback, Context, DefinitionError, Error, Failure, Flow, FlowBuilder, FromContext,
    FromPayload, HeaderMap, IntoPayload, Json, Method, OptionalFromContext, Outcome, Payload, Query, RequestState,
    Resolution, Result, Retry, StatusCode,
    failure::FailureKind,
    handler::BoxFuture,
    state::{self, Scope, StateError, StateManager},
};
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
