//! The durable queue behind `/async-function/`: a call that was accepted is on disk, and is delivered at least once.
//!
//! The queue itself is the crate `faasflow-queue`.

pub use faasflow_queue::{
    Accepted, Answer, Call, DeadLetter, DeadLetterSummary, Deliver, Delivery, LetterFilter, NewCall, Queue, QueueError,
    QueueFileError, QueueOptions, QueueStats, QueuedCall, Selection, Target, Unreachable, bare_name,
};
pub(crate) use faasflow_queue::{READ_COPIES, is_full};
