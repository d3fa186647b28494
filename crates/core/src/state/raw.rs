//! Separates types that serialise as bytes from all others, so that their values are stored raw and not as a JSON array
//! of numbers.

use bytes::Bytes;
use serde::de::value::Error as ValueError;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::ser::{Impossible, Serialize, Serializer};

/// The bytes of a value whose type serialises as bytes, otherwise `None`.
pub(super) fn as_bytes<T: Serialize + ?Sized>(value: &T) -> Option<Bytes> {
    value.serialize(BytesOnly).ok()
}

/// Deserialises a value of such a type.
pub(super) fn from_bytes<T: DeserializeOwned>(bytes: Bytes) -> Result<T, ValueError> {
    T::deserialize(RawBytes(bytes))
}

struct BytesOnly;

/// The value is not bytes, so the caller writes JSON instead. Creating this error costs nothing.
#[derive(Debug)]
struct NotBytes;

impl std::fmt::Display for NotBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not bytes")
    }
}

impl std::error::Error for NotBytes {}

impl serde::ser::Error for NotBytes {
    fn custom<T: std::fmt::Display>(_: T) -> NotBytes {
        NotBytes
    }
}

macro_rules! not_bytes {
    ($($method:ident($($argument:ty),*);)*) => {
        $(fn $method(self $(, _: $argument)*) -> Result<Bytes, NotBytes> { Err(NotBytes) })*
    };
}

impl Serializer for BytesOnly {
    type Ok = Bytes;
    type Error = NotBytes;
    type SerializeSeq = Impossible<Bytes, NotBytes>;
    type SerializeTuple = Impossible<Bytes, NotBytes>;
    type SerializeTupleStruct = Impossible<Bytes, NotBytes>;
    type SerializeTupleVariant = Impossible<Bytes, NotBytes>;
    type SerializeMap = Impossible<Bytes, NotBytes>;
    type SerializeStruct = Impossible<Bytes, NotBytes>;
    type SerializeStructVariant = Impossible<Bytes, NotBytes>;

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Bytes, NotBytes> {
        Ok(Bytes::copy_from_slice(bytes))
    }

    not_bytes! {
        serialize_bool(bool); serialize_i8(i8); serialize_i16(i16); serialize_i32(i32); serialize_i64(i64);
        serialize_u8(u8); serialize_u16(u16); serialize_u32(u32); serialize_u64(u64);
        serialize_f32(f32); serialize_f64(f64); serialize_char(char); serialize_str(&str);
        serialize_none(); serialize_unit(); serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Bytes, NotBytes> {
        Err(NotBytes)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Bytes, NotBytes> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Bytes, NotBytes> {
        Err(NotBytes)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, NotBytes> {
        Err(NotBytes)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, NotBytes> {
        Err(NotBytes)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, NotBytes> {
        Err(NotBytes)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, NotBytes> {
        Err(NotBytes)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, NotBytes> {
        Err(NotBytes)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, NotBytes> {
        Err(NotBytes)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, NotBytes> {
        Err(NotBytes)
    }
}

struct RawBytes(Bytes);

impl<'de> Deserializer<'de> for RawBytes {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_byte_buf(self.0.into())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    /// `Vec<u8>` asks for a sequence.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_seq(serde::de::value::SeqDeserializer::new(self.0.into_iter()))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct tuple tuple_struct map struct enum identifier ignored_any
    }
}
