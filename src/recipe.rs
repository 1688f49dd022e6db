//! Recipes: all settings of a modern sparse autoencoder, from its width and its number of active units.

mod begun;
mod settings;
mod variant;

pub use begun::Begun;
pub use variant::Variant;

use std::ops::Range;

use crate::data::pairs::Part;
use crate::data::spread::read_spread;
use crate::error::Error;
use crate::training::Verdict;
use crate::training::observer::{Observer, of_epochs};
use crate::validate::{check_len, even_chunk};
use crate::{Epoch, Event, Real, Report, Samples, Scaling, SparseAutoencoder, Warning};
#[cfg(doc)]
use crate::{SparseAutoencoderBuilder, Trainer};

/// All settings of a modern sparse autoencoder, from its variant, its width, and its number of active units.
///
/// | what | choice |
/// |---|---|
/// | scaling | geometric median 0, mean distance √d from it for d entries; folded into the trained model |
/// | … of `L1`, `Gated` | also a pre-encoder bias, which starts at the geometric median and learns |
/// | start | columns of norm 0.1; encoder = transposed decoder |
/// | thresholds of `JumpRelu` | a quantile of the batch for half of the steps, with their bandwidth; then they learn |
/// | optimizer | Adam, β₂ = 0.99, learning rate `0.1/√n` for n units; [larger](Recipe::learning_rate()) in few steps and for `L1` |
/// | schedule | warm-up over 2 % of the steps, then linear to 0 |
/// | gradient | clipped to norm 1 |
/// | decoder columns | norm 1 for `Gated`; free for the others, and part of the penalty of `L1` |
/// | dead units | counted after 1 % of the samples, at most 200,000, but at least 10 batches; auxiliary loss with d/2 units (d′/2 in a transcoder) and weight 1/32; 1e-4 for `L1` and `Gated` |
/// | encoder biases | √d times the learning rate η for `L1`, η for `Gated`; else `√d min(1, (0.002/η)²)` times, at least once |
/// | k | constant, see [`anneal_from`](Self::anneal_from) |
/// | transcoders | every variant: geometric median of inputs and targets 0, mean distances √d and 0.3 √d′ for d inputs and d′ outputs; no pre-encoder bias; decoder 0, encoder columns of norm 0.6 with a k |
///
/// [`fit`](Self::fit) trains on samples in memory or in files, [`begin`](Self::begin) on a stream, step by step.
/// [`Begun`] shows how to change a choice.
///
/// ```
/// use sparse_autoencoder::nalgebra::DMatrix;
/// use sparse_autoencoder::recipe::{Recipe, Variant};
///
/// let samples = DMatrix::<f32>::from_fn(16, 800, |i, j| f32::from([j % 16, j / 3 % 16].contains(&i)));
/// let fitted = Recipe::new(Variant::BatchTopK, 32, 2).samples(80_000).fit(&samples)?;
/// assert!(fitted.report.warnings.is_empty());
/// assert_eq!(fitted.model.encode(&samples)?.nrows(), 32); // the model takes unscaled samples
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[cfg_attr(
    feature = "files",
    doc = r##"
# In a file

With the feature `serde`. TOML has the same keys as this JSON. The first three are required.

```
use sparse_autoencoder::recipe::{Recipe, Variant};

let json = r#"{
    "variant": "batch_top_k",
    "hidden_size": 32,
    "active_units": 2,
    "samples": 80000,
    "batch_size": 512,
    "learning_rate": 0.01,
    "anneal_from": 8,
    "seed": 1
}"#;
let recipe: Recipe = serde_json::from_str(json).unwrap();
assert_eq!(recipe.variant, Variant::BatchTopK);
assert_eq!((recipe.samples, recipe.anneal_from), (80_000, Some(8)));
```
"##
)]
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        deny_unknown_fields,
        expecting = "a table with the keys `variant`, `hidden_size`, `active_units`, and optional ones"
    )
)]
#[non_exhaustive]
pub struct Recipe {
    /// How units are selected.
    pub variant: Variant,
    /// The number of hidden units, ≥ 1. Usually 2 to 32 times the entries of a sample.
    pub hidden_size: usize,
    /// The mean number of active units per sample, ≥ 1 and at most `hidden_size`. With `JumpRelu`, at most the number
    /// of positive pre-activations at the start, about half of the units.
    pub active_units: usize,
    /// The number of samples in all steps, ≥ 1; a sample counts once per epoch.
    #[cfg_attr(feature = "serde", serde(default = "default::samples"))]
    pub samples: usize,
    /// The number of samples of a step, ≥ 1.
    #[cfg_attr(feature = "serde", serde(default = "default::batch_size"))]
    pub batch_size: usize,
    /// The largest learning rate of Adam, > 0. Unset: see [`learning_rate`](Self::learning_rate()).
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub learning_rate: Option<f64>,
    /// The k of the first step, which falls to `active_units` over 90 % of the steps. Not for `L1` and `Gated`,
    /// which have no k.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub anneal_from: Option<usize>,
    /// The output size of a transcoder, ≥ 1; unset for an autoencoder.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub output_size: Option<usize>,
    /// Whether a transcoder has a skip connection.
    #[cfg_attr(feature = "serde", serde(default))]
    pub skip: bool,
    /// The seed of weights and batches.
    #[cfg_attr(feature = "serde", serde(default))]
    pub seed: u64,
}

