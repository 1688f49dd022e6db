//! Hidden activations without their zeros: the numbers of the dense ones, to the bit where the sums
//! are the same, and what is refused.

#![allow(clippy::float_cmp)] // equality is the claim

use crate::common::fractions::fractions;
use rand::RngExt;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Error, Real, SparseAutoencoder, SparseAutoencoderBuilder, SparseHidden, Workspace,
};

use crate::common::cases::{Rng, check, one_of, option};
use crate::common::variants::{self, ACTIVATIONS, Shape, fits};

/// Samples that are decoded by the same sums, densely or not.
const FEW: usize = 8;

/// Every activation; one that needs more units than there are keeps all.
fn activations(units: usize) -> Vec<Activation> {
    let [one, third] = [1, units.div_ceil(3)].map(Activation::TopK);
    let more = [one, third, Activation::BatchTopK(1)];
    let all: Vec<_> = ACTIVATIONS
        .iter()
        .copied()
        .filter(|f| fits(*f, units))
        .chain(more)
        .collect();
    assert!(units == 1 || all.len() == ACTIVATIONS.len() + more.len());
    all
}

fn samples<T: Real>(input_size: usize, count: usize) -> DMatrix<T> {
    fractions(input_size, count, |phase| 2.0 * phase - 1.0)
}

/// A linear output, and units of which the innermost have the given activation.
fn builder<T: Real>(layers: &[usize], innermost: Activation) -> SparseAutoencoderBuilder<T> {
    let mut activations = vec![Activation::Tanh; layers.len() - 1];
    activations[layers.len() - 2] = innermost;
    SparseAutoencoder::builder()
        .layers(layers)
        .hidden_activations(activations)
        .output_activation(Activation::Identity)
        .penalty(())
}

/// With biases other than zero, of both signs.
fn model<T: Real>(builder: &SparseAutoencoderBuilder<T>) -> SparseAutoencoder<T> {
    let mut model = builder.build().unwrap();
    let mut theta = model.parameters().as_slice().to_vec();
    for (k, theta) in theta.iter_mut().enumerate() {
        let phase = (k * 29 + 5) as f64 * 0.414_213_562_373_095;
        *theta += T::of(0.4 * (phase.fract() - 0.5));
    }
    model.set_theta(&theta).unwrap();
    model
}

/// The bits of a matrix, of which a 0 has no sign.
fn bits<T: Real>(matrix: &DMatrix<T>) -> Vec<u64> {
    let bits = |value: &T| (value.to_f64() + 0.0).to_bits();
    matrix.iter().map(bits).collect()
}

#[track_caller]
fn assert_same_bits<T: Real>(a: &DMatrix<T>, b: &DMatrix<T>) {
    assert_eq!(a.shape(), b.shape());
    let (of_a, of_b) = (bits(a), bits(b));
    let different = (0..of_a.len()).find(|&k| of_a[k] != of_b[k]);
    assert_eq!(different.map(|k| (k, a[k], b[k])), None);
}

fn assert_encodes<T: Real>(model: &SparseAutoencoder<T>, x: &DMatrix<T>) -> SparseHidden<T> {
    let (dense, hidden) = (model.encode(x).unwrap(), model.encode_sparse(x).unwrap());
    assert_eq!(hidden.shape(), dense.shape());
    assert_same_bits(&hidden.to_dense().unwrap(), &dense);
    let active = dense.iter().filter(|&&h| h != T::zero()).count();
    assert_eq!(hidden.active(), active);
    // All that the type promises is checked there.
    let (offsets, units, values) = hidden.clone().into_parts();
    let parts = SparseHidden::from_parts(dense.nrows(), offsets, units, values);
    assert_eq!(parts.unwrap(), hidden);
    hidden
}

/// Bit for bit where a product of few columns is the same sum.
fn assert_decodes_few<T: Real>(model: &SparseAutoencoder<T>, x: &DMatrix<T>) {
    for first in (0..x.ncols()).step_by(FEW) {
        let x = x.columns(first, FEW.min(x.ncols() - first));
        let hidden = model.encode_sparse(x).unwrap();
        let dense = model.decode(hidden.to_dense().unwrap()).unwrap();
        assert_same_bits(&model.decode_sparse(&hidden).unwrap(), &dense);
    }
}

