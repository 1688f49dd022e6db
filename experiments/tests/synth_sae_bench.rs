//! Tests of the samples of SynthSAEBench and of their evaluation, in small worlds.

use experiments::synth_sae_bench::hierarchy::Forest;
use experiments::synth_sae_bench::{
    Batch, Recipe, SYNTH_SAE_BENCH_16K, Scores, Selection, World, features,
};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rayon::ThreadPoolBuilder;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{Activation, Layer, Parameters, SparseAutoencoder};

/// Three generations below the roots, and more free features than a block of thinning has.
const RECIPE: Recipe = Recipe {
    input_size: 16,
    features: 160,
    forest: Forest {
        roots: 4,
        branching: 2,
        depth: 3,
    },
    probabilities: (0.01, 0.4),
    rank: 3,
    correlation: 0.3,
    bias: 0.5,
};
const SAMPLES: usize = 40_000;

fn world() -> World {
    World::new(&RECIPE, 1, None).unwrap()
}

fn draw(world: &World, first: u64, samples: usize) -> Batch {
    let mut batch = Batch::new(world.input_size(), samples);
    world.draw(7, first, &mut batch);
    batch
}

/// Draws the activations of a sample by the definition, with a normal number for every feature.
fn naive(world: &World, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    let mut normal = || rng.sample::<f64, _>(StandardNormal);
    let epsilon = DVector::from_fn(world.factors.ncols(), |_, _| normal());
    let mut activations = vec![0.0_f32; world.features.ncols()];
    for (feature, a) in activations.iter_mut().enumerate() {
        let factor = world.factors.row(feature);
        let own = (1.0 - factor.norm_squared()).sqrt() * normal();
        let quantile = factor.transpose().dot(&epsilon) + own;
        let magnitude = world.magnitudes.deviations[feature] * normal() as f32;
        // `quantile` is standard normal, and above the threshold where its upper tail is below p.
        if upper_tail(quantile) < world.probabilities[feature] {
            *a = (world.magnitudes.means[feature] + magnitude).max(0.0);
        }
    }
    for parent in 0..world.forest.parents() {
        let children = world.forest.children(parent);
        let scale = activations[parent] / world.magnitudes.means[parent];
        let firing = children.clone().filter(|&child| activations[child] > 0.0);
        let firing = firing.collect::<Vec<_>>();
        let kept = (!firing.is_empty()).then(|| firing[rng.random_range(0..firing.len())]);
        for child in children {
            activations[child] *= if kept == Some(child) { scale } else { 0.0 };
        }
    }
    activations
}

/// 1 − Φ(x), to an error of 8e-8 (Abramowitz & Stegun 26.2.17).
fn upper_tail(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let coefficients = [
        1.330_274_429,
        -1.821_255_978,
        1.781_477_937,
        -0.356_563_782,
        0.319_381_53,
    ];
    let polynomial = coefficients.iter().fold(0.0, |sum, c| (sum + c) * t);
    let tail = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial;
    if x < 0.0 { 1.0 - tail } else { tail }
}

/// Activations, features × samples: ours, and by the definition.
fn both(world: &World) -> [DMatrix<f32>; 2] {
    let mut ours = DMatrix::zeros(world.features.ncols(), SAMPLES);
    draw(world, 0, SAMPLES).activations_into(&mut ours);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
    let columns = (0..SAMPLES).map(|_| DVector::from_vec(naive(world, &mut rng)));
    [ours, DMatrix::from_columns(&columns.collect::<Vec<_>>())]
}

/// Asserts that differences in units of their standard deviations have mean 0 and variance 1.
fn assert_normal(z: &[f64], what: &str) {
    let count = z.len() as f64;
    let square = z.iter().map(|z| z * z).sum::<f64>() / count;
    let largest = z.iter().fold(0.0_f64, |largest, z| largest.max(z.abs()));
    assert!(
        (square - 1.0).abs() < 5.0 * (2.0 / count).sqrt(),
        "{what}: mean z² {square}"
    );
    assert!(largest < 5.5, "{what}: largest |z| {largest}");
}

