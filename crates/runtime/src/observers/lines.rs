//! Log lines: one for most events.

use super::event::Event;
use super::log_line::log_line;
use super::observer::Observer;
use crate::log::RequestLog;

impl Observer for RequestLog {
    #[inline(always)]
    fn observe(&self, event: &Event<'_>) {
        log_line(event, |level, code, text| self.write(level, code, text));
    }
}
