//! How long functions may take to end.

use std::time::Duration;

/// How long a process that is told to stop may finish what it has in flight.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// How long what a process wrote may take to be read when it is gone. A process that has left its group may hold the pipe
/// for as long as it likes.
pub(crate) const LAST_LINES: Duration = Duration::from_secs(1);

/// How long it may take in all until a function has ended and its lines are read, and a little more.
pub(crate) const PROCESS_ENDING: Duration = Duration::from_secs(GRACE.as_secs() + LAST_LINES.as_secs() + 1);
/// How long a process that was replaced may go on with what it was sent.
pub(crate) const REPLACED: Duration = Duration::from_secs(60);
/// A process that ran this long was well: the next restart comes at once again.
pub(crate) const WELL: Duration = Duration::from_secs(10);

/// How long the engine may take for one thing when the gateway stops, beyond what it is asked to wait.
pub(crate) const ENGINE: Duration = Duration::from_secs(3);
/// How long it may take then to stop and remove a container. All of them are stopped at once.
pub(crate) const REMOVAL: Duration = Duration::from_secs(GRACE.as_secs() + ENGINE.as_secs());
/// How long the last look for containers that were left behind may take.
pub(crate) const LAST_LOOK: Duration = Duration::from_secs(2);

/// How long it may take in all until a function's containers have ended: those that run, or those that are being made, and
/// the last look for others. An engine that answers takes [`PROCESS_ENDING`]. One that answers nothing is given up after
/// [`ENGINE`] and [`LAST_LOOK`].
pub(crate) const CONTAINERS_ENDING: Duration = Duration::from_secs(REMOVAL.as_secs() + LAST_LOOK.as_secs() + 1);
