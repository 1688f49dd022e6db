//! A setting of several layers: one value for all, or a list.

use std::ops::{Deref, DerefMut};

use super::Layout;
use crate::Error;

/// The values of a setting for the layers of an encoder or decoder, as a slice.
///
/// Settings of a model hold all activations in [`Each`](Self::Each), and equal values of another setting in
/// [`One`](Self::One).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(untagged))]
pub(crate) enum PerLayer<V> {
    /// The value of every hidden layer; for the activation of a decoder, of the output.
    One(V),
    /// One value per layer, the outermost first.
    Each(Vec<V>),
}

impl<V: Default> Default for PerLayer<V> {
    fn default() -> Self {
        Self::One(V::default())
    }
}

impl<V> PerLayer<V> {
    /// Returns the value of layer `l`.
    pub(crate) fn of(&self, l: usize) -> &V {
        match self {
            Self::One(value) => value,
            Self::Each(values) => &values[l],
        }
    }

    /// Refuses a list of another length than the number of hidden layers. Equal values become one.
    pub(super) fn complete(&mut self, name: &'static str, layout: &Layout) -> Result<(), Error>
    where
        V: PartialEq,
    {
        if let Self::Each(values) = self {
            layout.check_layers(name, values.len())?;
            if values.iter().all(|value| *value == values[0]) {
                *self = Self::One(values.swap_remove(0));
            }
        }
        Ok(())
    }
}

impl<V> Deref for PerLayer<V> {
    type Target = [V];

    fn deref(&self) -> &[V] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Each(values) => values,
        }
    }
}

impl<V> DerefMut for PerLayer<V> {
    fn deref_mut(&mut self) -> &mut [V] {
        match self {
            Self::One(value) => std::slice::from_mut(value),
            Self::Each(values) => values,
        }
    }
}

/// Written by hand, because the errors of a derived `untagged` do not name an unknown value.
#[cfg(feature = "serde")]
mod deserialize {
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::value::{EnumAccessDeserializer, MapAccessDeserializer, SeqAccessDeserializer};
    use serde::de::{
        Deserialize, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected, Visitor,
    };

    use super::PerLayer;
    use crate::Activation;
    use crate::by_name::by_name;
    use crate::penalty::Description;

    /// What a value is called in errors, and the value of a number.
    pub(crate) trait Named: Sized {
        const NAME: &'static str;

        fn number(_number: f64) -> Option<Self> {
            None
        }
    }

    impl Named for Activation {
        const NAME: &'static str = "an activation";
    }

    impl Named for Description {
        const NAME: &'static str = "a penalty";
    }

    impl Named for f64 {
        const NAME: &'static str = "a number";

        fn number(number: f64) -> Option<Self> {
            Some(number)
        }
    }

    struct OneOrEach<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de> + Named> Visitor<'de> for OneOrEach<V> {
        type Value = PerLayer<V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}, or a list with one for each layer", V::NAME)
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
            by_name(name).map(PerLayer::One)
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
            V::number(number)
                .map(PerLayer::One)
                .ok_or_else(|| Error::invalid_type(Unexpected::Float(number), &self))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
            let converted = V::number(number as f64);
            converted
                .map(PerLayer::One)
                .ok_or_else(|| Error::invalid_type(Unexpected::Unsigned(number), &self))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
            let converted = V::number(number as f64);
            converted
                .map(PerLayer::One)
                .ok_or_else(|| Error::invalid_type(Unexpected::Signed(number), &self))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            V::deserialize(MapAccessDeserializer::new(map)).map(PerLayer::One)
        }

        /// As in formats with a notation for variants, such as the tags of YAML.
        fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<Self::Value, A::Error> {
            V::deserialize(EnumAccessDeserializer::new(variant)).map(PerLayer::One)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list)).map(PerLayer::Each)
        }
    }

    impl<'de, V: Deserialize<'de> + Named> Deserialize<'de> for PerLayer<V> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(OneOrEach(PhantomData))
        }
    }
}
