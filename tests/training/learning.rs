//! What models learn: from handwritten digits, and from data whose true features are known.
//!
//! Every seed is fixed. The bounds leave room for another processor's rounding, not for luck: each
//! says beside it what was measured.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::digits;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use sparse_autoencoder::metrics::{ReconstructionMetrics, SparsityIndex, SparsityMetrics};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::optimizer::{Objective, Step};
use sparse_autoencoder::{
    Activation, Adam, Corruption, Initialization, KlDivergence, L1, Lbfgs, Optimizer, Penalty,
    Proportion, ReconstructionLoss, Schedule, SparseAutoencoder, SparseAutoencoderBuilder,
    StopReason, Trainer,
};

const PIXELS: usize = 64;
const UNITS: usize = 100;
const TARGET: f64 = 0.05;

/// 1500 digits to learn from, and 297 that no model sees.
fn digits() -> (DMatrix<f32>, DMatrix<f32>) {
    let ((digits, _), (unseen, _)) = digits::split(297);
    (digits, unseen)
}

fn builder() -> SparseAutoencoderBuilder<f32> {
    SparseAutoencoder::builder()
        .layers([PIXELS, UNITS])
        .output_activation(Activation::Identity)
        .sparsity_target(TARGET)
        .seed(1)
}

fn adam(learning_rate: f64, epochs: usize) -> Trainer<f32> {
    Trainer::new(Adam::new(learning_rate).unwrap())
        .epochs(epochs)
        .batch_size(64)
        .schedule(Schedule::cosine(0.0))
        .seed(1)
}

fn explained_variance(samples: &DMatrix<f32>, reconstructions: &DMatrix<f32>) -> f64 {
    let mut metrics = ReconstructionMetrics::new(samples.nrows());
    metrics.add(samples, reconstructions).unwrap();
    metrics.explained_variance().unwrap()
}

/// How well and how sparsely a model represents digits that it has not seen.
#[derive(Debug)]
struct Representation {
    explained_variance: f64,
    mean_activation: f64,
    /// Units that are not 0 in a sample, on average.
    active: f64,
    /// Hoyer's index. It depends neither on the scale of the activations nor on a threshold, so
    /// that a sigmoid, which is never 0, can be compared with a ReLU.
    hoyer: f64,
    /// The part of a sample's activation that lies outside its ⌈ρ · units⌉ = 5 strongest units.
    trimmed: f64,
}

impl Representation {
    fn of(sae: &SparseAutoencoder<f32>, samples: &DMatrix<f32>) -> Self {
        let hidden = sae.encode(samples).unwrap();
        let mut sparsity = SparsityMetrics::new(hidden.nrows());
        sparsity.add(&hidden).unwrap();
        let (mut outside, mut all) = (0.0, 0.0);
        for sample in hidden.column_iter() {
            let mut magnitudes: Vec<f64> = sample.iter().map(|h| f64::from(h.abs())).collect();
            magnitudes.sort_by(|a, b| b.total_cmp(a));
            outside += magnitudes[5..].iter().sum::<f64>();
            all += magnitudes.iter().sum::<f64>();
        }
        Self {
            explained_variance: explained_variance(samples, &sae.decode(&hidden).unwrap()),
            mean_activation: sparsity.mean_activation().unwrap().mean(),
            active: sparsity.l0().unwrap(),
            hoyer: sparsity.population_sparsity(SparsityIndex::Hoyer).unwrap(),
            trimmed: outside / all,
        }
    }
}

fn learn(
    builder: &SparseAutoencoderBuilder<f32>,
    mut trainer: Trainer<f32>,
) -> (SparseAutoencoder<f32>, Representation) {
    let (digits, unseen) = digits();
    let mut sae = builder.build().unwrap();
    trainer.fit(&mut sae, &digits).unwrap();
    let representation = Representation::of(&sae, &unseen);
    println!("{representation:.3?}");
    (sae, representation)
}

fn kl() -> SparseAutoencoderBuilder<f32> {
    builder()
        .penalty(KlDivergence)
        .penalty_weight(1.0)
        .weight_decay(7e-4)
}

#[test]
fn kl_divergence_explains_unseen_digits_at_the_sparsity_target() {
    let (_, found) = learn(&kl(), adam(0.02, 200));
    assert!(found.explained_variance > 0.90, "{found:?}"); // 0.918
    assert!(
        (found.mean_activation / TARGET - 1.0).abs() < 0.2,
        "{found:?}"
    ); // 0.053
}

