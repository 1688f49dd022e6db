//! The passes of a classifier: dense layers, the last one followed by a softmax.
//!
//! ```text
//! A₀ = X,     A_{l+1} = f_l(W_lᵀ A_l + b_l)  below the head,     Z = Vᵀ A + c,     P = softmax(Z)
//! Δ(Z) = (P − Y) / m                          Y one-hot labels
//! Δ(A_l) = W_l Δ(A_{l+1}) ⊙ f′
//! ∂W_l = A_l Δ(A_{l+1})ᵀ + λ W_l,             ∂b_l = Δ(A_{l+1}) 1
//! ```

use std::ops::Range;

use nalgebra::{DMatrixView, DMatrixViewMut, DVectorView};

use super::{ClassifierLoss, ClassifierWorkspace};
use crate::linalg::{self, Packed, Scratch, Write, gemm, gemm_packed, transpose};
use crate::objective::{matrix, matrix_mut};
use crate::units::{Arriving, Buffers, Own, OwnMut, Units};
use crate::{Activation, Real};

/// One dense layer and the ranges of its parameters in θ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dense {
    pub(crate) below: usize,
    pub(crate) above: usize,
    /// `Identity` for the head, which the softmax follows.
    pub(crate) activation: Activation,
    pub(crate) weights: Range<usize>,
    pub(crate) bias: Range<usize>,
}

impl Dense {
    pub(crate) fn weights<'a, T: Real>(&self, theta: &'a [T]) -> DMatrixView<'a, T> {
        DMatrixView::from_slice(&theta[self.weights.clone()], self.below, self.above)
    }

    fn weights_mut<'a, T: Real>(&self, theta: &'a mut [T]) -> DMatrixViewMut<'a, T> {
        DMatrixViewMut::from_slice(&mut theta[self.weights.clone()], self.below, self.above)
    }
}

/// Views of the parameters of one layer of a classifier.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DenseView<'a, T: Real> {
    /// The weights `W`, below × above: column `j` belongs to unit or class `j`.
    pub weights: DMatrixView<'a, T>,
    /// The biases `b`, one per unit or class above.
    pub bias: DVectorView<'a, T>,
    /// The activation f; [`Identity`](Activation::Identity) for the last layer, before the softmax.
    pub activation: Activation,
}

/// The definition of the objective, without θ and the samples. The last layer, the head, always exists.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Network<T> {
    pub(crate) layers: Vec<Dense>,
    pub(crate) weight_decay: T,
}

impl<T: Real> Network<T> {
    pub(crate) fn len(&self) -> usize {
        self.layers.last().map_or(0, |head| head.bias.end)
    }

    pub(crate) fn features(&self) -> usize {
        self.layers[0].below
    }

    pub(crate) fn classes(&self) -> usize {
        self.layers[self.layers.len() - 1].above
    }

    /// Returns the number of units of all layers, the classes included.
    pub(crate) fn units(&self) -> usize {
        self.layers.iter().map(|layer| layer.above).sum()
    }

    /// Returns the terms of J(θ) and overwrites `gradient`, if given, with ∂J/∂θ.
    pub(crate) fn evaluate(
        &self,
        theta: &[T],
        x: DMatrixView<'_, T>,
        labels: &[usize],
        gradient: Option<&mut [T]>,
        ws: &mut ClassifierWorkspace<T>,
    ) -> ClassifierLoss<T> {
        let threads = ws.scratch.take_threads();
        threads
            .worth(self.len() * x.ncols())
            .enter(|| self.evaluate_here(theta, x, labels, gradient, ws))
    }

    fn evaluate_here(
        &self,
        theta: &[T],
        x: DMatrixView<'_, T>,
        labels: &[usize],
        mut gradient: Option<&mut [T]>,
        ws: &mut ClassifierWorkspace<T>,
    ) -> ClassifierLoss<T> {
        self.forward(theta, None, x, ws);
        let classes = self.classes();
        let z = &mut ws.activations[self.layers.len() - 1][..classes * x.ncols()];
        let cross_entropy = cross_entropy(z, labels, classes, &mut ws.sums);
        if let Some(gradient) = gradient.as_deref_mut() {
            self.backward(theta, x, gradient, ws);
        }
        let weights = self.layers.iter().map(|layer| layer.weights.clone());
        let lambda = self.weight_decay;
        ClassifierLoss {
            cross_entropy,
            weight_decay: linalg::decay(lambda, weights, theta, gradient, &ws.scratch),
        }
    }

    /// Writes the class probabilities of `x`, classes × samples, to `probabilities`.
    pub(crate) fn probabilities_into(
        &self,
        theta: &[T],
        packed: &[Packed<T>],
        x: DMatrixView<'_, T>,
        probabilities: &mut [T],
        ws: &mut ClassifierWorkspace<T>,
    ) {
        let threads = ws.scratch.take_threads();
        threads
            .worth(self.len() * x.ncols())
            .enter(|| self.forward(theta, Some(packed), x, ws));
        let z = &ws.activations[self.layers.len() - 1][..probabilities.len()];
        let columns = z.chunks_exact(self.classes());
        for (p, z) in probabilities.chunks_exact_mut(self.classes()).zip(columns) {
            let (largest, log_sum) = log_sum_exp(z);
            for (p, &z) in p.iter_mut().zip(z) {
                *p = (z - largest - log_sum).exp();
            }
        }
    }

