//! The processes of a function: the one that the gateway starts, and its children. They form a group, which the gateway stops
//! and kills as a whole. If the gateway itself is killed, Windows ends the whole group and Linux only the leader. On other
//! systems, all of them go on.
//!
//! On Unix, this is a process group. On Windows, it is a job object of the crate process-wrap. Its wrapper for Unix is not used,
//! because that waits for all processes of a group, and a function has ended when its leader has. Both modules have the same
//! items:
//!
//! - `spawn` starts a program as the leader of a new group.
//! - `Child` is the leader. It has the pipes, and `wait` waits for the leader alone.
//! - `Group` is everything that the leader has started. `terminate` asks it to stop, and `kill` ends it at once. Both do
//!   nothing to processes that have ended.
//! - `was_killed` says whether the leader's status shows that somebody killed it.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::{Child, Group, spawn, was_killed};
#[cfg(windows)]
pub(super) use windows::{Child, Group, spawn, was_killed};
