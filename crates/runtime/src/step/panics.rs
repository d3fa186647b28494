//! Turns panics of the flow's own code into failures.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use faasflow_core::failure::FailureKind;
use futures_util::FutureExt as _;

/// Turns a panic into a failure. User code shares state with other code only through `Context`, which holds no lock while
/// user code runs, so no half-done state can be seen afterwards.
///
/// This is not an `async fn`, which would hold its future twice: once as an argument and once while awaiting it.
pub(super) fn caught<T>(
    running: impl Future<Output = Result<T, FailureKind>>,
) -> impl Future<Output = Result<T, FailureKind>> {
    AssertUnwindSafe(running).catch_unwind().map(|ended| match ended {
        Ok(output) => output,
        Err(panic) => Err(FailureKind::Panic(panic_text(&*panic))),
    })
}

/// The same for synchronous code.
pub(super) fn caught_at_once<T>(run: impl FnOnce() -> Result<T, FailureKind>) -> Result<T, FailureKind> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(FailureKind::Panic(panic_text(&*panic))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)").to_owned()
}
