//! Makes the record of a new user: validates JSON, puts the name into title case, converts the record to XML and
//! formats it.

use faasflow::{Context, DefinitionError, Error, Flow, Json, Result};
use serde::{Deserialize, Serialize};

/// The record that the flow makes of a new user.
#[derive(Debug, Deserialize, Serialize)]
struct User {
    id: String,
    name: String,
    email: String,
}

#[derive(Debug, Deserialize)]
struct NewUser {
    name: String,
    email: String,
}

/// The definition: three phases.
///
/// # Errors
///
/// If the definition is not valid.
pub fn define() -> Result<Flow, DefinitionError> {
    Flow::builder().modify(validate).apply("titleize").modify(record).apply("to-xml").apply("format-xml").build()
}

/// Validates the input, stores the address in the context, and returns the name.
async fn validate(context: Context, Json(user): Json<NewUser>) -> Result<String> {
    let name = user.name.trim().to_owned();
    if name.is_empty() {
        return Err(Error::refused("`name` is empty"));
    }
    if !user.email.contains('@') {
        return Err(Error::refused("`email` is not a valid address"));
    }
    context.set("email", user.email).await?;
    Ok(name)
}

/// Builds the record, with an id that is made from the name.
async fn record(context: Context, name: String) -> Result<Json<User>> {
    let name = name.trim().to_owned();
    let email = context.get("email").await?.ok_or_else(|| Error::msg("the address is not in the context"))?;
    let id = name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(".");
    Ok(Json(User { id, name, email }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_planned_in_three_phases() {
        assert_eq!(define().unwrap().plan().phase_count(), 3);
    }
}
