use std::time::Duration;

use faasflow_core::Problem;

/// Something that happened, for programs that show progress.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Cargo starts to build functions.
    BuildStarted {
        /// Their names.
        functions: Vec<String>,
    },
    /// Cargo compiles another crate.
    Compiling {
        /// Its name and version.
        krate: String,
    },
    /// Cargo waits, for example for another cargo process.
    BuildWaits {
        /// The message of cargo.
        what: String,
    },
    /// Cargo has built the program of a function.
    Built {
        /// The function's name.
        function: String,
    },
    /// The build is complete.
    BuildFinished {
        /// How long it took.
        took: Duration,
    },
    /// A build failed. Functions that ran before go on running.
    BuildFailed {
        /// What could not be built, with the output of cargo as the cause.
        problems: Vec<Problem>,
    },
    /// A function is being started.
    Starting {
        /// Its name.
        function: String,
    },
    /// A function accepts requests.
    Ready {
        /// Its name.
        function: String,
    },
    /// The process of a function ended by itself. It is started again after a while.
    Exited {
        /// Its name.
        function: String,
        /// How it ended, and the last lines of its log.
        how: String,
        /// The time until it is started again.
        again_in: Duration,
    },
    /// The sources of a function changed.
    Changed {
        /// Its name.
        function: String,
    },
    /// A function wrote a line to its log.
    Log {
        /// Its name.
        function: String,
        /// The line.
        line: String,
    },
}

/// The sender of events.
pub type Events = tokio::sync::mpsc::UnboundedSender<Event>;
