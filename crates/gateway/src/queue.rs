//! The durable queue behind `/async-function/`: what is accepted is on disk, and is delivered at least once.
//!
//! The queue itself is a crate of its own, `faasflow-queue`.

pub use faasflow_queue::{
    Accepted, Answer, Call, DeadLetter, DeadLetterSummary, Deliver, Delivery, NewCall, Queue, QueueError, QueueOptions,
    QueueStats, QueuedCall, Selection, Target, Unreachable,
};
pub(crate) use faasflow_queue::{READ_COPIES, is_full, now_ms};
