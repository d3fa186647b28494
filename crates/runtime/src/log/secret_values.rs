use std::sync::{Arc, PoisonError, RwLock};

/// The secret values that a phase has met. Log lines do not show them.
#[derive(Debug, Default)]
pub(super) struct SecretValues(RwLock<Arc<[String]>>);

impl SecretValues {
    pub(super) fn all(&self) -> Arc<[String]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add(&self, values: Vec<String>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<String> = values.into_iter().filter(|value| !known.contains(value)).collect();
        if !new.is_empty() {
            *known = known.iter().cloned().chain(new).collect();
        }
    }
}
