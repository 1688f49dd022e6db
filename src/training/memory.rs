//! An estimate of the memory that a fit takes.

use super::Trainer;
use crate::error::Error;
use crate::linalg::{Threads, packed_room};
use crate::model::Layout;
use crate::objective::{PANEL, SPARSE};
use crate::units::Chooses;
use crate::validate::even_chunk;
use crate::{Real, Samples, SparseAutoencoder};

impl<T: Real> Trainer<T> {
    /// Returns the approximate number of bytes of memory that [`fit`](Self::fit) takes for this model and these
    /// samples, the model included. Takes none itself.
    ///
    /// | part | scalars |
    /// |---|---|
    /// | model | one per parameter, and another with [`patience`](Self::patience) |
    /// | optimizer | what [`Optimizer::memory`](crate::Optimizer::memory) says: three per parameter for [`Adam`](crate::Adam) |
    /// | samples | those of a batch, unless all are in memory and one batch; those held out; an index of each |
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
        self.check(model)?;
        model.check_size(samples.entries(), samples.count())?;
        let settings = &self.engine.settings;
        let held_out = self.engine.held_out_of(samples.count())?;
        let training = samples.count() - held_out;
        let batches = training.div_ceil(self.engine.batch_size_of(training)?);
        // Buffers grow from the first batches to the others, which have one sample more.
        let (smaller, batch) = (training / batches, training.div_ceil(batches));
        let layout = model.layout();
        let (rows, parameters) = (layout.input_size(), layout.len());

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
        if settings.corruption.is_some() {
            taken.take(rows.saturating_mul(batch));
        }
        let mut passes = Passes::of(model, settings.anneal_k.map(|annealing| annealing.from));
        let threads = Threads::available().count();
        let threads = self
            .engine
            .threads
            .map_or(threads, |most| most.min(threads));
        let mut packed = 0;
        for m in [smaller, batch] {
            passes.forward(m, &mut taken);
            passes.backward(m, &mut taken);
            let sparse = passes.few.is_some();
            let blocks = packed_bytes::<T>(layout, m, sparse, Threads::at_most(threads));
            // Each of them is small, so that the old one hardly counts while it grows.
            taken.take_bytes(blocks.saturating_sub(packed));
            packed = blocks.max(packed);
        }
        if held_out > 0 {
            passes.forward(held_out, &mut taken);
        }
        Ok(taken.most)
    }
}

/// The bytes taken so far, and the most at any time.
struct Taken<T> {
    bytes: usize,
    most: usize,
    scalar: std::marker::PhantomData<T>,
}

impl<T> Taken<T> {
    fn new() -> Self {
        Self {
            bytes: 0,
            most: 0,
            scalar: std::marker::PhantomData,
        }
    }

    fn take_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.most = self.most.max(self.bytes);
    }

    fn take(&mut self, scalars: usize) {
        self.take_bytes(scalars.saturating_mul(size_of::<T>()));
    }

    /// Lets a buffer grow. The old one is freed after the new one is taken.
    fn grow(&mut self, buffer: &mut usize, scalars: usize) {
        if *buffer < scalars {
            self.take(scalars);
            self.bytes -= buffer.saturating_mul(size_of::<T>()).min(self.bytes);
            *buffer = scalars;
        }
    }
}

/// The sizes of the buffers of a [`Workspace`](crate::Workspace), as the passes let them grow.
struct Passes<'a, T: Real> {
    model: &'a SparseAutoencoder<T>,
    /// The mean number of active units of the only layer, if they are known to be few.
    few: Option<usize>,
    /// Whether each sample selects units, and H is not needed as a whole.
    selects_only: bool,
    hidden: Vec<usize>,
    delta: Vec<usize>,
    reconstruction: Vec<usize>,
    centered: usize,
    gates: usize,
    weighted: usize,
    frozen: usize,
    partials: usize,
    active: usize,
    by_unit: usize,
}

