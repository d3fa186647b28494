//! The steps of a flow.

use std::fmt;
use std::sync::Arc;

use crate::context::Context;
use crate::error::Result;
use crate::future::BoxFuture;
use crate::payload::Payload;

use super::call::Call;
use super::callback::Callback;
use super::handler::ModifierFn;

/// One step of a flow: a call, inline code or a callback.
#[derive(Clone)]
pub struct Step {
    name: Arc<str>,
    action: Action,
}

/// What a step does.
#[derive(Clone)]
#[non_exhaustive]
pub enum Action {
    /// Calls a function.
    Call(Call),
    /// Runs inline code.
    Modify(Modifier),
    /// Sends the payload to a URL.
    Callback(Callback),
}

/// A step that runs inline code.
#[derive(Clone)]
pub struct Modifier {
    pub(crate) run: ModifierFn,
}

impl Modifier {
    /// Runs the code on a payload. A panic in the code propagates out of the future.
    pub fn run(&self, context: Context, payload: Payload) -> BoxFuture<'static, Result<Payload>> {
        (self.run)(context, payload)
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Step({})", self.name)
    }
}

impl Step {
    pub(super) fn new(name: Arc<str>, action: Action) -> Step {
        Step { name, action }
    }

    /// The step as messages name it, such as ``function `facedetect` ``.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it does, for the builder, which checks and completes it.
    pub(super) fn action_mut(&mut self) -> &mut Action {
        &mut self.action
    }

    /// What it does.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.action
    }
}
