//! Choices in a file, given by their name alone or by a table with the name as its only key.

use std::fmt;
use std::iter::empty;
use std::marker::PhantomData;

use serde::de::value::{
    EnumAccessDeserializer, MapAccessDeserializer, MapDeserializer, StrDeserializer,
};
use serde::de::{
    Deserialize, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// A choice among variants. Errors of a derived enum do not say what a name without settings lacks.
pub(crate) struct Choice<V>(pub(crate) V);

/// Deserializes a choice, for `deserialize_with`.
pub(crate) fn choice<'de, D: Deserializer<'de>, V: Deserialize<'de>>(
    deserializer: D,
) -> Result<V, D::Error> {
    Choice::deserialize(deserializer).map(|choice| choice.0)
}

/// Deserializes a choice that may be absent, for `deserialize_with`.
pub(crate) fn optional_choice<'de, D: Deserializer<'de>, V: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<V>, D::Error> {
    Option::deserialize(deserializer).map(|choice| choice.map(|Choice(value)| value))
}

/// Returns the variant of this name. Settings without a default are missing.
pub(crate) fn by_name<'de, V: Deserialize<'de>, E: Error>(name: &str) -> Result<V, E> {
    if let Ok(plain) = V::deserialize(StrDeserializer::<E>::new(name)) {
        return Ok(plain);
    }
    let table = MapDeserializer::new([(name, Nothing(PhantomData))].into_iter());
    V::deserialize(MapAccessDeserializer::new(table)).map_err(|error: E| {
        let error = error.to_string();
        let error = error.trim_end(); // as TOML ends its errors
        if error.starts_with("unknown variant") {
            return E::custom(error);
        }
        E::custom(format_args!(
            "`{name}` alone: {error}; write a table with the key `{name}`"
        ))
    })
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Choice<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(NameOrTable(PhantomData))
        } else {
            V::deserialize(deserializer).map(Self) // without names
        }
    }
}

struct NameOrTable<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for NameOrTable<V> {
    type Value = Choice<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or a table with a name as its only key")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        by_name(name).map(Choice)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
        V::deserialize(MapAccessDeserializer::new(table)).map(Choice)
    }

    /// As in formats with a notation for variants, such as the tags of YAML.
    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<Self::Value, A::Error> {
        V::deserialize(EnumAccessDeserializer::new(variant)).map(Choice)
    }
}

/// What follows a name alone: no settings, and no value.
struct Nothing<E>(PhantomData<E>);

impl<'de, E: Error> IntoDeserializer<'de, E> for Nothing<E> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de, E: Error> Deserializer<'de> for Nothing<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, E> {
        Err(E::custom("its value is missing"))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_map(MapDeserializer::new(empty::<((), ())>()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::Error;

    use super::*;
    use crate::model::per_layer::PerLayer;
    use crate::{Activation, Corruption};

    /// A variant as a tag of YAML gives it.
    fn tagged<'de, V: Deserialize<'de>>(
        name: &'de str,
        value: impl IntoDeserializer<'de, Error>,
    ) -> Result<V, Error> {
        let table = MapDeserializer::new([(name, value)].into_iter());
        let variant = MapAccessDeserializer::new(table);
        V::deserialize(EnumAccessDeserializer::new(variant))
    }

    #[test]
    fn a_variant_may_be_a_tag() {
        let settings = MapDeserializer::new([("fraction", 0.5)].into_iter());
        let settings = MapAccessDeserializer::new(settings);
        let Choice(read): Choice<Corruption> = tagged("masking", settings).unwrap();
        assert_eq!(read, Corruption::Masking { fraction: 0.5 });
        let read: PerLayer<Activation> = tagged("top_k", 3_u32).unwrap();
        assert_eq!(read, PerLayer::One(Activation::TopK(3)));
        assert!(tagged::<Choice<Corruption>>("masking", 3_u32).is_err());
    }
}
