//! What observers of the fits of stacks and detectors see and leave.

use crate::common::fractions::fractions;
use std::ops::ControlFlow;

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, AnomalyDetector, Error, Event, LogWriter, Samples, Shards, SparseAutoencoder,
    Stack, StopReason, Threshold, Trainer,
};

const COUNT: usize = 40;
const EPOCHS: usize = 3;
/// The steps of an epoch.
const BATCHES: u64 = 3;

fn samples() -> DMatrix<f64> {
    fractions(6, COUNT, |phase| phase)
}

/// The same samples, in memory and elsewhere.
fn sources() -> [Box<dyn Samples<f64>>; 2] {
    let shards = Shards::new(vec![samples()]).unwrap();
    assert!(shards.in_memory().is_none());
    [Box::new(samples()), Box::new(shards)]
}

fn model(sizes: [usize; 2]) -> SparseAutoencoder<f64> {
    let builder = SparseAutoencoder::builder().layers(sizes);
    let builder = builder.output_activation(Activation::Identity);
    builder.penalty(()).seed(1).build().unwrap()
}

fn layers() -> [SparseAutoencoder<f64>; 3] {
    [model([6, 7]), model([7, 4]), model([4, 3])]
}

fn stack() -> Stack<f64> {
    Stack::new(layers().into()).unwrap()
}

fn trainer() -> Trainer<f64> {
    let adam = Adam::new(1e-2).unwrap();
    Trainer::new(adam).epochs(EPOCHS).batch_size(14)
}

fn assert_same(one: &Stack<f64>, other: &Stack<f64>) {
    for (one, other) in one.layers().iter().zip(other.layers()) {
        assert_eq!(one.parameters(), other.parameters());
    }
}

#[test]
fn an_observer_of_a_stack_sees_every_step_of_every_layer() {
    for x in sources() {
        let (mut unseen, mut seen) = (stack(), stack());
        let expected = trainer().fit_stack(&mut unseen, &x).unwrap();
        let mut places = Vec::new();
        let reports = trainer().fit_stack_with_steps(&mut seen, &x, |layer, event| match event {
            Event::Step(step) => {
                assert_eq!(step.of, EPOCHS as u64 * BATCHES);
                let sizes = step.model.layout().sizes();
                assert_eq!(sizes, layers()[layer].layout().sizes());
                places.push((layer, step.number, None));
            }
            Event::Epoch(epoch) => places.push((layer, epoch.steps, Some(epoch.number))),
            _ => unreachable!(),
        });
        assert_eq!(reports.unwrap(), expected);
        assert_same(&seen, &unseen);
        let mut by_hand = Vec::new();
        for layer in 0..3 {
            for step in 1..=EPOCHS as u64 * BATCHES {
                by_hand.push((layer, step, None));
                if step % BATCHES == 0 {
                    by_hand.push((layer, step, Some((step / BATCHES) as usize)));
                }
            }
        }
        assert_eq!(places, by_hand);
    }
}

#[test]
fn a_stop_within_an_epoch_ends_one_layer_and_an_error_all() {
    for x in sources() {
        for stop in 1..EPOCHS as u64 * BATCHES {
            let at =
                |event: &Event<'_, f64>| matches!(event, Event::Step(step) if step.number == stop);
            let cut = |event: &Event<'_, f64>| match at(event) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            let [mut outer, mut middle, mut inner] = layers();
            trainer().fit(&mut outer, samples()).unwrap();
            let hidden = outer.encode(samples()).unwrap();
            let report = trainer().fit_with_steps(&mut middle, &hidden, cut).unwrap();
            assert_eq!((report.stop, report.steps), (StopReason::Observer, stop));
            let hidden = middle.encode(&hidden).unwrap();
            trainer().fit(&mut inner, &hidden).unwrap();
            let by_hand = Stack::new(vec![outer.clone(), middle.clone(), inner]).unwrap();

            let mut stopped = stack();
            let reports = trainer().fit_stack_with_steps(&mut stopped, &x, |layer, event| {
                if layer == 1 {
                    cut(event)
                } else {
                    ControlFlow::Continue(())
                }
            });
            assert_eq!(reports.unwrap()[1], report);
            assert_same(&stopped, &by_hand);

            let mut single = Stack::new(vec![outer.clone(), layers()[1].clone()]).unwrap();
            let of_layer = trainer().fit_layer_with_steps(&mut single, 1, &x, cut);
            assert_eq!(of_layer.unwrap(), report);
            assert_eq!(single.layers()[1].parameters(), middle.parameters());

            let mut failed = stack();
            let error = trainer().fit_stack_with_steps(&mut failed, &x, |layer, event| {
                match layer == 1 && at(event) {
                    true => Err(Error::EmptyBatch { what: "a test" }),
                    false => Ok(()),
                }
            });
            assert_eq!(error.unwrap_err(), Error::EmptyBatch { what: "a test" });
            let [_, _, untouched] = layers();
            assert_same(
                &failed,
                &Stack::new(vec![outer, middle, untouched]).unwrap(),
            );
        }
    }
}

#[test]
fn an_observer_of_a_detector_sees_every_step_and_stops_within_an_epoch() {
    let fit = |x: &dyn Samples<f64>, stop: u64| {
        let (mut fitted, mut steps, mut last) = (model([6, 7]), Vec::new(), None);
        let builder = AnomalyDetector::builder(&mut fitted).threshold(Threshold::Quantile(0.9));
        let detector = builder.fit_with_steps(&mut trainer(), x, |event| match event {
            Event::Step(step) => {
                steps.push(step.number);
                last = Some(step.model.parameters().clone());
                match step.number == stop {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            }
            _ => ControlFlow::Continue(()),
        });
        let detector = detector.unwrap().detector;
        assert_eq!(Some(fitted.parameters()), last.as_ref());
        assert_eq!(detector.model().parameters(), fitted.parameters());
        (steps, detector)
    };
    let mut unseen = model([6, 7]);
    let builder = AnomalyDetector::builder(&mut unseen).threshold(Threshold::Quantile(0.9));
    let expected = builder.fit(&mut trainer(), samples()).unwrap().detector;
    for x in sources() {
        let (steps, detector) = fit(&*x, u64::MAX);
        assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>());
        assert_eq!(steps.len() % EPOCHS, 0);
        assert_eq!(detector.model().parameters(), unseen.parameters());
        assert_eq!(detector.calibration_scores(), expected.calibration_scores());
        let (steps, detector) = fit(&*x, 4); // three steps make an epoch
        assert_eq!(steps, [1, 2, 3, 4]);
        assert_ne!(detector.calibration_scores(), expected.calibration_scores());
    }
}

#[test]
fn a_log_has_the_steps_of_every_layer() {
    let mut log = LogWriter::json_lines(Vec::new());
    let reports =
        trainer().fit_stack_with_steps(&mut stack(), samples(), |_, event| log.write(event));
    assert_eq!(reports.unwrap().len(), 3);
    let lines = String::from_utf8(log.into_inner()).unwrap();
    let of_layer = EPOCHS * (BATCHES as usize + 1);
    assert_eq!(lines.lines().count(), 3 * of_layer);
}
