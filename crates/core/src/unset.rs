//! Fields that are left out of what is written.

/// Whether a field has its default value, so that it need not be written.
pub(crate) fn is_unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
