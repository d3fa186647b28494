//! The times that functions have to end.

use std::time::Duration;

/// How long a process may take to finish its requests after SIGTERM.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// How long the gateway reads the output of a process that has ended. A child that left the process group can keep the pipe
/// open for any time.
pub(crate) const LAST_LINES: Duration = Duration::from_secs(1);

/// How long it may take until a function has ended and its output is read, plus a little more.
pub(crate) const PROCESS_ENDING: Duration = Duration::from_secs(GRACE.as_secs() + LAST_LINES.as_secs() + 1);
/// How long a process that was replaced may take to finish its requests.
pub(crate) const REPLACED: Duration = Duration::from_secs(60);
/// A process that took requests for this long is healthy. If it ends, the next start comes soon.
pub(crate) const WELL: Duration = Duration::from_secs(10);

/// How long the engine may take for a request while the gateway stops, beyond the time that it is asked to wait.
pub(crate) const ENGINE: Duration = Duration::from_secs(3);
/// How long it may take to stop and remove a container while the gateway stops. All containers are stopped at once.
pub(crate) const REMOVAL: Duration = Duration::from_secs(GRACE.as_secs() + ENGINE.as_secs());
/// How long the last search for leftover containers may take.
pub(crate) const LAST_LOOK: Duration = Duration::from_secs(2);

/// How long it may take until a function's containers have ended, including those that are being created and the last search
/// for leftovers. With an engine that answers, it takes [`PROCESS_ENDING`]. The gateway gives up on an engine that does not
/// answer after [`ENGINE`] and [`LAST_LOOK`].
pub(crate) const CONTAINERS_ENDING: Duration = Duration::from_secs(REMOVAL.as_secs() + LAST_LOOK.as_secs() + 1);
