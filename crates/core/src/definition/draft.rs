//! A flow as its author wrote it, before it is checked and numbered.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::payload::Payload;
use crate::state::StateManager;

use super::composite::{Branches, Complete, Items};
use super::fault::FaultKind;
use super::handler::{FailureFn, FinallyFn, HandlerFn};
use super::secrets::Secrets;
use super::step::Step;

/// A location in the author's code.
pub(super) type At = &'static Location<'static>;

/// A flow, or a flow inside another.
#[derive(Clone, Default)]
pub(super) struct Draft {
    pub(super) elements: Vec<(Element, At)>,
    pub(super) on_failure: Option<FailureFn>,
    pub(super) finally: Option<FinallyFn>,
    pub(super) state: Option<Arc<dyn StateManager>>,
    pub(super) search_key: Option<SearchKeyFn>,
    pub(super) secrets: Secrets,
    /// Faults of the flow as a whole.
    pub(super) faults: Vec<(FaultKind, At)>,
}

/// A step, or flows inside the flow.
#[derive(Clone)]
pub(super) enum Element {
    Step(Box<Step>),
    Graph(GraphDraft),
    Choice(ChoiceDraft),
    ForEach(Box<ForEachDraft>),
    Flow(BranchDraft),
}

/// A named flow inside another.
#[derive(Clone)]
pub(super) struct BranchDraft {
    pub(super) name: String,
    pub(super) body: Draft,
    pub(super) within: Option<Duration>,
    pub(super) at: At,
    /// Faults of the branch itself, not of its flow.
    pub(super) faults: Vec<(FaultKind, At)>,
}

impl BranchDraft {
    pub(super) fn new(name: String, body: Draft, at: At) -> BranchDraft {
        BranchDraft { name, body, within: None, at, faults: Vec::new() }
    }
}

#[derive(Clone, Default)]
pub(super) struct GraphDraft {
    pub(super) branches: Vec<BranchDraft>,
    /// Pairs of a branch and one that it comes after.
    pub(super) after: Vec<(String, String, At)>,
    pub(super) complete: Complete,
    pub(super) join: Option<JoinFn>,
    pub(super) faults: Vec<(FaultKind, At)>,
}

#[derive(Clone)]
pub(super) struct ChoiceDraft {
    pub(super) decide: DecideFn,
    pub(super) branches: Vec<BranchDraft>,
    pub(super) otherwise: Option<BranchDraft>,
    pub(super) faults: Vec<(FaultKind, At)>,
}

#[derive(Clone)]
pub(super) struct ForEachDraft {
    pub(super) body: Draft,
    pub(super) split: Option<SplitFn>,
    pub(super) label: Option<LabelFn>,
    pub(super) collect: Option<CollectFn>,
    pub(super) complete: Complete,
    pub(super) at_most: u32,
    pub(super) within: Option<Duration>,
    pub(super) faults: Vec<(FaultKind, At)>,
}

pub(super) type JoinFn = HandlerFn<Branches, Payload>;
pub(super) type DecideFn = HandlerFn<Payload, String>;
pub(super) type SplitFn = HandlerFn<Payload, Vec<Payload>>;
/// Returns the search keys of a request with this payload.
pub(super) type SearchKeyFn = Arc<dyn Fn(Payload) -> Result<Vec<String>> + Send + Sync>;
/// Returns the label of an item.
pub(super) type LabelFn = Arc<dyn Fn(Payload) -> Result<Option<String>> + Send + Sync>;
pub(super) type CollectFn = HandlerFn<Items, Payload>;
