use crate::Real;
use crate::kernel::{Codes, Scratch};
use crate::parameters::Layout;

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
    pub(crate) hidden: Vec<Vec<T>>,
    /// `R_l` at index `l`; `R₀` becomes `Δ(R₀)`, and behind it lie those of its prefixes
    pub(crate) reconstruction: Vec<Vec<T>>,
    /// `Δ` of level `l + 1` at index `l`, of the decoder first, of the encoder then
    pub(crate) delta: Vec<Vec<T>>,
    /// `ρ̂` of level `l + 1` at index `l`
    pub(crate) mean: Vec<Vec<T>>,
    /// The mean number of active units of level `l + 1` at index `l`
    pub(crate) active: Vec<T>,
    /// `β ∂Ω`, the channel of the units
    pub(crate) per_unit: Vec<T>,
    /// `β ∂Ω`, the channel of the frequencies
    pub(crate) per_frequency: Vec<T>,
    /// `‖dⱼ‖`, `Σᵢ hⱼᵢ g̃ⱼᵢ`, `ρ̂ ‖dⱼ‖`, and H̃, where the penalty is weighed by norms
    pub(crate) norms: Vec<T>,
    pub(crate) of_norms: Vec<T>,
    pub(crate) weighted_mean: Vec<T>,
    pub(crate) weighted: Vec<T>,
    /// of gated units: what the gates let through, and then what reaches what they let through; `e^r`;
    /// and `R₀` of the frozen decoder, which becomes its Δ
    pub(crate) gates: Vec<T>,
    pub(crate) gains: Vec<T>,
    pub(crate) frozen: Vec<T>,
    /// of each level whose winners are chosen over the batch, the smallest, if there was one
    pub(crate) smallest_kept: Vec<Option<T>>,
    pub(crate) sums: Vec<T>,
    pub(crate) prefix_sums: Vec<T>,
    /// the hidden layer, where few of its units are active
    pub(crate) codes: Codes<T>,
    /// of inference: `H_L` and `X̂` of a chunk of samples
    innermost: Vec<T>,
    output: Vec<T>,
    /// the input less the pre-encoder bias
    centred: Vec<T>,
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
            active: Vec::new(),
            per_unit: Vec::new(),
            per_frequency: Vec::new(),
            norms: Vec::new(),
            of_norms: Vec::new(),
            weighted_mean: Vec::new(),
            weighted: Vec::new(),
            gates: Vec::new(),
            gains: Vec::new(),
            frozen: Vec::new(),
            smallest_kept: Vec::new(),
            sums: Vec::new(),
            prefix_sums: Vec::new(),
            codes: Codes::default(),
            innermost: Vec::new(),
            output: Vec::new(),
            centred: Vec::new(),
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

    /// Runs a pass of so many multiplications with the threads that it may use.
    pub(crate) fn enter<R: Send>(
        &mut self,
        multiplications: usize,
        pass: impl FnOnce(&mut Self) -> R + Send,
    ) -> R {
        let threads = self.scratch.take_threads_for(multiplications);
        threads.worth(multiplications).enter(|| pass(self))
    }

    pub(crate) fn lend_innermost(&mut self, len: usize) -> Vec<T> {
        let mut buffer = std::mem::take(&mut self.innermost);
        grow(&mut buffer, len);
        buffer
    }

    pub(crate) fn return_innermost(&mut self, buffer: Vec<T>) {
        self.innermost = buffer;
    }

    pub(crate) fn lend_output(&mut self, len: usize) -> Vec<T> {
        let mut buffer = std::mem::take(&mut self.output);
        grow(&mut buffer, len);
        buffer
    }

    pub(crate) fn return_output(&mut self, buffer: Vec<T>) {
        self.output = buffer;
    }

    pub(crate) fn lend_centred(&mut self, len: usize) -> Vec<T> {
        let mut buffer = std::mem::take(&mut self.centred);
        grow(&mut buffer, len);
        buffer
    }

    pub(crate) fn return_centred(&mut self, buffer: Option<Vec<T>>) {
        if let Some(buffer) = buffer {
            self.centred = buffer;
        }
    }

    /// The input of the last pass less the pre-encoder bias, where the model subtracts it.
    pub(crate) fn centred(&self) -> &[T] {
        &self.centred
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
            buffers.resize_with(depth.max(buffers.len()), Vec::new);
        }
        self.active.resize(depth.max(self.active.len()), T::zero());
        self.smallest_kept.clear();
        self.smallest_kept.resize(depth, None);
        for (mean, blocks) in self.mean.iter_mut().zip(layout.blocks()) {
            grow(mean, blocks.above);
        }
        let widest = layout.sizes().iter().copied().max().unwrap_or(0);
        grow(&mut self.per_unit, widest);
        grow(&mut self.per_frequency, widest);
        // of δ and of the losses or the thresholds, or of the activations and their number
        grow(&mut self.sums, 2 * widest);
    }
}

pub(crate) fn grow<T: Real>(buffer: &mut Vec<T>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, T::zero());
    }
}
