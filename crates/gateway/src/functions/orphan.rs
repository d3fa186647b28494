//! A function must not outlive its gateway, however that ended.

use faasflow_runtime::http::file_limit_before;
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
#[allow(unsafe_code, reason = "there is no safe way to set the limits of another process")]
fn restore_file_limit(command: &mut Command) {
    let Some(soft) = file_limit_before() else { return };
    // SAFETY: between fork and exec only async-signal-safe functions may be called; both are bare system calls, and get a
    // limit on the stack.
    unsafe {
        command.pre_exec(move || {
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
                return Ok(());
            }
            limit.rlim_cur = limit.rlim_max.min(soft);
            let _ = libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            Ok(())
        });
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "there is no safe way to ask for a signal at the parent's death")]
fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe functions may be called; prctl is a bare system call.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
}

/// Sends a signal to a process and all in its group; gone ones are no error.
#[allow(unsafe_code, reason = "the standard library sends no signals to groups")]
pub(super) fn signal_group(leader: u32, signal: libc::c_int) {
    if let Ok(group) = libc::pid_t::try_from(leader) {
        // SAFETY: kill takes plain integers and touches no memory of ours. The group is that of a child that
        // was waited for a moment ago at most, so its number was not given to another.
        unsafe {
            libc::kill(-group, signal);
        }
    }
}
