//! A set of named branches, some of which wait for others.

use std::panic::Location;
use std::time::Duration;

use crate::definition::draft::{BranchDraft, GraphDraft};
use crate::definition::fault::FaultKind;
use crate::definition::flow::FlowBuilder;
use crate::definition::handler::{HandlerOf, erase};
use crate::payload::IntoPayload;

use super::branches::Branches;
use super::complete::Complete;

/// Branches that run concurrently, and a join that sees their outputs.
///
/// Each branch is a flow. Its input is the payload of the graph or, if it comes [`after`](Graph::after) others, their outputs.
/// Without a [`join`](Graph::join) handler, the output of the graph is a JSON object with the outputs of the branches that no
/// other branch waits for. The keys are the names of the branches.
///
/// ```
/// use faasflow_core::{Branches, Call, Flow, Graph, Json};
/// # #[derive(serde::Deserialize)] struct Tags(Vec<String>);
///
/// let flow = Flow::builder()
///     .graph(
///         Graph::new()
///             .branch("thumb", Flow::builder().apply("resize").apply("watermark"))
///             .branch("tags", Flow::builder().apply("classify"))
///             .branch("sheet", Flow::builder().apply("layout"))
///             .after("sheet", ["thumb", "tags"])
///             .join(async |mut branches: Branches| {
///                 let Json(Tags(tags)) = branches.take("tags")?;
///                 Ok(format!("{} tags, {} bytes", tags.len(), branches.output("sheet")?.len()))
///             }),
///     )
///     .build();
/// # assert!(flow.is_ok());
/// ```
#[derive(Clone, Default)]
#[must_use = "a graph does nothing until it is given to a flow"]
pub struct Graph {
    pub(in crate::definition) draft: GraphDraft,
}

impl Graph {
    /// Creates a graph without branches.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// Adds a branch. It begins when the graph does, unless it comes [`after`](Graph::after) others.
    #[track_caller]
    pub fn branch(mut self, name: impl Into<String>, body: impl Into<FlowBuilder>) -> Graph {
        self.draft.branches.push(BranchDraft::new(name.into(), body.into().draft, Location::caller()));
        self
    }

    /// Lets a branch begin only when others have succeeded. Its input is a JSON object with their outputs, with their names as
    /// keys. `build` reports names that are not branches of this graph, and branches that wait for each other.
    ///
    /// ```
    /// use faasflow_core::{Flow, Graph};
    ///
    /// let branch = |function: &str| Flow::builder().apply(function);
    /// let diamond = Graph::new()
    ///     .branch("top", branch("a"))
    ///     .branch("left", branch("b")).after("left", ["top"])
    ///     .branch("right", branch("c")).after("right", ["top"])
    ///     .branch("bottom", branch("d")).after("bottom", ["left", "right"]);
    /// assert!(Flow::builder().graph(diamond).build().is_ok());
    /// ```
    #[track_caller]
    pub fn after<N: Into<String>>(mut self, branch: impl Into<String>, others: impl IntoIterator<Item = N>) -> Graph {
        let (branch, at) = (branch.into(), Location::caller());
        self.draft.after.extend(others.into_iter().map(|other| (branch.clone(), other.into(), at)));
        self
    }

    /// Fails a branch that has not ended within this time after its beginning. If it is called again for the same branch, the last
    /// call counts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use faasflow_core::{Complete, Flow, Graph};
    ///
    /// let graph = Graph::new()
    ///     .branch("quick", Flow::builder().apply("estimate"))
    ///     .branch("exact", Flow::builder().apply("compute"))
    ///     .within("exact", Duration::from_secs(20))
    ///     .complete(Complete::Settled);
    /// assert!(Flow::builder().graph(graph).build().is_ok());
    /// ```
    #[track_caller]
    pub fn within(mut self, branch: impl AsRef<str>, time: Duration) -> Graph {
        let name = branch.as_ref();
        let location = Location::caller();
        let zero = time.is_zero().then_some((FaultKind::ZeroTime, location));
        match self.draft.branches.iter_mut().find(|branch| branch.name == name) {
            Some(branch) => {
                branch.within = Some(time);
                branch.faults.extend(zero);
            }
            None => {
                self.draft.faults.push((FaultKind::UnknownBranch(name.to_owned()), location));
                self.draft.faults.extend(zero);
            }
        }
        self
    }

    /// Sets when the graph is complete. The default is [`Complete::All`]. If it is called again, the last call counts.
    pub fn complete(mut self, complete: Complete) -> Graph {
        self.draft.complete = complete;
        self
    }

    /// Makes the output of the graph from the outputs of its branches. The handler takes any number of extractors and, last,
    /// the [`Branches`].
    #[track_caller]
    pub fn join<M: 'static, H>(mut self, handler: H) -> Graph
    where
        H: HandlerOf<Branches, M>,
        H::Output: IntoPayload,
    {
        let location = Location::caller();
        if self.draft.join.is_some() {
            self.draft.faults.push((FaultKind::set_twice("join", location), location));
        }
        self.draft.join = Some(erase(handler, IntoPayload::into_payload));
        self
    }
}
