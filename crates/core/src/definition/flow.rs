//! The definition of a flow, and the builder that checks it.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::error::Result;
use crate::failure::{Failure, IntoResolution};
use crate::graph::{BodyIndex, CompositeIndex, Plan, StepIndex};
use crate::outcome::Outcome;
use crate::payload::{FromPayload, Payload};
use crate::state::StateManager;

use super::build::{Built, Composite};
use super::call::Call;
use super::callback::Callback;
use super::draft::{At, Draft, Element};
use super::fault::{DefinitionError, Fault, FaultKind};
use super::handler::{FailureFn, FinallyFn, Handler, HandlerOf, IntoEnd, erase, erase_modifier};
use super::search_keys::IntoSearchKeys;
use super::secrets::Secrets;
use super::step::{Action, Modifier, Step};

/// The definition of a flow: its steps in order, its failure handler, its finaliser and its state manager.
///
/// Build it once, when the program starts. It never changes, and every request uses the same one.
#[derive(Clone)]
pub struct Flow(Arc<Definition>);

struct Definition {
    steps: Vec<Step>,
    composites: Vec<Composite>,
    /// The failure handler of each body. The first body is the flow itself.
    handlers: Vec<Option<FailureFn>>,
    plan: Plan,
    /// The draft that it was built from, for use as a part of another flow.
    source: Draft,
}

impl Flow {
    /// Creates an empty builder. Add at least one step to it, then call [`build`](FlowBuilder::build).
    pub fn builder() -> FlowBuilder {
        FlowBuilder::default()
    }

    /// The steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0.steps
    }

    /// The step at an index from the plan of this flow.
    ///
    /// # Panics
    ///
    /// If the index comes from the plan of another, longer flow.
    #[must_use]
    pub fn step(&self, index: StepIndex) -> &Step {
        &self.0.steps[index.index()]
    }

    /// The phases of the flow, and what follows each.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// The failure handler, if there is one.
    pub fn failure_handler(&self) -> Option<&FailureFn> {
        self.handler_of(BodyIndex(0))
    }

    /// The failure handler of the flow, or of a flow inside it.
    ///
    /// # Panics
    ///
    /// If the index is of the plan of another flow.
    pub fn handler_of(&self, body: BodyIndex) -> Option<&FailureFn> {
        self.0.handlers[body.index()].as_ref()
    }

    /// Whether the flow, or a flow inside it, has a failure handler, which may need the input of a failed step.
    #[must_use]
    pub fn handles_failures(&self) -> bool {
        self.0.handlers.iter().any(Option::is_some)
    }

    /// A graph, choice, for-each or sub-flow, with the author's functions.
    ///
    /// # Panics
    ///
    /// If the index is of the plan of another flow.
    #[must_use]
    pub fn composite(&self, index: CompositeIndex) -> &Composite {
        &self.0.composites[index.index()]
    }

    /// The finaliser, if there is one.
    pub fn finaliser(&self) -> Option<&FinallyFn> {
        self.0.source.finally.as_ref()
    }

    /// The state manager. `None`, the default, means that state travels in the envelope.
    #[must_use]
    pub fn state_manager(&self) -> Option<&Arc<dyn StateManager>> {
        self.0.source.state.as_ref()
    }

    /// The search keys of a request with this payload, as far as the function of [`search_key`](FlowBuilder::search_key) returns
    /// some. `None` if there is no such function.
    pub fn search_keys(&self, payload: &Payload) -> Option<Result<Vec<String>>> {
        self.0.source.search_key.as_ref().map(|keys| keys(payload.clone()))
    }

    /// Which fields of payloads, and which headers, are secret.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.0.source.secrets
    }

    /// Whether the definition contains code that requests run: a modifier, a handler, a finaliser, a closure that computes a
    /// header or a query value, or a state manager. Such code may block its thread. A flow without it only waits for others.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use faasflow_core::{Call, Context, Flow};
    ///
    /// let flow = Flow::builder().apply(Call::new("resize").query("width", "80"));
    /// assert!(!flow.build().unwrap().runs_code());
    /// let flow = Flow::builder().apply(Call::new("resize").query_with("width", |context: &Context| context.query("w")));
    /// assert!(flow.build().unwrap().runs_code());
    /// let flow = Flow::builder().modify(async |photo: Bytes| photo).apply("resize");
    /// assert!(flow.build().unwrap().runs_code());
    /// ```
    #[must_use]
    pub fn runs_code(&self) -> bool {
        let Definition { steps, composites, handlers, source, .. } = &*self.0;
        handlers.iter().any(Option::is_some)
            || source.finally.is_some()
            || source.state.is_some()
            || source.search_key.is_some()
            || composites.iter().any(Composite::runs_code)
            || steps.iter().any(|step| match step.action() {
                Action::Modify(_) => true,
                Action::Call(call) => call.options().runs_code(),
                Action::Callback(callback) => callback.options().runs_code(),
            })
    }
}

