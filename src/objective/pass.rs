//! The objective at parameters θ, and a batch: what every pass reads.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use nalgebra::DMatrixView;

use super::Workspace;
use crate::linalg::{Aligned, Packed};
use crate::model::{Layout, ModelSettings};
use crate::penalty::Penalty;
use crate::training::all_reduce::Shares;
use crate::units::{Elementwise, Own, State, Units};
use crate::{Activation, Real};

/// Everything that defines J except θ and the samples: the settings of a model, and its penalty.
#[derive(Debug, Clone)]
pub(crate) struct Objective<T> {
    pub(crate) settings: ModelSettings,
    /// Ω of each hidden layer, which the settings describe.
    pub(crate) penalties: Vec<Arc<dyn Penalty<T>>>,
}

impl<T> Deref for Objective<T> {
    type Target = ModelSettings;

    fn deref(&self) -> &ModelSettings {
        &self.settings
    }
}

impl<T> DerefMut for Objective<T> {
    fn deref_mut(&mut self) -> &mut ModelSettings {
        &mut self.settings
    }
}

impl<T: Real> Objective<T> {
    /// Takes checked settings and the penalties that they describe, one per hidden layer.
    pub(crate) fn new(settings: ModelSettings, penalties: Vec<Arc<dyn Penalty<T>>>) -> Self {
        Self {
            settings,
            penalties,
        }
    }

    /// Returns whether calibration may choose the bandwidth, because the builder has not.
    pub(crate) fn bandwidth_is_open(&self) -> bool {
        self.bandwidth.is_none() || self.settings.bandwidth_is_calibrated
    }

    /// Sets ε of the thresholds if it is open; `None` for the default.
    pub(crate) fn calibrate_bandwidth(&mut self, bandwidth: Option<f64>) {
        if self.bandwidth_is_open() {
            self.bandwidth = bandwidth;
            self.settings.bandwidth_is_calibrated = bandwidth.is_some();
        }
    }

    /// Takes over the bandwidth, whether calibration may replace it, and the seed that chooses samples.
    #[cfg(feature = "files")]
    pub(crate) fn take_over(&mut self, saved: &ModelSettings) {
        self.bandwidth = saved.bandwidth;
        self.settings.bandwidth_is_calibrated = saved.bandwidth_is_calibrated;
        self.settings.seed = saved.seed;
    }

    /// Returns the values of the changing settings with which the model was built.
    pub(crate) fn now(&self) -> Now<T> {
        Now {
            penalty_weight: T::of(self.penalty_weight_of(self.innermost())),
            penalty_scale: T::one(),
            k: self.encoder.last().and_then(Activation::k),
        }
    }

    /// Returns whether Ω of layer `l` has any effect at this weight.
    pub(crate) fn penalizes(&self, l: usize, penalty_weight: T) -> bool {
        self.is_penalized(l) && penalty_weight > T::zero() && !self.penalties[l].is_zero()
    }

    /// Returns whether Ω of layer `l` has any effect at the weight that the model was built with.
    pub(crate) fn is_built_to_penalize(&self, l: usize) -> bool {
        self.penalizes(l, T::of(self.penalty_weight_of(l)))
    }
}

/// The settings of an objective that training changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Now<T> {
    /// β of the innermost layer, and of all layers with the same weight
    pub(crate) penalty_weight: T,
    /// The factor on β of the other layers
    pub(crate) penalty_scale: T,
    /// The number of active units of the innermost layer, if its activation has one.
    pub(crate) k: Option<usize>,
}

/// A batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a, T: Real> {
    /// X̃, which the encoder sees, input × samples.
    pub(crate) input: DMatrixView<'a, T>,
    /// X, which X̂ is compared with, output × samples.
    pub(crate) target: DMatrixView<'a, T>,
    /// The other processes that hold samples of this batch.
    pub(crate) shares: Option<Shares<'a, T>>,
}

impl<'a, T: Real> Batch<'a, T> {
    /// Views samples to train on. Those of a transcoder hold the input and then its target.
    pub(crate) fn of(samples: &'a DMatrixView<'_, T>, layout: &Layout) -> Self {
        Self {
            input: samples.rows_range(layout.input_entries()),
            target: samples.rows_range(layout.target_entries()),
            shares: None,
        }
    }
}

/// The objective at parameters θ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a, T> {
    pub(crate) objective: &'a Objective<T>,
    pub(crate) layout: &'a Layout,
    pub(crate) theta: &'a [T],
    pub(crate) now: Now<T>,
    /// Inference only: packed encoder weights of each layer. With them, the result of a sample does not
    /// depend on the number of samples.
    pub(crate) packed: Option<&'a [Packed<T>]>,
}

impl<'a, T: Real> Pass<'a, T> {
    /// Returns the pass of a training step.
    pub(crate) fn training(
        objective: &'a Objective<T>,
        layout: &'a Layout,
        theta: &'a [T],
        now: Now<T>,
    ) -> Self {
        Self {
            objective,
            layout,
            theta,
            now,
            packed: None,
        }
    }
}

impl<T: Real> Pass<'_, T> {
    /// Returns f of layer `l`, with the current k.
    pub(super) fn activation(&self, l: usize) -> Activation {
        let activation = self.objective.encoder[l];
        match self.now.k {
            Some(k) if l + 1 == self.layout.depth() => activation.with_k(k),
            _ => activation,
        }
    }

    /// Calls `f` with the units of layer `l`.
    pub(super) fn with_units<R>(&self, l: usize, f: impl FnOnce(&dyn Units<T>) -> R) -> R {
        self.activation(l).with(f)
    }

    /// Returns the parameters of the units of layer `l`.
    pub(super) fn own(&self, l: usize) -> Own<'_, T> {
        self.layout.blocks()[l].own(self.theta, T::of(self.objective.bandwidth()))
    }

    /// Returns g of level `l`.
    pub(super) fn decoder(&self, l: usize) -> Elementwise {
        self.objective.decoder[l].traits().mirror
    }

    /// Returns what the penalty sees of layer `l`, units × samples.
    pub(super) fn seen<'a>(
        &self,
        l: usize,
        m: usize,
        hidden: &'a [Aligned<T>],
        states: &'a [State],
    ) -> &'a [T] {
        let h = &hidden[l][..self.layout.blocks()[l].above * m];
        self.with_units(l, |units| units.seen(h, &states[l]))
    }

    /// Returns β of layer `l` now.
    ///
    /// Layers with the weight of the innermost one have exactly its current weight.
    #[allow(clippy::float_cmp)]
    pub(super) fn penalty_weight(&self, l: usize) -> T {
        let objective = self.objective;
        let built = objective.penalty_weight_of(l);
        if built == objective.penalty_weight_of(objective.innermost()) {
            self.now.penalty_weight
        } else {
            T::of(built) * self.now.penalty_scale
        }
    }

    /// Returns whether Ω of layer `l` has any effect now.
    pub(super) fn penalizes(&self, l: usize) -> bool {
        self.objective.penalizes(l, self.penalty_weight(l))
    }
}

/// Moves the parameters that do not learn by gradient, after the step that used `workspace`.
pub(crate) fn after_step<T: Real>(
    objective: &Objective<T>,
    layout: &Layout,
    theta: &mut [T],
    workspace: &Workspace<T>,
) {
    let layers = layout.blocks().iter().zip(&workspace.states);
    for (f, (blocks, state)) in objective.encoder.iter().zip(layers) {
        let mut own = blocks.own_mut(theta);
        f.with(|units: &dyn Units<T>| units.after_step(&mut own, state));
    }
}