#[test]
fn lazy_samples_are_distributed_as_defined() {
    let world = world();
    let [ours, naive] = both(&world);
    let count = SAMPLES as f64;
    let active = [&ours, &naive].map(|a| a.map(|a| f32::from(u8::from(a > 0.0))));

    let pairs = active.each_ref().map(|active| active * active.transpose());
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for f in 0..world.features.ncols() {
        for g in 0..=f {
            let [a, b] = pairs.each_ref().map(|pairs| f64::from(pairs[(f, g)]));
            let p = (a + b) / (2.0 * count);
            let z = (a - b) / (2.0 * count * p * (1.0 - p)).sqrt();
            if f == g {
                assert!(p > 0.001);
                alone.push(z);
            } else if a + b > 60.0 {
                together.push(z);
            }
        }
    }
    assert_normal(&alone, "frequencies");
    assert!(together.len() > 3000);
    // Pairs share features, so that their number overstates what they tell; 300 are as good as all.
    let few = together.iter().copied().step_by(together.len() / 300);
    assert_normal(&few.collect::<Vec<_>>(), "pairs");
    let largest = together
        .iter()
        .fold(0.0_f64, |largest, z| largest.max(z.abs()));
    assert!(largest < 5.5, "{largest}");

    let (mut means, mut squares) = (Vec::new(), Vec::new());
    for (ours, naive) in ours.row_iter().zip(naive.row_iter()) {
        for (power, z) in [(1, &mut means), (2, &mut squares)] {
            let moments = [&ours, &naive].map(|row| {
                let active = row.iter().filter(|a| **a > 0.0);
                let powers = active
                    .map(|a| f64::from(*a).powi(power))
                    .collect::<Vec<_>>();
                let powers = DVector::from_vec(powers);
                (powers.mean(), powers.variance() / powers.len() as f64)
            });
            let [(a, of_a), (b, of_b)] = moments;
            z.push((a - b) / (of_a + of_b).sqrt());
        }
    }
    assert_normal(&means, "means of magnitudes");
    assert_normal(&squares, "squares of magnitudes");
}

#[test]
fn children_need_their_parent_and_exclude_siblings() {
    let world = world();
    let (mut children, mut scales) = (0, 0.0);
    for active in draw(&world, 0, SAMPLES).active {
        let magnitude = |f: usize| active.iter().find(|a| a.0 as usize == f).map(|a| a.1);
        let mut with_child = Vec::new();
        for &(feature, own) in &active {
            assert!(own > 0.0);
            if let Some(parent) = world.forest.parent(feature as usize) {
                let of_parent = magnitude(parent).expect("the parent of a child is active");
                assert!(!with_child.contains(&parent), "siblings exclude each other");
                with_child.push(parent);
                children += 1;
                scales += f64::from(of_parent / world.magnitudes.means[parent]);
            }
        }
    }
    assert!(children > SAMPLES / 2);
    assert!((scales / f64::from(children as u32) - 1.0).abs() < 0.1);
}

#[test]
fn samples_are_sums_of_features() {
    let world = world();
    let batch = draw(&world, 0, 500);
    let mut activations = DMatrix::zeros(world.features.ncols(), 500);
    batch.activations_into(&mut activations);
    let mut expected = &world.features * activations;
    expected
        .column_iter_mut()
        .for_each(|mut x| x += &world.bias);
    assert!((batch.samples - expected).amax() < 1e-4);
    assert!((world.bias.norm() - 0.5).abs() < 1e-6);
}

#[test]
fn a_sample_depends_on_its_number_alone() {
    let world = world();
    let whole = draw(&world, 0, 200);
    for (first, samples) in [(0, 1), (37, 20), (64, 136), (199, 1)] {
        let part = draw(&world, first, samples);
        let first = usize::try_from(first).unwrap();
        assert_eq!(part.samples, whole.samples.columns(first, samples));
        assert_eq!(part.active, whole.active[first..first + samples]);
    }
    for threads in [1, 3] {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        assert_eq!(pool.install(|| draw(&world, 0, 200)), whole);
    }
    let mut other = Batch::new(world.input_size(), 200);
    world.draw(8, 0, &mut other);
    assert_ne!(other, whole);
}

