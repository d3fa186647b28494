//! Values of headers and queries.

use std::sync::Arc;

use crate::context::Context;

/// A value known at definition, or made for each request.
#[derive(Clone)]
pub(crate) enum Value {
    Fixed(String),
    PerRequest(MakeValue),
}

type MakeValue = Arc<dyn Fn(&Context) -> Option<String> + Send + Sync>;

impl Value {
    /// A value that this closure makes.
    pub(super) fn per_request<V: IntoValue>(make: impl Fn(&Context) -> V + Send + Sync + 'static) -> Value {
        Value::PerRequest(Arc::new(move |context| make(context).into_value()))
    }

    /// The value for one request, or `None` to leave it out.
    pub(super) fn for_request(&self, context: &Context) -> Option<String> {
        match self {
            Value::Fixed(text) => Some(text.clone()),
            Value::PerRequest(make) => make(context),
        }
    }
}

/// What a closure for a header or a query value may return. `None` leaves the header or key out.
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
