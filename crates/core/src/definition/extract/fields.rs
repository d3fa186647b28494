//! The names of a struct's fields, as serde passes them to a deserializer.

use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Visitor};

/// The keys that a struct deserialises from, or `None` if `T` is not a struct with named fields.
pub(super) fn of<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let mut names = None;
    let probed = T::deserialize(Probe(&mut names));
    debug_assert!(probed.is_err() || names.is_none(), "the probe yields no value");
    names
}

struct Probe<'a>(&'a mut Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = Some(fields);
        Err(serde::de::Error::custom("only asked for its fields"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