/// Both decoders lie within the bound for a sum of n products in any order, `n ε Σ|d h|` and little
/// more, of the exact sum. For a linear output, which adds one rounding.
fn assert_decodes<T: Real>(model: &SparseAutoencoder<T>, hidden: &SparseHidden<T>) {
    assert_eq!(model.output_activation(), Activation::Identity);
    let (sparse, dense) = (
        model.decode_sparse(hidden),
        model.decode(hidden.to_dense().unwrap()),
    );
    let (sparse, dense) = (sparse.unwrap(), dense.unwrap());
    let layer = model.parameters().layer(0).unwrap();
    let d = layer.decoder_weights.map(|d| d.to_f64().abs());
    let bias = layer.decoder_bias.map(|c| c.to_f64().abs());
    let h = hidden.to_dense().unwrap().map(|h| h.to_f64().abs());
    let epsilon = T::default_epsilon().to_f64() / 2.0;
    for (i, h) in h.column_iter().enumerate() {
        let sizes = &d * h + &bias;
        for (k, size) in sizes.iter().enumerate() {
            let bound = 2.0 * 1.01 * (h.len() + 2) as f64 * epsilon * size;
            let difference = (sparse[(k, i)] - dense[(k, i)]).to_f64().abs();
            assert!(difference <= bound, "{k} {i}: {difference:e} > {bound:e}");
        }
    }
}

/// nalgebra multiplies the sizes without a check.
#[test]
fn a_dense_matrix_of_too_many_units_is_an_error() {
    for hidden in [1 << 61, 1 << 62, 1 << 63, usize::MAX] {
        for samples in 1..5 {
            let mut offsets = vec![1; samples + 1];
            offsets[0] = 0;
            let sparse = SparseHidden::from_parts(hidden, offsets, vec![0], vec![1.0_f64]);
            let error = sparse.unwrap().to_dense().unwrap_err();
            assert!(matches!(error, Error::InvalidParameter { .. }), "{error}");
        }
    }
}

#[test]
fn agrees_with_the_dense_layer() {
    let (mut seen, mut deep) = (Vec::new(), 0);
    let draw = |rng: &mut Rng| {
        let units = match rng.random_range(0..3) {
            0 => 1,
            1 => rng.random_range(2..20),
            _ => rng.random_range(20..90),
        };
        let alone = rng.random();
        let count = if alone { 1 } else { rng.random_range(2..50) };
        let middle = option(rng, |rng| rng.random_range(1..9));
        let switches: [bool; 2] = rng.random();
        let input_size = rng.random_range(1..9);
        let activation = one_of(rng, &activations(units));
        (
            input_size,
            middle,
            units,
            count,
            activation,
            switches,
            rng.random(),
        )
    };
    check(
        128,
        draw,
        |(input_size, middle, units, count, activation, switches, seed)| {
            let [tied, pre_encoder_bias] = switches;
            let fits = |m: &usize| builder::<f64>(&[1, *m, units], activation).build().is_ok();
            let middle = middle.filter(fits); // refused, as tests/api/errors shows
            seen.push(activation);
            deep += usize::from(middle.is_some());
            let mut layers = vec![input_size];
            layers.extend(middle);
            layers.push(units);
            let builder = builder::<f64>(&layers, activation)
                .tied(tied)
                .pre_encoder_bias(pre_encoder_bias)
                .seed(seed);
            let (model, x) = (model(&builder), samples(input_size, count));
            let hidden = assert_encodes(&model, &x);
            if let Some(k) = activation.kept(units) {
                assert!(hidden.iter().all(|(units, _)| units.len() <= k));
            }
            if middle.is_none() {
                assert_decodes(&model, &hidden);
            }
            assert_decodes_few(&model, &x);
        },
    );
    assert!(ACTIVATIONS.iter().all(|f| seen.contains(f)), "{seen:?}");
    assert!(deep >= 40, "{deep}");
}

