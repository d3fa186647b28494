//! The flow.

use faasflow::{DefinitionError, Flow};

/// The steps, in order.
///
/// # Errors
///
/// If the definition is not valid.
pub fn define() -> Result<Flow, DefinitionError> {
    Flow::builder()
        .modify(greet)
        // A function that is deployed beside the flow is called by its name; it gets what the step before returned:
        // .apply("shout")
        // From the second such call on, each begins a phase of its own, which the gateway's queue delivers: the caller is
        // told that the request goes on, not how it ends. Call::new("shout").sync() stays in the phase.
        .build()
}

/// Takes the body as text, and hands on another.
async fn greet(name: String) -> String {
    let name = name.trim();
    format!("Hello, {}!", if name.is_empty() { "world" } else { name })
}
