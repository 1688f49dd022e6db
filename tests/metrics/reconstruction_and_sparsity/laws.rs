//! The laws that the metrics keep.

use super::*;

#[test]
fn streaming_indices_are_those_of_rows_and_columns() {
    let (units, samples) = (9, 40);
    let hidden = random_hidden(units, samples, 3);
    let metrics = sparsity(&hidden, 7);
    for (index, of) in INDICES
        .into_iter()
        .zip([hoyer, treves_rolls, vinje_gallant])
    {
        let columns = hidden
            .column_iter()
            .filter_map(|sample| of(sample.as_slice()))
            .collect::<Vec<_>>();
        #[allow(clippy::cast_precision_loss)]
        let mean = columns.iter().sum::<f64>() / columns.len() as f64;
        // Hoyer's index divides the rounding of a sum of `n` terms by √n − 1, twice at most here.
        assert_relative_eq!(
            metrics.population_sparsity(index).unwrap(),
            mean,
            max_relative = rounding(4 * samples)
        );
        for (unit, streamed) in metrics.lifetime_sparsity(index).into_iter().enumerate() {
            let row = hidden.row(unit).iter().copied().collect::<Vec<_>>();
            assert_eq!(streamed.is_none(), unit == units - 1);
            assert_relative_eq!(
                streamed.unwrap_or(0.0),
                of(&row).unwrap_or(0.0),
                max_relative = rounding(4 * samples)
            );
        }
    }
    assert_eq!(metrics.dead_units(), [units - 1]);
}

#[test]
fn batches_change_no_bit() {
    let (samples, reconstructions) = (random(5, 200, 1), random(5, 200, 2));
    let hidden = random_hidden(11, 200, 3);
    let whole = reconstruction(&samples, &reconstructions, 200);
    let whole_sparsity = sparsity(&hidden, 200);
    for batch in [1, 7, 64] {
        // Samples are added one by one in either case: 1e-12 would be allowed, 0 is reached.
        assert_eq!(reconstruction(&samples, &reconstructions, batch), whole);
        assert_eq!(sparsity(&hidden, batch), whole_sparsity);
    }
}

#[test]
fn the_order_of_samples_changes_only_rounding() {
    let (samples, reconstructions) = (random(5, 200, 4), random(5, 200, 5));
    let hidden = random_hidden(11, 200, 6);
    let reverse = |matrix: &DMatrix<f64>| {
        let columns = matrix.ncols();
        matrix.select_columns(&(0..columns).rev().collect::<Vec<_>>())
    };
    let one = reconstruction(&samples, &reconstructions, 64);
    let other = reconstruction(&reverse(&samples), &reverse(&reconstructions), 64);
    for metric in [
        ReconstructionMetrics::mean_squared_error,
        ReconstructionMetrics::fraction_of_variance_unexplained,
        ReconstructionMetrics::normalized_mean_squared_error,
    ] {
        assert_relative_eq!(
            metric(&one).unwrap(),
            metric(&other).unwrap(),
            max_relative = rounding(1000)
        );
    }
    let (one, other) = (sparsity(&hidden, 64), sparsity(&reverse(&hidden), 64));
    assert_eq!(one.l0(), other.l0());
    assert_eq!(one.activation_frequency(), other.activation_frequency());
    assert_eq!(one.dead_units(), other.dead_units());
    assert_relative_eq!(
        one.mean_activation().unwrap(),
        other.mean_activation().unwrap(),
        max_relative = rounding(200)
    );
}

#[test]
fn the_mean_sample_explains_nothing() {
    let samples = random(4, 300, 7);
    let mean = samples.column_mean();
    let answers = DMatrix::from_fn(4, 300, |row, _| mean[row]);
    let metrics = reconstruction(&samples, &answers, 64);
    // Both sums are about the minimum of the same parabola: an error of the mean enters squared.
    let tolerance = rounding(4 * 300);
    assert_relative_eq!(
        metrics.fraction_of_variance_unexplained().unwrap(),
        1.0,
        max_relative = tolerance
    );
    assert!(metrics.explained_variance().unwrap().abs() <= tolerance);
}

#[test]
fn a_constant_offset_is_forgiven_by_the_centered_variant_only() {
    let samples = random(4, 100, 8);
    let shifted = samples.add_scalar(0.5);
    let metrics = reconstruction(&samples, &shifted, 100);
    assert_relative_eq!(
        metrics.centered_explained_variance().unwrap(),
        1.0,
        max_relative = rounding(4)
    );
    assert!(metrics.explained_variance().unwrap() < 0.5);
    assert_relative_eq!(
        metrics.mean_squared_error().unwrap(),
        0.25,
        max_relative = rounding(400)
    );
}

#[test]
fn perfect_reconstructions_have_no_error() {
    let samples = random(4, 10, 9);
    let metrics = reconstruction(&samples, &samples, 3);
    assert_eq!(metrics.mean_squared_error_norm(), Some(0.0));
    assert_eq!(metrics.explained_variance(), Some(1.0));
}