/// The bound of [`assert_decodes`] is for one linear layer. Of two, or with another output, that of the
/// first sum passes through weights of about one: 1e-13 for numbers of about one.
#[test]
fn agrees_with_the_dense_layer_of_every_variant() {
    let x = variants::samples::<f64>(30);
    for variant in variants::variants() {
        let model = variant.trained(&x);
        let hidden = assert_encodes(&model, &variants::inputs(&model, &x));
        if variant.shape != Shape::Deep && variant.output == Activation::Identity {
            assert_decodes(&model, &hidden);
        }
        let dense = model.decode(hidden.to_dense().unwrap()).unwrap();
        let difference = (model.decode_sparse(&hidden).unwrap() - dense).amax();
        assert!(difference < 1e-13, "{variant:?}: {difference:e}");
    }
}

#[test]
fn agrees_with_the_dense_layer_over_many_samples() {
    // Some more than go through inference at a time, and a few more than that.
    for count in [517, 4101, 8300] {
        let mut deep = 0;
        let x = samples::<f32>(20, count);
        for activation in activations(300) {
            for layers in [vec![20, 300], vec![20, 7, 300]] {
                let builder = builder(&layers, activation).pre_encoder_bias(count == 4101);
                if layers.len() > 2 && builder.build().is_err() {
                    continue; // refused, as tests/api/errors shows
                }
                deep += usize::from(layers.len() > 2);
                let model = model(&builder);
                let hidden = assert_encodes(&model, &x);
                if layers.len() == 2 && count == 4101 {
                    assert_decodes(&model, &hidden);
                }
            }
        }
        assert!(deep >= activations(300).len() - 1, "{deep}"); // gated units refuse it
    }
}

#[test]
fn no_unit_need_be_active() {
    let mut silent = 0;
    for &activation in ACTIVATIONS {
        let builder = builder::<f64>(&[3, 40], activation).output_activation(Activation::Tanh);
        let mut model = model(&builder);
        let mut theta = model.parameters().as_slice().to_vec();
        theta[3 * 40..4 * 40].fill(-1e3); // the bias of the encoder
        model.set_theta(&theta).unwrap();
        let dense = model.encode(samples(3, 50)).unwrap();
        if dense.iter().any(|&h| h != 0.0) {
            continue; // far below 0 these units are not 0
        }
        silent += 1;
        let hidden = model.encode_sparse(samples(3, 50)).unwrap();
        assert_eq!((hidden.shape(), hidden.active()), ((40, 50), 0));
        assert!(
            hidden
                .iter()
                .all(|(units, values)| units.is_empty() && values.is_empty())
        );
        assert_eq!(hidden.to_dense().unwrap(), DMatrix::zeros(40, 50));
        let reconstructions = model.decode_sparse(&hidden).unwrap();
        assert_eq!(
            reconstructions,
            model.decode(DMatrix::zeros(40, 50)).unwrap()
        );
    }
    assert!(silent >= 8, "{silent}");
}

#[test]
fn threads_change_no_bit() {
    let x = samples::<f32>(60, 1500);
    for activation in [Activation::TopK(9), Activation::TopK(200), Activation::Relu] {
        for layers in [vec![60, 1200], vec![60, 50, 700]] {
            let builder = builder(&layers, activation).output_activation(Activation::Sigmoid);
            let model = model(&builder);
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                let workspace = &mut Workspace::new().with_threads(threads);
                let mut hidden = SparseHidden::new();
                let mut decoded = DMatrix::zeros(60, 1500);
                pool.install(|| {
                    model.encode_sparse_into(&x, &mut hidden, workspace)?;
                    model.decode_sparse_into(&hidden, &mut decoded, workspace)
                })
                .unwrap();
                (bits(&hidden.to_dense().unwrap()), bits(&decoded))
            };
            let one = run(1);
            assert!(one.0.iter().any(|&h| h != 0));
            assert!(one == run(2));
            assert!(one == run(4));
        }
    }
}

