//! Modifiers as plain async functions, the way axum takes its handlers.

use std::sync::Arc;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::failure::{Failure, Resolution};
use crate::outcome::Outcome;
use crate::payload::{FromPayload, IntoPayload, Payload};
use crate::response::CallResponse;

use super::extract::FromContext;

pub use crate::future::BoxFuture;

/// An async function that can be a modifier. Its parameters are any number of extractors and, last, the payload. It returns
/// the next payload.
///
/// This trait is implemented for functions and closures. You do not need to implement it yourself.
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
    note = "a modifier is an async function or closure whose parameters are extractors (`Context`, `Query<T>`, \
            `RequestState<T>`) and, last, the payload (`Bytes`, `String`, `Json<T>`, `Payload`, `()`)",
    note = "it returns `Bytes`, `Vec<u8>`, `String`, `Json<T>`, `Payload` or `()`, or a `Result` of one with `faasflow::Error`",
    note = "its future must be `Send`: do not hold an `Rc` or a lock guard across an `.await`"
)]
pub trait Handler<M>: Send + Sync + 'static {
    /// Runs the handler on one payload.
    fn call(&self, context: Context, payload: Payload) -> BoxFuture<'static, Result<Payload>>;
}

/// An async function that handles an `S`. Its parameters are any number of extractors and, last, the `S`.
///
/// `S` depends on where the handler is used: a [`Failure`] in `on_failure`, an [`Outcome`] in `finally`, a [`CallResponse`] in
/// `on_response`. The method that takes the handler decides what it may return.
///
/// If an extractor fails, the handler fails with its error, and the function is not run.
///
/// This trait is implemented for functions and closures. You do not need to implement it yourself. Write the types of a
/// closure's parameters, because the compiler chooses the extractors by them.
///
/// ```
/// use faasflow_core::{Context, Failure, Flow, Outcome, Query, Resolution};
///
/// #[derive(serde::Deserialize)]
/// struct Options { #[serde(default)] strict: bool }
///
/// async fn decide(Query(options): Query<Options>, failure: Failure) -> Resolution {
///     if options.strict { failure.decline() } else { failure.recover(failure.payload().clone()) }
/// }
///
/// let flow = Flow::builder()
///     .apply("translate")
///     .on_failure(decide)
///     .finally(async |context: Context, outcome: Outcome| println!("{}: {outcome}", context.request_id()))
///     .build();
/// # assert!(flow.is_ok());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of `{S}`",
    label = "not a handler of `{S}`",
    note = "a handler is an async function or closure whose parameters are extractors (`Context`, `Query<T>`, \
            `RequestState<T>`) and, last, `{S}`",
    note = "its future must be `Send`: do not hold an `Rc` or a lock guard across an `.await`"
)]
pub trait HandlerOf<S, M>: Send + Sync + 'static {
    /// What it returns.
    type Output;

    /// Takes the extractors from the context, and runs the function on the subject.
    fn call(&self, context: &Context, subject: S) -> impl Future<Output = Result<Self::Output>> + Send;
}

/// An async function of a payload that does not return the next payload: that of a [`Choice`](crate::Choice), or of
/// [`ForEach::split`](crate::ForEach::split). Its parameters are any number of extractors and, last, the payload. The method that
/// takes the function decides what it may return.
///
/// This trait is implemented for functions and closures. You do not need to implement it yourself. Write the types of a
/// closure's parameters, because the compiler chooses the extractors by them.
///
/// ```
/// use faasflow_core::{Choice, Flow, ForEach, Json};
///
/// async fn pages(text: String) -> Vec<String> {
///     text.split('\u{c}').map(str::to_owned).collect()
/// }
///
/// let read = ForEach::new(Flow::builder().apply("ocr")).split(pages);
/// let choice = Choice::new(async |text: String| if text.is_empty() { "empty" } else { "text" })
///     .branch("empty", Flow::builder())
///     .branch("text", Flow::builder().for_each(read));
/// assert!(Flow::builder().choose(choice).build().is_ok());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an async function of a payload",
    label = "not an async function of a payload",
    note = "write an async function or closure whose parameters are extractors (`Context`, `Query<T>`, `RequestState<T>`) \
            and, last, the payload (`Bytes`, `String`, `Json<T>`, `Payload`, `()`)",
    note = "its future must be `Send`: do not hold an `Rc` or a lock guard across an `.await`"
)]
pub trait PayloadHandler<M>: Send + Sync + 'static {
    /// The type of its last parameter.
    type Payload;
    /// What it returns.
    type Output;

    /// Takes the extractors from the context, and runs the function on the payload.
    fn call(&self, context: &Context, payload: Self::Payload) -> impl Future<Output = Result<Self::Output>> + Send;
}

