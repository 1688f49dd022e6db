//! A penalty written outside the crate, as anyone would write it: that of the example.

#[allow(dead_code, reason = "the example has a main function")]
#[path = "../../examples/custom_penalty.rs"]
mod example;

use std::sync::Arc;

use approx::assert_relative_eq;
use example::Hoyer;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::penalty::{self, HiddenBatch, HiddenGradient, Scaled};
use sparse_autoencoder::{
    Activation, Error, L1, Loss, Penalty, SparseAutoencoder, SparseAutoencoderBuilder, Workspace,
    gradient_check, metrics,
};

fn hidden() -> DMatrix<f64> {
    DMatrix::from_row_slice(
        3,
        4,
        &[0.2, 0.9, 0.1, 2.0, 0.4, 0.1, 0.6, 0.3, 1.5, 0.7, 0.2, 0.8],
    )
}

#[test]
fn its_gradient_is_checked_by_one_call() {
    let check = gradient_check::penalty(&Hoyer, Activation::Relu, 0.05, hidden()).unwrap();
    assert!(check.relative_error() < 1e-8, "{:?}", check.worst());
}

/// The squares of the activations, with a gradient that keeps or breaks the rules of [`penalty`].
#[derive(Debug)]
struct Squares {
    adds: bool,
    scales: bool,
}

impl Penalty<f64> for Squares {
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, f64>,
        scale: f64,
        gradient: &mut HiddenGradient<'_, f64>,
    ) -> f64 {
        let scale = if self.scales { scale } else { 1.0 };
        for (g, &h) in gradient
            .per_activation()
            .iter_mut()
            .zip(hidden.activations())
        {
            *g = scale * 2.0 * h + if self.adds { *g } else { 0.0 };
        }
        hidden.activations().iter().map(|h| h * h).sum()
    }
}

#[test]
fn the_check_finds_a_gradient_without_the_scale_and_one_that_overwrites() {
    for (adds, scales) in [(true, true), (false, true), (true, false), (false, false)] {
        let squares = Squares { adds, scales };
        let check = gradient_check::penalty(&squares, Activation::Relu, 0.05, hidden()).unwrap();
        let passes = check.relative_error() < 1e-7;
        assert_eq!(passes, adds && scales, "{squares:?}: {:?}", check.worst());
    }
}

#[test]
fn it_is_what_its_formula_says() {
    let omega = |hidden: &DMatrix<f64>| {
        let (omega, _) = penalty::evaluate(&Hoyer, Activation::Relu, 0.05, hidden).unwrap();
        omega
    };
    assert_relative_eq!(
        omega(&DMatrix::from_element(4, 2, 0.3)),
        1.0,
        epsilon = 1e-15
    );
    assert_relative_eq!(omega(&DMatrix::identity(4, 4)), 0.5, epsilon = 1e-15);
    // The size of the activations plays no part, and a sample without any counts as 0.
    assert_relative_eq!(
        omega(&(hidden() * 100.0)),
        omega(&hidden()),
        epsilon = 1e-14
    );
    let with_silence = hidden().insert_columns(4, 4, 0.0);
    assert_relative_eq!(
        omega(&with_silence),
        omega(&hidden()) / 2.0,
        epsilon = 1e-14
    );

    let root = 3.0_f64.sqrt();
    for sample in hidden().column_iter() {
        let sparseness = metrics::hoyer(sample.as_slice()).unwrap();
        let omega = omega(&DMatrix::from_column_slice(3, 1, sample.as_slice()));
        assert_relative_eq!(
            (root - root * omega) / (root - 1.0),
            sparseness,
            epsilon = 1e-14
        );
    }
}

fn builder() -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .layers([3, 5])
        .penalty_weight(0.7)
        .seed(2)
}

fn evaluate(builder: &SparseAutoencoderBuilder<f64>) -> (Loss<f64>, Vec<f64>) {
    let model = builder.build().unwrap();
    let mut gradient = vec![0.0; model.layout().len()];
    let loss = model.loss_and_gradient(hidden(), &mut gradient, &mut Workspace::new());
    (loss.unwrap(), gradient)
}