#[test]
fn binary_cross_entropy_explains_unseen_digits_at_the_sparsity_target() {
    let model = kl()
        .output_activation(Activation::Sigmoid)
        .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy)
        .penalty_weight(3.0)
        .weight_decay(1e-4);
    let (_, found) = learn(&model, adam(0.02, 200));
    assert!(found.explained_variance > 0.92, "{found:?}"); // 0.945
    assert!(
        (found.mean_activation / TARGET - 1.0).abs() < 0.2,
        "{found:?}"
    ); // 0.054
}

/// L1 and Proportion do not aim at a mean activation, so they are held against the KL model by what
/// all three share: the variance explained, and the scale-free sparsity of a sample's code. The KL
/// divergence bounds the mean over samples only, and a sample may spread a little activation over
/// all units; penalties on every activation must therefore come out sparser at the same fidelity.
#[test]
fn l1_and_proportion_are_sparser_than_kl_at_the_same_fidelity() {
    let (_, kl) = learn(&kl(), adam(0.02, 200));
    let relu = |penalty: Arc<dyn Penalty<f32>>| {
        let model = builder()
            .hidden_activation(Activation::Relu)
            .initialization(Initialization::TransposedDecoder { norm: 1.0 })
            .penalty(penalty)
            .penalty_weight(0.1)
            .weight_decay(1e-3);
        learn(&model, adam(5e-3, 200)).1
    };
    let (l1, proportion) = (relu(Arc::new(L1)), relu(Arc::new(Proportion)));
    for found in [&l1, &proportion] {
        assert!(found.explained_variance > 0.92, "{found:?}"); // 0.941, 0.942
        assert!(
            found.explained_variance > kl.explained_variance,
            "{found:?}, {kl:?}"
        );
        assert!(found.hoyer > 2.0 * kl.hoyer, "{found:?}, {kl:?}"); // 0.71, 0.78; KL 0.27
        assert!(found.trimmed < kl.trimmed, "{found:?}, {kl:?}"); // 0.49, 0.36; KL 0.81
        assert!(found.active < 30.0, "{found:?}"); // 25.6, 23.0 of 100
    }
    // Proportion lets the strongest five alone and spends itself on the rest.
    assert!(
        proportion.trimmed < 0.85 * l1.trimmed,
        "{proportion:?}, {l1:?}"
    );
}

#[test]
fn sigmoid_with_l1_or_proportion_explains_unseen_digits() {
    for penalty in [Arc::new(L1) as Arc<dyn Penalty<f32>>, Arc::new(Proportion)] {
        let model = builder()
            .penalty(penalty)
            .penalty_weight(0.03)
            .weight_decay(1e-4);
        let (_, found) = learn(&model, adam(0.02, 200));
        assert!(found.explained_variance > 0.90, "{found:?}"); // 0.933, 0.938
        assert!(found.hoyer > 0.5, "{found:?}"); // 0.56, 0.63
    }
}

/// `k` numbers and their places must say more than the best `k` numbers at fixed places, which are
/// those of principal components.
#[test]
fn top_k_beats_as_many_principal_components() {
    let (digits, unseen) = digits();
    let mean = digits.column_mean();
    let centered = |samples: &DMatrix<f32>| {
        let mut samples = samples.clone();
        samples.column_iter_mut().for_each(|mut x| x -= &mean);
        samples
    };
    let covariance = centered(&digits) * centered(&digits).transpose();
    let eigen = covariance.symmetric_eigen();
    let mut order: Vec<usize> = (0..PIXELS).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));

    for (k, at_least) in [(5, 0.76), (10, 0.85)] {
        // 0.784, 0.868
        let components = eigen.eigenvectors.select_columns(&order[..k]);
        let unseen = centered(&unseen);
        let dense =
            explained_variance(&unseen, &(&components * (components.transpose() * &unseen)));

        let model = builder()
            .hidden_activation(Activation::TopK(k))
            .initialization(Initialization::TransposedDecoder { norm: 1.0 });
        let (_, found) = learn(&model, adam(5e-3, 200));
        println!("{k} principal components: {dense:.3}");
        assert!(found.explained_variance > at_least, "{found:?}");
        assert!(
            found.explained_variance > dense + 0.05,
            "{found:?}, {dense}"
        );
        assert!(found.active <= k as f64, "{found:?}");
    }
}

/// Unit-norm directions, and samples that are sums of two or three of them.
struct Planted {
    dictionary: DMatrix<f32>,
    samples: DMatrix<f32>,
}