#[test]
fn what_was_there_is_written_over() {
    let mut hidden = SparseHidden::new();
    let workspace = &mut Workspace::new();
    for (units, count, activation) in [
        (70, 40, Activation::Sigmoid),
        (33, 3, Activation::Relu),
        (90, 1, Activation::TopK(2)),
        (90, 40, Activation::TopK(2)),
    ] {
        let model = model(&builder::<f32>(&[5, units], activation));
        let x = samples(5, count);
        model
            .encode_sparse_into(&x, &mut hidden, workspace)
            .unwrap();
        assert_eq!(hidden, model.encode_sparse(&x).unwrap());
        // A refusal leaves it alone.
        let before = hidden.clone();
        let refused = model.encode_sparse_into(samples(6, 2), &mut hidden, workspace);
        assert!(matches!(refused, Err(Error::DimensionMismatch { .. })));
        assert_eq!(hidden, before);
    }
}

#[test]
fn an_activation_that_overflows_is_refused() {
    for activation in [Activation::Relu, Activation::TopK(1), Activation::TopK(9)] {
        let mut model = builder::<f32>(&[2, 30], activation).build().unwrap();
        let mut theta = vec![0.0; model.layout().len()];
        theta[2 * 17] = 1e30; // from the first entry to unit 17
        theta[2 * 21] = 1.0;
        model.set_theta(&theta).unwrap();
        let mut x = DMatrix::from_element(2, 4, 1.0);
        assert_encodes(&model, &x);
        x[(0, 2)] = 1e30;
        let mut hidden = SparseHidden::new();
        let encoded = model.encode_sparse_into(&x, &mut hidden, &mut Workspace::new());
        let overflow = Error::NonFinite {
            what: "sparse hidden activations",
            row: 17,
            column: 2,
            value: f64::INFINITY,
        };
        assert_eq!(encoded, Err(overflow));
        assert_eq!(hidden, SparseHidden::new());
    }
}