mod default {
    pub(super) const fn samples() -> usize {
        1_000_000
    }

    pub(super) const fn batch_size() -> usize {
        512
    }
}

/// The result of [`Recipe::fit`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Fitted<T: Real> {
    /// The trained model. It takes unscaled samples.
    pub model: SparseAutoencoder<T>,
    /// The report of the fit. Its losses are those of scaled samples.
    pub report: Report<T>,
}

/// Passes over the same samples without a warning.
const MANY_PASSES: usize = 1000;

/// The largest number of samples that a fit starts from.
const FIRST: usize = 4096;

impl Recipe {
    /// Creates the recipe of a variant, for training on a million samples in batches of 512.
    #[must_use]
    pub const fn new(variant: Variant, hidden_size: usize, active_units: usize) -> Self {
        Self {
            variant,
            hidden_size,
            active_units,
            samples: default::samples(),
            batch_size: default::batch_size(),
            learning_rate: None,
            anneal_from: None,
            output_size: None,
            skip: false,
            seed: 0,
        }
    }

    /// Sets the number of samples in all steps, ≥ 1; a sample counts once per epoch. The default is a million.
    ///
    /// More than 1000 passes over the same samples give a [warning](crate::Warning::ManyPasses).
    #[must_use]
    pub const fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// Sets the number of samples of a step, ≥ 1. The default is 512.
    #[must_use]
    pub const fn batch_size(mut self, samples: usize) -> Self {
        self.batch_size = samples;
        self
    }

    /// Sets the largest learning rate of Adam, > 0. The default is `0.1/√n` for n hidden units: 3e-3 for 1,024.
    ///
    /// Autoencoders take a multiple of it:
    ///
    /// | variant | factor |
    /// |---|---|
    /// | all but `L1` | √(2000/steps), from 1 to 2 |
    /// | `L1` | the larger of that and 4 √(batch/512), at most 4 |
    ///
    /// Steps and batches are those of the fit.
    #[must_use]
    pub const fn learning_rate(mut self, rate: f64) -> Self {
        self.learning_rate = Some(rate);
        self
    }

    /// Sets the k of the first step, which falls to `active_units` over 90 % of the steps. The default is none.
    ///
    /// Four times `active_units` finds more of the true features of synthetic data. On activations of a transformer,
    /// 2,000 steps then have 7 to 18 % more error. `L1` and `Gated` refuse it.
    #[must_use]
    pub const fn anneal_from(mut self, k: usize) -> Self {
        self.anneal_from = Some(k);
        self
    }

    /// Makes a [transcoder](SparseAutoencoderBuilder::output_size), which predicts targets of this size, ≥ 1.
    ///
    /// Then the samples are [`Pairs`](crate::Pairs).
    ///
    /// ```
    /// use sparse_autoencoder::Pairs;
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::recipe::{Recipe, Variant};
    ///
    /// let inputs = DMatrix::<f32>::from_fn(16, 800, |i, j| f32::from([j % 16, j / 3 % 16].contains(&i)));
    /// let targets = DMatrix::from_fn(4, 800, |i, j| inputs[(i, j)] - inputs[(i + 8, j)]);
    /// let recipe = Recipe::new(Variant::TopK, 32, 2).samples(40_000).output_size(4).skip(true);
    /// let transcoder = recipe.fit(Pairs::new(&inputs, &targets)?)?.model;
    /// assert_eq!(transcoder.reconstruct(&inputs)?.shape(), (4, 800)); // in the units of the targets
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    #[must_use]
    pub const fn output_size(mut self, entries: usize) -> Self {
        self.output_size = Some(entries);
        self
    }

