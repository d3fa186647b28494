//! What a handler can take besides its payload.

use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::mismatch::Mismatch;

mod fields;

/// A type that a handler can take from the context of its request.
///
/// ```
/// use faasflow_core::{Context, Error, FromContext, Result};
///
/// /// Who calls, by the header that the gateway's proxy sets.
/// struct Tenant(String);
///
/// impl FromContext for Tenant {
///     async fn from_context(context: &Context) -> Result<Tenant> {
///         context.header("x-tenant").map(Tenant).ok_or_else(|| Error::refused("x-tenant is missing"))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` from its context",
    label = "not an extractor",
    note = "before the payload, a handler takes `Context`, `Query<T>`, `RequestState<T>` or a type that implements `FromContext`"
)]
pub trait FromContext: Sized {
    /// Takes the value.
    ///
    /// # Errors
    ///
    /// If it is not there, or not as it should be. A handler that needs it then fails.
    fn from_context(context: &Context) -> impl Future<Output = Result<Self>> + Send;
}

impl FromContext for Context {
    async fn from_context(context: &Context) -> Result<Context> {
        Ok(context.clone())
    }
}

/// The query of the first call as a `T`, refused with the reason if it is none.
///
/// A key that may be repeated is a `Vec`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Send> FromContext for Query<T> {
    async fn from_context(context: &Context) -> Result<Query<T>> {
        let query = serde_html_form::Deserializer::from_bytes(context.request().query.as_bytes());
        serde_path_to_error::deserialize(query).map(Query).map_err(|error| {
            let why = Mismatch::of_text(&error.inner().to_string());
            let key = error.path().iter().next().map(|_| format!("{}: ", error.path())).unwrap_or_default();
            Error::refused(format!("the query is not as needed: {key}{why}"))
        })
    }
}

/// Several values of the request's state at once: each field of the struct `T` is a key, read as by
/// [`Context::get`]. An absent key is an error that names it, unless the field is an `Option` or has a default.
///
/// This is what earlier steps of the same request have kept with [`Context::set`]. It is not what axum calls `State`, which
/// is shared by all requests: for that, let the handler's closure capture it.
///
/// ```
/// use faasflow_core::{Flow, RequestState};
///
/// #[derive(serde::Deserialize)]
/// struct Progress { seen: u32, note: Option<String> }
///
/// let flow = Flow::builder()
///     .modify(async |RequestState(progress): RequestState<Progress>, _: ()| format!("{} seen", progress.seen))
///     .build();
/// # assert!(flow.is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestState<T>(pub T);

impl<T: DeserializeOwned + Send> FromContext for RequestState<T> {
    async fn from_context(context: &Context) -> Result<RequestState<T>> {
        let Some(names) = fields::of::<T>() else {
            return Err(Error::msg(format!(
                "`RequestState<{}>` needs a struct with named fields: each field is a key",
                std::any::type_name::<T>()
            )));
        };
        let mut object = serde_json::Map::new();
        for &name in names {
            if let Some(value) = context.get::<serde_json::Value>(name).await? {
                object.insert(name.to_owned(), value);
            }
        }
        T::deserialize(serde_json::Value::Object(object))
            .map(RequestState)
            .map_err(|error| Error::from(error).context("the request's state is not as the handler needs it"))
    }
}

/// The former name of [`RequestState`].
#[deprecated(note = "axum's `State` is something else: write `RequestState`")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State<T>(pub T);

#[allow(deprecated, reason = "it works until it is removed")]
impl<T: DeserializeOwned + Send> FromContext for State<T> {
    async fn from_context(context: &Context) -> Result<State<T>> {
        let RequestState(state) = RequestState::from_context(context).await?;
        Ok(State(state))
    }
}
