//! The request that a log line belongs to.

use std::fmt::Write as _;
use std::sync::Arc;

use faasflow_core::RequestId;

use super::secret_values::SecretValues;
use super::text::escaped;
use crate::trace::TraceId;

/// What a log line says about its request.
#[derive(Debug)]
pub(super) struct RequestContext {
    phase: Arc<PhaseContext>,
    /// The branch or item within the phase, such as `thumb` or `pages/item-3`. Empty outside of branches.
    pub(super) branch: String,
    /// The label of the item, and of the items around it. Empty if they have none.
    pub(super) label: String,
    /// The end of all lines, in the format for people.
    suffix: String,
}

/// What the lines of all branches of a phase say. It is made once for all of them.
#[derive(Debug)]
struct PhaseContext {
    request: RequestId,
    phase: Option<u64>,
    place: Option<String>,
    trace: Option<TraceId>,
    /// The beginning of all lines, in the format for people.
    prefix: String,
    /// What the end of a line has before the branch.
    before_branch: String,
    /// What it has after the branch.
    after_branch: String,
    secrets: SecretValues,
}

tokio::task_local! {
    /// The request that the current task works on.
    pub(super) static REQUEST: Arc<RequestContext>;
}

impl RequestContext {
    pub(super) fn new(
        request: RequestId,
        phase: Option<u64>,
        place: Option<String>,
        trace: Option<TraceId>,
        branch: String,
    ) -> RequestContext {
        let prefix = ["[Request `", request.as_str(), "`] "].concat();
        let mut before_branch = String::with_capacity(32);
        if let Some(phase) = phase {
            before_branch.extend([" phase=", &phase.to_string()]);
        }
        if let Some(place) = &place {
            before_branch.extend([" place=", place]);
        }
        let after_branch = trace.map(|trace| format!(" trace_id={trace}")).unwrap_or_default();
        let phase = PhaseContext {
            request,
            phase,
            place,
            trace,
            prefix,
            before_branch,
            after_branch,
            secrets: SecretValues::default(),
        };
        RequestContext::of_branch(Arc::new(phase), branch, String::new())
    }

    /// The same for a branch or an item of the phase.
    pub(super) fn in_branch(&self, branch: String, label: String) -> RequestContext {
        RequestContext::of_branch(self.phase.clone(), branch, label)
    }

    fn of_branch(phase: Arc<PhaseContext>, branch: String, label: String) -> RequestContext {
        let (before, after) = (&phase.before_branch, &phase.after_branch);
        let mut suffix = String::with_capacity(before.len() + branch.len() + label.len() + after.len() + 24);
        suffix.push_str(before);
        for (name, value) in [("branch", &branch), ("label", &label)] {
            if value.is_empty() {
                continue;
            }
            suffix.extend([" ", name, "="]);
            match value.contains([' ', '"', '=', '\\']) {
                true => drop(write!(suffix, "{value:?}")),
                false => suffix.push_str(&escaped(value)),
            }
        }
        suffix.push_str(after);
        RequestContext { phase, branch, label, suffix }
    }

    /// The secret values that lines of the phase do not show.
    pub(super) fn secrets(&self) -> &SecretValues {
        &self.phase.secrets
    }

    pub(super) fn request(&self) -> &RequestId {
        &self.phase.request
    }

    pub(super) fn phase(&self) -> Option<u64> {
        self.phase.phase
    }

    /// The place as text, such as `3.17/5`; `None` if the request has no branches.
    pub(super) fn place(&self) -> Option<&str> {
        self.phase.place.as_deref()
    }

    pub(super) fn trace(&self) -> Option<TraceId> {
        self.phase.trace
    }

    pub(super) fn prefix(&self) -> &str {
        &self.phase.prefix
    }

    pub(super) fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The request that is being worked on here, if any.
    pub(super) fn current() -> Option<Arc<RequestContext>> {
        REQUEST.try_with(Arc::clone).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_requests_with_branches_have_a_place() {
        let context = |place: Option<&str>, branch: &str| {
            let id = RequestId::parse("r").unwrap();
            RequestContext::new(id, Some(5), place.map(str::to_owned), None, branch.to_owned())
        };
        assert_eq!(context(None, "").suffix(), " phase=5");
        assert_eq!(context(Some("5"), "").suffix(), " phase=5 place=5");
        assert_eq!(context(Some("3.17/5"), "item-18").suffix(), " phase=5 place=3.17/5 branch=item-18");
    }

    #[test]
    fn the_context_of_a_branch_differs_only_in_the_branch() {
        let trace = Some(TraceId([0xab; 16]));
        let id = RequestId::parse("r").unwrap();
        let new = |branch: &str| {
            RequestContext::new(id.clone(), Some(5), Some("3.17/5".to_owned()), trace, branch.to_owned())
        };
        for branch in ["thumb", "two words", "pages/item-3", "tab\there"] {
            let (inside, whole) = (new("").in_branch(branch.to_owned(), String::new()), new(branch));
            assert_eq!((inside.prefix(), inside.suffix()), (whole.prefix(), whole.suffix()));
            assert_eq!((&*inside.branch, inside.request(), inside.phase()), (branch, whole.request(), whole.phase()));
            assert_eq!((inside.place(), inside.trace()), (whole.place(), whole.trace()));
        }
        let trace_id = "ab".repeat(16);
        assert_eq!(
            new("two words").suffix(),
            format!(" phase=5 place=3.17/5 branch=\"two words\" trace_id={trace_id}")
        );
        let item = new("").in_branch("item-3".to_owned(), "a b.jpg / left".to_owned());
        let expected = " phase=5 place=3.17/5 branch=item-3 label=\"a b.jpg / left\" trace_id=";
        assert_eq!(item.suffix(), format!("{expected}{trace_id}"));
    }
}