    /// Sets whether a transcoder has a [skip connection](SparseAutoencoderBuilder::skip). The default is `false`.
    #[must_use]
    pub const fn skip(mut self, skip: bool) -> Self {
        self.skip = skip;
        self
    }

    /// Sets the seed of weights and batches.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Fits a scaler to the first samples of a stream, and creates the model and its trainer.
    ///
    /// A few thousand samples are enough: a matrix or a view, input × samples, or any other [`Samples`], with the
    /// same bits. Samples outside memory are read in [many passes](crate::geometric_median).
    ///
    /// Then call [`partial_fit`](Begun::partial_fit) with one batch per step, for [`samples`](Self::samples) /
    /// [`batch_size`](Self::batch_size) steps, and [`finish`](Begun::finish) with samples that no step has used.
    ///
    /// ```
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::recipe::{Recipe, Variant};
    ///
    /// let batch = |step: usize| DMatrix::from_fn(8, 64, |i, j| ((i * 7 + (j + step) * 11) % 13) as f32);
    /// let recipe = Recipe::new(Variant::JumpRelu, 32, 3).samples(64 * 50).batch_size(64);
    /// let mut training = recipe.begin(&batch(0))?;
    /// for step in 0..50 {
    ///     training.partial_fit(&batch(step))?;
    /// }
    /// let model = training.finish(&batch(50))?; // takes unscaled samples
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`trainer`](Self::trainer), [`Scaling::fit`], and [`build`](SparseAutoencoderBuilder::build).
    /// [`Error::Incompatible`] if all samples are equal, or all are 0, and for a transcoder unless the samples are
    /// [`Pairs`](crate::Pairs).
    pub fn begin<T: Real>(&self, first: impl Samples<T>) -> Result<Begun<T>, Error> {
        let input_size = self.input_size(&first)?;
        self.begin_with(&first, input_size)
    }

    /// Implements [`begin`](Self::begin) for samples whose first `input_size` entries are the input.
    fn begin_with<T: Real>(
        &self,
        first: &dyn Samples<T>,
        input_size: usize,
    ) -> Result<Begun<T>, Error> {
        let trainer = self.trainer(input_size)?;
        let mut model = self.builder(input_size).build()?;
        let layout = model.layout();
        let scaler_of = |scaling: Scaling, entries: Range<usize>| {
            let of_targets = entries.start > 0;
            let part = Part::new(first, entries);
            scaling.fit(&part).map_err(|error| match error {
                Error::ConstantFeature { .. } => Error::Incompatible {
                    what: "a recipe",
                    other: if of_targets {
                        "targets that are all equal or all 0: check how they are read"
                    } else {
                        "samples that are all equal or all 0: check how they are read"
                    },
                },
                error => part.in_whole(error),
            })
        };
        let scaler = scaler_of(self.scaling(input_size), layout.input_entries())?;
        let scaler = if layout.is_transcoder() {
            let of_targets = self.target_scaling(layout.output_size());
            scaler.with_targets(&scaler_of(of_targets, layout.target_entries())?)
        } else {
            scaler
        };
        if self.variant == Variant::JumpRelu {
            // The scaler has moved the median to 0, where the bias starts.
            let scaled = scaler.apply_on_read(first)?;
            model.calibrate_thresholds(scaled, f64::of_count(self.active_units))?;
        }
        Ok(Begun {
            scaler,
            model,
            trainer,
        })
    }

    /// Trains a model on any [`Samples`], such as a matrix, input × samples, or a file, or on
    /// [`Pairs`](crate::Pairs) for a transcoder, and folds the scaling into it.
    ///
    /// The number of epochs is [`Recipe::samples`] divided by the number of `samples`, rounded up. The model and
    /// the scaler start from up to 4096 samples, spread over all. Memory holds a copy of them. The same samples give
    /// the same bits, wherever they are stored.
    ///
    /// # Errors
    ///
    /// Those of [`begin`](Self::begin), [`Trainer::fit`], and [`fold`](SparseAutoencoder::fold).
    pub fn fit<T: Real>(&self, samples: impl Samples<T>) -> Result<Fitted<T>, Error> {
        self.fit_with(samples, |_| ())
    }

    /// Runs [`fit`](Self::fit) with an observer of the epochs, as in [`Trainer::fit_with`].
    ///
    /// The observer sees losses of scaled samples, and a model that takes them. For snapshots that take unscaled
    /// samples, [begin](Self::begin) the training yourself: [`Begun`] has the scaler, to
    /// [fold](SparseAutoencoder::fold) into a clone of the model.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit), and those that the observer returns.
    pub fn fit_with<T: Real, V: Verdict>(
        &self,
        samples: impl Samples<T>,
        observer: impl FnMut(&Epoch<'_, T>) -> V,
    ) -> Result<Fitted<T>, Error> {
        self.fit_observed(&samples, false, &mut of_epochs(observer))
    }

    /// Runs [`fit`](Self::fit) with an observer of each [step and epoch](Event), as in
    /// [`Trainer::fit_with_steps`]. It sees what that of [`fit_with`](Self::fit_with) sees.
    ///
    /// ```
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::recipe::{Recipe, Variant};
    /// use sparse_autoencoder::Event;
    ///
    /// let samples = DMatrix::from_fn(8, 200, |i, j| ((i * 7 + j * 11) % 13) as f32);
    /// let recipe = Recipe::new(Variant::TopK, 32, 3).samples(6400).batch_size(64);
    /// recipe.fit_with_steps(&samples, |event| {
    ///     if let Event::Step(step) = event {
    ///         println!("step {} of {}: {}", step.number, step.of, step.loss.total());
    ///     }
    /// })?;
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit), and those that the observer returns.
    pub fn fit_with_steps<T: Real, V: Verdict>(
        &self,
        samples: impl Samples<T>,
        mut observer: impl FnMut(&Event<'_, T>) -> V,
    ) -> Result<Fitted<T>, Error> {
        let see = &mut |event: &Event<'_, T>| observer(event).verdict();
        self.fit_observed(&samples, true, see)
    }

    fn fit_observed<T: Real>(
        &self,
        samples: &dyn Samples<T>,
        sees_steps: bool,
        observer: &mut Observer<'_, T>,
    ) -> Result<Fitted<T>, Error> {
        self.check()?;
        let input_size = self.input_size(samples)?;
        let (chosen, first) = read_spread(samples, FIRST, self.seed, "first samples")?;
        let recipe = self.of_steps_on(samples.count());
        let begun = recipe.begin_with(&first, input_size);
        let Begun {
            scaler,
            mut model,
            trainer,
        } = begun.map_err(|error| error.at_chosen(&chosen))?;
        let mut trainer = trainer.epochs(self.epochs(samples.count()));
        let scaled = scaler.apply_on_read(samples)?;
        let mut report = trainer.fit_observed(&mut model, &scaled, sees_steps, observer)?;
        let (passes, samples) = (report.epochs, samples.count());
        if passes > MANY_PASSES {
            let many = Warning::ManyPasses { passes, samples };
            report.warnings.push(many);
        }
        model.fold(&scaler)?;
        Ok(Fitted { model, report })
    }

    /// Returns the input size of these samples: [`Pairs`](crate::Pairs) if the recipe is that of a transcoder.
    fn input_size<T: Real>(&self, samples: &dyn Samples<T>) -> Result<usize, Error> {
        let entries = samples.entries();
        match (samples.input_entries(), self.output_size) {
            (None, None) => Ok(entries),
            (Some(input_size), Some(output_size)) => {
                let targets = entries.saturating_sub(input_size);
                check_len("entries of a target in Pairs", output_size, targets)?;
                Ok(input_size)
            }
            (Some(_), None) => Err(Error::Incompatible {
                what: "Pairs",
                other: "the recipe of an autoencoder: set output_size, or pass a matrix",
            }),
            (None, Some(_)) => Err(Error::Incompatible {
                what: "the recipe of a transcoder",
                other: "samples without targets: pair inputs and targets by Pairs::new",
            }),
        }
    }

    /// Returns the number of epochs over `count` samples.
    fn epochs(&self, count: usize) -> usize {
        self.samples.div_ceil(count.max(1))
    }

    /// Returns the recipe for about the steps that a fit to `count` samples takes: whole epochs, in batches of equal
    /// size.
    fn of_steps_on(&self, count: usize) -> Self {
        Self {
            samples: self.epochs(count).saturating_mul(count).max(1),
            batch_size: even_chunk(count, self.batch_size),
            ..self.clone()
        }
    }
}