#[test]
fn a_model_with_it_has_the_gradient_of_its_loss() {
    for hidden_activation in [Activation::Sigmoid, Activation::Relu, Activation::TopK(3)] {
        let model = builder()
            .hidden_activation(hidden_activation)
            .penalty(Hoyer)
            .build()
            .unwrap();
        let check = gradient_check::model(&model, hidden()).unwrap();
        assert!(check.relative_error() < 1e-7, "{:?}", check.worst());
    }
}

#[test]
fn static_boxed_shared_and_lent_it_is_the_same() {
    let expected = evaluate(&builder().penalty(Hoyer));
    assert!(expected.0.sparsity > 0.0);
    assert_ne!(evaluate(&builder().penalty(())).1, expected.1);

    let boxed: Box<dyn Penalty<f64>> = Box::new(Hoyer);
    let shared: Arc<dyn Penalty<f64>> = Arc::new(Hoyer);
    let lent: &dyn Penalty<f64> = &Hoyer;
    for builder in [
        builder().penalty(boxed),
        builder().penalty(shared),
        builder().penalty(lent),
        builder().penalty(Scaled::new(1.0, Hoyer)),
        builder().penalty(((), Hoyer)),
    ] {
        assert_eq!(evaluate(&builder), expected, "{builder:?}");
    }
}

#[test]
fn combined_it_is_a_sum() {
    let sparsity =
        |penalty: Box<dyn Penalty<f64>>| evaluate(&builder().penalty(penalty)).0.sparsity;
    let (hoyer, l1) = (sparsity(Box::new(Hoyer)), sparsity(Box::new(L1)));
    let sum = sparsity(Box::new((Scaled::new(3.0, Hoyer), Scaled::new(0.5, L1))));
    assert_relative_eq!(sum, 3.0 * hoyer + 0.5 * l1, epsilon = 1e-14);

    let penalty: (Scaled<Hoyer>, L1) = (Scaled::new(3.0, Hoyer), L1);
    let check = gradient_check::penalty(&penalty, Activation::Relu, 0.05, hidden()).unwrap();
    assert!(check.relative_error() < 1e-8);
}

/// What a model is built with can be saved and loaded.
#[test]
fn penalties_within_each_other_are_at_most_32() {
    let within = |depth: usize| {
        (1..depth).fold(
            Box::new(L1) as Box<dyn Penalty<f64>>,
            |inner, level| match level % 2 {
                0 => Box::new(Scaled::new(1.0, inner)),
                _ => Box::new((inner, L1)),
            },
        )
    };
    let built = builder().penalty(within(32)).build().unwrap();
    assert!(!built.penalty().is_zero());
    let error = builder().penalty(within(33)).build().unwrap_err();
    assert!(error.to_string().contains("at most 32"), "{error}");
    #[cfg(feature = "files")]
    {
        use sparse_autoencoder::files;
        let path =
            std::env::temp_dir().join(format!("sparse-autoencoder-within-{}", std::process::id()));
        files::save(&built, &path).unwrap();
        let loaded = files::load::<SparseAutoencoder<f64>>(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(loaded.model.settings(), built.settings());
    }
}

#[test]
fn it_refuses_what_it_is_not_defined_for() {
    for activation in [Activation::Tanh, Activation::Identity] {
        let expected = Error::UnsupportedActivation {
            what: "Hoyer",
            activation,
            requirement: "its values must not be negative",
        };
        let builder = builder().hidden_activation(activation);
        let boxed: Box<dyn Penalty<f64>> = Box::new(Hoyer);
        for builder in [
            builder.clone().penalty(Hoyer),
            builder.clone().penalty(boxed),
            builder.clone().penalty((L1, Scaled::new(0.5, Hoyer))),
        ] {
            assert_eq!(builder.build().unwrap_err(), expected);
        }
        let evaluated = penalty::evaluate(&Hoyer, activation, 0.05, hidden());
        assert_eq!(evaluated.unwrap_err(), expected);
    }
}

#[test]
fn trained_with_it_a_model_is_sparser_and_still_reconstructs() {
    let plain = example::train(0.0, 100).unwrap();
    let sparse = example::train(1.0, 100).unwrap();
    assert!(
        sparse.sparseness > plain.sparseness + 0.4,
        "{plain:?} {sparse:?}"
    );
    assert!(sparse.l0 < 0.8 * plain.l0, "{plain:?} {sparse:?}");
    assert!(sparse.explained_variance > 0.9, "{sparse:?}");
}