#[test]
fn data_far_from_zero_keep_their_variance() {
    // Multiples of 2⁻¹⁰ below 1, moved by 2³⁰: the move itself rounds nothing.
    let dyadic = |seed| random(3, 500, seed).map(|x| (x * 1024.0).round() / 1024.0);
    let (samples, reconstructions) = (dyadic(10), dyadic(11));
    let far = 2.0_f64.powi(30);
    let near = reconstruction(&samples, &reconstructions, 64);
    let moved = reconstruction(
        &samples.add_scalar(far),
        &reconstructions.add_scalar(far),
        64,
    );
    // The mean is good to 2³⁰ · 2⁻⁵³ ≈ 1e-7 per step; Σx² − m·x̄² would be good to about 100.
    assert_relative_eq!(
        near.explained_variance().unwrap(),
        moved.explained_variance().unwrap(),
        epsilon = 1e-5
    );
}

#[test]
fn f32_and_f64_samples_are_summed_alike() {
    let narrow = [12, 13].map(|seed| random(5, 50, seed).cast::<f32>());
    let wide = narrow.clone().map(DMatrix::cast::<f64>);
    assert_eq!(
        reconstruction(&narrow[0], &narrow[1], 7),
        reconstruction(&wide[0], &wide[1], 7)
    );
    assert_eq!(sparsity(&narrow[0], 7), sparsity(&wide[0], 7));
}

#[test]
fn the_threshold_decides_what_is_active() {
    let hidden = DMatrix::from_column_slice(3, 2, &[0.01, 0.5, -0.6, 0.02, 0.1, 0.0]);
    let mut metrics = SparsityMetrics::with_threshold(3, 0.1).unwrap();
    metrics.add(&hidden).unwrap();
    assert_eq!(metrics.l0(), Some(1.0)); // 0.1 itself does not exceed the threshold
    assert_eq!(metrics.dead_units(), [0]);
    assert_eq!(sparsity(&hidden, 2).l0(), Some(2.5));
    assert!(sparsity(&hidden, 2).dead_units().is_empty());
}

#[test]
fn the_ends_of_the_indices() {
    let close = |index: Option<f64>, expected: f64| {
        assert_relative_eq!(index.unwrap(), expected, epsilon = 1e-15);
    };
    for scale in [1.0, 1e-200, 1e200, f64::MIN_POSITIVE / 4.0] {
        let (one, equal) = ([0.0, scale, 0.0], [scale, -scale, scale]);
        close(hoyer(&one), 1.0);
        close(hoyer(&equal), 0.0);
        close(treves_rolls(&one), 1.0 / 3.0);
        close(treves_rolls(&equal), 1.0);
        close(vinje_gallant(&one), 1.0);
        close(vinje_gallant(&equal), 0.0);
    }
}

#[test]
fn undefined_numbers_are_none() {
    for of in [hoyer::<f64>, treves_rolls, vinje_gallant] {
        for values in [
            &[] as &[f64],
            &[0.0, 0.0],
            &[1.0, f64::NAN],
            &[f64::INFINITY, 1.0],
        ] {
            assert_eq!(of(values), None);
        }
    }
    assert_eq!((hoyer(&[2.0]), vinje_gallant(&[2.0])), (None, None));
    assert_eq!(treves_rolls(&[2.0]), Some(1.0));

    let empty = ReconstructionMetrics::new(2);
    assert_eq!(empty.mean_squared_error(), None);
    assert_eq!(empty.mean_squared_error_norm(), None);
    assert_eq!(empty.explained_variance(), None);
    assert_eq!(empty.normalized_mean_squared_error(), None);

    // Not a binary fraction: its running mean must not drift.
    let constant = DMatrix::from_element(2, 50, 0.1);
    let metrics = reconstruction(&constant, &random(2, 50, 14), 7);
    assert_eq!(metrics.fraction_of_variance_unexplained(), None);
    assert_eq!(metrics.explained_variance(), None);
    assert_eq!(metrics.centered_explained_variance(), None);

    let mut with_zeros = random(2, 3, 15);
    with_zeros.column_mut(1).fill(0.0);
    let metrics = reconstruction(&with_zeros, &random(2, 3, 16), 3);
    assert_eq!(metrics.normalized_mean_squared_error(), None);
    assert!(metrics.explained_variance().is_some());

    let silent = SparsityMetrics::new(2);
    assert_eq!(silent.l0(), None);
    assert_eq!(silent.mean_activation(), None);
    assert_eq!(silent.activation_frequency(), None);
    assert_eq!(silent.dead_units(), [0, 1]);
    let zeros = sparsity(&DMatrix::<f32>::zeros(2, 3), 3);
    assert_eq!(zeros.l0(), Some(0.0));
    for index in INDICES {
        assert_eq!(silent.population_sparsity(index), None);
        assert_eq!(zeros.population_sparsity(index), None);
        assert_eq!(zeros.lifetime_sparsity(index), [None, None]);
    }
}

#[test]
fn sparse_activations_count_as_dense_ones() {
    let mut hidden = random_hidden(7, 90, 11);
    hidden.column_mut(40).fill(0.0);
    for threshold in [0.0, 0.2] {
        let empty = SparsityMetrics::with_threshold(7, threshold).unwrap();
        let [mut dense, mut mixed] = [empty.clone(), empty];
        dense.add(&hidden).unwrap();
        mixed.add(hidden.columns(0, 20)).unwrap();
        mixed.add_sparse(&compress(hidden.columns(20, 70))).unwrap();
        assert_eq!(mixed, dense);
    }
}