impl<'a, T: Real> Passes<'a, T> {
    /// Starts without buffers, for a fit whose first steps keep `k` units, if it is set.
    fn of(model: &'a SparseAutoencoder<T>, k: Option<usize>) -> Self {
        let (objective, layout) = (model.objective(), model.layout());
        let (units, depth) = (layout.hidden_size(), layout.depth());
        let penalized = objective.penalizes(0, objective.now().penalty_weight);
        let innermost = objective.encoder[depth - 1];
        let innermost = k.map_or(innermost, |k| innermost.with_k(k));
        let few = |kept: &usize| depth == 1 && kept.saturating_mul(SPARSE) <= units;
        let few = innermost.mean_kept(units).filter(few);
        let selects = innermost.kept(units).is_some() && !penalized;
        Self {
            model,
            few,
            selects_only: few.is_some() && selects,
            hidden: vec![0; depth],
            delta: vec![0; depth],
            reconstruction: vec![0; depth],
            centered: 0,
            gates: 0,
            weighted: 0,
            frozen: 0,
            partials: 0,
            active: 0,
            by_unit: 0,
        }
    }

    /// Lets the buffers grow for the loss of `m` samples.
    fn forward(&mut self, m: usize, taken: &mut Taken<T>) {
        let (objective, layout) = (self.model.objective(), self.model.layout());
        let (rows, units) = (layout.input_size(), layout.hidden_size());
        let of = |size: usize| size.saturating_mul(m);
        if objective.pre_encoder_bias {
            taken.grow(&mut self.centered, of(rows));
        }
        if self.selects_only {
            let panel = units.saturating_mul(even_chunk(m, PANEL));
            taken.grow(&mut self.hidden[0], panel);
            self.activate(of(self.few.unwrap_or(0)), taken);
        } else {
            for (l, blocks) in layout.blocks().iter().enumerate() {
                let traits = objective.encoder[l].traits();
                taken.grow(&mut self.hidden[l], of(blocks.above));
                if traits.chooses == Chooses::OverBatch {
                    taken.grow(&mut self.delta[l], of(blocks.above));
                }
                if traits.frozen {
                    taken.grow(&mut self.gates, of(blocks.above));
                }
                let widest = 2 * blocks.above.max(blocks.below);
                taken.grow(&mut self.partials, m.div_ceil(32).saturating_mul(widest));
            }
            if self.few.is_some() {
                self.activate(of(units.div_ceil(8)), taken);
            }
        }
        for (l, blocks) in layout.blocks().iter().enumerate().rev() {
            let places = if l == 0 {
                objective.matryoshka.len() + 1
            } else {
                1
            };
            let size = of(blocks.below).saturating_mul(places);
            taken.grow(&mut self.reconstruction[l], size);
        }
        if objective.encoder[0].traits().frozen {
            taken.grow(&mut self.frozen, of(rows));
        }
        for (l, blocks) in layout.blocks().iter().enumerate() {
            let weight = objective.now().penalty_weight;
            if objective.norm_weighted && objective.penalizes(l, weight) {
                taken.grow(&mut self.weighted, of(blocks.above));
            }
        }
    }

    /// Lets the buffers grow for the gradient, after the loss, of `m` samples.
    fn backward(&mut self, m: usize, taken: &mut Taken<T>) {
        let layout = self.model.layout();
        if let Some(kept) = self.few {
            // By unit: a sample of 4 bytes, an activation, and a slope.
            let scalars = 2 + 4_usize.div_ceil(size_of::<T>());
            let len = kept.saturating_mul(m).saturating_mul(scalars);
            return taken.grow(&mut self.by_unit, len);
        }
        for (delta, blocks) in self.delta.iter_mut().zip(layout.blocks()) {
            taken.grow(delta, blocks.above.saturating_mul(m));
        }
    }

    /// Makes room for active units: an index of 4 bytes and a value each.
    fn activate(&mut self, units: usize, taken: &mut Taken<T>) {
        let scalars = units.saturating_add(units.saturating_mul(4) / size_of::<T>());
        taken.grow(&mut self.active, scalars);
    }
}

/// Returns the bytes of the packed blocks in the products of a step on `m` samples, on at most this many
/// threads.
fn packed_bytes<T: Real>(layout: &Layout, m: usize, sparse: bool, threads: Threads) -> usize {
    let (mut lhs, mut rhs, mut most) = (0, 0, 1);
    for blocks in layout.blocks() {
        let (below, above) = (blocks.below, blocks.above);
        let mut products = vec![((above, m, below), true)];
        if !sparse {
            products.extend([((below, m, above), true), ((below, above, m), false)]);
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
