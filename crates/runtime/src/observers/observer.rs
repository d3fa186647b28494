use super::event::Event;

/// Hears what happens to a request.
pub(super) trait Observer {
    /// Hears an event. It is told once, in the order in which things happen, and must not wait.
    fn observe(&self, event: &Event<'_>);
}
