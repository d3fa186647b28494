#![doc = include_str!("../../../README.md")]

pub use bytes;
pub use faasflow_core::{
    Call, CallResponse, Callback, Context, DefinitionError, Error, Failure, Flow, FlowBuilder, FromContext,
    FromPayload, HeaderMap, IntoPayload, Json, Method, Outcome, Payload, Query, Resolution, Result, Retry, State,
    StatusCode, failure::FailureKind, handler::BoxFuture, state::Scope, state::StateError, state::StateManager,
};
pub use faasflow_runtime::serve;
pub use faasflow_state::Memory;