impl Flow {
    /// Returns the same flow with this state manager.
    #[must_use]
    pub fn with_state_manager(self, manager: Arc<dyn StateManager>) -> Flow {
        let Definition { steps, composites, handlers, plan, source } = &*self.0;
        Flow(Arc::new(Definition {
            steps: steps.clone(),
            composites: composites.clone(),
            handlers: handlers.clone(),
            plan: plan.clone(),
            source: Draft { state: Some(manager), ..source.clone() },
        }))
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flow({})", self.0.plan.shape())
    }
}

/// Collects the steps of a flow. [`build`](FlowBuilder::build) then checks all of them at once.
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct FlowBuilder {
    pub(super) draft: Draft,
}

/// Converts a flow so that it can be a part of another: `branch`, `ForEach::new` and `flow` accept it.
impl From<Flow> for FlowBuilder {
    fn from(flow: Flow) -> FlowBuilder {
        FlowBuilder { draft: flow.0.source.clone() }
    }
}

impl FlowBuilder {
    /// Adds a step that calls a function, given by its name or by a [`Call`] with options.
    #[track_caller]
    pub fn apply(self, call: impl Into<Call>) -> FlowBuilder {
        let call = call.into();
        let name = format!("function `{}`", call.function);
        self.step(name, Action::Call(call), Location::caller())
    }

    /// Adds a step that runs your own code, an async function or closure: see [`Handler`].
    #[track_caller]
    pub fn modify<M, H: Handler<M>>(self, handler: H) -> FlowBuilder {
        let location = Location::caller();
        let name = modifier_name(std::any::type_name::<H>(), location);
        self.step(name, Action::Modify(Modifier { run: erase_modifier(handler) }), location)
    }

    /// Adds a step that sends the payload to a URL, given as text or by a [`Callback`] with options. The next step receives the
    /// same payload.
    #[track_caller]
    pub fn callback(self, callback: impl Into<Callback>) -> FlowBuilder {
        let callback = callback.into();
        self.step(callback_name(&callback.url), Action::Callback(callback), Location::caller())
    }

    /// Sets the handler of requests in which a step failed. It takes any number of extractors and, as its last parameter, the
    /// [`Failure`]. If an extractor fails or the handler returns an error, the error is logged and the request fails as if
    /// there were no handler.
    #[track_caller]
    pub fn on_failure<M: 'static, H>(mut self, handler: H) -> FlowBuilder
    where
        H: HandlerOf<Failure, M>,
        H::Output: IntoResolution,
    {
        if self.draft.on_failure.is_some() {
            self.once("on_failure", Location::caller());
        }
        self.draft.on_failure = Some(erase(handler, IntoResolution::into_resolution));
        self
    }

    /// Sets a handler that runs when a request ends, whether it succeeded or failed. It takes any number of extractors and, as
    /// its last parameter, the [`Outcome`]. If the delivery that ends a request is repeated, the handler runs again.
    ///
    /// ```
    /// use faasflow_core::{Context, Flow, Outcome};
    ///
    /// let flow = Flow::builder()
    ///     .apply("compress")
    ///     .finally(async |context: Context, outcome: Outcome| println!("{}: {outcome}", context.request_id()))
    ///     .build();
    /// # assert!(flow.is_ok());
    /// ```
    #[track_caller]
    pub fn finally<M: 'static, H>(mut self, handler: H) -> FlowBuilder
    where
        H: HandlerOf<Outcome, M>,
        H::Output: IntoEnd,
    {
        if self.draft.finally.is_some() {
            self.once("finally", Location::caller());
        }
        self.draft.finally = Some(erase(handler, IntoEnd::into_end));
        self
    }

    /// Sets the state manager that stores the state of requests. By default state travels in the envelope.
    #[track_caller]
    pub fn state(mut self, manager: impl StateManager) -> FlowBuilder {
        if self.draft.state.is_some() {
            self.once("state", Location::caller());
        }
        self.draft.state = Some(Arc::new(manager));
        self
    }

