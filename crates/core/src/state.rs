//! The storage of a request's key-value state and of its large payloads.

mod error;
mod extension;
mod key;
pub(crate) mod layout;
mod listing;
mod manager;
mod raw;
mod reference;
mod search;
mod store;
mod value;
mod watch;

pub use error::StateError;
pub use extension::StateManagerExt;
pub use key::{Key, OUTLIVING, outlives_request};
pub use listing::{ListPosition, ListQuery, Listed, Status, UnknownStatus};
pub use manager::{Condition, Scope, StateManager, Version};
pub use reference::{NotWhatWasStored, Reference};
pub(crate) use search::add_search_key;
pub use search::{
    KeyedRequest, MAX_REQUESTS_OF_KEY, MAX_SEARCH_KEY, MAX_SEARCH_KEYS, SearchTerms, add_labels, add_repeat,
    repeats_of, requests_with_key, search_flow, search_key,
};
pub use store::EmbeddedState;
pub(crate) use store::Store;
pub use value::{StateValue, ValueKind};
pub use watch::{News, Watch};
