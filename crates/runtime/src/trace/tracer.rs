use std::sync::Arc;
use std::time::Duration;

use faasflow_core::graph::Place;
use faasflow_core::{Flow, RequestInfo};

use super::delivery::{ActiveTrace, Trace, Tracing};
use super::exporter::Exporter;
use super::sampling::Sampling;
use super::step::constant_attributes;

/// Traces deliveries. Without an exporter, it passes trace contexts on unchanged.
#[derive(Debug)]
pub(crate) struct Tracer(Arc<Tracing>);

impl Tracer {
    /// A tracer for the requests of a flow.
    pub(crate) fn new(exporter: Option<Exporter>, sampling: Sampling, flow: &Flow) -> Tracer {
        let steps = flow.steps().iter().enumerate().map(|(index, step)| constant_attributes(step, index + 1)).collect();
        Tracer(Arc::new(Tracing { exporter, sampling, phases: flow.plan().phase_count(), steps }))
    }

    /// Begins the trace of one delivery of a phase. `sent_ms` is the time when it was forwarded; `None` for a fresh request.
    pub(crate) fn begin(&self, info: &Arc<RequestInfo>, place: &Place, sent_ms: Option<u64>) -> Trace {
        let active = self.0.exporter.as_ref().map(|exporter| ActiveTrace::new(&self.0, exporter, info, place, sent_ms));
        Trace { info: info.clone(), active }
    }

    /// Sends the waiting spans.
    pub(crate) async fn stop(&self, within: Duration) {
        if let Some(exporter) = &self.0.exporter {
            exporter.stop(within).await;
        }
    }
}
