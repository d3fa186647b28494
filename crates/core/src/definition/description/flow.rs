//! A flow as data.

use super::element::{BodyDescription, CompositeDescription, ElementDescription, PhaseDescription};
use super::step::StepDescription;

/// A flow as data. `<flow> describe` prints it as JSON, and `GET /_/flow` answers with it.
///
/// ```
/// use faasflow_core::{Flow, description::Description};
///
/// let flow = Flow::builder()
///     .parallel([("thumb", Flow::builder().apply("resize")), ("tags", Flow::builder().apply("classify"))])
///     .build()
///     .unwrap();
/// let description = Description::new(&flow, "photos");
/// let json = serde_json::to_vec(&description).unwrap();
/// assert_eq!(Description::from_json(&json).unwrap(), description);
/// let names: Vec<&str> = description.steps().map(|step| step.name.as_str()).collect();
/// assert_eq!(names, ["function `resize`", "function `classify`"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The name under which the flow is deployed; empty if that is not known.
    pub name: String,
    /// Changes when the shape of the flow does.
    pub fingerprint: String,
    /// Its phases, and the composites between them.
    pub body: BodyDescription,
    /// Where state lives: `envelope`, or the name of the state manager.
    pub state: String,
    /// Whether there is a finaliser.
    pub finally: bool,
}

impl Description {
    /// All phases, in the order of their numbers.
    pub fn phases(&self) -> impl ExactSizeIterator<Item = &PhaseDescription> {
        let mut phases = Vec::new();
        walk(&self.body.elements, &mut |element| {
            if let ElementDescription::Phase(phase) = element {
                phases.push(phase);
            }
        });
        phases.into_iter()
    }

    /// All steps, in the order of their numbers.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &StepDescription> {
        let mut steps = Vec::new();
        walk(&self.body.elements, &mut |element| {
            if let ElementDescription::Step(step) = element {
                steps.push(step);
            }
        });
        steps.into_iter()
    }

    /// Whether the flow contains only steps, and no flows inside it.
    #[must_use]
    pub fn is_linear(&self) -> bool {
        let mut is_linear = true;
        walk(&self.body.elements, &mut |element| is_linear &= !matches!(element, ElementDescription::Composite(_)));
        is_linear
    }

    /// Whether its requests need a state manager that all instances share: see
    /// [`Plan::needs_store`](crate::Plan::needs_store).
    #[must_use]
    pub fn needs_store(&self) -> bool {
        between_phases(&self.body)
    }
}

/// Calls `visit` with each element, and then with the elements inside it.
fn walk<'a>(elements: &'a [ElementDescription], visit: &mut impl FnMut(&'a ElementDescription)) {
    for element in elements {
        visit(element);
        match element {
            ElementDescription::Phase(phase) => walk(&phase.steps, visit),
            ElementDescription::Composite(composite) => {
                composite.bodies().for_each(|body| walk(&body.elements, visit));
            }
            ElementDescription::Step(_) => {}
        }
    }
}

/// Whether a graph, choice or for-each in the body has phases of its own. A sub-flow needs no store, because the same token
/// passes through it.
fn between_phases(body: &BodyDescription) -> bool {
    body.elements.iter().any(|element| match element {
        ElementDescription::Composite(CompositeDescription::Flow { body, .. }) => between_phases(body),
        ElementDescription::Composite(_) => true,
        _ => false,
    })
}