/// Implements the traits for functions of these extractors.
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

        #[allow(non_snake_case, unused_variables, reason = "one macro for every number of extractors")]
        impl<F, Fut, S, R, $($extractor,)*> HandlerOf<S, (R, $($extractor,)*)> for F
        where
            F: Fn($($extractor,)* S) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = R> + Send + 'static,
            S: Send + 'static,
            $($extractor: FromContext + Send + 'static,)*
        {
            type Output = R;

            async fn call(&self, context: &Context, subject: S) -> Result<R> {
                $(let $extractor = $extractor::from_context(context).await?;)*
                Ok(self($($extractor,)* subject).await)
            }
        }

        #[allow(non_snake_case, unused_variables, reason = "one macro for every number of extractors")]
        impl<F, Fut, P, R, $($extractor,)*> PayloadHandler<(P, R, $($extractor,)*)> for F
        where
            F: Fn($($extractor,)* P) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = R> + Send + 'static,
            P: Send + 'static,
            $($extractor: FromContext + Send + 'static,)*
        {
            type Payload = P;
            type Output = R;

            async fn call(&self, context: &Context, payload: P) -> Result<R> {
                HandlerOf::<P, (R, $($extractor,)*)>::call(self, context, payload).await
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

/// A handler of an `S` that makes a `T`, whatever its extractors are.
pub(crate) type HandlerFn<S, T> = Arc<dyn Fn(Context, S) -> BoxFuture<'static, Result<T>> + Send + Sync>;

pub(crate) type ModifierFn = HandlerFn<Payload, Payload>;
pub(crate) type FailureFn = HandlerFn<Failure, Resolution>;
pub(crate) type ResponseFn = HandlerFn<CallResponse, Payload>;
pub(crate) type FinallyFn = HandlerFn<Outcome, ()>;

pub(crate) fn erase_modifier<M, H: Handler<M>>(handler: H) -> ModifierFn {
    Arc::new(move |context, payload| handler.call(context, payload))
}

/// The handler without its extractors, and with what it returns turned into what is needed.
///
/// A handler that is a plain function may panic before it returns its future. It is called inside the future, so that a
/// panic there is caught as well.
pub(crate) fn erase<S, T, M: 'static, H>(handler: H, into: fn(H::Output) -> Result<T>) -> HandlerFn<S, T>
where
    S: Send + 'static,
    H: HandlerOf<S, M>,
    T: 'static,
{
    let handler = Arc::new(handler);
    Arc::new(move |context, subject| {
        let handler = handler.clone();
        Box::pin(async move { into(handler.call(&context, subject).await?) })
    })
}

/// The same for a function of a payload.
pub(crate) fn erase_payload<M: 'static, H, T>(handler: H, into: fn(H::Output) -> Result<T>) -> HandlerFn<Payload, T>
where
    H: PayloadHandler<M>,
    H::Payload: FromPayload + Send + 'static,
    T: 'static,
{
    let handler = Arc::new(handler);
    Arc::new(move |context, payload| {
        let handler = handler.clone();
        Box::pin(async move {
            let payload = H::Payload::from_payload(payload)?;
            into(handler.call(&context, payload).await?)
        })
    })
}

pub(crate) fn erase_response<M: 'static, H>(handler: H) -> ResponseFn
where
    H: HandlerOf<CallResponse, M>,
    H::Output: IntoPayload,
{
    let handler = Arc::new(handler);
    Arc::new(move |context, response| {
        let handler = handler.clone();
        Box::pin(async move {
            let given = response.payload().clone();
            Ok(given.hand_on(handler.call(&context, response).await?.into_payload()?))
        })
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
