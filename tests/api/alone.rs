//! What a sample gives depends on the sample and the model alone: the same bits by itself, among a few,
//! and at the end of thousands, on any number of threads.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use sparse_autoencoder::nalgebra::{DMatrix, DMatrixView};
use sparse_autoencoder::penalty::Description;
use sparse_autoencoder::{
    Activation, Adam, AnomalyDetector, ClassifierTrainer, L1, Scaling, SoftmaxClassifier,
    SparseAutoencoder, Stack, Trainer, Workspace,
};

use crate::common::variants::{Shape, Variant, inputs, trained, variants};

const INPUT: usize = 13;

fn samples(count: usize) -> DMatrix<f32> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    DMatrix::from_fn(INPUT, count, |_, _| rng.random::<f32>() - 0.3)
}

/// Every variant that inference can tell from others, which knows no penalty, with layers of its own: on
/// both sides of a vector's width.
fn models() -> Vec<(String, SparseAutoencoder<f32>)> {
    let mut variants = variants();
    variants.retain(|variant| {
        let told_apart = variant.penalty == Description::None && !variant.norm_weighted;
        told_apart && matches!(variant.shape, Shape::Wide | Shape::Deep | Shape::Transcoder)
    });
    let model = |variant: Variant| {
        let layers: &[usize] = match variant.shape {
            Shape::Deep => &[INPUT, 20, 9],
            Shape::Transcoder => &[INPUT - 3, 70], // to 3
            _ => &[INPUT, 70],
        };
        let builder = variant.builder::<f32>().layers(layers);
        (format!("{variant:?}"), trained(&builder, &samples(30)))
    };
    variants.into_iter().map(model).collect()
}

/// Numbers of samples around what is done differently: one, a few, a chunk, and its end.
const COUNTS: [usize; 12] = [1, 2, 3, 4, 5, 7, 8, 9, 33, 1025, 1032, 2049];

fn bits(columns: DMatrixView<'_, f32>) -> Vec<u32> {
    columns.iter().map(|x| x.to_bits()).collect()
}

/// `f` of the last samples, so many at a time, against what it gives of all at once.
fn assert_alone(
    name: &str,
    all: &DMatrix<f32>,
    counts: &[usize],
    f: &dyn Fn(DMatrixView<'_, f32>) -> DMatrix<f32>,
) {
    let expected = f(all.as_view());
    for &count in counts.iter().filter(|&&count| count < all.ncols()) {
        for first in [all.ncols() - count, (all.ncols() - count) / 2] {
            let some = f(all.columns(first, count));
            let same = bits(some.as_view()) == bits(expected.columns(first, count));
            assert!(same, "{name}: {count} samples from {first} on");
        }
    }
}

#[test]
fn every_method_of_a_model() {
    let all = samples(2100);
    for (name, model) in models() {
        let input = inputs(&model, &all);
        let hidden = model.encode(&input).unwrap();
        let check =
            |method: &str, all: &DMatrix<f32>, f: &dyn Fn(DMatrixView<'_, f32>) -> DMatrix<f32>| {
                assert_alone(&format!("{method}, {name}"), all, &COUNTS, f);
            };
        check("encode", &input, &|x| model.encode(x).unwrap());
        check("encode_sparse", &input, &|x| {
            model.encode_sparse(x).unwrap().to_dense().unwrap()
        });
        check("decode", &hidden, &|h| model.decode(h).unwrap());
        check("decode_sparse", &input, &|x| {
            model
                .decode_sparse(&model.encode_sparse(x).unwrap())
                .unwrap()
        });
        check("reconstruct", &input, &|x| model.reconstruct(x).unwrap());
        check("reconstruction_errors", &all, &|x| {
            let errors = model.reconstruction_errors(x).unwrap();
            DMatrix::from_row_slice(1, errors.len(), errors.as_slice())
        });
        let sparse = model.encode_sparse(&input).unwrap().to_dense().unwrap();
        assert_eq!(bits(sparse.as_view()), bits(hidden.as_view()), "{name}");
        let one = model.encode(&input.column(7)).unwrap();
        assert_eq!(
            bits(one.columns(0, 1)),
            bits(hidden.columns(7, 1)),
            "{name}"
        );
    }
}

#[test]
fn the_number_of_threads() {
    let all = samples(600);
    for (name, model) in models() {
        let all = inputs(&model, &all);
        let expected = model.encode(&all).unwrap();
        for threads in 1..4 {
            let mut workspace = Workspace::new().with_threads(threads);
            for count in [1, 5, 600] {
                let mut hidden = DMatrix::zeros(expected.nrows(), count);
                let some = all.columns(600 - count, count);
                model
                    .encode_into(some, &mut hidden, &mut workspace)
                    .unwrap();
                let same = bits(hidden.as_view()) == bits(expected.columns(600 - count, count));
                assert!(same, "{name}, {threads} threads, {count} samples");
            }
        }
    }
}

/// Wide enough for several blocks of the sums, and for a thread to be worth waking.
#[test]
fn large_layers() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let all = DMatrix::from_fn(2100, 5121, |_, _| rng.random::<f32>() - 0.5);
    let model = SparseAutoencoder::builder()
        .layers([2100, 40])
        .hidden_activation(Activation::TopK(2))
        .output_activation(Activation::Identity)
        .build()
        .unwrap();
    let sparse = |x: DMatrixView<'_, f32>| model.encode_sparse(x).unwrap().to_dense().unwrap();
    let expected = model.encode(&all).unwrap();
    for count in [1, 6, 1025, 5121] {
        let first = 5121 - count;
        let some = sparse(all.columns(first, count));
        assert!(some == expected.columns(first, count), "{count} samples");
    }
}

