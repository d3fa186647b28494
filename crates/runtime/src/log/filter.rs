//! Which lines are written.

use faasflow_core::code::{self, Code};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// The target of our own lines.
pub(super) const TARGET: &str = "faasflow";

/// What `RUST_LOG` lets through, and our own debug lines besides if they are asked for and it says nothing else of them.
pub(super) fn filter(log_filter: &str, write_debug: bool) -> Result<Targets, String> {
    let said = if log_filter.is_empty() { "info" } else { log_filter };
    // Of two for the same target the later one counts.
    if write_debug { targets(&format!("{TARGET}=debug,{said}")) } else { targets(said) }
}

/// The most detailed level of our own lines that a filter lets through.
pub(super) fn most_detailed(filter: &Targets) -> LevelFilter {
    let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
    let passes = |level: &Level| filter.would_enable(TARGET, level);
    levels.into_iter().find(passes).map_or(LevelFilter::OFF, LevelFilter::from_level)
}

/// What a text in the syntax of `RUST_LOG` lets through, or what is wrong with it.
///
/// It is what `tracing_subscriber`'s `EnvFilter` reads, but for two things. Spans and fields take a library of regular
/// expressions, a tenth of the program, to filter by what flows do not have. And a word alone is a level: `EnvFilter` would
/// take a misspelt one for a target, and be silent about all others.
pub(crate) fn targets(text: &str) -> Result<Targets, String> {
    let mut directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty()).peekable();
    directives.peek().ok_or(FILTERS)?;
    directives.try_fold(Targets::new(), |targets, directive| {
        if directive.contains(['[', ']', '{', '}']) {
            return Err(format!("lines are chosen by level and target, not by spans or fields: {FILTERS}"));
        }
        let Some((target, level)) = directive.split_once('=') else {
            return match directive.parse::<LevelFilter>() {
                Ok(level) => Ok(targets.with_default(level)),
                Err(_) => Err(format!("`{directive}` is no level: {FILTERS}; a level is one of {LEVELS}")),
            };
        };
        let (target, level) = (target.trim_end(), level.trim_start());
        if target.is_empty() || !target.chars().all(|c| c.is_alphanumeric() || "-:_.".contains(c)) {
            return Err(format!("`{target}` is no target: {FILTERS}"));
        }
        // An empty one would be read as `error`.
        match level.parse::<LevelFilter>() {
            Ok(level_filter) if !level.is_empty() => Ok(targets.with_target(target, level_filter)),
            _ => Err(format!("`{level}` is no level: write one of {LEVELS}")),
        }
    })
}

/// What a filter can be.
const FILTERS: &str = "write a level such as `info`, or targets such as `faasflow=debug,hyper=warn`";

const LEVELS: &str = "`off`, `error`, `warn`, `info`, `debug` and `trace`";

/// A `RUST_LOG` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`RUST_LOG` is `{filter}`, which is not a filter of log lines")]
pub struct FilterError {
    pub(super) filter: String,
    /// What is wrong with it, and what is accepted.
    pub(super) reason: String,
}

impl FilterError {
    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        code::BAD_LOG_FILTER
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_targets() {
        let enabled = |filter: &str, target: &str, level| targets(filter).unwrap().would_enable(target, &level);
        assert!(enabled("info", "any", Level::INFO) && !enabled("info", "any", Level::DEBUG));
        assert!(enabled(" WARN , faasflow=5,", "faasflow", Level::TRACE));
        assert!(enabled("warn,faasflow = debug", "faasflow", Level::DEBUG));
        assert!(!enabled("warn,faasflow=debug,faasflow::quiet=off", "faasflow::quiet", Level::ERROR));
        assert!(enabled("faasflow=trace", "faasflow_runtime", Level::TRACE));
        assert!(!enabled("faasflow=trace", "hyper", Level::ERROR));
        for (filter, why) in [
            ("", "write a level"),
            (",", "write a level"),
            ("*", "`*` is no level"),
            // What is not what it was meant to be is not to silence all else.
            ("warning", "`warning` is no level"),
            ("info,faasflow", "`faasflow` is no level"),
            ("faasflow=loud", "`loud` is no level"),
            ("faasflow=", "`` is no level"),
            ("=info", "`` is no target"),
            ("a=b=info", "`b=info` is no level"),
            ("a b=info", "`a b` is no target"),
            ("[call]=debug", "not by spans or fields"),
            ("x[call{id=1,b}]", "not by spans or fields"),
        ] {
            let reason = targets(filter).unwrap_err();
            assert!(reason.contains(why), "{filter}: {reason}");
        }
    }

    #[test]
    fn our_own_lines_have_the_level_of_their_target() {
        for (filter, most) in [
            ("info", LevelFilter::INFO),
            ("hyper=trace", LevelFilter::OFF),
            ("trace,faasflow=error", LevelFilter::ERROR),
            ("off,faasflow=debug", LevelFilter::DEBUG),
        ] {
            assert_eq!(most_detailed(&targets(filter).unwrap()), most, "{filter}");
        }
    }

    #[test]
    fn our_own_debug_lines_are_added_to_a_filter_that_does_not_name_them() {
        let enabled = |said: &str, target: &str| filter(said, true).unwrap().would_enable(target, &Level::DEBUG);
        assert!(enabled("", "faasflow") && enabled("warn", "faasflow") && enabled("hyper=info", "faasflow"));
        assert!(!enabled("", "hyper") && !enabled("warn,faasflow=info", "faasflow"));
        assert!(!filter("faasflow=warn", true).unwrap().would_enable("faasflow_runtime", &Level::INFO));
        assert!(!filter("", false).unwrap().would_enable("faasflow", &Level::DEBUG));
    }
}
