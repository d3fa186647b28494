//! Errors as they are printed for people: the code, what happened, why, and what to do.

use std::error::Error as StdError;
use std::fmt;

use crate::code::Code;

/// The report that is printed about an error. It consists of one or more problems.
///
/// ```
/// use faasflow_core::{code, Problem, Report};
///
/// let disk = std::io::Error::other("disk full");
/// let problem = Problem::new(code::STATE_REFUSED, "the state manager cannot be used").because(&disk).help("make room");
/// assert_eq!(problem.to_string(), "\
/// error[FF0502]: the state manager cannot be used
///   cause: disk full
///   help: make room");
/// assert!(Report::new(problem).to_string().ends_with("For more about this error, run `faasflow explain FF0502`."));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    summary: Option<String>,
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    what: String,
    causes: Vec<String>,
    help: Vec<String>,
}

impl Problem {
    /// Creates a problem without causes.
    #[must_use]
    pub fn new(code: Code, what: impl fmt::Display) -> Problem {
        Problem { code, what: what.to_string(), causes: Vec::new(), help: Vec::new() }
    }

    /// Creates a problem from an error and all its sources.
    #[must_use]
    pub fn from_error(code: Code, error: &dyn StdError) -> Problem {
        Problem::new(code, error).because_of_all(error.source())
    }

    /// Adds an error as a cause, and all its sources.
    #[must_use]
    pub fn because(self, cause: &dyn StdError) -> Problem {
        self.because_text(cause.to_string()).because_of_all(cause.source())
    }

    /// Adds a cause that is only text, such as what a server answered.
    #[must_use]
    pub fn because_text(mut self, cause: impl Into<String>) -> Problem {
        let cause = cause.into();
        // Many errors repeat the text of their source.
        let repeated = self.what.contains(&cause) || self.causes.iter().any(|earlier| earlier.contains(&cause));
        if !repeated {
            self.causes.push(cause);
        }
        self
    }

    fn because_of_all(mut self, mut cause: Option<&dyn StdError>) -> Problem {
        while let Some(error) = cause {
            self = self.because_text(error.to_string());
            cause = error.source();
        }
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help.push(help.into());
        self
    }

    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// What happened.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Why it happened, the outermost cause first.
    #[must_use]
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// What to do about it.
    #[must_use]
    pub fn remedies(&self) -> &[String] {
        &self.help
    }
}

/// Several lines. The first begins with the code.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, indented(&self.what))?;
        self.causes.iter().try_for_each(|cause| write!(f, "\n  cause: {}", indented(cause)))?;
        self.help.iter().try_for_each(|help| write!(f, "\n  help: {}", indented(help)))
    }
}

/// Indents all lines of a text but the first, and those that are empty.
fn indented(text: &str) -> String {
    let mut lines = text.trim_end().split('\n');
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| match line {
        "" => text + "\n",
        line => text + "\n    " + line,
    })
}

impl Report {
    /// Creates a report of one problem.
    #[must_use]
    pub fn new(problem: Problem) -> Report {
        Report { summary: None, problems: vec![problem] }
    }

    /// Creates a report of several problems.
    #[must_use]
    pub fn from_problems(problems: impl IntoIterator<Item = Problem>) -> Report {
        Report { summary: None, problems: problems.into_iter().collect() }
    }

    /// Adds a line before the problems. It says what could not be done.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Report {
        self.summary = Some(summary.into());
        self
    }

    /// The problems, in the order in which they are printed.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The last line, which says how to read more. There is none if there are no problems.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let first = self.problems.first()?.code();
        Some(match self.problems.iter().all(|problem| problem.code() == first) {
            true => format!("For more about this error, run `faasflow explain {first}`."),
            false => format!(
                "For more about an error, run `faasflow explain` with its code, as in `faasflow explain {first}`."
            ),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(summary) = &self.summary {
            write!(f, "{summary}\n\n")?;
        }
        for problem in &self.problems {
            write!(f, "{problem}\n\n")?;
        }
        self.advice().map_or(Ok(()), |advice| f.write_str(&advice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn each_cause_is_printed_once() {
        let innermost = Layer("connection refused", None);
        let repeating = Layer("cannot connect: connection refused", Some(Box::new(innermost)));
        let error = Layer("the server cannot be reached", Some(Box::new(repeating)));
        let problem = Problem::from_error(code::STATE_UNREACHABLE, &error);
        assert_eq!(problem.what(), "the server cannot be reached");
        assert_eq!(problem.causes(), ["cannot connect: connection refused"]);
    }

    #[test]
    fn several_problems_end_with_one_line_of_advice() {
        let first = Problem::new(code::NO_STEP, "one").help("two\nlines");
        let second = Problem::new(code::BAD_URL, "two");
        assert_eq!(
            Report::from_problems([first, second]).summary("both").to_string(),
            "both\n\nerror[FF0101]: one\n  help: two\n    lines\n\nerror[FF0104]: two\n\nFor more about an error, run \
             `faasflow explain` with its code, as in `faasflow explain FF0101`."
        );
    }
}