    /// Computes `A_{l+1}` of every layer at index `l`; the last is `Z`.
    ///
    /// With packed weights, the result of a sample does not depend on the other samples.
    fn forward(
        &self,
        theta: &[T],
        packed: Option<&[Packed<T>]>,
        x: DMatrixView<'_, T>,
        ws: &mut ClassifierWorkspace<T>,
    ) {
        let m = x.ncols();
        ws.fit_to(self, m);
        for (l, layer) in self.layers.iter().enumerate() {
            let (below, above) = ws.activations.split_at_mut(l);
            let below = below.last().map_or(x, |a| matrix(a, layer.below, m));
            let (w, b) = (layer.weights(theta), &theta[layer.bias.clone()]);
            let a = &mut above[0][..layer.above * m];
            let out = matrix_mut(a, layer.above, m);
            match packed {
                Some(packed) => gemm_packed(out, w, &packed[l], below, &mut ws.scratch),
                None => gemm(out, Write::Over, transpose(w), below, &mut ws.scratch),
            }
            let own = Own::of_bias(b);
            let (state, scratch) = (&mut ws.state, &mut ws.scratch);
            layer
                .activation
                .with(|f: &dyn Units<T>| f.infer(&own, a, state, scratch));
        }
    }

    /// Computes `∂W_l`, `∂b_l`, and `Δ(A_l)` for every layer, the head first.
    ///
    /// Expects `Δ(Z)` in place of `Z`, and its sums over the samples in `ws.sums`.
    fn backward(
        &self,
        theta: &[T],
        x: DMatrixView<'_, T>,
        gradient: &mut [T],
        ws: &mut ClassifierWorkspace<T>,
    ) {
        let (m, head) = (x.ncols(), self.layers.len() - 1);
        let bias_gradient = &mut gradient[self.layers[head].bias.clone()];
        for (g, &sum) in bias_gradient.iter_mut().zip(ws.sums.iter()) {
            *g = T::of(sum);
        }
        for (l, layer) in self.layers.iter().enumerate().rev() {
            let (next, delta) = ws.delta.split_at_mut(l);
            let delta = if l == head {
                &ws.activations[head]
            } else {
                &delta[0]
            };
            let delta = matrix(delta, layer.above, m);
            let below = match l.checked_sub(1) {
                Some(below) => matrix(&ws.activations[below], layer.below, m),
                None => x,
            };
            gemm(
                layer.weights_mut(gradient),
                Write::Over,
                below,
                transpose(delta),
                &mut ws.scratch,
            );

            let Some(next) = next.last_mut() else {
                break;
            };
            let next = &mut next[..layer.below * m];
            let out = matrix_mut(next, layer.below, m);
            gemm(
                out,
                Write::Over,
                layer.weights(theta),
                delta,
                &mut ws.scratch,
            );
            let a = &ws.activations[l - 1][..layer.below * m];
            let below = &self.layers[l - 1];
            let bias_gradient = &mut gradient[below.bias.clone()];
            let own = Own::of_bias(&theta[below.bias.clone()]);
            let pull = &mut |_: &mut [T], _: &mut Scratch<T>| {};
            let arriving = Arriving::without_penalty(pull);
            let gradient = OwnMut {
                bias: bias_gradient,
                blocks: Default::default(),
            };
            let buffers = Buffers {
                state: &mut ws.state,
                spare: &mut ws.spare,
                sums: &mut [],
                scratch: &mut ws.scratch,
            };
            below.activation.with(|f: &dyn Units<T>| {
                f.backward(&own, arriving, a, next, gradient, buffers);
            });
        }
    }
}

/// Returns `(max z, ln Σ exp(z − max z))`: no exponential overflows, and at least one is 1.
fn log_sum_exp<T: Real>(z: &[T]) -> (T, T) {
    let largest = z.iter().fold(z[0], |m, &z| if z > m { z } else { m });
    let sum: f64 = z.iter().map(|&z| (z - largest).exp().to_f64()).sum();
    (largest, T::of(sum.ln()))
}

/// Returns `−1/m Σᵢ ln P(yᵢ, i)`, and writes `Z ← (P − Y)/m` and its sums over the samples.
fn cross_entropy<T: Real>(z: &mut [T], labels: &[usize], classes: usize, sums: &mut [f64]) -> T {
    let per_sample = T::one() / T::of_count(labels.len());
    let sums = &mut sums[..classes];
    sums.fill(0.0);
    let mut loss = 0.0;
    for (z, &label) in z.chunks_exact_mut(classes).zip(labels) {
        let (largest, log_sum) = log_sum_exp(z);
        loss += (largest - z[label] + log_sum).to_f64();
        for (class, (z, sum)) in z.iter_mut().zip(&mut *sums).enumerate() {
            let p = (*z - largest - log_sum).exp();
            let y = if class == label { T::one() } else { T::zero() };
            *z = per_sample * (p - y);
            *sum += z.to_f64();
        }
    }
    T::of(loss / f64::of_count(labels.len()))
}

#[cfg(test)]
mod tests {
    use super::log_sum_exp;

    #[test]
    fn probabilities_of_a_million_classes_add_up() {
        let mut z = vec![-0.1_f32.recip().ln(); 1_000_000];
        z[7] = 0.0;
        let (largest, log_sum) = log_sum_exp(&z);
        let sum: f64 = z
            .iter()
            .map(|&z| f64::from((z - largest - log_sum).exp()))
            .sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }
}
