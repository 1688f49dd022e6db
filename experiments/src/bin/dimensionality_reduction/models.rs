//! The autoencoders of the comparison, and their training.

use std::error::Error;
use std::ops::ControlFlow;

use experiments::report;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Epoch, Initialization, Layer, Parameters, Schedule, SparseAutoencoder, Stack,
    Trainer,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The settings that depend on the data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Hidden layers between the samples and a deep code.
    pub(crate) hidden: &'static [usize],
    /// Units of the deep code, and principal components.
    pub(crate) few: usize,
    /// Units of the sparse code, and the number of active ones.
    pub(crate) many: usize,
    pub(crate) active: usize,
    pub(crate) epochs: usize,
    pub(crate) batch_size: usize,
    pub(crate) seeds: u64,
}

pub(crate) const MNIST: Settings = Settings {
    hidden: &[500, 250],
    few: 30,
    many: 1000,
    active: 25,
    epochs: 12,
    batch_size: 256,
    seeds: 3,
};

/// For pictures of 64 pixels.
pub(crate) const DIGITS: Settings = Settings {
    hidden: &[128, 64],
    few: 8,
    many: 256,
    active: 8,
    epochs: 150,
    batch_size: 64,
    seeds: 3,
};

/// ReLU layers, a linear code, and a logistic output for gray values in [0, 1].
pub(crate) fn deep(
    samples: &DMatrix<f32>,
    settings: Settings,
    units: usize,
    seed: u64,
) -> Result<SparseAutoencoder<f32>> {
    let sizes = sizes(samples, settings, units);
    let mut activations = vec![Activation::Relu; sizes.len() - 2];
    activations.push(Activation::Identity);
    let mut sae = SparseAutoencoder::builder()
        .layers(sizes)
        .hidden_activations(activations)
        .penalty(())
        .seed(seed)
        .build()?;
    trainer(settings, settings.epochs, seed)?
        .fit_with(&mut sae, samples, |epoch| progress("deep", epoch))?;
    Ok(sae)
}

/// Pretrains the same model layer by layer for half of the epochs, and trains all layers together for the
/// other half. A pass through each layer in turn costs about as much as a pass through all of them.
pub(crate) fn pretrained(
    samples: &DMatrix<f32>,
    settings: Settings,
    units: usize,
    seed: u64,
) -> Result<SparseAutoencoder<f32>> {
    let sizes = sizes(samples, settings, units);
    let depth = sizes.len() - 1;
    let layers = (0..depth).map(|l| {
        let at = |end, f| if end { f } else { Activation::Relu };
        SparseAutoencoder::builder()
            .layers(&sizes[l..l + 2])
            .hidden_activation(at(l + 1 == depth, Activation::Identity))
            .output_activation(at(l == 0, Activation::Sigmoid))
            .penalty(())
            .seed(seed)
            .build()
    });
    let mut stack = Stack::new(layers.collect::<std::result::Result<_, _>>()?)?;
    let epochs = settings.epochs / 2;
    trainer(settings, epochs, seed)?.fit_stack_with(&mut stack, samples, |_, epoch| {
        progress("pretraining", epoch)
    })?;
    let mut sae = stack.unroll()?;
    trainer(settings, epochs, seed)?
        .fit_with(&mut sae, samples, |epoch| progress("fine-tuning", epoch))?;
    Ok(sae)
}

/// One wide layer. The encoder starts as the transposed decoder (Gao et al. 2024), centered on the
/// mean of the samples. Otherwise the units that point to the mean would win for every sample, and many
/// others would never learn.
pub(crate) fn sparse(
    samples: &DMatrix<f32>,
    settings: Settings,
    seed: u64,
) -> Result<SparseAutoencoder<f32>> {
    let builder = SparseAutoencoder::builder()
        .layers([samples.nrows(), settings.many])
        .hidden_activation(Activation::TopK(settings.active))
        .output_activation(Activation::Identity)
        .initialization(Initialization::TransposedDecoder { norm: 1.0 })
        .seed(seed);
    let random = builder.build()?;
    let weights = random.parameters().layers().next().ok_or("no layer")?;
    let mean = samples.column_mean();
    let layer = Layer {
        encoder_weights: weights.encoder_weights.into_owned(),
        encoder_bias: -weights.encoder_weights.tr_mul(&mean),
        decoder_weights: Some(weights.decoder_weights.into_owned()),
        decoder_bias: mean,
    };
    let mut sae = builder
        .parameters(Parameters::from_layers(&[layer])?)
        .build()?;
    trainer(settings, settings.epochs, seed)?
        .fit_with(&mut sae, samples, |epoch| progress("sparse", epoch))?;
    Ok(sae)
}

/// Input, hidden, and code.
fn sizes(samples: &DMatrix<f32>, settings: Settings, units: usize) -> Vec<usize> {
    [&[samples.nrows()], settings.hidden, &[units]].concat()
}

fn trainer(settings: Settings, epochs: usize, seed: u64) -> Result<Trainer<f32>> {
    Ok(Trainer::new(Adam::new(1e-3)?)
        .epochs(epochs)
        .batch_size(settings.batch_size)
        .schedule(Schedule::cosine(0.0).warm_up(0.02))
        .seed(seed))
}

fn progress(name: &str, epoch: &Epoch<'_, f32>) -> ControlFlow<()> {
    report::progress(name, epoch.number, epoch.of, epoch.loss.total())
}
