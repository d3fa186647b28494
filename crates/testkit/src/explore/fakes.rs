//! Functions without a network, and user code without a runtime.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The answer of a function, given the text that it is called with.
pub(super) type Function = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// The functions that a flow calls.
#[derive(Clone, Default)]
pub(super) struct Fakes {
    pub(super) functions: HashMap<String, Function>,
    /// The functions that fail in the first generation of the request.
    pub(super) mended: HashSet<String>,
}

impl Fakes {
    /// The answer of a function. The default is its input.
    pub(super) fn call(&self, function: &str, input: &str, generation: u32) -> Result<String, String> {
        if generation == 0 && self.mended.contains(function) {
            return Err("it answered 404 Not Found".to_owned());
        }
        match self.functions.get(function) {
            Some(answer) => answer(input),
            None => Ok(input.to_owned()),
        }
    }
}

/// Runs code that does not wait for anything.
///
/// # Panics
///
/// If the code waits.
pub(super) fn at_once<T>(running: impl Future<Output = T>) -> T {
    match pin!(running).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("code of the flow waits for something, which an exploration cannot"),
    }
}
