//! The buffers of the passes, as they grow in a fit.

use crate::objective::{PANEL, SPARSE};
use crate::training::dead_units::{CANDIDATES, together};
use crate::validate::even_chunk;
use crate::{Real, SparseAutoencoder};

/// The bytes taken so far, and the most at any time.
pub(super) struct Taken<T> {
    bytes: usize,
    pub(super) most: usize,
    scalar: std::marker::PhantomData<T>,
}

impl<T> Taken<T> {
    pub(super) fn new() -> Self {
        Self {
            bytes: 0,
            most: 0,
            scalar: std::marker::PhantomData,
        }
    }

    pub(super) fn take_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.most = self.most.max(self.bytes);
    }

    pub(super) fn take(&mut self, scalars: usize) {
        self.take_bytes(scalars.saturating_mul(size_of::<T>()));
    }

    /// Lets a buffer grow. The old one is freed after the new one is taken.
    pub(super) fn grow(&mut self, buffer: &mut usize, scalars: usize) {
        if *buffer < scalars {
            self.take(scalars);
            self.bytes -= buffer.saturating_mul(size_of::<T>()).min(self.bytes);
            *buffer = scalars;
        }
    }
}

/// The sizes of the buffers of a [`Workspace`](crate::Workspace), as the passes let them grow.
pub(super) struct Passes<'a, T: Real> {
    model: &'a SparseAutoencoder<T>,
    /// The mean number of active units of the only layer, if they are known to be few.
    pub(super) few: Option<usize>,
    /// Whether each sample selects units, and H is not needed as a whole.
    pub(super) selects_only: bool,
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
    pub(super) fn of(model: &'a SparseAutoencoder<T>, k: Option<usize>) -> Self {
        let depth = model.layout().depth();
        let mut passes = Self {
            model,
            few: None,
            selects_only: false,
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
        };
        passes.keep(k);
        passes
    }

    /// Goes on with steps that keep `k` units, if it is set.
    pub(super) fn keep(&mut self, k: Option<usize>) {
        let (objective, layout) = (self.model.objective(), self.model.layout());
        let (units, depth) = (layout.hidden_size(), layout.depth());
        let penalized = objective.penalizes(0, objective.now().penalty_weight);
        let innermost = objective.encoder[depth - 1];
        let innermost = k.map_or(innermost, |k| innermost.with_k(k));
        let few = |kept: &usize| depth == 1 && kept.saturating_mul(SPARSE) <= units;
        // Thresholds that follow k keep about as many.
        let by_threshold = k.filter(|_| objective.targets_l0());
        self.few = innermost.mean_kept(units).or(by_threshold).filter(few);
        let selects = innermost.kept(units).is_some() && !penalized;
        self.selects_only = self.few.is_some() && selects;
    }

    /// Lets the buffers grow for the loss of `m` samples.
    pub(super) fn forward(&mut self, m: usize, taken: &mut Taken<T>) {
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
                if traits.chooses.mixes_samples() {
                    taken.grow(&mut self.delta[l], of(blocks.above));
                }
                if traits.frozen {
                    taken.grow(&mut self.gates, of(blocks.above));
                }
                let widest = 2 * blocks.above.max(blocks.below).max(blocks.decoded);
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
            let size = of(blocks.decoded).saturating_mul(places);
            taken.grow(&mut self.reconstruction[l], size);
        }
        if objective.encoder[0].traits().frozen {
            taken.grow(&mut self.frozen, of(layout.output_size()));
        }
        for (l, blocks) in layout.blocks().iter().enumerate() {
            let weight = objective.now().penalty_weight;
            if !objective.penalizes(l, weight) {
                continue;
            }
            if objective.norm_weighted {
                taken.grow(&mut self.weighted, of(blocks.above));
            }
            let signed = objective.encoder[l].traits().signed;
            if objective.penalties[l]
                .description()
                .is_per_activation(signed)
            {
                taken.grow(&mut self.delta[l], of(blocks.above));
            }
        }
    }

    /// Lets the buffers grow for the gradient, after the loss, of `m` samples.
    pub(super) fn backward(&mut self, m: usize, taken: &mut Taken<T>) {
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

    /// Lets the buffers grow for the errors of `count` samples, from which dead units are replaced.
    pub(super) fn resample(&mut self, count: usize, taken: &mut Taken<T>) {
        let layout = self.model.layout();
        let (rows, m) = (layout.input_size(), count.min(together(layout)));
        if self.model.has_pre_encoder_bias() {
            taken.grow(&mut self.centered, rows.saturating_mul(m));
        }
        // Activations and reconstructions, which stay in the workspace, and a copy of the samples.
        let sizes = layout.hidden_size() + layout.output_size() + layout.sample_entries();
        taken.take(sizes.saturating_mul(m));
        taken.take_bytes(count.min(CANDIDATES) * (size_of::<usize>() + size_of::<f64>()));
    }

    /// Makes room for active units: an index of 4 bytes and a value each.
    pub(super) fn activate(&mut self, units: usize, taken: &mut Taken<T>) {
        let scalars = units.saturating_add(units.saturating_mul(4) / size_of::<T>());
        taken.grow(&mut self.active, scalars);
    }
}
