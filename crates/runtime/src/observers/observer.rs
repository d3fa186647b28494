use super::event::Event;

/// Observes what happens to a request.
pub(super) trait Observer {
    /// Receives an event. Each event arrives once, in the order in which things happen. This must not block.
    fn observe(&self, event: &Event<'_>);
}
