//! Process groups.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use faasflow_http::file_limit_before;
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process_group, setrlimit};
pub(in crate::functions) use tokio::process::Child;
use tokio::process::Command;

/// A process group. A group keeps its number as long as it has a process. After that, systems hand out all other numbers before
/// they use it again. A signal that is sent much later, when a leader without children has been waited for long ago, could
/// therefore reach a new group of the same number.
#[derive(Clone, Copy)]
pub(in crate::functions) struct Group(Option<Pid>);

/// Starts a program as the leader of a new group. On Linux, the kernel kills it when the thread that started it ends. That
/// thread is a worker of the runtime, which lives as long as the gateway.
pub(in crate::functions) fn spawn(mut command: Command) -> io::Result<(Child, Group)> {
    command.process_group(0).kill_on_drop(true);
    #[cfg(target_os = "linux")]
    die_with_parent(&mut command);
    restore_file_limit(&mut command);
    let child = command.spawn()?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok((child, Group(leader)))
}

/// Gives the process the original limit on open files, not the one that the gateway raised for itself.
#[allow(unsafe_code, reason = "code between fork and exec needs `unsafe`")]
fn restore_file_limit(command: &mut Command) {
    let Some(soft) = file_limit_before() else { return };
    // SAFETY: only async-signal-safe functions may be called between fork and exec. Both are plain system calls on a limit
    // that is on the stack.
    unsafe {
        command.pre_exec(move || {
            let mut limit = getrlimit(Resource::Nofile);
            limit.current = Some(limit.maximum.map_or(soft, |maximum| maximum.min(soft)));
            let _ = setrlimit(Resource::Nofile, limit);
            Ok(())
        });
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "code between fork and exec needs `unsafe`")]
fn die_with_parent(command: &mut Command) {
    // SAFETY: only async-signal-safe functions may be called between fork and exec. This is a plain system call.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

impl Group {
    pub(in crate::functions) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(in crate::functions) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, signal);
        }
    }
}

/// Whether the process was killed from outside: by an operator, or by the system when memory ran out. Unlike a crash, this is
/// not a failure of the program.
pub(in crate::functions) fn was_killed(status: ExitStatus) -> bool {
    status.signal().is_some_and(|signal| [Signal::KILL, Signal::TERM].map(Signal::as_raw).contains(&signal))
}
