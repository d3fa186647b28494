//! Values of headers and queries.

use std::sync::Arc;

use crate::context::Context;
use crate::error::Result;
use crate::future::BoxFuture;

use super::extract::FromContext;

/// A value known at definition, or made for each request.
#[derive(Clone)]
pub(crate) enum Value {
    Fixed(String),
    PerRequest(MakeValue),
    /// It is made from extractors, which may take time.
    Extracted(ExtractValue),
}

type MakeValue = Arc<dyn Fn(&Context) -> Option<String> + Send + Sync>;
type ExtractValue = Arc<dyn Fn(Context) -> BoxFuture<'static, Result<Option<String>>> + Send + Sync>;

impl Value {
    /// A value that this closure makes.
    pub(super) fn per_request<V: IntoValue>(make: impl Fn(&Context) -> V + Send + Sync + 'static) -> Value {
        Value::PerRequest(Arc::new(move |context| make(context).into_value()))
    }

    /// A value that this closure makes from its extractors.
    pub(super) fn extracted<M: 'static, F>(make: F) -> Value
    where
        F: ValueFrom<M>,
        F::Output: IntoValue,
    {
        let make = Arc::new(make);
        Value::Extracted(Arc::new(move |context| {
            let make = make.clone();
            Box::pin(async move { Ok(make.call(&context).await?.into_value()) })
        }))
    }

    /// The value for one request, or `None` to leave it out. A value that is made from extractors is left out.
    pub(super) fn for_request(&self, context: &Context) -> Option<String> {
        match self {
            Value::Fixed(text) => Some(text.clone()),
            Value::PerRequest(make) => make(context),
            Value::Extracted(_) => None,
        }
    }

    /// The same value with its extractors run, or `None` to leave it out.
    pub(super) async fn extract(&self, context: &Context) -> Result<Option<Value>> {
        match self {
            Value::Extracted(make) => Ok(make(context.clone()).await?.map(Value::Fixed)),
            value => Ok(Some(value.clone())),
        }
    }
}

/// A function or closure that makes a header or query value from extractors.
///
/// It is implemented for functions and closures of one to seven extractors. You do not need to implement it yourself. The
/// functions are not async; work that takes time belongs in an extractor.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot make a header or query value",
    label = "not a function of extractors",
    note = "it must be a function or closure that is not async and takes only extractors: `Context`, `Query<T>`, \
            `RequestState<T>`, or a type that implements `FromContext`"
)]
pub trait ValueFrom<M>: Send + Sync + 'static {
    /// What it returns.
    type Output;

    /// Takes the extractors from the context, and runs the function.
    fn call(&self, context: &Context) -> impl Future<Output = Result<Self::Output>> + Send;
}

macro_rules! value_from {
    ($($extractor:ident),*) => {
        #[allow(non_snake_case, reason = "one macro for every number of extractors")]
        impl<F, V, $($extractor,)*> ValueFrom<(V, $($extractor,)*)> for F
        where
            F: Fn($($extractor,)*) -> V + Send + Sync + 'static,
            $($extractor: FromContext + Send + 'static,)*
        {
            type Output = V;

            async fn call(&self, context: &Context) -> Result<V> {
                $(let $extractor = $extractor::from_context(context).await?;)*
                Ok(self($($extractor,)*))
            }
        }
    };
}

value_from!(E1);
value_from!(E1, E2);
value_from!(E1, E2, E3);
value_from!(E1, E2, E3, E4);
value_from!(E1, E2, E3, E4, E5);
value_from!(E1, E2, E3, E4, E5, E6);
value_from!(E1, E2, E3, E4, E5, E6, E7);

/// A type that a closure for a header or query value may return. `None` leaves the header or key out.
#[diagnostic::on_unimplemented(
    message = "a header or query value cannot be made from `{Self}`",
    note = "return a `String`, a `&'static str`, a number, a `bool`, or an `Option` of one: `None` leaves it out"
)]
pub trait IntoValue {
    /// The text, or `None` to leave it out.
    fn into_value(self) -> Option<String>;
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self) -> Option<String> {
        self.and_then(T::into_value)
    }
}

macro_rules! into_value {
    ($($type:ty),*) => {
        $(impl IntoValue for $type {
            fn into_value(self) -> Option<String> {
                Some(self.to_string())
            }
        })*
    };
}

into_value!(String, &'static str, bool, char, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, f32, f64);
