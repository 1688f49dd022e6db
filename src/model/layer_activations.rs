//! The activations of several layers: one for all, or a list.

use std::ops::{Deref, DerefMut};

use crate::Activation;

/// The activations of the layers of an encoder or decoder, as a slice.
///
/// Settings of a model hold [`Each`](Self::Each).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(untagged))]
pub(crate) enum LayerActivations {
    /// The activation of every hidden layer; for a decoder, of the output.
    One(Activation),
    /// One activation per layer, the outermost first.
    Each(Vec<Activation>),
}

impl Default for LayerActivations {
    fn default() -> Self {
        Self::One(Activation::default())
    }
}

impl Deref for LayerActivations {
    type Target = [Activation];

    fn deref(&self) -> &[Activation] {
        match self {
            Self::One(activation) => std::slice::from_ref(activation),
            Self::Each(activations) => activations,
        }
    }
}

impl DerefMut for LayerActivations {
    fn deref_mut(&mut self) -> &mut [Activation] {
        match self {
            Self::One(activation) => std::slice::from_mut(activation),
            Self::Each(activations) => activations,
        }
    }
}

/// Written by hand, because the errors of a derived `untagged` do not name an unknown activation.
#[cfg(feature = "serde")]
mod deserialize {
    use std::fmt;

    use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
    use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

    use super::LayerActivations;
    use crate::Activation;

    struct OneOrEach;

    impl<'de> Visitor<'de> for OneOrEach {
        type Value = LayerActivations;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an activation, or a list with one for each layer")
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
            Activation::deserialize(StrDeserializer::new(name)).map(LayerActivations::One)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Activation::deserialize(MapAccessDeserializer::new(map)).map(LayerActivations::One)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list)).map(LayerActivations::Each)
        }
    }

    impl<'de> Deserialize<'de> for LayerActivations {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(OneOrEach)
        }
    }
}
