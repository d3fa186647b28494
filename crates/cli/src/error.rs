//! Errors of commands and how they are printed.

use std::error::Error;
use std::fmt;
use std::io::{ErrorKind, IsTerminal as _};
use std::process::ExitCode;

use console::{Term, style};
use faasflow_core::code::{self, Code};
use faasflow_core::{Problem, Report};

use crate::gateway_error;

/// The failure of a command.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reader of standard output has closed the pipe, as `head` does. The command ends silently and succeeds.
    Closed,
    /// Problems to print, and the exit code.
    Problems {
        exit: Exit,
        /// At least one.
        problems: Vec<Problem>,
    },
}

/// The exit codes of failures, as `faasflow --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command ran, and its result is a failure.
    Failed = 1,
    /// The gateway cannot be reached.
    Unreachable = 3,
    /// A file, a setting or a flow definition cannot be used.
    Unusable = 4,
    /// The time was over before the request had ended.
    NotEnded = 5,
}

impl Failure {
    pub(crate) fn failed(code: Code, what: impl fmt::Display) -> Failure {
        Failure::new(Exit::Failed, [Problem::new(code, what)])
    }

    pub(crate) fn unreachable(code: Code, what: impl fmt::Display) -> Failure {
        Failure::new(Exit::Unreachable, [Problem::new(code, what)])
    }

    pub(crate) fn unusable(code: Code, what: impl fmt::Display) -> Failure {
        Failure::new(Exit::Unusable, [Problem::new(code, what)])
    }

    pub(crate) fn new(exit: Exit, problems: impl IntoIterator<Item = Problem>) -> Failure {
        Failure::Problems { exit, problems: problems.into_iter().collect() }
    }

    /// Adds the cause of the last problem.
    pub(crate) fn because(self, cause: &dyn Error) -> Failure {
        self.map(|problem| problem.because(cause))
    }

    /// Adds a cause as text, such as the answer of a server.
    pub(crate) fn because_text(self, cause: impl Into<String>) -> Failure {
        self.map(|problem| problem.because_text(cause))
    }

    /// Adds a remedy.
    pub(crate) fn help(self, help: impl Into<String>) -> Failure {
        self.map(|problem| problem.help(help))
    }

    /// Whether one of the problems has this code.
    pub(crate) fn has_code(&self, code: Code) -> bool {
        matches!(self, Failure::Problems { problems, .. } if problems.iter().any(|problem| problem.code() == code))
    }

    /// The code of the first problem.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Failure::Closed => None,
            Failure::Problems { problems, .. } => problems.first().map(Problem::code),
        }
    }

    fn map(self, change: impl FnOnce(Problem) -> Problem) -> Failure {
        match self {
            Failure::Closed => Failure::Closed,
            Failure::Problems { exit, mut problems } => {
                let last = problems.pop().map(change);
                problems.extend(last);
                Failure::Problems { exit, problems }
            }
        }
    }

    /// Prints the problems to standard error and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let Failure::Problems { exit, problems } = self else { return ExitCode::SUCCESS };
        let is_terminal = std::io::stderr().is_terminal();
        let width = is_terminal.then(|| usize::from(Term::stderr().size().1).max(40));
        for (index, problem) in problems.iter().enumerate() {
            if index > 0 {
                eprintln!();
            }
            eprintln!("{}", shown(problem, width));
        }
        // Only for people; programs have the code.
        if let Some(advice) = Report::from_problems(problems.iter().cloned()).advice().filter(|_| is_terminal) {
            eprintln!("\n{advice}");
        }
        ExitCode::from(*exit as u8)
    }
}

/// Formats a problem for the screen, wrapped at `width` columns, in colours if the terminal shows them.
///
/// `console` decides about colours: it respects `NO_COLOR`, `CLICOLOR` and `CLICOLOR_FORCE`.
fn shown(problem: &Problem, width: Option<usize>) -> String {
    let mut lines = Vec::new();
    let text = problem.to_string();
    for line in text.lines() {
        let indent = match line.trim_start() {
            rest if rest.starts_with("cause: ") || rest.starts_with("help: ") => "    ".to_owned(),
            rest => " ".repeat(line.len() - rest.len()),
        };
        match width {
            Some(width) => {
                let options = textwrap::Options::new(width).subsequent_indent(&indent).break_words(false);
                lines.extend(textwrap::wrap(line, options).into_iter().map(String::from));
            }
            None => lines.push(line.to_owned()),
        }
    }
    for line in &mut lines {
        for (mark, coloured) in [
            (
                format!("error[{}]", problem.code()),
                style(format!("error[{}]", problem.code())).for_stderr().red().bold(),
            ),
            ("  cause:".to_owned(), style("  cause:".to_owned()).for_stderr().bold()),
            ("  help:".to_owned(), style("  help:".to_owned()).for_stderr().cyan().bold()),
        ] {
            if let Some(rest) = line.strip_prefix(&mark) {
                *line = format!("{coloured}{rest}");
                break;
            }
        }
    }
    lines.join("\n")
}

/// The problems and their causes on one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure::Problems { problems, .. } = self else { return f.write_str("standard output was closed") };
        for (index, problem) in problems.iter().enumerate() {
            let parts = std::iter::once(problem.what()).chain(problem.causes().iter().map(String::as_str));
            write!(f, "{}{}", if index > 0 { "; " } else { "" }, parts.collect::<Vec<_>>().join(": "))?;
        }
        Ok(())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::failed(code::INPUT_OUTPUT, "a file or a stream cannot be read or written")
                .because(&error)
                .help("remove the cause, such as a full disk or a missing permission, and run the command again"),
        }
    }
}

impl From<faasflow_gateway::GatewayError> for Failure {
    fn from(error: faasflow_gateway::GatewayError) -> Failure {
        Failure::new(Exit::Unusable, [gateway_error::problem(&error)])
    }
}

impl From<faasflow_gateway::stack::StackError> for Failure {
    fn from(error: faasflow_gateway::stack::StackError) -> Failure {
        Failure::new(Exit::Unusable, error.problems())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_file_that_cannot_be_read_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stack.yml");
        let function = "  f:\n    environment:\n      fprocess: cat\n    environment_file: [gone.env]\n";
        std::fs::write(&file, format!("version: 1.0\nprovider:\n  name: openfaas\nfunctions:\n{function}")).unwrap();
        let error = faasflow_gateway::Stack::read(&file).unwrap_err();
        let Failure::Problems { problems, .. } = Failure::from(error) else { panic!("it is an error") };
        let text = problems[0].to_string();
        assert!(text.contains("gone.env: it cannot be read\n  cause: there is no such file"), "{text}");
    }

    #[test]
    fn long_errors_are_wrapped_at_the_width_of_the_terminal() {
        let problem = Problem::new(code::NO_GATEWAY, "the gateway at http://127.0.0.1:8080 cannot be reached")
            .because_text("Connection refused (os error 111)")
            .help("start one with `faasflow up`, or name another with `--gateway`");
        assert_eq!(shown(&problem, None), problem.to_string());
        let wrapped = "\
error[FF0901]: the gateway at
http://127.0.0.1:8080 cannot be reached
  cause: Connection refused (os error
    111)
  help: start one with `faasflow up`, or
    name another with `--gateway`";
        assert_eq!(shown(&problem, Some(40)), wrapped);
    }
}
