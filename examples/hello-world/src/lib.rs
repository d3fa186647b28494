//! The smallest flow: one modifier.

use faasflow::{DefinitionError, Flow};

/// Greets the person named in the body.
///
/// # Errors
///
/// If the definition is not valid.
pub fn define() -> Result<Flow, DefinitionError> {
    Flow::builder().modify(greet).build()
}

async fn greet(name: String) -> String {
    let name = name.trim();
    format!("Hello, {}!", if name.is_empty() { "world" } else { name })
}
