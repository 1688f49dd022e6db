//! Penalties and optimizers that the crate does not know, and settings in JSON.

use super::*;
use sparse_autoencoder::TrainerSettings;
use sparse_autoencoder::optimizer::{Objective, State, Step};
use sparse_autoencoder::penalty::Scaled;
use sparse_autoencoder::{
    Activation, Adam, Corruption, DeadUnits, Error, Every, Initialization, KlDivergence, L1,
    Optimizer, Penalty, Real, Schedule, SetPoint, Trainer,
};

#[test]
fn penalties_of_others_come_from_the_program() {
    let scratch = Scratch::new("penalty");
    Program {
        name: "own penalty",
        model: relu::<f64>().penalty(Own(0.3)),
        optimizer: &adam,
        trainer: &|trainer| trainer,
    }
    .check(&scratch, [5]);
    let mut model = relu::<f64>().penalty(Own(0.4)).build().unwrap();
    let mut trainer = Trainer::new(Interrupted {
        optimizer: adam(),
        left: 0,
    })
    .batch_size(BATCH)
    .seed(3);
    let error = trainer.resume(&mut model, scratch.file()).unwrap_err();
    assert!(matches!(
        error,
        Error::OtherSetting { setting, saved, given, .. }
            if setting == "model.penalty" && saved.contains("0.3") && given.contains("0.4")
    ));
}

/// The method of Robbins and Monro, whose state is a number and a vector.
#[derive(Debug, Default)]
struct Averaged<T> {
    steps: f64,
    mean: Vec<T>,
}

impl<T: Real> Optimizer<T> for Averaged<T> {
    fn reset(&mut self, len: usize) {
        self.steps = 0.0;
        self.mean = vec![T::zero(); len];
    }

    fn step(&mut self, theta: &mut [T], objective: &mut Objective<'_, T>) -> Step<T> {
        let mut gradient = vec![T::zero(); theta.len()];
        let loss = objective(theta, &mut gradient);
        if loss.is_finite() {
            self.steps += 1.0;
            let rate = T::of(0.1 / self.steps);
            for ((theta, mean), g) in theta.iter_mut().zip(&mut self.mean).zip(gradient) {
                *mean += g;
                *theta -= rate * *mean;
            }
        }
        Step::moved(loss)
    }

    fn state(&self) -> Result<State<'_, T>, Error> {
        Ok(State::new("Averaged")
            .number("steps", self.steps)
            .vector("mean", &self.mean))
    }

    fn restore(&mut self, len: usize, mut state: State<'_, T>) -> Result<(), Error> {
        let steps = state.take_number("steps")?;
        self.mean = state.take_vector("mean", len)?;
        self.steps = steps;
        Ok(())
    }
}

/// One that does not say what it remembers.
#[derive(Debug)]
struct Silent;

impl<T: Real> Optimizer<T> for Silent {
    fn reset(&mut self, _: usize) {}

    fn step(&mut self, theta: &mut [T], objective: &mut Objective<'_, T>) -> Step<T> {
        let mut gradient = vec![T::zero(); theta.len()];
        Step::moved(objective(theta, &mut gradient))
    }
}

#[test]
fn optimizers_of_others_take_part_or_are_named() {
    let scratch = Scratch::new("optimizer");
    Program {
        name: "own optimizer",
        model: relu::<f32>(),
        optimizer: &|| Box::new(Averaged::default()),
        trainer: &|trainer| trainer,
    }
    .check(&scratch, 1..=STEPS);

    let mut model = relu::<f32>().build().unwrap();
    let before = bits(&model);
    let mut trainer = Trainer::new(Silent).checkpoint(scratch.file(), Every::Epochs(1));
    let resumed = trainer.resume(&mut model, scratch.file());
    let saved = trainer.save(&model, scratch.file());
    let fitted = trainer.fit(&mut model, samples()).map(|_| ());
    for result in [resumed, saved, fitted] {
        let named =
            matches!(result, Err(Error::Incompatible { other, .. }) if other.contains("Silent"));
        assert!(named, "{result:?}");
    }
    assert_eq!(bits(&model), before);
}

#[test]
fn settings_and_reports_are_the_same_after_json() {
    fn there_and_back<V>(value: &V) -> String
    where
        V: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<V>(&text).unwrap(), value);
        text
    }
    // As in the files of models.
    assert_eq!(
        there_and_back(&Activation::BatchTopK(3)),
        r#"{"batch_top_k":3}"#
    );
    assert_eq!(there_and_back(&Activation::JumpRelu), r#""jump_relu""#);
    let pair = (KlDivergence, Scaled::new(0.1, L1));
    assert_eq!(
        there_and_back(&Penalty::<f64>::description(&pair)),
        r#"{"sum":["kl_divergence",{"scaled":[0.1,"l1"]}]}"#
    );
    there_and_back(&Schedule::cosine(0.1).warm_up(0.2));
    there_and_back(&Corruption::Masking { fraction: 0.3 });
    there_and_back(&DeadUnits::after(9).auxiliary(2, 0.1));
    there_and_back(&SetPoint::mean_activation(0.1));
    there_and_back(&Initialization::TransposedDecoder { norm: 1.0 });
    there_and_back(&Every::Steps(5));
    let trainer: Trainer<f32> = Trainer::new(Adam::new(0.01).unwrap())
        .batch_size(7)
        .anneal_k(5, 0.5)
        .dead_units(DeadUnits::after(9));
    there_and_back(trainer.settings());
    let few: TrainerSettings = serde_json::from_str(r#"{"epochs": 3}"#).unwrap();
    assert_eq!((few.epochs, few.batch_size), (3, None));
    let misspelled = serde_json::from_str::<TrainerSettings>(r#"{"epoch": 3}"#);
    assert!(misspelled.unwrap_err().to_string().contains("epoch"));
    let mut model = relu::<f32>().build().unwrap();
    let report = Trainer::new(Adam::new(0.01).unwrap())
        .epochs(2)
        .set_point(SetPoint::active_units(2.0))
        .fit(&mut model, samples())
        .unwrap();
    there_and_back(&report);
}
