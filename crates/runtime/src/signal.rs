//! The signals that ask this process to stop.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

/// A request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there are only these two")]
pub enum StopSignal {
    /// SIGTERM, usually from a service manager. On Windows: Ctrl-Break, or the console is closed, or the machine shuts down.
    Terminate,
    /// SIGINT, or Ctrl-C on Windows, usually from a person at a terminal.
    Interrupt,
}

/// Receives the signals that ask this process to stop. Once this has been created, they no longer end the process.
#[derive(Debug)]
pub struct StopSignals {
    #[cfg(unix)]
    terminate: Signal,
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(windows)]
    interrupt: CtrlC,
    #[cfg(windows)]
    terminate: (CtrlBreak, CtrlClose, CtrlShutdown),
}

#[cfg(unix)]
impl StopSignals {
    /// Starts to receive signals.
    ///
    /// # Errors
    ///
    /// If the handlers cannot be installed.
    ///
    /// # Panics
    ///
    /// If it is called outside a tokio runtime.
    pub fn new() -> io::Result<StopSignals> {
        Ok(StopSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal. If the future is dropped, no signal is lost.
    pub async fn recv(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}

#[cfg(windows)]
impl StopSignals {
    /// Starts to receive signals.
    ///
    /// # Errors
    ///
    /// If the handlers cannot be installed.
    ///
    /// # Panics
    ///
    /// If it is called outside a tokio runtime.
    pub fn new() -> io::Result<StopSignals> {
        Ok(StopSignals { interrupt: ctrl_c()?, terminate: (ctrl_break()?, ctrl_close()?, ctrl_shutdown()?) })
    }

    /// Waits for the next signal. If the future is dropped, no signal is lost.
    pub async fn recv(&mut self) -> StopSignal {
        let (ctrl_break, close, shutdown) = &mut self.terminate;
        tokio::select! {
            _ = ctrl_break.recv() => StopSignal::Terminate,
            _ = close.recv() => StopSignal::Terminate,
            _ = shutdown.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}
