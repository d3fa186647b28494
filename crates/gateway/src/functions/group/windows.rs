//! Job objects.

use std::future::poll_fn;
use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use process_wrap::tokio::{ChildWrapper, CommandWrap, CreationFlags, JobObject, KillOnDrop};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use windows::Win32::System::Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent};
use windows::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP;

/// The leader of a group.
#[derive(Debug)]
pub(in crate::functions) struct Child {
    pub(in crate::functions) stdin: Option<ChildStdin>,
    pub(in crate::functions) stdout: Option<ChildStdout>,
    pub(in crate::functions) stderr: Option<ChildStderr>,
    group: Group,
}

/// A job object, and in it a console process group.
#[derive(Clone, Debug)]
pub(in crate::functions) struct Group(Arc<Mutex<Box<dyn ChildWrapper>>>);

/// Starts a program as the leader of a new group. The system ends its processes when the last handle to the job is closed,
/// and so when this process is gone.
pub(in crate::functions) fn spawn(command: Command) -> io::Result<(Child, Group)> {
    let mut command = CommandWrap::from(command);
    // A process group, so that Ctrl-C at the terminal stops the gateway and not its functions, and so that they can be sent
    // Ctrl-Break.
    command.wrap(CreationFlags(CREATE_NEW_PROCESS_GROUP)).wrap(KillOnDrop).wrap(JobObject);
    let mut leader = command.spawn()?;
    let (stdin, stdout, stderr) = (leader.stdin().take(), leader.stdout().take(), leader.stderr().take());
    let group = Group(Arc::new(Mutex::new(leader)));
    Ok((Child { stdin, stdout, stderr, group: group.clone() }, group))
}

impl Child {
    /// The number of the process, until it has been waited for.
    pub(in crate::functions) fn id(&self) -> Option<u32> {
        self.group.leader().id()
    }

    /// Waits until the leader has ended. Other processes of the group may go on.
    pub(in crate::functions) async fn wait(&mut self) -> io::Result<ExitStatus> {
        // The wrapper itself would wait for all processes of the job. Nothing is lost between polls: the state is the child's.
        poll_fn(|context| self.group.leader().inner_mut().wait().as_mut().poll(context)).await
    }
}

impl Group {
    fn leader(&self) -> MutexGuard<'_, Box<dyn ChildWrapper>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends Ctrl-Break, which console programs receive that share the gateway's console. If it cannot be sent, as from a
    /// gateway without a console, nothing would stop the group before it is killed, so that is done at once.
    #[allow(unsafe_code, reason = "the call is safe, and its binding is not marked so")]
    pub(in crate::functions) fn terminate(&self) {
        let Some(leader) = self.leader().id() else { return };
        // SAFETY: both arguments are plain numbers. The leader has not been waited for, so its number is not another's.
        if unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, leader) }.is_err() {
            self.kill();
        }
    }

    pub(in crate::functions) fn kill(&self) {
        let _ = self.leader().start_kill();
    }
}

/// Windows has no signals: a process that was killed has an exit code that the killer chose.
pub(in crate::functions) fn was_killed(_status: ExitStatus) -> bool {
    false
}
