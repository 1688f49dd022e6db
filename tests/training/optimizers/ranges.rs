//! Ranges of the parameters of optimizers.

use super::*;
use sparse_autoencoder::{Adam, Error, Lbfgs, Optimizer, Sgd};

#[track_caller]
fn assert_refused<R: std::fmt::Debug>(expected: &str, result: Result<R, Error>) {
    match result {
        Err(Error::InvalidParameter { name, .. }) => assert_eq!(name, expected),
        other => panic!("{expected} was not refused: {other:?}"),
    }
}

#[test]
fn every_parameter_out_of_range_is_refused_by_name() {
    let sgd = || Sgd::<f64>::new(0.1).unwrap();
    let adam = || Adam::<f64>::new(0.1).unwrap();
    let lbfgs = Lbfgs::<f64>::new;
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        assert_refused("learning_rate", Sgd::<f32>::new(bad));
        assert_refused("learning_rate", Adam::<f32>::new(bad));
        assert_refused("momentum", sgd().momentum(bad));
        assert_refused("beta1", adam().betas(bad, 0.9));
        assert_refused("beta2", adam().betas(0.9, bad));
        assert_refused("epsilon", adam().epsilon(bad));
        assert_refused("weight_decay", adam().weight_decay(bad));
        assert_refused("factor", sgd().scale_learning_rate(bad));
        assert_refused("factor", adam().scale_learning_rate(bad));
        assert_refused("tolerance", lbfgs().tolerance(bad));
        assert_refused("relative_change", lbfgs().relative_change(bad));
    }
    assert_refused("learning_rate", Sgd::<f32>::new(0.0));
    assert_refused("learning_rate", Adam::<f32>::new(0.0));
    assert_refused("epsilon", adam().epsilon(0.0));
    assert_refused("momentum", sgd().momentum(1.0));
    assert_refused("beta1", adam().betas(1.0, 0.9));
    assert_refused("beta2", adam().betas(0.9, 1.0));
    assert_refused("history", lbfgs().history(0));
    assert_refused("history", lbfgs().history(1001));
}

#[test]
fn the_ends_of_the_ranges_are_accepted() {
    assert!(Sgd::<f32>::new(0.1).unwrap().momentum(0.0).is_ok());
    assert!(Adam::<f32>::new(0.1).unwrap().betas(0.0, 0.0).is_ok());
    assert!(Adam::<f32>::new(0.1).unwrap().weight_decay(0.0).is_ok());
    assert!(Lbfgs::<f32>::new().tolerance(0.0).is_ok());
    assert!(Lbfgs::<f32>::new().relative_change(0.0).is_ok());
    assert!(Lbfgs::<f32>::new().history(1).is_ok());
    assert!(Lbfgs::<f32>::new().history(1000).is_ok());
}

#[test]
fn a_longer_history_set_on_a_used_optimizer_takes_effect() {
    let mut lbfgs = Lbfgs::new();
    let mut theta = [1.0, 1.0];
    lbfgs.step(&mut theta, &mut bowl);
    let mut lbfgs = lbfgs.history(3).unwrap();
    let begun = lbfgs.state().unwrap();
    Lbfgs::<f64>::new()
        .history(3)
        .unwrap()
        .restore(2, begun)
        .unwrap();
    while !lbfgs.step(&mut theta, &mut bowl).converged {}
    assert_close(&theta, &[0.0, 0.0], 1e-5);
}
