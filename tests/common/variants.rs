//! Every variant of a model, for what must hold of all of them: the product of activations, penalties, shapes,
//! and settings, as far as it builds. What is new joins it in one place: an activation in `activations.in`, a
//! penalty in `penalties.in` (tests of `src` fail until it is there), a setting here.

#![allow(dead_code, reason = "every test uses a part of its own")]

use super::fractions::fractions;
use sparse_autoencoder::nalgebra::{DMatrix, DMatrixView};
use sparse_autoencoder::penalty::Description;
use sparse_autoencoder::{
    Activation, Adam, Real, SparseAutoencoder, SparseAutoencoderBuilder, Trainer,
};

/// The entries of a sample to train on.
pub(crate) const INPUT: usize = 5;

/// The input size of transcoders.
pub(crate) const TRANSCODED: usize = 2;

/// Every activation. Tests of an invariant run over this list.
pub(crate) const ACTIVATIONS: &[Activation] = &include!("activations.in");

/// The activations that an output can have.
pub(crate) fn outputs() -> Vec<Activation> {
    let builds = |f: &Activation| {
        let builder = SparseAutoencoder::<f64>::builder()
            .layers([INPUT, 9])
            .penalty(());
        builder.output_activation(*f).build().is_ok()
    };
    let outputs: Vec<_> = ACTIVATIONS.iter().copied().filter(builds).collect();
    assert!(outputs.len() >= 5, "{outputs:?}");
    outputs
}

/// Whether a layer of `units` units can have this activation.
pub(crate) fn fits(activation: Activation, units: usize) -> bool {
    let builder = SparseAutoencoder::<f64>::builder()
        .layers([INPUT, units])
        .penalty(());
    builder.hidden_activation(activation).build().is_ok()
}

/// The lengths of the blocks of parameters that a layer of `units` units has besides weights and biases.
pub(crate) fn blocks(activation: Activation, units: usize) -> Vec<usize> {
    let builder = SparseAutoencoder::<f64>::builder()
        .layers([INPUT, units])
        .penalty(());
    let model = builder.hidden_activation(activation).build().unwrap();
    let layer = model.parameters().layer(0).unwrap();
    let lengths = layer
        .block_names()
        .map(|name| layer.block(name).unwrap().len());
    lengths.collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    Small,
    /// Of which few units are active, so that the sparse passes are taken.
    Wide,
    /// Of nested units.
    Nested,
    /// Two hidden layers.
    Deep,
    /// Of which samples are inputs of `TRANSCODED` entries and targets of the others.
    Transcoder,
}

impl Shape {
    const ALL: [Self; 5] = [
        Self::Small,
        Self::Wide,
        Self::Nested,
        Self::Deep,
        Self::Transcoder,
    ];

    pub(crate) fn layers(self) -> &'static [usize] {
        match self {
            Self::Small | Self::Nested => &[INPUT, 9],
            Self::Wide => &[INPUT, 40],
            Self::Deep => &[INPUT, 9, 4],
            Self::Transcoder => &[TRANSCODED, 40],
        }
    }
}

/// The settings of a model.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) hidden: Activation,
    pub(crate) penalty: Description,
    pub(crate) shape: Shape,
    pub(crate) output: Activation,
    pub(crate) pre_encoder_bias: bool,
    pub(crate) tied: bool,
    pub(crate) norm_weighted: bool,
}

impl Variant {
    pub(crate) fn builder<T: Real>(&self) -> SparseAutoencoderBuilder<T> {
        let prefixes: &[usize] = match self.shape {
            Shape::Nested => &[4],
            _ => &[],
        };
        let builder = match self.shape {
            Shape::Transcoder => SparseAutoencoder::builder()
                .output_size(INPUT - TRANSCODED)
                .skip(!self.norm_weighted),
            _ => SparseAutoencoder::builder(),
        };
        builder
            .layers(self.shape.layers())
            .initialization(sparse_autoencoder::Initialization::Glorot)
            .matryoshka(prefixes)
            .hidden_activation(self.hidden)
            .output_activation(self.output)
            .penalty(self.penalty.penalty::<T>().unwrap())
            .penalty_weight(0.1)
            .sparsity_target(0.3)
            .weight_decay(1e-3)
            .bandwidth(0.5)
            .pre_encoder_bias(self.pre_encoder_bias)
            .tied(self.tied)
            .norm_weighted(self.norm_weighted)
            .seed(3)
    }

    pub(crate) fn model<T: Real>(&self) -> SparseAutoencoder<T> {
        self.builder().build().unwrap()
    }

    /// A model that has learned from these samples for a few steps, so that no bias, no threshold, and no
    /// magnitude is 0.
    pub(crate) fn trained<'a, T: Real>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
    ) -> SparseAutoencoder<T> {
        trained(&self.builder(), samples)
    }
}

pub(crate) fn trained<'a, T: Real>(
    builder: &SparseAutoencoderBuilder<T>,
    samples: impl Into<DMatrixView<'a, T>>,
) -> SparseAutoencoder<T> {
    let mut model = builder.build().unwrap();
    Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(2)
        .batch_size(10)
        .fit(&mut model, samples.into())
        .unwrap();
    model
}

/// All variants that build.
pub(crate) fn variants() -> Vec<Variant> {
    let penalties = include!("penalties.in");
    let mut variants = Vec::new();
    for &hidden in ACTIVATIONS {
        for penalty in &penalties {
            for shape in Shape::ALL {
                for output in [Activation::Identity, Activation::Sigmoid] {
                    for [pre_encoder_bias, tied, norm_weighted] in flags() {
                        variants.push(Variant {
                            hidden,
                            penalty: penalty.clone(),
                            shape,
                            output,
                            pre_encoder_bias,
                            tied,
                            norm_weighted,
                        });
                    }
                }
            }
        }
    }
    variants.retain(|variant| variant.builder::<f64>().build().is_ok());
    let occurs = |what: &dyn Fn(&Variant) -> bool| variants.iter().any(what);
    assert!(
        ACTIVATIONS
            .iter()
            .all(|f| occurs(&|variant| variant.hidden == *f))
    );
    assert!(
        penalties
            .iter()
            .all(|penalty| occurs(&|variant| variant.penalty == *penalty))
    );
    assert!(
        Shape::ALL
            .iter()
            .all(|shape| occurs(&|variant| variant.shape == *shape))
    );
    variants
}

/// What the encoder of a model sees of samples to train on.
pub(crate) fn inputs<T: Real>(model: &SparseAutoencoder<T>, samples: &DMatrix<T>) -> DMatrix<T> {
    samples.rows(0, model.layout().input_size()).into_owned()
}

/// Calls `check` with every variant, its number, and that of the thread, for what waits for a disk.
pub(crate) fn for_each_in_threads(check: impl Fn(usize, usize, &Variant) + Sync) {
    const THREADS: usize = 16;
    let variants = variants();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (variants, check) = (&variants, &check);
            scope.spawn(move || {
                let own = variants.iter().enumerate().skip(thread);
                own.step_by(THREADS)
                    .for_each(|(index, variant)| check(thread, index, variant));
            });
        }
    });
}

fn flags() -> impl Iterator<Item = [bool; 3]> {
    (0..8).map(|bits| [0, 1, 2].map(|bit| bits >> bit & 1 == 1))
}

/// Samples in (0, 1).
pub(crate) fn samples<T: Real>(count: usize) -> DMatrix<T> {
    fractions(INPUT, count, |phase| phase)
}
