use serde::{Deserialize, Deserializer};

/// Reads null like a field that is left out. Go writes null for what is not set.
pub(crate) fn as_default<'a, T: Deserialize<'a> + Default, D: Deserializer<'a>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
