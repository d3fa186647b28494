//! Shows what a gateway is doing: a progress line on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use faasflow_core::{counted, duration};
use faasflow_gateway::Event;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use faasflow_core::line::cut;
use faasflow_runtime::log::escaped;

/// Shows events on standard error.
pub(crate) struct Progress {
    bar: ProgressBar,
    terminal: bool,
    compiled: u64,
    /// Whether the log lines of functions are shown.
    logs: bool,
}

impl Progress {
    pub(crate) fn new(logs: bool) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            None,
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Progress { bar, terminal, compiled: 0, logs }
    }

    pub(crate) fn show(&mut self, event: &Event) {
        match event {
            Event::BuildStarted { functions } => {
                self.compiled = 0;
                self.line(&format!("Building {}", functions.join(", ")));
                self.bar.enable_steady_tick(Duration::from_millis(120));
            }
            Event::Compiling { krate } => {
                self.compiled += 1;
                self.bar.set_message(format!("compiling {krate} ({} so far)", counted(self.compiled, "crate")));
                if !self.terminal && self.compiled.is_multiple_of(25) {
                    self.line(&format!("  … {} crates so far", self.compiled));
                }
            }
            Event::BuildWaits { what } => self.line(&format!("  cargo: {what}")),
            Event::Built { function } => self.line(&format!("  Built {function}")),
            Event::BuildFinished { took } => {
                self.bar.disable_steady_tick();
                self.bar.set_message("");
                self.line(&format!("Built in {}", duration::format(rounded(*took))));
            }
            Event::BuildFailed { problems } => {
                self.bar.disable_steady_tick();
                self.line("The build failed. Functions that already run keep running.");
                problems.iter().for_each(|problem| self.line(&problem.to_string()));
            }
            Event::Starting { function } => self.bar.set_message(format!("starting {function}")),
            Event::Ready { function } => {
                self.bar.set_message("");
                self.line(&format!("{function} is ready"));
            }
            Event::Exited { function, how, again_in } => {
                let again = if again_in.is_zero() {
                    String::new()
                } else {
                    format!("\n{function} restarts in {}.", duration::format(*again_in))
                };
                // If log lines are shown, its last lines were printed already.
                let how = if self.logs {
                    how.lines().next().unwrap_or_default().trim_end_matches("; its last lines:").to_owned()
                } else {
                    how.split('\n').map(|line| cut(&escaped(line)).into_owned()).collect::<Vec<_>>().join("\n")
                };
                self.line(&format!("{function}: {how}{again}"));
            }
            Event::Changed { function } => self.line(&format!("{function} changed")),
            // Cut after escaping, which can make a line several times as long.
            Event::Log { function, line } if self.logs => self.line(&cut(&format!("{function} | {}", escaped(line)))),
            _ => {}
        }
    }

    /// Prints a line. Errors are ignored: if nobody reads the output, the work still goes on.
    pub(crate) fn line(&self, text: &str) {
        let write = || drop(writeln!(std::io::stderr(), "{text}"));
        if self.terminal {
            self.bar.suspend(write);
        } else {
            write();
        }
    }
}

/// Rounds for people: to milliseconds below ten seconds, to seconds above.
fn rounded(duration: Duration) -> Duration {
    match duration.as_secs() {
        0..10 => Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        seconds => Duration::from_secs(seconds),
    }
}