#[test]
fn what_is_changed_after_a_sample_was_encoded() {
    let all = samples(60);
    for (name, mut model) in models() {
        let input = inputs(&model, &all);
        let one = input.columns(0, 1);
        let mut check = |what: &str, change: &mut dyn FnMut(&mut SparseAutoencoder<f32>)| {
            model.encode(one).unwrap();
            change(&mut model);
            let expected = model.encode(&input).unwrap();
            let same = bits(model.encode(one).unwrap().as_view()) == bits(expected.columns(0, 1));
            assert!(same, "{name}: {what}");
        };
        check("fit", &mut |model| {
            let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(1);
            trainer.fit(model, &all).unwrap();
        });
        check("partial_fit", &mut |model| {
            let mut trainer = Trainer::new(Adam::new(1e-2).unwrap());
            trainer.partial_fit(model, &all).unwrap();
        });
        check("set_theta", &mut |model| {
            let theta: Vec<f32> = model
                .parameters()
                .as_slice()
                .iter()
                .map(|x| 0.9 * x)
                .collect();
            model.set_theta(&theta).unwrap();
        });
        check("a clone", &mut |model| {
            let mut copy = model.clone();
            let theta: Vec<f32> = model
                .parameters()
                .as_slice()
                .iter()
                .map(|x| 1.1 * x)
                .collect();
            copy.set_theta(&theta).unwrap();
            *model = copy;
        });
        check("fold", &mut |model| {
            let scaler = Scaling::standard().fit(&all).unwrap();
            let _ = model.fold(&scaler); // not every model can be folded
        });
    }
}

#[test]
fn detectors_stacks_and_classifiers() {
    let all = samples(1300);
    let layer = |sizes: [usize; 2]| {
        SparseAutoencoder::builder()
            .layers(sizes)
            .hidden_activation(Activation::Relu)
            .output_activation(Activation::Identity)
            .penalty(L1)
            .build()
            .unwrap()
    };
    let stack = Stack::new(vec![layer([INPUT, 20]), layer([20, 9])]).unwrap();
    assert_alone("a stack", &all, &COUNTS, &|x| stack.encode(x).unwrap());
    assert_alone("a stack's reconstruction", &all, &COUNTS, &|x| {
        stack.reconstruct(x).unwrap()
    });

    let labels: Vec<usize> = (0..all.ncols()).map(|i| i % 3).collect();
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(2)
        .batch_size(100);
    let mut of_classifiers = ClassifierTrainer::new(Adam::new(1e-2).unwrap())
        .epochs(2)
        .batch_size(100);
    let mut classifier = SoftmaxClassifier::new(9, 3).unwrap();
    of_classifiers
        .fit(&mut classifier, stack.encode(&all).unwrap(), &labels)
        .unwrap();
    let mut classifier = classifier.on_top_of(stack.layers()).unwrap();
    let probabilities = |classifier: &SoftmaxClassifier<f32>| {
        assert_alone("probabilities", &all, &COUNTS, &|x| {
            classifier.probabilities(x).unwrap()
        });
    };
    probabilities(&classifier);
    of_classifiers.fit(&mut classifier, &all, &labels).unwrap();
    probabilities(&classifier);

    let mut model = layer([INPUT, 20]);
    let detector = AnomalyDetector::builder(&mut model)
        .fit(&mut trainer, &all)
        .unwrap()
        .detector;
    assert_alone("scores", &all, &COUNTS, &|x| {
        let scores = detector.scores(x).unwrap();
        DMatrix::from_row_slice(1, scores.len(), scores.as_slice())
    });
    assert_alone("p-values", &all, &COUNTS, &|x| {
        let p = detector.p_values(x).unwrap();
        DMatrix::from_fn(1, p.len(), |_, i| p[i] as f32)
    });
}
