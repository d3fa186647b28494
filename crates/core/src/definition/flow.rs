//! The definition of a flow, and the builder that checks it.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::failure::{Failure, IntoResolution};
use crate::graph::{Plan, PlannedStep, StepIndex};
use crate::outcome::Outcome;
use crate::state::StateManager;

use super::call::Call;
use super::callback::Callback;
use super::fault::{DefinitionError, Fault, FaultKind};
use super::handler::{FailureFn, FinallyFn, Handler, HandlerOf, IntoEnd, erase, erase_modifier};
use super::step::{Action, Modifier, Step};
use super::url::parse_url;

/// The definition of a flow: its steps in order, its failure handler, its finaliser and its state manager.
///
/// Build it once, when the program starts. It never changes, and every request uses the same one.
#[derive(Clone)]
pub struct Flow(Arc<Definition>);

struct Definition {
    steps: Vec<Step>,
    plan: Plan,
    on_failure: Option<FailureFn>,
    finally: Option<FinallyFn>,
    state: Option<Arc<dyn StateManager>>,
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
        self.0.on_failure.as_ref()
    }

    /// The finaliser, if there is one.
    pub fn finaliser(&self) -> Option<&FinallyFn> {
        self.0.finally.as_ref()
    }

    /// The state manager. `None`, the default, means that state travels in the envelope.
    #[must_use]
    pub fn state_manager(&self) -> Option<&Arc<dyn StateManager>> {
        self.0.state.as_ref()
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
        let Definition { steps, on_failure, finally, state, .. } = &*self.0;
        on_failure.is_some()
            || finally.is_some()
            || state.is_some()
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
        let Definition { steps, plan, on_failure, finally, .. } = &*self.0;
        let (on_failure, finally) = (on_failure.clone(), finally.clone());
        Flow(Arc::new(Definition {
            steps: steps.clone(),
            plan: plan.clone(),
            on_failure,
            finally,
            state: Some(manager),
        }))
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flow({})", self.0.plan.shape())
    }
}

/// Collects the steps of a flow. [`build`](FlowBuilder::build) then checks all of them at once.
#[derive(Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct FlowBuilder {
    steps: Vec<(Step, &'static Location<'static>)>,
    on_failure: Option<FailureFn>,
    finally: Option<FinallyFn>,
    state: Option<Arc<dyn StateManager>>,
    faults: Vec<Fault>,
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
        if self.on_failure.is_some() {
            self.once("on_failure", Location::caller());
        }
        self.on_failure = Some(erase(handler, IntoResolution::into_resolution));
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
        if self.finally.is_some() {
            self.once("finally", Location::caller());
        }
        self.finally = Some(erase(handler, IntoEnd::into_end));
        self
    }

    /// Sets the state manager that stores the state of requests. By default state travels in the envelope.
    #[track_caller]
    pub fn state(mut self, manager: impl StateManager) -> FlowBuilder {
        if self.state.is_some() {
            self.once("state", Location::caller());
        }
        self.state = Some(Arc::new(manager));
        self
    }

    /// Checks the definition and divides it into phases.
    ///
    /// # Errors
    ///
    /// If something is wrong with the definition. The error lists every fault, with the step it is in.
    pub fn build(mut self) -> Result<Flow, DefinitionError> {
        let mut steps = Vec::with_capacity(self.steps.len());
        for (index, (mut step, location)) in self.steps.into_iter().enumerate() {
            for kind in check(step.action_mut()) {
                self.faults.push(Fault::in_step(index + 1, step.name(), location, kind));
            }
            steps.push(step);
        }
        if steps.is_empty() {
            self.faults.insert(0, Fault::of_flow(FaultKind::NoStep));
        }
        if !self.faults.is_empty() {
            return Err(DefinitionError::new(self.faults));
        }
        let plan = Plan::linear(steps.iter().map(|step| planned(step.action())));
        Ok(Flow(Arc::new(Definition {
            steps,
            plan,
            on_failure: self.on_failure,
            finally: self.finally,
            state: self.state,
        })))
    }

    fn step(mut self, name: String, action: Action, location: &'static Location<'static>) -> FlowBuilder {
        self.steps.push((Step::new(name.into(), action), location));
        self
    }

    fn once(&mut self, what: &'static str, location: &'static Location<'static>) {
        let (file, line) = (location.file(), location.line());
        self.faults.push(Fault::of_flow(FaultKind::SetTwice { what, file, line }));
    }
}

/// What planning needs to know of a step.
fn planned(action: &Action) -> PlannedStep<'_> {
    match action {
        Action::Modify(_) => PlannedStep::Modifier,
        Action::Callback(_) => PlannedStep::Callback,
        Action::Call(call) => PlannedStep::Call { function: call.function(), sync: call.is_sync() },
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

fn check(action: &mut Action) -> Vec<FaultKind> {
    match action {
        Action::Modify(_) => Vec::new(),
        Action::Call(call) => {
            let mut faults = std::mem::take(&mut call.request.faults);
            if !is_function_name(&call.function) {
                faults.insert(0, FaultKind::FunctionName(call.function.clone()));
            }
            faults
        }
        Action::Callback(callback) => {
            let mut faults = std::mem::take(&mut callback.request.faults);
            match parse_url(&callback.url) {
                Ok(target) => callback.target = target,
                Err(error) => faults.insert(0, error.into()),
            }
            faults
        }
    }
}

/// Whether OpenFaaS routes this name: `[-a-zA-Z_0-9.]+`.
fn is_function_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