#[test]
fn parts_are_read_as_they_were_written() {
    let parts = || (vec![0, 2, 2, 3], vec![1, 4, 0], vec![0.5, -2.0, 1.0]);
    let (offsets, units, values) = parts();
    let hidden = SparseHidden::<f64>::from_parts(5, offsets, units, values).unwrap();
    assert_eq!(
        (hidden.shape(), hidden.samples(), hidden.active()),
        ((5, 3), 3, 3)
    );
    assert_eq!(hidden.offsets(), [0, 2, 2, 3]);
    assert_eq!(hidden.units(), [1, 4, 0]);
    assert_eq!(hidden.values(), [0.5, -2.0, 1.0]);
    assert_eq!(hidden.sample(2), Some((&[0][..], &[1.0][..])));
    assert_eq!(hidden.sample(3), None);
    assert_eq!(hidden.sample(usize::MAX), None);
    assert_eq!(hidden.iter().len(), 3);
    assert!(
        hidden
            .iter()
            .enumerate()
            .all(|(i, of)| Some(of) == hidden.sample(i))
    );
    #[rustfmt::skip]
    let dense = DMatrix::from_column_slice(5, 3, &[
        0.0, 0.5, 0.0, 0.0, -2.0,
        0.0, 0.0, 0.0, 0.0, 0.0,
        1.0, 0.0, 0.0, 0.0, 0.0,
    ]);
    assert_eq!(hidden.to_dense().unwrap(), dense);
    assert_eq!(hidden.into_parts(), parts());

    let empty = SparseHidden::<f64>::default();
    assert_eq!((empty.shape(), empty.active()), ((0, 0), 0));
    assert_eq!(empty.to_dense().unwrap().shape(), (0, 0));
    assert_eq!(
        SparseHidden::from_parts(0, vec![0], vec![], vec![]),
        Ok(empty)
    );
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let parts = |offsets: &[usize], units: &[u32], values: &[f64]| {
        SparseHidden::from_parts(5, offsets.to_vec(), units.to_vec(), values.to_vec()).unwrap_err()
    };
    let mismatch = |what, expected, actual| Error::DimensionMismatch {
        what,
        expected,
        actual,
    };
    let out_of_range = |what, requirement, row, column, value| Error::OutOfRange {
        what,
        requirement,
        row,
        column,
        value,
    };
    let offsets = "offsets of sparse hidden activations";
    let units = "units of sparse hidden activations";
    let values = "values of sparse hidden activations";

    let none = "offsets of sparse hidden activations without samples";
    assert_eq!(parts(&[], &[], &[]), mismatch(none, 1, 0));
    assert_eq!(parts(&[0, 2], &[1], &[1.0, 2.0]), mismatch(units, 2, 1));
    assert_eq!(parts(&[0, 1], &[1, 2], &[1.0]), mismatch(units, 1, 2));
    assert_eq!(parts(&[0, 1], &[1], &[]), mismatch(values, 1, 0));
    assert_eq!(
        parts(&[0, usize::MAX], &[1], &[1.0]),
        mismatch(units, usize::MAX, 1)
    );

    assert_eq!(
        parts(&[1, 2], &[1, 2], &[1.0, 1.0]),
        out_of_range(offsets, "0 at first", 0, 0, 1.0)
    );
    let above = "at least the offset before";
    assert_eq!(
        parts(&[0, 2, 1], &[1], &[1.0]),
        out_of_range(offsets, above, 2, 0, 1.0)
    );
    assert_eq!(
        parts(&[0, 9, 1, 2], &[1, 2], &[1.0, 1.0]),
        out_of_range(offsets, above, 2, 0, 1.0)
    );

    let below = "below the number of hidden units";
    assert_eq!(
        parts(&[0, 1, 3], &[4, 1, 5], &[1.0; 3]),
        out_of_range(units, below, 1, 1, 5.0)
    );
    let ascending = "ascending within a sample";
    for (twice, value) in [([4, 1, 1], 1.0), ([4, 3, 2], 2.0)] {
        assert_eq!(
            parts(&[0, 1, 3], &twice, &[1.0; 3]),
            out_of_range(units, ascending, 1, 1, value)
        );
    }

    let active = "not 0, as only active units are stored";
    for zero in [0.0, -0.0] {
        assert_eq!(
            parts(&[0, 1, 1, 3], &[4, 1, 3], &[1.0, 2.0, zero]),
            out_of_range(values, active, 3, 2, 0.0)
        );
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = parts(&[0, 1, 1, 3], &[4, 1, 3], &[1.0, value, 1.0]);
        let expected = "sparse hidden activations must be finite, got ";
        assert_eq!(
            error.to_string(),
            format!("{expected}{value} at row 1, column 2")
        );
    }
}

#[test]
fn what_cannot_be_decoded_is_refused() {
    let model = model(&builder::<f32>(&[3, 5], Activation::Relu));
    let ws = &mut Workspace::new();
    let what = "units of sparse hidden activations";
    let other = SparseHidden::from_parts(6, vec![0, 1], vec![5], vec![1.0]).unwrap();
    let mismatch = |what, expected, actual| {
        Err(Error::DimensionMismatch {
            what,
            expected,
            actual,
        })
    };
    assert_eq!(model.decode_sparse(&other).map(drop), mismatch(what, 5, 6));
    assert_eq!(
        model.decode_sparse(&SparseHidden::new()).map(drop),
        mismatch(what, 5, 0)
    );
    let none = SparseHidden::from_parts(5, vec![0], vec![], vec![]).unwrap();
    let empty = Error::EmptyBatch {
        what: "sparse hidden activations",
    };
    assert_eq!(model.decode_sparse(&none), Err(empty));

    let hidden = model.encode_sparse(samples(3, 4)).unwrap();
    for (shape, expected, actual) in [((2, 4), 3, 2), ((3, 5), 4, 5), ((4, 3), 3, 4)] {
        let mut decoded = DMatrix::from_element(shape.0, shape.1, 7.0);
        let result = model.decode_sparse_into(&hidden, &mut decoded, ws);
        assert_eq!(result, mismatch("samples", expected, actual));
        assert!(decoded.iter().all(|&value| value == 7.0));
    }
}
