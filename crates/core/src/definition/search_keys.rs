//! What the function of `search_key` may return.

use crate::error::{Error, Result};

/// The return types of the function of [`FlowBuilder::search_key`](crate::FlowBuilder::search_key): a text or a number, or a `Vec`, an
/// `Option` or a `Result` of such.
#[diagnostic::on_unimplemented(
    message = "a request cannot have `{Self}` as its search keys",
    label = "not search keys",
    note = "return a `String`, a `&'static str` or an integer, or a `Vec`, an `Option` or a `Result` of such with `faasflow::Error`"
)]
pub trait IntoSearchKeys {
    /// The search keys. They are not checked.
    ///
    /// # Errors
    ///
    /// If the function returned an error.
    fn into_search_keys(self) -> Result<Vec<String>>;
}

macro_rules! displayed {
    ($($of:ty),*) => {
        $(impl IntoSearchKeys for $of {
            fn into_search_keys(self) -> Result<Vec<String>> {
                Ok(vec![self.to_string()])
            }
        })*
    };
}

displayed!(String, &'static str, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

impl<K: IntoSearchKeys> IntoSearchKeys for Vec<K> {
    fn into_search_keys(self) -> Result<Vec<String>> {
        let mut keys = Vec::with_capacity(self.len());
        for key in self {
            keys.extend(key.into_search_keys()?);
        }
        Ok(keys)
    }
}

impl<K: IntoSearchKeys> IntoSearchKeys for Option<K> {
    fn into_search_keys(self) -> Result<Vec<String>> {
        self.map_or(Ok(Vec::new()), K::into_search_keys)
    }
}

impl<K: IntoSearchKeys> IntoSearchKeys for Result<K, Error> {
    fn into_search_keys(self) -> Result<Vec<String>> {
        self.and_then(K::into_search_keys)
    }
}