    /// Gives each request search keys, by which people can find it: an order number, for example. The function takes the payload of
    /// the request, as any type that a handler can take. It returns a text or a number, or a `Vec`, an `Option` or a `Result` of such.
    /// It is only called if the flow remembers its requests, before the first step.
    ///
    /// If the function fails or panics, or a search key cannot be used, the request has no such key, and the log says so. What a step
    /// finds out later can be a search key as well, with [`Context::key`](crate::Context::key), where the limits are described.
    ///
    /// ```
    /// use faasflow_core::{Flow, Json};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Order { number: String, customer: u64 }
    ///
    /// let flow = Flow::builder()
    ///     .search_key(|Json(order): Json<Order>| vec![order.number, format!("customer-{}", order.customer)])
    ///     .apply("ship");
    /// assert!(flow.build().is_ok());
    /// ```
    #[track_caller]
    pub fn search_key<P, K, F>(mut self, keys: F) -> FlowBuilder
    where
        P: FromPayload,
        K: IntoSearchKeys,
        F: Fn(P) -> K + Send + Sync + 'static,
    {
        if self.draft.search_key.is_some() {
            self.once("search_key", Location::caller());
        }
        self.draft.search_key = Some(Arc::new(move |payload| keys(P::from_payload(payload)?).into_search_keys()));
        self
    }

    /// Says that a field of payloads is secret, given a JSON pointer to it. Wherever payloads are shown to people, its value is
    /// [`SECRET`](crate::definition::SECRET) instead. Payloads that are not JSON are then not shown at all. Where the text of a failure
    /// or of a log line of Faasflow contains the value, it is replaced too, if it has at least four characters. Functions get the
    /// value, and it is stored, because the request needs it.
    ///
    /// The pointer applies to each payload of the request, in all its places: also to each item of a for-each by itself. `*` in it
    /// stands for all fields of an object or all elements of an array.
    ///
    /// ```
    /// use faasflow_core::Flow;
    ///
    /// let flow = Flow::builder().secret("/card/number").secret("/cards/*/number").secret_header("x-api-key").apply("pay");
    /// assert!(flow.build().is_ok());
    /// ```
    #[track_caller]
    pub fn secret(mut self, pointer: &str) -> FlowBuilder {
        if !self.draft.secrets.add(pointer) {
            self.draft.faults.push((FaultKind::SecretPointer(pointer.to_owned()), Location::caller()));
        }
        self
    }

    /// Says that a header of requests is secret, like a [field](FlowBuilder::secret).
    #[track_caller]
    pub fn secret_header(mut self, name: &str) -> FlowBuilder {
        match http::HeaderName::try_from(name) {
            Ok(_) => self.draft.secrets.add_header(name),
            Err(_) => self.draft.faults.push((FaultKind::HeaderName(name.to_owned()), Location::caller())),
        }
        self
    }

    /// Checks the definition and divides it into phases.
    ///
    /// # Errors
    ///
    /// If something is wrong with the definition. The error lists every fault, with the step it is in.
    pub fn build(self) -> Result<Flow, DefinitionError> {
        let mut source = self.draft.clone();
        let Built { steps, composites, handlers, plan, mut faults } = Built::new(self.draft);
        if source.elements.is_empty() {
            faults.insert(0, Fault::of_flow(FaultKind::NoStep));
        }
        if !faults.is_empty() {
            return Err(DefinitionError::new(faults));
        }
        source.faults.clear();
        Ok(Flow(Arc::new(Definition { steps, composites, handlers, plan, source })))
    }

    fn step(self, name: String, action: Action, location: At) -> FlowBuilder {
        self.element(Element::Step(Box::new(Step::new(name.into(), action))), location)
    }

    pub(super) fn element(mut self, element: Element, at: At) -> FlowBuilder {
        self.draft.elements.push((element, at));
        self
    }

    fn once(&mut self, what: &'static str, location: At) {
        self.draft.faults.push((FaultKind::set_twice(what, location), location));
    }
}

/// A modifier is named after its function. A closure has no name, so it is named after its place in the source.
fn modifier_name(type_name: &str, location: &Location<'_>) -> String {
    match type_name.rsplit("::").next() {
        Some(name) if !name.is_empty() && !name.contains(['{', '<', '>', '(']) => format!("modifier `{name}`"),
        _ => {
            let file = location.file().rsplit(['/', '\\']).next().unwrap_or_default();
            format!("modifier at {file}:{}", location.line())
        }
    }
}

/// Contains only the host: the rest of the URL may hold secrets, and names appear in answers.
fn callback_name(url: &str) -> String {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("callback to `{host}`")
}