impl Planted {
    fn new(dimensions: usize, features: usize, samples: usize, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut dictionary = DMatrix::from_fn(dimensions, features, |_, _| {
            rng.sample::<f32, _>(StandardNormal)
        });
        dictionary.column_iter_mut().for_each(|mut d| d /= d.norm());
        let mut planted = DMatrix::zeros(dimensions, samples);
        let mut order: Vec<usize> = (0..features).collect();
        for mut sample in planted.column_iter_mut() {
            let active = rng.random_range(2..=3);
            let (chosen, _) = order.partial_shuffle(&mut rng, active);
            for &mut feature in chosen {
                let strength = 0.5 + rng.random::<f32>();
                sample.axpy(strength, &dictionary.column(feature), 1.0);
            }
        }
        Self {
            dictionary,
            samples: planted,
        }
    }

    /// The mean |cosine| between the planted directions and the model's, each of which may be
    /// matched once, the best pairs first.
    fn recovered_by(&self, sae: &SparseAutoencoder<f32>) -> f32 {
        let mut learned = sae
            .parameters()
            .layer(0)
            .unwrap()
            .decoder_weights
            .into_owned();
        learned
            .column_iter_mut()
            .for_each(|mut d| d /= d.norm().max(1e-6));
        let mut cosines = (self.dictionary.transpose() * learned).abs();
        let mut sum = 0.0;
        for _ in 0..self.dictionary.ncols() {
            let (feature, unit) = cosines.iamax_full();
            sum += cosines[(feature, unit)];
            cosines.row_mut(feature).fill(0.0);
            cosines.column_mut(unit).fill(0.0);
        }
        sum / self.dictionary.ncols() as f32
    }
}

/// Twice as many directions as dimensions, so no linear map can tell them apart. Knowing how many
/// are active, TopK finds them; L1 finds them too, but shrinks what it measures, and so less exactly.
#[test]
fn a_planted_dictionary_is_recovered() {
    let planted = Planted::new(16, 32, 10_000, 3);
    let model = SparseAutoencoder::<f32>::builder()
        .layers([16, 64])
        .output_activation(Activation::Identity)
        .initialization(Initialization::TransposedDecoder { norm: 1.0 })
        .seed(2);
    assert!(planted.recovered_by(&model.build().unwrap()) < 0.65); // 0.575
    let top_k = model.clone().hidden_activation(Activation::TopK(3));
    let l1 = model
        .hidden_activation(Activation::Relu)
        .penalty(L1)
        .penalty_weight(0.4)
        .weight_decay(1e-4);
    for (model, at_least) in [(top_k, 0.98), (l1, 0.87)] {
        // 0.995, 0.929
        let mut sae = model.build().unwrap();
        adam(3e-3, 40).fit(&mut sae, &planted.samples).unwrap();
        let recovered = planted.recovered_by(&sae);
        println!("recovered {recovered:.3}");
        assert!(recovered > at_least, "{recovered}, {model:?}");
    }
}

/// What the same penalty costs: the bias `E‖x̂‖² / E[x̂·x]` by which reconstructions are too small
/// (Rajamanoharan et al. 2024), 1 where they would be no better for being larger.
#[test]
fn gated_units_find_a_planted_dictionary_and_shrink_nothing() {
    let planted = Planted::new(16, 32, 10_000, 3);
    let learn = |activation| {
        let mut sae = SparseAutoencoder::<f32>::builder()
            .layers([16, 64])
            .hidden_activation(activation)
            .output_activation(Activation::Identity)
            .initialization(Initialization::TransposedDecoder { norm: 1.0 })
            .penalty(L1)
            .penalty_weight(0.4)
            .seed(2)
            .build()
            .unwrap();
        let mut trainer = adam(3e-3, 40).unit_norm_decoder(true);
        trainer.fit(&mut sae, &planted.samples).unwrap();
        let x_hat = sae.reconstruct(&planted.samples).unwrap();
        let size = x_hat.norm_squared() / x_hat.dot(&planted.samples);
        let hidden = sae.encode(&planted.samples).unwrap();
        let active = hidden.iter().filter(|&&h| h > 0.0).count() as f32 / 10_000.0;
        let recovered = planted.recovered_by(&sae);
        let explained = explained_variance(&planted.samples, &x_hat);
        println!("size {size:.3}, active {active:.2}, {explained:.3}, recovered {recovered:.3}");
        assert!(recovered > 0.96, "{recovered}"); // 0.991, 0.983
        (size, active, explained)
    };
    let (relu, gated) = (learn(Activation::Relu), learn(Activation::Gated));
    assert!(
        relu.0 < 0.8 && (gated.0 - 1.0).abs() < 0.02,
        "{relu:?}, {gated:?}"
    ); // 0.694, 1.000
    assert!(gated.1 < relu.1, "{relu:?}, {gated:?}"); // 3.42, 3.99
    assert!(gated.2 > relu.2 + 0.1, "{relu:?}, {gated:?}"); // 0.929, 0.778
}

