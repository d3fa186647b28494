//! Runs checks one after the other, and keeps book.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a check expects of something, and what it says otherwise.
pub(crate) fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// The book of one suite. Cloning yields the same.
#[derive(Clone)]
pub(crate) struct Suite(Arc<Mutex<Book>>);

struct Book {
    name: &'static str,
    passed: usize,
    failed: Vec<String>,
    not_done: Vec<String>,
    skipped: bool,
}

impl Suite {
    pub(crate) fn new(name: &'static str) -> Suite {
        Suite(Arc::new(Mutex::new(Book { name, passed: 0, failed: Vec::new(), not_done: Vec::new(), skipped: false })))
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn heading(&self, text: &str) {
        println!("\n{text}");
    }

    /// Runs a check; a panic in it is its failure.
    pub(crate) async fn check<F>(&self, name: &str, check: F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.check_within(PATIENCE, name, check).await;
    }

    /// Runs a check that builds, or does something else that takes its time.
    pub(crate) async fn check_within<F>(&self, patience: Duration, name: &str, check: F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let begun = Instant::now();
        let running = AbortOnDropHandle::new(tokio::spawn(check));
        let result = match tokio::time::timeout(patience, running).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(panic.to_string()),
            Err(_) => Err(format!("it took longer than {patience:?}")),
        };
        self.note(name, result, begun.elapsed());
    }

    /// Notes what came of a check.
    pub(crate) fn note(&self, name: &str, result: Result<(), String>, took: Duration) {
        let seconds = took.as_secs_f64();
        match result {
            Ok(()) => {
                println!("  ok      {name} ({seconds:.1} s)");
                self.book().passed += 1;
            }
            Err(why) => {
                println!("  FAILED  {name} ({seconds:.1} s): {why}");
                self.book().failed.push(name.to_owned());
            }
        }
    }

    /// Says what could not be done here, and why. It counts as neither passed nor failed, and is said again at the end.
    pub(crate) fn not_done(&self, what: &str, why: &str) {
        println!("  not done: {what}: {why}");
        self.book().not_done.push(format!("{what}: {why}"));
    }

    /// Says why nothing of the suite can be done on this machine, which is no failure.
    pub(crate) fn skip(&self, why: &str) {
        self.not_done("the whole suite", why);
        self.book().skipped = true;
    }

    pub(crate) fn close(&self, ran: Result<(), String>) -> ExitCode {
        let mut book = self.book();
        if let Err(why) = ran {
            println!("\nThe suite broke off: {why}");
            book.failed.push("the suite itself".to_owned());
        }
        println!("\ne2e {}", book.name);
        for name in &book.failed {
            println!("  failed: {name}");
        }
        for what in &book.not_done {
            println!("  not done: {what}");
        }
        println!("{} passed, {} failed", book.passed, book.failed.len());
        if book.failed.is_empty() && (book.passed > 0 || book.skipped) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
