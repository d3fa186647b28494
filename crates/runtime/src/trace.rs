//! Traces of requests. A trace has a span for the request, one for each phase and one for each step.
//!
//! The phases of a request may be executed by different processes that do not know about each other. No data about spans is
//! passed between them. Instead, the trace id, the id of the request's span and the sampling decision are derived from the
//! request itself, so that each phase arrives at the same values. The span of the request is sent by the phase that ends it.
//!
//! Each delivery collects its spans and hands them over at its end.

mod answer;
mod client;
mod delivery;
mod exporter;
mod id;
mod incoming;
mod member;
mod options;
mod otlp;
mod sampling;
mod server;
mod step;
mod text;
mod tracer;

pub(crate) use delivery::Trace;
pub(crate) use exporter::Exporter;
pub(crate) use id::TraceId;
pub(crate) use incoming::incoming;
pub(crate) use member::MemberSpan;
pub use options::ExportOptions;
pub use sampling::{BadSampler, Sampling};
pub use server::{TraceServer, TraceServerError};
pub(crate) use step::StepSpan;
pub(crate) use text::cut;
pub(crate) use tracer::Tracer;
