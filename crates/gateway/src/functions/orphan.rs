//! A function must not outlive its gateway, however that ended.

use tokio::process::Command;

/// Puts the process into a group of its own, so that its children can be stopped with it, and, on Linux, has it
/// killed when the thread that started it is gone, which is when this process is: processes are started from
/// the runtime's workers, and those live as long as it does.
pub(super) fn bind_to_us(command: &mut Command) {
    command.process_group(0).kill_on_drop(true);
    #[cfg(target_os = "linux")]
    die_with_parent(command);
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
