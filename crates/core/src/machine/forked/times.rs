use std::sync::Arc;

use super::steps::Steps;

/// When the steps of a phase were executed, in milliseconds since the Unix epoch; 0 if that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Times {
    /// When the envelope of that delivery was put into the queue; 0 if the phase came from no queue as well.
    pub queued_ms: u64,
    /// When the delivery that executed them began.
    pub began_ms: u64,
    /// When they ended.
    pub done_ms: u64,
    /// When each of them was executed. It is empty if there is no more to tell than the times above.
    pub steps: Arc<Steps>,
}
