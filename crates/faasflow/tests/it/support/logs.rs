//! The log lines of this test process, to look into.

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static CAPTURING: Once = Once::new();

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// From now on the lines are kept. To be said before a flow starts.
pub(crate) fn capture() {
    CAPTURING.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(|| LogWriter).finish();
        tracing_subscriber::util::SubscriberInitExt::init(subscriber);
    });
}

/// The lines so far that name this request.
pub(crate) fn lines_of(request_id: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let mark = format!("request={request_id}");
    String::from_utf8_lossy(&lines).lines().filter(|line| line.contains(&mark)).map(str::to_owned).collect()
}

/// Whether one of a request's lines is of this level and holds this text.
pub(crate) fn hold(request_id: &str, level: &str, text: &str) -> bool {
    lines_of(request_id).iter().any(|line| line.contains(level) && line.contains(text))
}
