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
        // To call a function, name it. Its input is the output of the step before:
        // .apply("shout")
        // From the second call on, each call starts a new phase, which the gateway's queue delivers. The caller then learns
        // that the request was accepted, not how it ends. To stay in the same phase, use Call::new("shout").sync().
        .build()
}

/// Takes the body as text and returns a greeting.
async fn greet(name: String) -> String {
    let name = name.trim();
    format!("Hello, {}!", if name.is_empty() { "world" } else { name })
}
