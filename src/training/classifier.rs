//! The loop over epochs and batches for samples with labels.

use std::ops::ControlFlow;

use nalgebra::DMatrixView;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use super::step::optimize;
use super::{StopReason, Trainer};
use crate::applications::classifier::{
    ClassifierEpoch, ClassifierLoss, ClassifierReport, ClassifierWorkspace, SoftmaxClassifier,
};
use crate::{Error, Real};

impl<T: Real> Trainer<T> {
    pub(crate) fn fit_classifier(
        &mut self,
        model: &mut SoftmaxClassifier<T>,
        samples: DMatrixView<'_, T>,
        labels: &[usize],
        mut observer: impl FnMut(&ClassifierEpoch<'_, T>) -> ControlFlow<()>,
    ) -> Result<ClassifierReport<T>, Error> {
        self.check_settings()?;
        let of_autoencoders = [
            ("corruption", self.corruption.is_some()),
            ("a validation split", self.validation_split > 0.0),
            ("patience", self.patience.is_some()),
            ("a unit-norm decoder", self.unit_norm_decoder),
            ("dead units", self.dead_units.is_some()),
            ("annealing", self.annealing.is_set()),
            ("a set point", self.set_point.is_some()),
            ("several processes", self.all_reduce.is_some()),
            #[cfg(feature = "serde")]
            ("a checkpoint", self.checkpoints.is_some()),
        ];
        for (what, is_set) in of_autoencoders {
            if is_set {
                return Err(Error::Incompatible {
                    what,
                    other: "a classifier",
                });
            }
        }
        model.check_training(samples, labels)?;
        let batch_size = self.batch_size_for(samples.ncols())?;
        if self.schedule.is_some() {
            self.optimizer.scale_learning_rate(T::one())?; // refused before anything is learned
        }
        self.running.rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        self.running.prepared = None; // the state will not be that of an autoencoder
        self.running.paused = None;
        self.optimizer.reset(model.theta().len());

        let threads = self.running.workspace.scratch.take_threads();
        let mut workspace = ClassifierWorkspace::new().with_threads(threads.count());
        let mut order: Vec<usize> = (0..samples.ncols()).collect();
        let batches = order.len().div_ceil(batch_size);
        let mut report = ClassifierReport {
            stop: StopReason::EpochLimit,
            epochs: 0,
            history: Vec::with_capacity(self.epochs.min(1 << 16)),
        };
        let mut batch = (Vec::new(), Vec::new());
        for number in 1..=self.epochs {
            if batches > 1 {
                order.shuffle(&mut self.running.rng);
            }
            let mut terms = (T::zero(), T::zero());
            let mut converged = false;
            for b in 0..batches {
                self.scale_learning_rate(self.progress(number, b, batches))?;
                let chosen = &order[b * order.len() / batches..(b + 1) * order.len() / batches];
                let (samples, labels) = if batches > 1 {
                    gather(samples, labels, chosen, &mut batch)
                } else {
                    (samples, labels)
                };
                let (network, theta) = model.network_and_theta_mut();
                let evaluate = |theta: &[T], gradient: Option<&mut [T]>| {
                    network.evaluate(theta, samples, labels, gradient, &mut workspace)
                };
                let clip = self.clip_gradient.map(T::of);
                let (optimizer, total) = (&mut *self.optimizer, ClassifierLoss::total);
                let threads = threads.worth(theta.len() * samples.ncols());
                let (loss, optimal) =
                    optimize(optimizer, theta, clip, number, threads, total, evaluate)?;
                let share = T::of_count(chosen.len()) / T::of_count(order.len());
                terms.0 += share * loss.cross_entropy;
                terms.1 += share * loss.weight_decay;
                converged |= optimal;
            }
            let loss = ClassifierLoss {
                cross_entropy: terms.0,
                weight_decay: terms.1,
            };
            report.epochs = number;
            report.history.push(loss);
            let epoch = ClassifierEpoch {
                number,
                loss,
                model,
            };
            if observer(&epoch).is_break() {
                report.stop = StopReason::Observer;
                break;
            }
            if converged {
                report.stop = StopReason::Converged;
                break;
            }
        }
        Ok(report)
    }
}

/// Copies of the chosen samples and labels.
fn gather<'a, T: Real>(
    samples: DMatrixView<'_, T>,
    labels: &[usize],
    chosen: &[usize],
    (values, gathered): &'a mut (Vec<T>, Vec<usize>),
) -> (DMatrixView<'a, T>, &'a [usize]) {
    values.clear();
    gathered.clear();
    for &index in chosen {
        values.extend_from_slice(samples.column(index).as_slice());
        gathered.push(labels[index]);
    }
    let view = DMatrixView::from_slice(values, samples.nrows(), chosen.len());
    (view, gathered)
}
