//! The methods of the builder that add flows inside a flow.

use std::panic::Location;

use super::composite::{Choice, ForEach, Graph};
use super::draft::{BranchDraft, Element};
use super::flow::FlowBuilder;

/// Flows inside the flow.
impl FlowBuilder {
    /// Runs branches concurrently, and joins them: see [`Graph`].
    #[track_caller]
    pub fn graph(self, graph: Graph) -> FlowBuilder {
        self.element(Element::Graph(graph.draft), Location::caller())
    }

    /// Runs branches concurrently, and joins their outputs into a JSON object with their names as keys. It is a shorthand for a
    /// [`Graph`] in which no branch waits for another.
    ///
    /// ```
    /// use faasflow_core::Flow;
    ///
    /// let flow = Flow::builder()
    ///     .parallel([("thumb", Flow::builder().apply("resize")), ("tags", Flow::builder().apply("classify"))])
    ///     .build()
    ///     .unwrap();
    /// assert_eq!(flow.plan().shape(), "[] graph{thumb: [call resize]; tags: [call classify]} []");
    /// ```
    #[track_caller]
    pub fn parallel<N, B>(self, branches: impl IntoIterator<Item = (N, B)>) -> FlowBuilder
    where
        N: Into<String>,
        B: Into<FlowBuilder>,
    {
        let mut graph = Graph::new();
        for (name, body) in branches {
            graph = graph.branch(name, body);
        }
        self.graph(graph)
    }

    /// Continues in one of several branches: see [`Choice`].
    #[track_caller]
    pub fn choose(self, choice: Choice) -> FlowBuilder {
        self.element(Element::Choice(choice.draft), Location::caller())
    }

    /// Runs a branch for each item of a list: see [`ForEach`].
    #[track_caller]
    pub fn for_each(self, for_each: ForEach) -> FlowBuilder {
        self.element(Element::ForEach(Box::new(for_each.draft)), Location::caller())
    }

    /// Runs another flow as a part of this one. Its failure handler handles failures inside it, and can recover with an output.
    /// To run a flow that is deployed separately, as a separate request, use a [`Call`](super::Call) instead.
    ///
    /// ```
    /// use faasflow_core::{Context, Failure, Flow};
    ///
    /// let archive = Flow::builder()
    ///     .apply("compress")
    ///     .apply("store")
    ///     .on_failure(async |_: Context, failure: Failure| failure.recover("not archived"));
    /// let flow = Flow::builder().apply("scan").flow("archive", archive).apply("notify").build();
    /// assert_eq!(flow.unwrap().plan().shape(), "[call scan] flow{archive: [call compress] [call store]} [call notify]");
    /// ```
    #[track_caller]
    pub fn flow(self, name: impl Into<String>, body: impl Into<FlowBuilder>) -> FlowBuilder {
        let at = Location::caller();
        self.element(Element::Flow(BranchDraft::new(name.into(), body.into().draft, at)), at)
    }
}
