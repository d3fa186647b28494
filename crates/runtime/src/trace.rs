//! One trace per request: a span for the request, one for each phase, one for each step.
//!
//! The phases of a request may be executed by different processes, which know nothing of each other. So nothing about
//! spans is told from phase to phase: the trace's id, the id of the request's span and whether it is sampled follow from
//! the request itself, and each phase comes to the same. The span of the request is sent by whoever ends it.
//!
//! What is traced is collected in the delivery and handed over at its end, in one piece.

mod answer;
mod client;
mod delivery;
mod exporter;
mod id;
mod incoming;
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
pub use options::ExportOptions;
pub use sampling::{BadSampler, Sampling};
pub use server::TraceServer;
pub(crate) use step::StepSpan;
pub(crate) use text::cut;
pub(crate) use tracer::Tracer;
