//! The buffers of the passes.

use crate::Real;
use crate::linalg::{Aligned, Scratch, Threads};
use crate::model::Layout;
use crate::sparse::ActiveUnits;
use crate::units::State;

/// Holds the buffers of the passes. Reuse it from call to call: once it has grown, no call allocates.
///
/// Its memory is proportional to the largest batch that it has seen. A clone has buffers of its own.
///
/// ```
/// use sparse_autoencoder::{SparseAutoencoder, Workspace, nalgebra::DMatrix};
///
/// let sae = SparseAutoencoder::<f32>::builder().layers([8, 12]).build()?;
/// let samples = DMatrix::from_element(8, 32, 0.5);
/// let mut gradient = vec![0.0; sae.layout().len()];
/// let mut workspace = Workspace::new().with_threads(1);
/// for _ in 0..3 {
///     sae.loss_and_gradient(&samples, &mut gradient, &mut workspace)?; // grows the first time
/// }
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Workspace<T> {
    /// `H_{l+1}` at index `l`.
    pub(crate) hidden: Vec<Aligned<T>>,
    /// `R_l` at index `l`. `R₀` becomes `Δ(R₀)`, with a place for each Matryoshka group.
    pub(crate) reconstruction: Vec<Aligned<T>>,
    /// At index `l`, `Δ(R_{l+1})` and later `Δ(H_{l+1})`.
    pub(crate) delta: Vec<Aligned<T>>,
    /// ρ̂ of `H_{l+1}` at index `l`.
    pub(crate) mean: Vec<Aligned<T>>,
    /// The mean number of active units of `H_{l+1}` at index `l`.
    pub(crate) l0: Aligned<T>,
    /// `1/m Σᵢ ℓ(x̂ᵢ, xᵢ)` of all units: the last Matryoshka prefix.
    pub(crate) full: T,
    /// The channel of `β ∂Ω` per unit.
    pub(crate) per_unit: Aligned<T>,
    /// The channel of `β ∂Ω` per frequency.
    pub(crate) per_frequency: Aligned<T>,
    /// `‖dⱼ‖`, of norm-weighted penalties, as are the next three.
    pub(crate) norms: Aligned<T>,
    /// `Σᵢ hⱼᵢ g̃ⱼᵢ`.
    pub(crate) of_norms: Aligned<T>,
    /// The means of H̃.
    pub(crate) weighted_mean: Aligned<T>,
    /// H̃.
    pub(crate) weighted: Aligned<T>,
    /// Δ′ of the frozen decoder.
    pub(crate) frozen: Aligned<T>,
    /// What the units of layer `l` keep for the backward pass, at index `l`.
    pub(crate) states: Vec<State>,
    /// The number of samples of the last loss or gradient.
    pub(crate) samples: usize,
    /// Undefined between the passes.
    pub(crate) spare: Aligned<T>,
    /// Sums over the samples, undefined between the passes.
    pub(crate) sums: Aligned<T>,
    /// `Δ 1`, accumulated over Matryoshka groups.
    pub(crate) prefix_sums: Aligned<T>,
    /// `H₁` on the sparse path.
    pub(crate) active: ActiveUnits<T>,
    /// Inference: `H_L` of a chunk of samples.
    innermost: Aligned<T>,
    /// Inference: X̂ of a chunk of samples.
    output: Aligned<T>,
    /// `X̃ − c₀ 1ᵀ`, with a pre-encoder bias.
    centered: Aligned<T>,
    pub(crate) scratch: Scratch<T>,
}

impl<T: Real> Default for Workspace<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Workspace<T> {
    /// Returns an empty workspace, which grows at its first use.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hidden: Vec::new(),
            reconstruction: Vec::new(),
            delta: Vec::new(),
            mean: Vec::new(),
            l0: Aligned::new(),
            full: T::zero(),
            per_unit: Aligned::new(),
            per_frequency: Aligned::new(),
            norms: Aligned::new(),
            of_norms: Aligned::new(),
            weighted_mean: Aligned::new(),
            weighted: Aligned::new(),
            frozen: Aligned::new(),
            states: Vec::new(),
            samples: 0,
            spare: Aligned::new(),
            sums: Aligned::new(),
            prefix_sums: Aligned::new(),
            active: ActiveUnits::default(),
            innermost: Aligned::new(),
            output: Aligned::new(),
            centered: Aligned::new(),
            scratch: Scratch::default(),
        }
    }

    /// Sets the maximum number of threads of passes with this workspace. 0 and 1 both mean a single thread.
    ///
    /// The default is all threads of rayon's current pool. Results have the same bits for every number.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.scratch.limit_threads(threads);
        self
    }

    /// Returns the threads with which the input of the next pass can be checked.
    pub(crate) fn take_threads(&mut self) -> Threads {
        self.scratch.take_threads()
    }

    /// Runs a pass of about this many multiplications, with as many threads as pay for it.
    pub(crate) fn enter<R: Send>(
        &mut self,
        multiplications: usize,
        pass: impl FnOnce(&mut Self) -> R + Send,
    ) -> R {
        let threads = self.scratch.take_threads_for(multiplications);
        threads.worth(multiplications).enter(|| pass(self))
    }

    pub(crate) fn lend_innermost(&mut self, len: usize) -> Aligned<T> {
        let mut buffer = std::mem::take(&mut self.innermost);
        buffer.grow(len);
        buffer
    }

    pub(crate) fn return_innermost(&mut self, buffer: Aligned<T>) {
        self.innermost = buffer;
    }

    pub(crate) fn lend_output(&mut self, len: usize) -> Aligned<T> {
        let mut buffer = std::mem::take(&mut self.output);
        buffer.grow(len);
        buffer
    }

    pub(crate) fn return_output(&mut self, buffer: Aligned<T>) {
        self.output = buffer;
    }

    pub(crate) fn lend_centered(&mut self, len: usize) -> Aligned<T> {
        let mut buffer = std::mem::take(&mut self.centered);
        buffer.grow(len);
        buffer
    }

    pub(crate) fn return_centered(&mut self, buffer: Option<Aligned<T>>) {
        if let Some(buffer) = buffer {
            self.centered = buffer;
        }
    }

    /// Returns `X̃ − c₀ 1ᵀ` of the last pass of a model with a pre-encoder bias.
    pub(crate) fn centered(&self) -> &[T] {
        &self.centered
    }

    /// Grows the buffers whose size does not depend on the number of samples.
    ///
    /// Others grow where they are used, because the sparse path needs few of them.
    pub(crate) fn fit_to(&mut self, layout: &Layout) {
        let depth = layout.depth();
        for buffers in [
            &mut self.hidden,
            &mut self.reconstruction,
            &mut self.delta,
            &mut self.mean,
        ] {
            buffers.resize_with(depth.max(buffers.len()), Aligned::new);
        }
        self.l0.grow(depth);
        let states = depth.max(self.states.len());
        self.states.resize_with(states, State::default);
        for (mean, blocks) in self.mean.iter_mut().zip(layout.blocks()) {
            mean.grow(blocks.above);
        }
        let widest = layout.all_sizes().max().unwrap_or(0);
        self.per_unit.grow(widest);
        self.per_frequency.grow(widest);
        // Sums of δ and of losses or thresholds; or of activations, and their number.
        self.sums.grow(2 * widest);
    }
}
