//! Reads and writes for requests with branches that the state manager refuses.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use faasflow_core::RequestId;
use faasflow_core::chain;
use faasflow_core::code::Code;
use faasflow_core::state::{Scope, StateError};
use tokio::time::Instant;
use tracing::Level;

use crate::log::RequestLog;

/// How long a refusal lasts if nothing more is refused, unless the request that was refused is served before.
const LASTS: Duration = Duration::from_secs(60);

/// Remembers the last refusal, so that the log shows it once and not for each delivery.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Option<Refusal>>);

#[derive(Debug)]
struct Refusal {
    manager: String,
    operation: &'static str,
    text: String,
    code: Code,
    /// The request that was refused last.
    request: String,
    at: Instant,
}

impl Refusals {
    /// Remembers that an operation was refused, and logs it if that is news. `operation` is a verb, such as `read`.
    pub(crate) fn refused(&self, manager: &str, operation: &'static str, scope: &Scope, error: &StateError) {
        if let Some(line) = self.remember(manager, operation, scope, error) {
            log(scope, Level::ERROR, Some(error.code()), &line);
        }
    }

    /// Remembers that an operation succeeded, and logs it if such operations were refused before.
    pub(crate) fn accepted(&self, operation: &'static str, scope: &Scope) {
        if let Some(line) = self.forget(operation, scope) {
            log(scope, Level::INFO, None, &line);
        }
    }

    /// The state manager that refuses something, and the code of its error.
    pub(crate) fn current(&self) -> Option<(String, Code)> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|refusal| (refusal.manager.clone(), refusal.code))
    }

    fn remember(&self, manager: &str, operation: &'static str, scope: &Scope, error: &StateError) -> Option<String> {
        let (text, code) = (error.to_string(), error.code());
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = last.as_ref().is_some_and(|known| known.operation == operation && known.text == text);
        let request = scope.request.clone();
        *last = Some(Refusal { manager: manager.to_owned(), operation, text, code, request, at: Instant::now() });
        if is_known {
            return None;
        }
        let help = error.help().map(|help| format!(": {help}")).unwrap_or_default();
        let why = chain(error);
        Some(format!("The state manager `{manager}` refuses to {operation}: {why}{help}; requests wait until it does"))
    }

    fn forget(&self, operation: &'static str, scope: &Scope) -> Option<String> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A value that is too large is refused again and again, while other requests are served.
        let ended = |refusal: &Refusal| {
            refusal.operation == operation && (refusal.request == scope.request || refusal.at.elapsed() >= LASTS)
        };
        let refusal = last.take_if(|refusal| ended(refusal))?;
        Some(format!("The state manager `{}` no longer refuses to {operation}", refusal.manager))
    }
}

fn log(scope: &Scope, level: Level, code: Option<Code>, line: &str) {
    if let Some(id) = RequestId::parse(&scope.request) {
        RequestLog::current(id).write(level, code, format_args!("{line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(request: &str) -> Scope {
        Scope { flow: "f".into(), request: request.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_logged_when_it_begins_changes_and_ends() {
        let refusals = Refusals::default();
        let refuse = |request: &str, why: &str| {
            let error = StateError::permanent(why.to_owned()).with_help("check the password");
            refusals.remember("redis", "write", &scope(request), &error)
        };
        assert_eq!(
            refuse("a", "access is denied").unwrap(),
            "The state manager `redis` refuses to write: access is denied: check the password; requests wait until it does"
        );
        for request in ["a", "b", "a", "c"] {
            assert_eq!(refuse(request, "access is denied"), None, "{request}");
        }
        assert!(refuse("c", "the value is too large").is_some());
        // Another request shows nothing about this one, and neither does another operation.
        assert_eq!(refusals.forget("write", &scope("a")), None);
        assert_eq!(refusals.forget("read", &scope("c")), None);
        assert_eq!(refusals.current().unwrap().1.as_str(), "FF0502");
        assert_eq!(
            refusals.forget("write", &scope("c")).unwrap(),
            "The state manager `redis` no longer refuses to write"
        );
        assert_eq!((refusals.forget("write", &scope("c")), refusals.current()), (None, None));

        // The request that was refused may never come again.
        assert!(refuse("a", "access is denied").is_some());
        tokio::time::advance(LASTS).await;
        assert!(refusals.forget("write", &scope("b")).is_some());
    }
}