#[test]
fn denoising_restores_masked_digits_better() {
    let (digits, unseen) = digits();
    let masking = Corruption::Masking { fraction: 0.3 };
    let mut masked = unseen.clone();
    masking.apply(masked.as_mut_slice(), 5).unwrap();
    let error = |trainer: Trainer<f32>| {
        let (mut sae, mut trainer) = (kl().build().unwrap(), trainer);
        trainer.fit(&mut sae, &digits).unwrap();
        let mut metrics = ReconstructionMetrics::new(PIXELS);
        metrics
            .add(&unseen, sae.reconstruct(&masked).unwrap())
            .unwrap();
        metrics.mean_squared_error().unwrap()
    };
    let plain = error(adam(0.02, 200));
    let denoising = error(adam(0.02, 200).corruption(masking));
    println!("plain {plain:.4}, denoising {denoising:.4}");
    assert!(denoising < 0.6 * plain, "{denoising}, {plain}"); // 0.0235, 0.0527
}

/// Counts how often an optimizer evaluates the objective.
#[derive(Debug)]
struct Counting<O> {
    optimizer: O,
    evaluations: Arc<AtomicUsize>,
}

impl<O: Optimizer<f32>> Optimizer<f32> for Counting<O> {
    fn reset(&mut self, len: usize) {
        self.optimizer.reset(len);
    }

    fn step(&mut self, theta: &mut [f32], objective: &mut Objective<'_, f32>) -> Step<f32> {
        self.optimizer.step(theta, &mut |theta, gradient| {
            self.evaluations.fetch_add(1, Ordering::Relaxed);
            objective(theta, gradient)
        })
    }

    fn needs_full_batch(&self) -> bool {
        self.optimizer.needs_full_batch()
    }
}

#[test]
fn lbfgs_gets_lower_than_adam_with_as_many_evaluations() {
    let (digits, _) = digits();
    let evaluations = Arc::new(AtomicUsize::new(0));
    let mut sae = kl().build().unwrap();
    Trainer::new(Counting {
        optimizer: Lbfgs::new(),
        evaluations: Arc::clone(&evaluations),
    })
    .epochs(200)
    .fit(&mut sae, &digits)
    .unwrap();
    let lbfgs = sae.loss(&digits).unwrap().total();
    let evaluations = evaluations.load(Ordering::Relaxed);
    for rate in [1e-3, 3e-3, 1e-2, 3e-2, 1e-1] {
        let mut sae = kl().build().unwrap();
        adam(rate, evaluations)
            .batch_size(digits.ncols())
            .fit(&mut sae, &digits)
            .unwrap();
        let adam = sae.loss(&digits).unwrap().total();
        println!("{evaluations} evaluations: L-BFGS {lbfgs:.4}, Adam at {rate} {adam:.4}");
        assert!(lbfgs < adam, "{lbfgs}, {adam} at {rate}"); // 0.424, at best 1.281
    }
}

#[test]
fn patience_restores_the_best_epoch() {
    let (digits, _) = digits();
    // So few samples, with neither penalty nor decay, that learning more becomes learning by heart.
    let few = digits.columns(0, 80).into_owned();
    let mut sae = builder().penalty(()).build().unwrap();
    let mut lowest = f32::INFINITY;
    let mut best = Vec::new();
    let report = Trainer::new(Adam::new(0.01).unwrap())
        .epochs(5000)
        .batch_size(16)
        .validation_split(0.25)
        .patience(20)
        .fit_with(&mut sae, &few, |epoch| {
            let loss = epoch.validation_loss.unwrap().total();
            if loss < lowest {
                lowest = loss;
                best = epoch.model.parameters().as_slice().to_vec();
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    println!("best of {} epochs: {}", report.epochs, report.best_epoch);
    assert_eq!(report.stop, StopReason::NoImprovement);
    assert_eq!(report.epochs, report.best_epoch + 20);
    let best_loss = report.validation_losses[report.best_epoch - 1].total();
    assert_eq!(best_loss.to_bits(), lowest.to_bits());
    assert!(report.validation_losses.last().unwrap().total() > lowest);
    assert_eq!(sae.parameters().as_slice(), best);
}
