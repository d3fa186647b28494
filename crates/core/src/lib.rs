//! Definition, plan, handlers, context, envelope and signature of Faasflow flows.
//!
//! This crate does no I/O and reads no clock: what it needs to know of the world it is told. Users depend
//! on the crate `faasflow`, which re-exports what a definition needs.

pub mod description;
pub mod duration;
pub mod envelope;
pub mod extract;
pub mod failure;
pub mod handler;
pub mod headers;
pub mod payload;
pub mod plan;
pub mod signature;
pub mod size;
pub mod state;

mod call;
mod context;
mod definition_error;
mod error;
mod flow;
mod hex;
mod mismatch;
mod outcome;
mod response;
mod retry;
mod unreadable;
mod url;

pub use call::{Call, Callback, IntoValue, RequestOptions};
pub use context::{Context, RequestId, RequestInfo, TraceContext};
pub use definition_error::{DefinitionError, Fault};
pub use error::{Error, Result, chain};
pub use extract::{FromContext, Query, State};
pub use failure::{Failure, Resolution};
pub use flow::{Action, Flow, FlowBuilder, Modifier, Step};
pub use handler::Handler;
pub use http::{HeaderMap, Method, StatusCode};
pub use outcome::{Outcome, UnknownOutcome};
pub use payload::{FromPayload, IntoPayload, Json, Payload};
pub use plan::Plan;
pub use response::CallResponse;
pub use retry::Retry;
pub use unreadable::why_unreadable;
pub use url::{parse_callback_url, parse_url, without_credentials};
