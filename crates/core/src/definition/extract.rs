//! Extractors: what a handler can take besides its payload.

use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::mismatch::Mismatch;

mod fields;

/// An extractor: a type that a handler can take as a parameter, made from the context of the request.
///
/// ```
/// use faasflow_core::{Context, Error, FromContext, Result};
///
/// /// The caller, from a header that the gateway's proxy sets.
/// struct Tenant(String);
///
/// impl FromContext for Tenant {
///     async fn from_context(context: &Context) -> Result<Tenant> {
///         context.header("x-tenant").map(Tenant).ok_or_else(|| Error::refused("x-tenant is missing"))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an extractor",
    label = "not an extractor",
    note = "before the payload, a handler can take `Context`, `Query<T>`, `RequestState<T>`, or a type that implements `FromContext`"
)]
pub trait FromContext: Sized {
    /// Extracts the value.
    ///
    /// # Errors
    ///
    /// If the value is missing or not valid. The handler then fails without being run.
    fn from_context(context: &Context) -> impl Future<Output = Result<Self>> + Send;
}

impl FromContext for Context {
    async fn from_context(context: &Context) -> Result<Context> {
        Ok(context.clone())
    }
}

/// An extractor that a handler can take as an `Option`, because its value may be missing.
///
/// `Option<E>` is `None` if there is no value. If there is a value but it is not valid, the handler still fails. To handle that
/// case too, take a `Result<E>`, which works for every extractor.
///
/// ```
/// use faasflow_core::{Flow, Query, RequestState, Result};
/// # #[derive(serde::Deserialize)] struct Size { width: u32 }
/// # #[derive(serde::Deserialize)] struct Progress { seen: u32 }
///
/// let flow = Flow::builder()
///     .modify(async |size: Option<Query<Size>>, _: ()| match size {
///         Some(Query(size)) => format!("{} wide", size.width),
///         None => "as it is".to_owned(),
///     })
///     .modify(async |progress: Result<RequestState<Progress>>, text: String| match progress {
///         Ok(RequestState(progress)) => format!("{text}, after {}", progress.seen),
///         Err(error) => format!("{text}: {error}"),
///     })
///     .build();
/// # assert!(flow.is_ok());
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot take an `Option<{Self}>` from its context",
    note = "`Query<T>`, `RequestState<T>` and types that implement `OptionalFromContext` may be absent",
    note = "take a `Result<{Self}>` to go on whatever is wrong"
)]
pub trait OptionalFromContext: Sized {
    /// Extracts the value, if there is one.
    ///
    /// # Errors
    ///
    /// If there is a value but it is not valid.
    fn from_context_if_there(context: &Context) -> impl Future<Output = Result<Option<Self>>> + Send;
}

impl<E: OptionalFromContext> FromContext for Option<E> {
    async fn from_context(context: &Context) -> Result<Option<E>> {
        E::from_context_if_there(context).await
    }
}

/// Passes the error of the extractor to the handler instead of failing.
impl<E: FromContext> FromContext for Result<E> {
    async fn from_context(context: &Context) -> Result<Result<E>> {
        Ok(E::from_context(context).await)
    }
}

/// The query string of the request, deserialized into `T`. If that fails, the request is refused, and the caller learns why.
///
/// Use a `Vec` for a key that may be repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Send> FromContext for Query<T> {
    async fn from_context(context: &Context) -> Result<Query<T>> {
        let query = serde_html_form::Deserializer::from_bytes(context.request().query.as_bytes());
        serde_path_to_error::deserialize(query).map(Query).map_err(|error| {
            let why = Mismatch::from_text(&error.inner().to_string());
            let key = error.path().iter().next().map(|_| format!("{}: ", error.path())).unwrap_or_default();
            Error::refused(format!("the query is not valid: {key}{why}"))
        })
    }
}

/// `None` if the query is empty.
impl<T: DeserializeOwned + Send> OptionalFromContext for Query<T> {
    async fn from_context_if_there(context: &Context) -> Result<Option<Query<T>>> {
        if context.request().query.is_empty() {
            return Ok(None);
        }
        Query::from_context(context).await.map(Some)
    }
}

/// Several values from the state of the request. `T` is a struct, and each of its fields is a key that is read as with
/// [`Context::get`]. A missing key is an error that names the key, unless the field is an `Option` or has a default.
///
/// The values are those that earlier steps of the same request stored with [`Context::set`]. This is not what axum calls
/// `State`, which all requests share. To share a value between requests, capture it in the closure of the handler.
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
        read(kept::<T>(context).await?)
    }
}

/// `None` if all keys are missing.
impl<T: DeserializeOwned + Send> OptionalFromContext for RequestState<T> {
    async fn from_context_if_there(context: &Context) -> Result<Option<RequestState<T>>> {
        let kept = kept::<T>(context).await?;
        if kept.is_empty() { Ok(None) } else { read(kept).map(Some) }
    }
}

/// The values stored under the names of the fields of `T`.
async fn kept<T: DeserializeOwned>(context: &Context) -> Result<serde_json::Map<String, serde_json::Value>> {
    let Some(names) = fields::of::<T>() else {
        return Err(Error::msg(format!(
            "`RequestState<{}>` needs a struct with named fields: each field is a key",
            std::any::type_name::<T>()
        )));
    };
    let mut kept = serde_json::Map::new();
    for &name in names {
        if let Some(value) = context.get::<serde_json::Value>(name).await? {
            kept.insert(name.to_owned(), value);
        }
    }
    Ok(kept)
}

fn read<T: DeserializeOwned>(kept: serde_json::Map<String, serde_json::Value>) -> Result<RequestState<T>> {
    T::deserialize(serde_json::Value::Object(kept))
        .map(RequestState)
        .map_err(|error| Error::from(error).context("the state of the request does not match the handler's type"))
}
