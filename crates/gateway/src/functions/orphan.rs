//! A function must not outlive its gateway, however that ended.

use faasflow_http::file_limit_before;
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process_group, setrlimit};
use tokio::process::Command;

/// Puts the process into a group of its own, so that its children can be stopped with it, and, on Linux, has it
/// killed when the thread that started it is gone, which is when this process is: processes are started from
/// the runtime's workers, and those live as long as it does.
pub(super) fn bind_to_us(command: &mut Command) {
    command.process_group(0).kill_on_drop(true);
    #[cfg(target_os = "linux")]
    die_with_parent(command);
    restore_file_limit(command);
}

/// The process gets the limit of open files that was meant for it, and not the one that this process raised for itself.
#[allow(unsafe_code, reason = "what runs between fork and exec is the caller's to vouch for")]
fn restore_file_limit(command: &mut Command) {
    let Some(soft) = file_limit_before() else { return };
    // SAFETY: between fork and exec only async-signal-safe functions may be called; both are bare system calls, and get a
    // limit on the stack.
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
#[allow(unsafe_code, reason = "what runs between fork and exec is the caller's to vouch for")]
fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe functions may be called; this is a bare system call.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

/// Sends a signal to a process and all in its group; gone ones are no error. The group is that of a child that was waited
/// for a moment ago at most, so its number was not given to another.
pub(super) fn signal_group(leader: u32, signal: Signal) {
    if let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}
