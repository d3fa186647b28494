//! The admin API of Faasflow's local gateway: its [routes](ROUTES), and types for the bodies of requests and answers.
//!
//! The gateway writes these types and the command line reads them, so the two always agree. A program that calls a gateway needs
//! only this crate and an HTTP client. The page `docs/reference/admin-api.md` lists every field, its unit, and the refusals of each
//! route.
//!
//! ```
//! use faasflow_admin::{QueueStats, paths};
//!
//! assert_eq!(paths::QUEUE, "/system/queue");
//! let answer = r#"{"depth":3,"functions":{"resize":3},"in_flight":1,"oldest_seconds":0.5,"dead_letters":0,
//!     "unreadable":0,"accepted":9,"duplicates":0,"delivered":6,"retried":0,"dead":0}"#;
//! let stats: QueueStats = serde_json::from_str(answer)?;
//! assert_eq!((stats.depth, stats.functions["resize"]), (3, 3));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! The routes about functions, secrets, logs and the gateway itself are OpenFaaS's API, so a gateway of OpenFaaS answers most of
//! them too. A field that such a gateway may leave out is an `Option`, or is empty. The routes about the queue and about the requests of flows are Faasflow's own.
//!
//! The API of the gateway's store is in the module [`state`].
//!
//! Later versions may add fields to answers and leave fields out. Unknown fields are skipped, and a missing field has its default.
//! That is why the types of answers are `#[non_exhaustive]`.

pub mod paths;
pub mod state;

mod attempts;
mod events;
mod functions;
mod heads;
mod info;
mod items;
mod lists;
mod logs;
mod null;
mod pages;
mod queue;
mod requests;
mod routes;
mod secrets;

pub use attempts::{Attempt, CallTimes, StepTimes};
pub use events::{
    Activity, CHANGE_EVENT, CallCounts, ChangedRequest, EVENTS_VERSION, EndedCall, FailedCall, FlowActivity,
    FunctionActivity, FunctionHealth, GatewayEvent, MINUTES, MOST_EVENT_STREAMS, Measured, RequestCounts,
    SNAPSHOT_EVENT, StepActivity,
};
pub use functions::{Deployment, FunctionStatus, Removal, Scaling, Usage};
pub use heads::{Altered, AnswerHead, RequestHead, ShownHeader};
pub use info::{Info, Limits, Provider, ProviderInfo, Version};
pub use items::{RequestItem, RequestItems, RequestPlace};
pub use lists::{Found, FoundBy, RequestAt, RequestList, RequestSummary};
pub use logs::{LOG_DROPPED, LOG_LEFT_OUT, LogLine};
pub use pages::{Drawing, DrawnEdge, DrawnShape, PAGE_TOKEN_HEADER, PageToken};
pub use queue::{
    DeadLetter, DeadLetterSummary, Discarded, QUEUE_VERSION, QueueStats, QueuedCall, Redrive, Redriven, Selection,
};
pub use requests::{
    CalledRequest, EarlierGeneration, FlowRequest, FunctionAnswer, Members, Output, Place, PlaceStatus,
    REQUEST_HEADERS, REQUESTS_VERSION, RecoveredRequest, Recovery, RequestChange, RequestProblem, RequestReason,
    RequestStatus, Unlisted, UnrecoveredRequest, Waits, WaitsFor,
};
pub use routes::{ROUTES, Route};
pub use secrets::{Secret, SecretName};

#[cfg(test)]
mod tests;
