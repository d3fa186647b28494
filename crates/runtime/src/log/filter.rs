//! The filter of log lines.

use faasflow_core::code::{self, Code};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// The target of Faasflow's own lines.
pub(super) const TARGET: &str = "faasflow";

/// The filter in `RUST_LOG`. If debug lines are turned on and `RUST_LOG` does not mention Faasflow's target, it also
/// includes Faasflow's own debug lines.
pub(super) fn filter(log_filter: &str, write_debug: bool) -> Result<Targets, FilterFault> {
    let base = if log_filter.is_empty() { "info" } else { log_filter };
    // If a target is named twice, the later directive wins.
    if write_debug { targets(&format!("{TARGET}=debug,{base}")) } else { targets(base) }
}

/// The most detailed level of Faasflow's own lines that a filter lets through.
pub(super) fn most_detailed(filter: &Targets) -> LevelFilter {
    let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
    let passes = |level: &Level| filter.would_enable(TARGET, level);
    levels.into_iter().find(passes).map_or(LevelFilter::OFF, LevelFilter::from_level)
}

/// Parses a filter in the syntax of `RUST_LOG`. The error says what is wrong.
///
/// This differs from `EnvFilter` of `tracing_subscriber` in two ways. Filters by spans and fields are not supported, because
/// flows have neither, and the regular expressions for them would make up a tenth of the program. And a single word must be
/// a level: `EnvFilter` would read a misspelt level as a target and silence everything else.
pub(crate) fn targets(text: &str) -> Result<Targets, FilterFault> {
    let mut directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty()).peekable();
    directives.peek().ok_or(FilterFault::Empty)?;
    directives.try_fold(Targets::new(), |targets, directive| {
        if directive.contains(['[', ']', '{', '}']) {
            return Err(FilterFault::SpansOrFields);
        }
        let Some((target, level)) = directive.split_once('=') else {
            return match directive.parse::<LevelFilter>() {
                Ok(level) => Ok(targets.with_default(level)),
                Err(_) => Err(FilterFault::NotALevel(directive.to_owned())),
            };
        };
        let (target, level) = (target.trim_end(), level.trim_start());
        if target.is_empty() || !target.chars().all(|c| c.is_alphanumeric() || "-:_.".contains(c)) {
            return Err(FilterFault::NotATarget(target.to_owned()));
        }
        // An empty level would be parsed as `error`.
        match level.parse::<LevelFilter>() {
            Ok(level_filter) if !level.is_empty() => Ok(targets.with_target(target, level_filter)),
            _ => Err(FilterFault::NotALevel(level.to_owned())),
        }
    })
}

/// What is wrong with a log filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FilterFault {
    #[error("it has no directive")]
    Empty,
    #[error("lines are filtered by level and target, not by spans or fields")]
    SpansOrFields,
    #[error("`{0}` is not a level")]
    NotALevel(String),
    #[error("`{0}` is not a target")]
    NotATarget(String),
}

impl FilterFault {
    /// The accepted filters.
    pub(crate) const HELP: &str = "write one of the levels `off`, `error`, `warn`, `info`, `debug` and `trace`, or \
                                   targets such as `faasflow=debug,hyper=warn`";
}

/// `RUST_LOG` is not a valid filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`RUST_LOG` is `{filter}`, which is not a log filter")]
pub struct FilterError {
    pub(super) filter: String,
    #[source]
    pub(super) fault: FilterFault,
}

impl FilterError {
    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        code::BAD_LOG_FILTER
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        FilterFault::HELP
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
            ("", "no directive"),
            (",", "no directive"),
            ("*", "`*` is not a level"),
            // A misspelt filter must not silence everything else.
            ("warning", "`warning` is not a level"),
            ("info,faasflow", "`faasflow` is not a level"),
            ("faasflow=loud", "`loud` is not a level"),
            ("faasflow=", "`` is not a level"),
            ("=info", "`` is not a target"),
            ("a=b=info", "`b=info` is not a level"),
            ("a b=info", "`a b` is not a target"),
            ("[call]=debug", "not by spans or fields"),
            ("x[call{id=1,b}]", "not by spans or fields"),
        ] {
            let reason = targets(filter).unwrap_err().to_string();
            assert!(reason.contains(why), "{filter}: {reason}");
        }
    }

    #[test]
    fn our_own_lines_have_the_level_of_our_target() {
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
    fn our_debug_lines_are_added_to_a_filter_that_does_not_name_our_target() {
        let enabled = |base: &str, target: &str| filter(base, true).unwrap().would_enable(target, &Level::DEBUG);
        assert!(enabled("", "faasflow") && enabled("warn", "faasflow") && enabled("hyper=info", "faasflow"));
        assert!(!enabled("", "hyper") && !enabled("warn,faasflow=info", "faasflow"));
        assert!(!filter("faasflow=warn", true).unwrap().would_enable("faasflow_runtime", &Level::INFO));
        assert!(!filter("", false).unwrap().would_enable("faasflow", &Level::DEBUG));
    }
}
