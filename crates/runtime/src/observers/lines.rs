//! Log lines: one for most events.

use super::event::Event;
use super::observer::Observer;
use super::say::say;
use crate::log::RequestLog;

impl Observer for RequestLog {
    #[inline(always)]
    fn observe(&self, event: &Event<'_>) {
        say(event, |level, code, text| self.write(level, code, text));
    }
}
