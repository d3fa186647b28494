//! Definition, plan, handlers, context, envelope and signature of Faasflow flows.
//!
//! This crate does no I/O and reads no clock: its callers pass in what it needs to know. Users depend on the crate
//! `faasflow`, which re-exports what a definition needs.

pub mod code;
pub mod definition;
pub mod duration;
pub mod envelope;
pub mod failure;
pub mod graph;
pub mod headers;
pub mod line;
pub mod machine;
pub mod names;
pub mod payload;
pub mod signature;
pub mod size;
pub mod state;

mod chain;
mod context;
mod counted;
mod error;
mod future;
mod kept_headers;
mod mismatch;
mod outcome;
mod report;
mod response;
mod unreadable;
mod unseen;
mod unset;

pub use chain::chain;
pub use code::Code;
pub use context::{Context, RequestId, RequestInfo, TraceContext};
pub use counted::counted;
pub use definition::extract::{FromContext, OptionalFromContext, Query, RequestState};
pub use definition::handler::{Handler, HandlerOf, PayloadHandler};
pub use definition::{
    Action, Branches, Call, Callback, Choice, Complete, Composite, DefinitionError, Fault, FaultKind, Flow,
    FlowBuilder, ForEach, Graph, IntoBranchName, IntoItems, IntoLabel, IntoSearchKeys, IntoValue, Items, MAX_LABEL,
    MemberOutcome, MemberResult, Modifier, Policy, RequestOptions, Retry, Secrets, Shown, Step, UrlError, ValueFrom,
    description, extract, handler, parse_callback_header, parse_callback_url, parse_url, without_credentials,
};
pub use error::{Error, Result};
pub use failure::{Failure, Resolution};
pub use graph::Plan;
pub use http::{HeaderMap, Method, StatusCode};
pub use kept_headers::KeptHeaders;
pub use outcome::{Outcome, UnknownOutcome};
pub use payload::{FromPayload, IntoPayload, Json, Payload};
pub use report::{Problem, Report};
pub use response::CallResponse;
pub use unreadable::Unreadable;
pub use unseen::is_unseen;
