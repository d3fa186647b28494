use std::time::Duration;

/// Something that happened, for whoever shows progress.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Cargo begins to build these functions.
    BuildStarted {
        /// Their names.
        functions: Vec<String>,
    },
    /// Cargo has begun with another crate.
    Compiling {
        /// Its name and version.
        krate: String,
    },
    /// Cargo has to wait, for example for another cargo.
    BuildWaits {
        /// What it says.
        what: String,
    },
    /// Cargo has built the program of a function.
    Built {
        /// The function's name.
        function: String,
    },
    /// Cargo has built them.
    BuildFinished {
        /// How long it took.
        took: Duration,
    },
    /// A build failed; what ran before still runs.
    BuildFailed {
        /// What cargo said.
        output: String,
    },
    /// A function is started.
    Starting {
        /// Its name.
        function: String,
    },
    /// A function takes requests.
    Ready {
        /// Its name.
        function: String,
    },
    /// A function's process ended by itself, and is started again after a while.
    Exited {
        /// Its name.
        function: String,
        /// How it ended, and the last lines of its log.
        how: String,
        /// When it is started again.
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

/// Where events go.
pub type Events = tokio::sync::mpsc::UnboundedSender<Event>;
