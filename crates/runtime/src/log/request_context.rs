//! The request that a log line belongs to.

use std::fmt::Write as _;
use std::sync::Arc;

use faasflow_core::RequestId;

use super::text::escaped;
use crate::trace::TraceId;

/// What a log line says about its request.
#[derive(Debug)]
pub(super) struct RequestContext {
    pub(super) request: RequestId,
    pub(super) phase: Option<u64>,
    pub(super) trace: Option<TraceId>,
    /// The branch or item within the phase, such as `thumb` or `pages/item-3`. Empty outside of branches.
    pub(super) branch: String,
    /// The prefix and the suffix of all lines of the request, in the format for people.
    around: String,
    /// Where the suffix begins.
    behind: usize,
}

tokio::task_local! {
    /// The request that the current task works on.
    pub(super) static REQUEST: Arc<RequestContext>;
}

impl RequestContext {
    pub(super) fn new(
        request: RequestId,
        phase: Option<u64>,
        trace: Option<TraceId>,
        branch: String,
    ) -> RequestContext {
        let mut around = String::with_capacity(128);
        around.extend(["[Request `", request.as_str(), "`] "]);
        let behind = around.len();
        if let Some(phase) = phase {
            around.extend([" phase=", &phase.to_string()]);
        }
        if !branch.is_empty() {
            around.push_str(" branch=");
            match branch.contains([' ', '"', '=', '\\']) {
                true => drop(write!(around, "{branch:?}")),
                false => around.push_str(&escaped(&branch)),
            }
        }
        if let Some(trace) = trace {
            let _ = write!(around, " trace_id={trace}");
        }
        RequestContext { request, phase, trace, branch, around, behind }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.around[..self.behind]
    }

    pub(super) fn suffix(&self) -> &str {
        &self.around[self.behind..]
    }

    /// The request that is being worked on here, if any.
    pub(super) fn current() -> Option<Arc<RequestContext>> {
        REQUEST.try_with(Arc::clone).ok()
    }
}
