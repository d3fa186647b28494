use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// The secret values that a phase has met. Log lines do not show them. Most flows have none, so nothing is allocated until there is
/// one.
#[derive(Debug, Default)]
pub(super) struct SecretValues(OnceLock<RwLock<Arc<[String]>>>);

impl SecretValues {
    pub(super) fn all(&self) -> Arc<[String]> {
        self.met().unwrap_or_default()
    }

    /// The values, if there are any.
    pub(super) fn met(&self) -> Option<Arc<[String]>> {
        Some(self.0.get()?.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    pub(super) fn add(&self, values: Vec<String>) {
        if values.is_empty() {
            return;
        }
        let mut known = self.0.get_or_init(RwLock::default).write().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<String> = values.into_iter().filter(|value| !known.contains(value)).collect();
        if !new.is_empty() {
            *known = known.iter().cloned().chain(new).collect();
        }
    }
}
