//! The signals by which the system, or a person at a terminal, asks this process to stop.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

/// A request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there is no third way to ask")]
pub enum StopSignal {
    /// A service manager asks: SIGTERM. On Windows, Ctrl-Break, the closing of the console, or the shutdown of the machine.
    Terminate,
    /// A person at a terminal asks: SIGINT, or Ctrl-C on Windows.
    Interrupt,
}

/// Receives the signals that ask this process to stop. From when this exists, they no longer end the process by themselves.
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
    /// Begins to listen for signals.
    ///
    /// # Errors
    ///
    /// If the handlers cannot be installed.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new() -> io::Result<StopSignals> {
        Ok(StopSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal. Dropping the future loses none.
    pub async fn recv(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}

#[cfg(windows)]
impl StopSignals {
    /// Begins to listen for signals.
    ///
    /// # Errors
    ///
    /// If the handlers cannot be installed.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new() -> io::Result<StopSignals> {
        Ok(StopSignals { interrupt: ctrl_c()?, terminate: (ctrl_break()?, ctrl_close()?, ctrl_shutdown()?) })
    }

    /// Waits for the next signal. Dropping the future loses none.
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
