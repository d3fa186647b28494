//! The definition of a flow: what its author writes, checked once at start-up and the same for every request.

pub mod description;
pub mod extract;
pub mod handler;

mod build;
mod call;
mod callback;
mod check;
mod composite;
mod draft;
mod fault;
mod flow;
mod nest;
mod options;
mod retry;
mod search_keys;
mod secrets;
mod step;
mod url;
mod value;

pub use build::Composite;
pub use call::Call;
pub use callback::Callback;
pub use composite::{
    Branches, Choice, Complete, ForEach, Graph, IntoBranchName, IntoItems, IntoLabel, Items, MAX_LABEL, MemberOutcome,
    MemberResult, Policy,
};
pub use fault::{DefinitionError, Fault, FaultKind};
pub use flow::{Flow, FlowBuilder};
pub use options::RequestOptions;
pub use retry::Retry;
pub use search_keys::IntoSearchKeys;
pub use secrets::{HIDDEN, SECRET, Secrets, Shown, masked_query, masked_text};
pub use step::{Action, Modifier, Step};
pub use url::{UrlError, parse_callback_header, parse_callback_url, parse_url, without_credentials};
pub use value::{IntoValue, ValueFrom};
