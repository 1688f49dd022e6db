//! An estimate of the memory that a fit takes.

mod passes;

use std::iter;

use super::Trainer;
use super::reading::{AHEAD, INDICES, most_ahead};
use super::sparsity::{QUANTILE, annealing};
use crate::error::Error;
use crate::linalg::{Threads, packed_room};
use crate::model::Layout;
use crate::{Real, Samples, SparseAutoencoder};
use passes::{Passes, Taken};

impl<T: Real> Trainer<T> {
    /// Returns the approximate number of bytes of memory that [`fit`](Self::fit) takes for this model and these
    /// samples, the model included. Takes none itself.
    ///
    /// | part | scalars |
    /// |---|---|
    /// | model | one per parameter, and another with [`patience`](Self::patience) |
    /// | optimizer | what [`Optimizer::memory`](crate::Optimizer::memory) says: three per parameter for [`Adam`](crate::Adam) |
    /// | samples | those of a batch, unless all are in memory and one batch; those held out; an index of each; up to 32 MiB of samples [read ahead](Samples::reads_ahead) |
    /// | passes | activations, reconstructions, and their gradients for a batch; activations and reconstructions of those held out |
    ///
    /// Not included are samples in memory, the [auxiliary loss](crate::DeadUnits::auxiliary) of dead units, and
    /// checkpoints. Where the data decide how many units are active, such as with
    /// [`Relu`](crate::Activation::Relu), the estimate assumes many. It is within a tenth of fits that take several
    /// megabytes.
    ///
    /// ```
    /// use sparse_autoencoder::{Adam, SparseAutoencoder, Trainer, nalgebra::DMatrix};
    ///
    /// let samples = DMatrix::<f32>::zeros(64, 1000); // or an NpyFile
    /// let model = SparseAutoencoder::builder().layers([64, 512]).build()?;
    /// let trainer = Trainer::new(Adam::new(1e-3)?).batch_size(100);
    /// let bytes = trainer.memory(&model, &samples)?;
    /// assert!(bytes > 4 * 4 * model.layout().len()); // model, gradient, and two moments, of 4 bytes each
    /// assert!(trainer.batch_size(1000).memory(&model, &samples)? > bytes);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit) for invalid settings and for samples of another size.
    pub fn memory(
        &self,
        model: &SparseAutoencoder<T>,
        samples: impl Samples<T>,
    ) -> Result<usize, Error> {
        self.memory_of(model, &samples)
    }

    fn memory_of(
        &self,
        model: &SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
    ) -> Result<usize, Error> {
        self.check_fit(model)?;
        model.check_source(samples)?;
        let settings = &self.engine.settings;
        let held_out = self.engine.held_out_of(samples.count())?;
        let training = samples.count() - held_out;
        let batches = training.div_ceil(self.engine.batch_size_of(training)?);
        // Buffers grow from the first batches to the others, which have one sample more.
        let (smaller, batch) = (training / batches, training.div_ceil(batches));
        let layout = model.layout();
        let (rows, parameters) = (layout.sample_entries(), layout.len());

        let mut taken = Taken::<T>::new();
        taken.take(parameters);
        taken.take(self.engine.optimizer.memory(layout.learned()));
        if settings.patience.is_some() {
            taken.take(parameters);
        }
        taken.take_bytes(samples.count().saturating_mul(size_of::<usize>()));
        taken.take(rows.saturating_mul(held_out));
        if samples.in_memory().is_none() || batch < samples.count() {
            taken.take(rows.saturating_mul(batch));
        }
        let ahead = most_ahead(samples, AHEAD).min(training);
        if ahead > batch {
            taken.take(rows.saturating_mul(ahead));
            taken.take_bytes(INDICES.saturating_mul(ahead));
        }
        if settings.corruption.is_some() {
            taken.take(layout.input_size().saturating_mul(batch));
        }
        let first_k = settings.first_k();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most all units
        let last_k = first_k
            .and_then(|_| annealing::target(model.objective()))
            .map(|k| k.round() as usize);
        let mut passes = Passes::of(model, first_k);
        let threads = Threads::available().count();
        let threads = self
            .engine
            .threads
            .map_or(threads, |most| most.min(threads));
        let mut packed = 0;
        let validation = self.own_validation().unwrap_or(held_out);
        // Passes over few active units, to which k may fall, have buffers of their own.
        for k in iter::once(first_k).chain(last_k.map(Some)) {
            passes.keep(k);
            for m in [smaller, batch] {
                passes.forward(m, &mut taken);
                passes.backward(m, &mut taken);
                let sparse = passes.few.is_some();
                let blocks = packed_bytes::<T>(layout, m, sparse, Threads::at_most(threads));
                // Each of them is small, so that the old one hardly counts while it grows.
                taken.take_bytes(blocks.saturating_sub(packed));
                packed = blocks.max(packed);
            }
            if validation > 0 {
                passes.forward(validation, &mut taken);
            }
        }
        if settings.threshold_target(0.0, model.objective()).is_some() {
            let some = batch.min(QUANTILE);
            taken.take(layout.hidden_size().saturating_mul(some));
            if some < batch {
                taken.take(layout.input_size().saturating_mul(some));
            }
        }
        let dead_units = settings.dead_units.as_ref();
        if dead_units.is_some_and(|dead| dead.are_resampled_within(settings.epochs)) {
            passes.resample(training, &mut taken);
        }
        taken.take(model.room_for_threshold(samples.count(), validation));
        Ok(taken.most)
    }
}

/// Returns the least number of scalars for the activations and reconstructions of a batch of `m` samples, if the
/// first steps keep `k` units.
pub(super) fn least_room<T: Real>(
    model: &SparseAutoencoder<T>,
    k: Option<usize>,
    m: usize,
) -> usize {
    let passes = Passes::of(model, k);
    let layout = model.layout();
    let activations = match passes.few {
        Some(few) if passes.selects_only => few,
        _ => layout.sizes()[1..].iter().sum(),
    };
    m.saturating_mul(layout.sample_entries().saturating_add(activations))
}

/// Returns the bytes of the packed blocks in the products of a step on `m` samples, on at most this many
/// threads.
fn packed_bytes<T: Real>(layout: &Layout, m: usize, sparse: bool, threads: Threads) -> usize {
    let (mut lhs, mut rhs, mut most) = (0, 0, 1);
    let (input, output) = (layout.input_size(), layout.output_size());
    let of_skip = [((output, m, input), true), ((output, input, m), false)];
    for (l, blocks) in layout.blocks().iter().enumerate() {
        let (below, above, decoded) = (blocks.below, blocks.above, blocks.decoded);
        let mut products = vec![((above, m, below), true)];
        if !sparse {
            let gradients = [below, decoded].map(|rows| ((rows, above, m), false));
            products.push(((decoded, m, above), true));
            products.extend(gradients);
        }
        if l == 0 && layout.has_skip() {
            products.extend(of_skip);
        }
        for ((rows, columns, depth), in_place) in products {
            let multiplications = rows.saturating_mul(columns).saturating_mul(depth);
            let threads = threads.worth(multiplications).count();
            let size = packed_room::<T>((rows, columns, depth), in_place, threads);
            (lhs, rhs, most) = (lhs.max(size.0), rhs.max(size.1), most.max(threads));
        }
    }
    most.saturating_mul(lhs.saturating_add(rhs))
}
