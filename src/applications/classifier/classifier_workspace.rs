//! The buffers of a classifier's passes.

use super::Network;
use crate::Real;
use crate::linalg::{Aligned, Scratch};
use crate::units::State;

/// The buffers of a classifier's passes. Once they have grown, no call allocates.
#[derive(Debug, Clone)]
pub struct ClassifierWorkspace<T> {
    /// `A_{l+1}` at index `l`. The last is `Z`, which becomes `Δ(Z)`.
    pub(super) activations: Vec<Aligned<T>>,
    /// `Δ(A_{l+1})` at index `l`, below the head.
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
    /// Creates an empty workspace, which grows at its first use.
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

    /// Sets the maximum number of threads. 0 and 1 both mean a single thread.
    ///
    /// The default is rayon's current pool. The number does not change a bit of any result.
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
