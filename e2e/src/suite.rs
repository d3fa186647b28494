//! Runs checks one after the other and records their results.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Returns an error with this text unless the condition holds.
pub(crate) fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// The results of one suite, shared by its clones.
#[derive(Clone)]
pub(crate) struct Suite(Arc<Mutex<Results>>);

struct Results {
    name: &'static str,
    passed: usize,
    failed: Vec<String>,
    not_done: Vec<String>,
    skipped: bool,
}

impl Suite {
    pub(crate) fn new(name: &'static str) -> Suite {
        Suite(Arc::new(Mutex::new(Results {
            name,
            passed: 0,
            failed: Vec::new(),
            not_done: Vec::new(),
            skipped: false,
        })))
    }

    fn results(&self) -> std::sync::MutexGuard<'_, Results> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn heading(&self, text: &str) {
        println!("\n{text}");
    }

    /// Runs a check. It fails if it returns an error or panics.
    pub(crate) async fn check<F>(&self, name: &str, check: F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.check_within(PATIENCE, name, check).await;
    }

    /// Runs a check that may take longer, for example because it builds something.
    pub(crate) async fn check_within<F>(&self, patience: Duration, name: &str, check: F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let begun = Instant::now();
        let running = AbortOnDropHandle::new(tokio::spawn(check));
        let result = match tokio::time::timeout(patience, running).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(panic.to_string()),
            Err(_) => Err(format!("it did not finish within {patience:?}")),
        };
        self.note(name, result, begun.elapsed());
    }

    /// Records the result of a check.
    pub(crate) fn note(&self, name: &str, result: Result<(), String>, took: Duration) {
        let seconds = took.as_secs_f64();
        match result {
            Ok(()) => {
                println!("  ok      {name} ({seconds:.1} s)");
                self.results().passed += 1;
            }
            Err(why) => {
                println!("  FAILED  {name} ({seconds:.1} s): {why}");
                self.results().failed.push(name.to_owned());
            }
        }
    }

    /// Reports a check that cannot run on this machine, and why. It counts as neither passed nor failed, and is listed again
    /// at the end.
    pub(crate) fn not_done(&self, what: &str, why: &str) {
        println!("  skipped: {what}: {why}");
        self.results().not_done.push(format!("{what}: {why}"));
    }

    /// Reports that no check of the suite can run on this machine. This is not a failure.
    pub(crate) fn skip(&self, why: &str) {
        self.not_done("the whole suite", why);
        self.results().skipped = true;
    }

    pub(crate) fn close(&self, ran: Result<(), String>) -> ExitCode {
        let mut results = self.results();
        if let Err(why) = ran {
            println!("\nThe suite was aborted: {why}");
            results.failed.push("the suite itself".to_owned());
        }
        println!("\ne2e {}", results.name);
        for name in &results.failed {
            println!("  failed: {name}");
        }
        for what in &results.not_done {
            println!("  skipped: {what}");
        }
        println!("{} passed, {} failed", results.passed, results.failed.len());
        if results.failed.is_empty() && (results.passed > 0 || results.skipped) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
