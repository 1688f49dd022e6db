use crate::Real;
use crate::linalg::{Aligned, Scratch, Threads};
use crate::model::Layout;
use crate::sparse::ActiveUnits;
use crate::units::State;

/// The buffers of a pass, reused from call to call: once grown, no call allocates.
///
/// Its size is proportional to the largest batch it has seen.
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
    /// `H_{l+1}` at index `l`
    pub(crate) hidden: Vec<Aligned<T>>,
    /// `R_l` at index `l`; `R₀` becomes `Δ(R₀)`, and behind it lie those of its prefixes
    pub(crate) reconstruction: Vec<Aligned<T>>,
    /// `Δ` of level `l + 1` at index `l`, of the decoder first, of the encoder then
    pub(crate) delta: Vec<Aligned<T>>,
    /// `ρ̂` of level `l + 1` at index `l`
    pub(crate) mean: Vec<Aligned<T>>,
    /// The mean number of active units of level `l + 1` at index `l`
    pub(crate) active: Aligned<T>,
    /// `β ∂Ω`, the channel of the units
    pub(crate) per_unit: Aligned<T>,
    /// `β ∂Ω`, the channel of the frequencies
    pub(crate) per_frequency: Aligned<T>,
    /// `‖dⱼ‖`, `Σᵢ hⱼᵢ g̃ⱼᵢ`, `ρ̂ ‖dⱼ‖`, and H̃, where the penalty is weighed by norms
    pub(crate) norms: Aligned<T>,
    pub(crate) of_norms: Aligned<T>,
    pub(crate) weighted_mean: Aligned<T>,
    pub(crate) weighted: Aligned<T>,
    /// `R₀` of the frozen decoder, which becomes Δ′
    pub(crate) frozen: Aligned<T>,
    /// What the units of level `l + 1` keep for the backward pass, at index `l`
    pub(crate) states: Vec<State>,
    /// The number of samples of the last gradient or loss
    pub(crate) samples: usize,
    /// Undefined between the passes
    pub(crate) spare: Aligned<T>,
    pub(crate) sums: Aligned<T>,
    pub(crate) prefix_sums: Aligned<T>,
    /// the hidden layer, where few of its units are active
    pub(crate) codes: ActiveUnits<T>,
    /// of inference: `H_L` and `X̂` of a chunk of samples
    innermost: Aligned<T>,
    output: Aligned<T>,
    /// the input less the pre-encoder bias
    centered: Aligned<T>,
    pub(crate) scratch: Scratch<T>,
}

impl<T: Real> Default for Workspace<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Workspace<T> {
    /// An empty workspace, which grows at its first use.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hidden: Vec::new(),
            reconstruction: Vec::new(),
            delta: Vec::new(),
            mean: Vec::new(),
            active: Aligned::new(),
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
            codes: ActiveUnits::default(),
            innermost: Aligned::new(),
            output: Aligned::new(),
            centered: Aligned::new(),
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

    /// The threads that may read what a pass is about to begin with.
    pub(crate) fn take_threads(&mut self) -> Threads {
        self.scratch.take_threads()
    }

    /// Runs a pass of so many multiplications with the threads that it may use.
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

    /// The input of the last pass less the pre-encoder bias, where the model subtracts it.
    pub(crate) fn centered(&self) -> &[T] {
        &self.centered
    }

    /// Makes room for the levels of a model, and for what does not depend on the samples. The rest
    /// grows where it is used: a pass over sparse codes needs little of it.
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
        self.active.grow(depth);
        let states = depth.max(self.states.len());
        self.states.resize_with(states, State::default);
        for (mean, blocks) in self.mean.iter_mut().zip(layout.blocks()) {
            mean.grow(blocks.above);
        }
        let widest = layout.sizes().iter().copied().max().unwrap_or(0);
        self.per_unit.grow(widest);
        self.per_frequency.grow(widest);
        // of δ and of the losses or the thresholds, or of the activations and their number
        self.sums.grow(2 * widest);
    }
}
