//! Classifiers: dense layers, the last one before the softmax.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{CLASSIFIER, Contents, Kind, Part, Reading, described, invalid, malformed};
use crate::applications::classifier::check_ends;
use crate::data::dtype::no_room;
use crate::error::{io_error, require_some};
use crate::files::tensors::Rows;
use crate::{Activation, Error, Real, SoftmaxClassifier};

/// The text of a classifier.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    /// The number of features, of the units of each hidden layer, and of classes.
    sizes: Vec<usize>,
    /// f of each hidden layer, the outermost first
    hidden_activations: Vec<Activation>,
    weight_decay: f64,
}

/// Returns the names of the weights and the bias of a layer.
fn names(layer: usize) -> [String; 2] {
    ["weights", "bias"].map(|name| format!("layers.{layer}.{name}"))
}

impl<T: Real> Kind for SoftmaxClassifier<T> {
    type Scalar = T;
    const KIND: &'static str = CLASSIFIER;

    fn contents(&self) -> Contents<'_, T> {
        let layers = &self.network.layers;
        let (theta, hidden) = (self.theta(), layers.len() - 1);
        let above = layers.iter().map(|layer| layer.above);
        let description = Description {
            sizes: [self.features()].into_iter().chain(above).collect(),
            hidden_activations: layers[..hidden].iter().map(|l| l.activation).collect(),
            weight_decay: self.weight_decay().to_f64(),
        };
        let tensors = layers.iter().enumerate().flat_map(|(l, layer)| {
            let [weights, bias] = names(l);
            [
                Part::new(
                    &weights,
                    &[layer.above, layer.below],
                    &theta[layer.weights.clone()],
                ),
                Part::new(&bias, &[layer.above], &theta[layer.bias.clone()]),
            ]
        });
        Contents {
            texts: vec![(CLASSIFIER.to_owned(), json!(description).to_string())],
            tensors: tensors.collect(),
        }
    }

    fn read(file: &mut Reading) -> Result<Self, Error> {
        let Description {
            sizes,
            hidden_activations,
            weight_decay,
        } = described(file, CLASSIFIER)?;
        let path = file.tensors.path.clone();
        if sizes.len() != hidden_activations.len() + 2 {
            let (sizes, hidden) = (sizes.len(), hidden_activations.len());
            let reason = format!(
                "{hidden} hidden layers must have {} sizes, have {sizes}",
                hidden + 2
            );
            return Err(malformed(&path, reason));
        }
        // All shapes first, because the allocation must not exceed the numbers in the file.
        for (l, pair) in sizes.windows(2).enumerate() {
            let [weights, bias] = names(l);
            file.tensors.check_shape(&weights, &[pair[1], pair[0]])?;
            file.tensors.check_shape(&bias, &[pair[1]])?;
        }
        check_layers(&sizes, &hidden_activations).map_err(invalid(file))?;
        let activations = hidden_activations.into_iter().chain([Activation::Identity]);
        let layers: Vec<_> = sizes
            .windows(2)
            .zip(activations)
            .map(|(pair, activation)| (pair[0], pair[1], activation))
            .collect();
        let parameters = layers
            .iter()
            .map(|(below, above, _)| (below + 1) * above)
            .sum();
        let room = |_| io_error(&path, &no_room(Some(parameters), size_of::<T>()));
        let mut classifier = Self::from_sizes(&layers)
            .map_err(room)?
            .with_weight_decay(weight_decay)
            .map_err(invalid(file))?;
        let (network, theta) = classifier.network_and_theta_mut();
        for (l, layer) in network.layers.iter().enumerate() {
            let [weights, bias] = names(l);
            file.tensors.read_into(
                &weights,
                Rows::Contiguous,
                &mut theta[layer.weights.clone()],
            )?;
            file.tensors
                .read_into(&bias, Rows::Contiguous, &mut theta[layer.bias.clone()])?;
        }
        Ok(classifier)
    }
}

/// Refuses layers that no classifier has.
fn check_layers(sizes: &[usize], hidden_activations: &[Activation]) -> Result<(), Error> {
    check_ends(sizes[0], sizes[sizes.len() - 1])?;
    for (activation, &units) in hidden_activations.iter().zip(&sizes[1..]) {
        require_some("units of a hidden layer", units)?;
        activation.check(units)?;
        if !activation.blocks().is_empty() {
            return Err(Error::Incompatible {
                what: "a classifier on top",
                other: "hidden activations with thresholds or gates",
            });
        }
    }
    Ok(())
}
