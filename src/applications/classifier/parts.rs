//! What a classifier takes and gives: its loss, workspace, layers, and reports; and the checks of
//! what comes from outside.

use nalgebra::{DMatrixView, DVectorView};

use super::{Network, SAMPLES, SoftmaxClassifier};
use crate::linalg::{Aligned, Scratch};
use crate::units::State;
use crate::validate::check_batch;
use crate::{Activation, Error, Real, StopReason};

/// The terms of a classifier's objective, kept apart.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClassifierLoss<T> {
    /// `−1/m Σᵢ ln P(yᵢ | xᵢ)`
    pub cross_entropy: T,
    /// `λ/2 Σ‖W‖²`
    pub weight_decay: T,
}

impl<T: Real> ClassifierLoss<T> {
    /// The objective: the sum of the terms.
    #[must_use]
    pub fn total(&self) -> T {
        self.cross_entropy + self.weight_decay
    }
}

/// Views of the parameters of one layer of a classifier.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DenseView<'a, T: Real> {
    /// `W`, below × above: column `j` is what unit or class `j` looks for.
    pub weights: DMatrixView<'a, T>,
    /// `b`, one per unit or class above.
    pub bias: DVectorView<'a, T>,
    /// f; [`Identity`](Activation::Identity) for the last layer, which the softmax follows.
    pub activation: Activation,
}

/// What an observer is shown after each epoch.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ClassifierEpoch<'a, T> {
    /// Counted from 1.
    pub number: usize,
    /// The mean over the batches of the epoch, each at the parameters it was met with.
    pub loss: ClassifierLoss<T>,
    /// The classifier as it is now.
    pub model: &'a SoftmaxClassifier<T>,
}

/// How fitting a classifier went.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClassifierReport<T> {
    /// Why it stopped.
    pub stop: StopReason,
    /// The number of epochs that were run.
    pub epochs: usize,
    /// The loss of each epoch.
    pub history: Vec<ClassifierLoss<T>>,
}

/// The buffers of a classifier's passes, reused from call to call: once grown, no call allocates.
#[derive(Debug, Clone)]
pub struct ClassifierWorkspace<T> {
    /// `A_{l+1}` at index `l`; the last is `Z`, and becomes `Δ(Z)`
    pub(super) activations: Vec<Aligned<T>>,
    /// `Δ(A_{l+1})` at index `l`, below the head
    pub(super) delta: Vec<Aligned<T>>,
    pub(super) sums: Aligned<f64>,
    pub(super) state: State,
    pub(super) spare: Aligned<T>,
    pub(super) scratch: Scratch<T>,
}

impl<T: Real> Default for ClassifierWorkspace<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> ClassifierWorkspace<T> {
    /// An empty workspace, which grows at its first use.
    #[must_use]
    pub fn new() -> Self {
        Self {
            activations: Vec::new(),
            delta: Vec::new(),
            sums: Aligned::new(),
            state: State::default(),
            spare: Aligned::new(),
            scratch: Scratch::default(),
        }
    }

    /// Limits the threads that passes with this workspace may use; 0 and 1 both mean one. Without
    /// a limit they use rayon's current pool. The number never changes a bit of any result.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.scratch.limit_threads(threads);
        self
    }

    pub(super) fn fit_to(&mut self, network: &Network<T>, samples: usize) {
        let depth = network.layers.len();
        for buffers in [&mut self.activations, &mut self.delta] {
            buffers.resize_with(depth.max(buffers.len()), Aligned::new);
        }
        for (l, layer) in network.layers.iter().enumerate() {
            self.activations[l].grow(layer.above * samples);
            if l + 1 < depth {
                self.delta[l].grow(layer.above * samples);
            }
        }
        self.sums.grow(network.classes());
    }
}

impl<T: Real> SoftmaxClassifier<T> {
    /// Samples and labels that a loss can be computed of.
    pub(super) fn check_batch(
        &self,
        samples: DMatrixView<'_, T>,
        labels: &[usize],
    ) -> Result<(), Error> {
        check_batch(samples, self.features(), SAMPLES)?;
        self.check_labels(samples.ncols(), labels)
    }

    pub(super) fn check_labels(&self, samples: usize, labels: &[usize]) -> Result<(), Error> {
        if labels.len() != samples {
            return Err(Error::DimensionMismatch {
                what: "labels",
                expected: samples,
                actual: labels.len(),
            });
        }
        match labels.iter().position(|&label| label >= self.classes()) {
            None => Ok(()),
            Some(column) => Err(Error::OutOfRange {
                what: "labels",
                requirement: "below the number of classes",
                row: 0,
                column,
                value: f64::of_count(labels[column]),
            }),
        }
    }

    /// Samples and labels that every class can be learned from.
    pub(crate) fn check_training(
        &self,
        samples: DMatrixView<'_, T>,
        labels: &[usize],
    ) -> Result<(), Error> {
        self.check_batch(samples, labels)?;
        let mut seen = vec![false; self.classes()];
        labels.iter().for_each(|&label| seen[label] = true);
        match seen.iter().position(|&seen| !seen) {
            None => Ok(()),
            Some(class) => Err(Error::EmptyClass { class }),
        }
    }

    pub(super) fn check_len(&self, what: &'static str, actual: usize) -> Result<(), Error> {
        let expected = self.theta.len();
        if actual == expected {
            return Ok(());
        }
        Err(Error::DimensionMismatch {
            what,
            expected,
            actual,
        })
    }
}
