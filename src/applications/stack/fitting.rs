//! Greedy layer-wise training.

use std::ops::ControlFlow;

use nalgebra::DMatrix;

use super::{Stack, encode_through};
use crate::data::pairs::refuse_pairs;
use crate::error::Error;
use crate::model::EncodedSamples;
use crate::training::observer::{Observer, of_epochs};
use crate::training::{Event, Verdict};
use crate::{Epoch, Real, Report, Samples, Trainer};

/// The observer of a stack's fit, which is also given the index of the layer.
type ObserverOfLayers<'a, T> =
    dyn FnMut(usize, &Event<'_, T>) -> Result<ControlFlow<()>, Error> + 'a;

impl<T: Real> Trainer<T> {
    /// Fits the autoencoders of a [`Stack`] one after the other, and returns a report for each.
    ///
    /// The outermost is fitted to the samples, and each other one to the hidden activations of the one below.
    /// All start from their current parameters. To use different trainers, call
    /// [`fit_layer`](Self::fit_layer) of each for its layer.
    ///
    /// Samples may be a matrix or a view, input × samples, or any other [`Samples`], with the same bits. For
    /// samples in memory, the hidden activations of one layer at a time are in memory, too. Those of other
    /// samples are computed when they are read, in every epoch.
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with). Layers below a failed one stay fitted.
    pub fn fit_stack(
        &mut self,
        stack: &mut Stack<T>,
        samples: impl Samples<T>,
    ) -> Result<Vec<Report<T>>, Error> {
        self.fit_stack_with(stack, samples, |_, _| ())
    }

    /// Runs [`fit_stack`](Self::fit_stack) with an observer of the layer, counted from 0, and the epoch.
    ///
    /// Stopping ends the training of that layer; the next layer follows. To end the whole fit, return an error.
    /// Write closures as for [`fit_with`](Self::fit_with).
    ///
    /// # Errors
    ///
    /// As [`fit_stack`](Self::fit_stack), and those that the observer returns.
    pub fn fit_stack_with<V: Verdict>(
        &mut self,
        stack: &mut Stack<T>,
        samples: impl Samples<T>,
        mut observer: impl FnMut(usize, &Epoch<'_, T>) -> V,
    ) -> Result<Vec<Report<T>>, Error> {
        let see = &mut |index, event: &Event<'_, T>| {
            of_epochs(|epoch: &Epoch<'_, T>| observer(index, epoch))(event)
        };
        self.fit_stack_observed(stack, &samples, false, see)
    }

    /// Runs [`fit_stack`](Self::fit_stack) with an observer of the layer, counted from 0, and of each [step and
    /// epoch](Event).
    ///
    /// A stop acts as in [`fit_with_steps`](Self::fit_with_steps) for that layer; the next layer follows. To end the
    /// whole fit, return an error.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Adam, Event, SparseAutoencoder, Stack, Trainer};
    ///
    /// let samples = DMatrix::from_fn(12, 100, |i, j| ((i * j) % 5) as f64 / 4.0);
    /// let mut stack = Stack::new(vec![
    ///     SparseAutoencoder::builder().layers([12, 8]).build()?,
    ///     SparseAutoencoder::builder().layers([8, 3]).build()?,
    /// ])?;
    /// let mut trainer = Trainer::new(Adam::new(1e-2)?).epochs(3).batch_size(20);
    /// let reports = trainer.fit_stack_with_steps(&mut stack, &samples, |layer, event| match event {
    ///     Event::Step(step) if layer == 0 && step.number == 7 => ControlFlow::Break(()),
    ///     _ => ControlFlow::Continue(()),
    /// })?;
    /// assert_eq!([reports[0].steps, reports[1].steps], [7, 15]); // five steps make an epoch
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`fit_stack_with`](Self::fit_stack_with).
    pub fn fit_stack_with_steps<V: Verdict>(
        &mut self,
        stack: &mut Stack<T>,
        samples: impl Samples<T>,
        mut observer: impl FnMut(usize, &Event<'_, T>) -> V,
    ) -> Result<Vec<Report<T>>, Error> {
        let see = &mut |index, event: &Event<'_, T>| observer(index, event).verdict();
        self.fit_stack_observed(stack, &samples, true, see)
    }

    /// Implements the fits of all layers.
    fn fit_stack_observed(
        &mut self,
        stack: &mut Stack<T>,
        samples: &dyn Samples<T>,
        sees_steps: bool,
        observer: &mut ObserverOfLayers<'_, T>,
    ) -> Result<Vec<Report<T>>, Error> {
        let last = stack.layers.len() - 1;
        if last > 0 {
            self.or_refuse_to_fit(self.check_for_several())?;
        }
        let mut reports = Vec::with_capacity(stack.layers.len());
        let mut hidden: Option<DMatrix<T>> = None;
        for index in 0..stack.layers.len() {
            let (below, above) = stack.layers.split_at_mut(index);
            let layer = &mut above[0];
            let encoded = EncodedSamples::of(below, samples);
            let input: &dyn Samples<T> = match (samples.in_memory(), &hidden) {
                _ if index == 0 => samples,
                (Some(_), Some(hidden)) => hidden,
                _ => &encoded,
            };
            let see = &mut |event: &Event<'_, T>| observer(index, event);
            reports.push(self.fit_observed(layer, input, sees_steps, see)?);
            if let Some(input) = input.in_memory().filter(|_| index < last) {
                hidden = Some(self.or_refuse_to_fit(layer.encode(input))?);
            }
        }
        Ok(reports)
    }

    /// Fits only the autoencoder `index`, counted from 0 inwards, to the hidden activations of the one
    /// below.
    ///
    /// # Errors
    ///
    /// As [`fit_layer_with`](Self::fit_layer_with).
    pub fn fit_layer(
        &mut self,
        stack: &mut Stack<T>,
        index: usize,
        samples: impl Samples<T>,
    ) -> Result<Report<T>, Error> {
        self.fit_layer_with(stack, index, samples, |_| ())
    }

    /// Runs [`fit_layer`](Self::fit_layer) with an observer, which may stop the training.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for an index beyond the innermost, and those of
    /// [`fit_with`](Self::fit_with).
    pub fn fit_layer_with<V: Verdict>(
        &mut self,
        stack: &mut Stack<T>,
        index: usize,
        samples: impl Samples<T>,
        observer: impl FnMut(&Epoch<'_, T>) -> V,
    ) -> Result<Report<T>, Error> {
        let see = &mut of_epochs(observer);
        self.fit_layer_observed(stack, index, &samples, false, see)
    }

    /// Runs [`fit_layer`](Self::fit_layer) with an observer of each [step and epoch](Event), as in
    /// [`fit_with_steps`](Self::fit_with_steps).
    ///
    /// # Errors
    ///
    /// As [`fit_layer_with`](Self::fit_layer_with).
    pub fn fit_layer_with_steps<V: Verdict>(
        &mut self,
        stack: &mut Stack<T>,
        index: usize,
        samples: impl Samples<T>,
        mut observer: impl FnMut(&Event<'_, T>) -> V,
    ) -> Result<Report<T>, Error> {
        let see = &mut |event: &Event<'_, T>| observer(event).verdict();
        self.fit_layer_observed(stack, index, &samples, true, see)
    }

    /// Implements the fits of one layer.
    fn fit_layer_observed(
        &mut self,
        stack: &mut Stack<T>,
        index: usize,
        samples: &dyn Samples<T>,
        sees_steps: bool,
        observer: &mut Observer<'_, T>,
    ) -> Result<Report<T>, Error> {
        let place = index.min(stack.layers.len());
        let (below, above) = stack.layers.split_at_mut(place);
        let Some(layer) = above.first_mut() else {
            return self.or_refuse_to_fit(Err(Error::InvalidParameter {
                name: "index of a layer",
                requirement: "below the number of autoencoders in the stack",
                value: f64::of_count(index),
            }));
        };
        if !below.is_empty() {
            let refused = refuse_pairs(samples, "an inner autoencoder of a stack");
            self.or_refuse_to_fit(refused.and_then(|()| self.refuse_validation()))?;
        }
        let encoded = EncodedSamples::of(below, samples);
        let hidden;
        let input: &dyn Samples<T> = match samples.in_memory() {
            _ if below.is_empty() => samples,
            None => &encoded,
            Some(whole) => {
                hidden = self.or_refuse_to_fit(encode_through(below, whole))?;
                &hidden
            }
        };
        self.fit_observed(layer, input, sees_steps, observer)
    }
}