/// By all pairs, in double precision.
#[test]
fn features_are_made_orthogonal_as_published() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    let mut drawn = DMatrix::from_fn(4, 9, |_, _| rng.sample::<f32, _>(StandardNormal));
    for mut d in drawn.column_iter_mut() {
        d.normalize_mut();
    }
    let mut expected = drawn.map(f64::from);
    let (mut first, mut second) = (DMatrix::zeros(4, 9), DMatrix::zeros(4, 9));
    for step in 1..=100 {
        let gram = expected.tr_mul(&expected);
        // The gradient of Σ (gᵢⱼ − δᵢⱼ)², where the diagonal counts 9-fold.
        let residual = DMatrix::from_fn(9, 9, |i, j| {
            if i == j {
                9.0 * (gram[(i, i)] - 1.0)
            } else {
                gram[(i, j)]
            }
        });
        let gradient = 4.0 * &expected * residual;
        first = 0.9 * first + 0.1 * &gradient;
        second = 0.999 * second + 0.001 * gradient.component_mul(&gradient);
        let rates = second.map(|v: f64| {
            let unbiased: f64 = v / (1.0 - 0.999_f64.powi(step));
            3e-4 / (unbiased.sqrt() + 1e-8)
        });
        expected -= rates.component_mul(&first) / (1.0 - 0.9_f64.powi(step));
    }
    for mut d in expected.column_iter_mut() {
        d.normalize_mut();
    }
    let mut ours = drawn.clone();
    features::make_orthogonal(&mut ours);
    assert!((ours.map(f64::from) - expected).amax() < 1e-5);
    assert!(features::superposition(&ours) < features::superposition(&drawn));
}

/// A model that knows the features finds them, and the evaluation says so.
#[test]
fn the_evaluation_recognizes_the_truth() {
    let recipe = Recipe {
        input_size: 160,
        features: 40,
        forest: Forest {
            roots: 4,
            branching: 2,
            depth: 2,
        },
        ..SYNTH_SAE_BENCH_16K
    };
    let world = World::new(&recipe, 1, None).unwrap();
    // Four units for the first features, the last two for the same one.
    let chosen = world.features.select_columns([0, 1, 2, 3, 3].iter());
    let layer = Layer {
        encoder_weights: chosen.clone(),
        encoder_bias: DVector::zeros(5),
        decoder_weights: Some(chosen),
        decoder_bias: world.bias.clone(),
    };
    let model = SparseAutoencoder::builder()
        .layers([160, 5])
        .hidden_activation(Activation::JumpRelu)
        .output_activation(Activation::Identity)
        .pre_encoder_bias(true)
        .parameters(
            Parameters::from_layers(&[layer])
                .and_then(|p| p.for_activations(&[Activation::JumpRelu]))
                .and_then(|p| p.with_block(0, "thresholds", &DVector::repeat(5, 2.0)))
                .unwrap(),
        )
        .build()
        .unwrap();
    let scores = Scores::of(&model, Selection::Inference, &world, 0, 3000).unwrap();
    let batch = {
        let mut batch = Batch::new(160, 3000);
        world.draw(0, 0, &mut batch);
        batch
    };
    let active = batch.active.iter().map(Vec::len).sum::<usize>();
    assert!((scores.true_l0 - active as f64 / 3000.0).abs() < 1e-12);
    let of_first = batch.active.iter().flatten().filter(|(f, _)| *f < 4);
    let twice = batch.active.iter().flatten().filter(|(f, _)| *f == 3);
    let l0 = (of_first.count() + twice.count()) as f64 / 3000.0;
    assert!((scores.l0 - l0).abs() < 0.03 * l0, "{} {l0}", scores.l0);
    assert!(
        scores.f1 > 0.97 && scores.precision > 0.97 && scores.recall > 0.97,
        "{scores}"
    );
    assert!((scores.uniqueness - 0.8).abs() < 1e-12);
    // Of the two equal units one has to be matched with another feature.
    assert!(scores.mcc > 0.8 && scores.mcc < 0.95, "{}", scores.mcc);
    assert_eq!((scores.dead, scores.samples), (0, 3000));
    let reconstruction = model.reconstruct(&batch.samples).unwrap();
    let norms = reconstruction
        .column_iter()
        .zip(batch.samples.column_iter());
    let shrinkage = norms
        .map(|(out, x)| f64::from(out.norm() / x.norm()))
        .sum::<f64>()
        / 3000.0;
    assert!((scores.shrinkage - shrinkage).abs() < 1e-6);
    let mean = batch.samples.column_mean();
    let spread = batch
        .samples
        .column_iter()
        .map(|x| (x - &mean).norm_squared())
        .sum::<f32>();
    let error = (&batch.samples - &reconstruction).norm_squared();
    assert!((scores.explained_variance - f64::from(1.0 - error / spread)).abs() < 1e-4);

    // Of the last batch, too, which has fewer samples.
    for k in [1, 2] {
        let selection = Selection::Batch(k);
        let scores = Scores::of(&model, selection, &world, 0, 3000).unwrap();
        // The two equal units may tie in each of the three batches.
        let missing = k as f64 - scores.l0;
        assert!(
            (-1e-12..=3.0 / 3000.0 + 1e-12).contains(&missing),
            "{missing}"
        );
    }
}
