//! The description of a flow function's API in OpenAPI 3.1.

#[cfg(test)]
mod tests;

/// The document, in which [`NAME`] stands for the name of the flow.
const TEMPLATE: &str = include_str!("openapi.json");
const NAME: &str = "FLOW";

/// The document about the flow with this name. Names of flows have no characters that JSON or URLs escape.
pub(super) fn document(name: &str) -> String {
    TEMPLATE.replace(NAME, name)
}
