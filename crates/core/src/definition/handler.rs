//! Modifiers as plain async functions, the way axum takes its handlers.

use std::sync::Arc;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::failure::{Failure, IntoResolution, Resolution};
use crate::outcome::Outcome;
use crate::payload::{FromPayload, IntoPayload, Payload};
use crate::response::CallResponse;

use super::extract::FromContext;

pub use crate::future::BoxFuture;

/// An async function that can be a modifier: any number of extractors, then the payload, and something
/// that becomes a payload back.
///
/// It is implemented for functions and closures; there is no need to implement it by hand.
///
/// ```
/// use bytes::Bytes;
/// use faasflow_core::{Context, Flow, Json, Result};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, Serialize)]
/// struct User { name: String }
///
/// async fn rename(context: Context, Json(mut user): Json<User>) -> Result<Json<User>> {
///     if let Some(name) = context.query("name") {
///         user.name = name;
///     }
///     Ok(Json(user))
/// }
///
/// let flow = Flow::builder()
///     .modify(rename)
///     .modify(async |payload: Bytes| payload)
///     .build();
/// # assert!(flow.is_ok());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a modifier",
    label = "not a modifier",
    note = "a modifier is an async function or closure of extractors (`Context`, `Query<T>`, `State<T>`) and, last, \
            the payload (`Bytes`, `String`, `Json<T>`, `Payload`, `()`)",
    note = "it returns `Bytes`, `Vec<u8>`, `String`, `Json<T>`, `Payload` or `()`, or a `Result` of one with `faasflow::Error`",
    note = "its future must be `Send`: hold no `Rc` or lock guard across an `.await`"
)]
pub trait Handler<M>: Send + Sync + 'static {
    /// Runs the handler on one payload.
    fn call(&self, context: Context, payload: Payload) -> BoxFuture<'static, Result<Payload>>;
}

macro_rules! handler {
    ($($extractor:ident),*) => {
        #[allow(non_snake_case, unused_variables, reason = "one macro for every number of extractors")]
        impl<F, Fut, P, R, $($extractor,)*> Handler<(P, R, $($extractor,)*)> for F
        where
            F: Fn($($extractor,)* P) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = R> + Send + 'static,
            P: FromPayload + Send + 'static,
            R: IntoPayload,
            $($extractor: FromContext + Send + 'static,)*
        {
            fn call(&self, context: Context, payload: Payload) -> BoxFuture<'static, Result<Payload>> {
                let handler = self.clone();
                Box::pin(async move {
                    $(let $extractor = $extractor::from_context(&context).await?;)*
                    let given = payload.clone();
                    let payload = P::from_payload(payload)?;
                    let made = handler($($extractor,)* payload).await.into_payload()?;
                    Ok(given.hand_on(made))
                })
            }
        }
    };
}

handler!();
handler!(E1);
handler!(E1, E2);
handler!(E1, E2, E3);
handler!(E1, E2, E3, E4);
handler!(E1, E2, E3, E4, E5);
handler!(E1, E2, E3, E4, E5, E6);
handler!(E1, E2, E3, E4, E5, E6, E7);

pub(crate) type ModifierFn = Arc<dyn Fn(Context, Payload) -> BoxFuture<'static, Result<Payload>> + Send + Sync>;
pub(crate) type FailureFn = Arc<dyn Fn(Context, Failure) -> BoxFuture<'static, Result<Resolution>> + Send + Sync>;
pub(crate) type ResponseFn = Arc<dyn Fn(Context, CallResponse) -> BoxFuture<'static, Result<Payload>> + Send + Sync>;
pub(crate) type FinallyFn = Arc<dyn Fn(Context, Outcome) -> BoxFuture<'static, Result<()>> + Send + Sync>;

pub(crate) fn erase_modifier<M, H: Handler<M>>(handler: H) -> ModifierFn {
    Arc::new(move |context, payload| handler.call(context, payload))
}

// A handler that is a plain function may panic before it returns its future. All of it runs when the future does, so
// that whoever runs the future catches that too.

pub(crate) fn erase_failure<F, Fut>(handler: F) -> FailureFn
where
    F: Fn(Context, Failure) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoResolution,
{
    let handler = Arc::new(handler);
    Arc::new(move |context, failure| {
        let handler = handler.clone();
        Box::pin(async move { handler(context, failure).await.into_resolution() })
    })
}

pub(crate) fn erase_response<F, Fut>(handler: F) -> ResponseFn
where
    F: Fn(Context, CallResponse) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoPayload,
{
    let handler = Arc::new(handler);
    Arc::new(move |context, response| {
        let handler = handler.clone();
        Box::pin(async move {
            let given = response.payload().clone();
            Ok(given.hand_on(handler(context, response).await.into_payload()?))
        })
    })
}

pub(crate) fn erase_finally<F, Fut>(handler: F) -> FinallyFn
where
    F: Fn(Context, Outcome) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoEnd,
{
    let handler = Arc::new(handler);
    Arc::new(move |context, outcome| {
        let handler = handler.clone();
        Box::pin(async move { handler(context, outcome).await.into_end() })
    })
}

/// What a finaliser may return: nothing, or a result of nothing.
#[diagnostic::on_unimplemented(
    message = "a finaliser cannot return `{Self}`",
    note = "return `()` or `Result<(), faasflow::Error>`"
)]
pub trait IntoEnd {
    /// The end as a result.
    ///
    /// # Errors
    ///
    /// The error that the finaliser returned.
    fn into_end(self) -> Result<()>;
}

impl IntoEnd for () {
    fn into_end(self) -> Result<()> {
        Ok(())
    }
}

impl IntoEnd for Result<(), Error> {
    fn into_end(self) -> Result<()> {
        self
    }
}
