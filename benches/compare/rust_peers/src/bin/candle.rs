//! candle on the CPU: `candle-core` and `candle-nn`, autograd, their AdamW without decay.

use std::hint::black_box;

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, ops::sigmoid};
use rust_peers::{
    BETAS, EPSILON, KL_WEIGHT, LEARNING_RATE, Outcome, Peer, Start, TARGET, WEIGHT_DECAY, serve,
};

fn main() -> Outcome<()> {
    serve::<Candle>()
}

struct Candle {
    x: Tensor,
    w: Var,
    b: Var,
    d: Var,
    c: Var,
    optimizer: AdamW,
}

impl Candle {
    /// Weights as inputs x outputs. With outputs x inputs, as in `candle_nn::Linear`, gradients would be
    /// transposed by a copy.
    fn loss(&self) -> Result<Tensor> {
        let h = sigmoid(&self.x.matmul(&self.w)?.broadcast_add(&self.b)?)?;
        let y = sigmoid(&h.matmul(&self.d)?.broadcast_add(&self.c)?)?;
        let samples = self.x.dim(0)? as f64;
        let error = ((y - &self.x)?.sqr()?.sum_all()? * (0.5 / samples))?;
        let mean = h.mean(0)?;
        let on = (mean.log()? * -TARGET)?;
        let off = ((1.0 - mean)?.log()? * (TARGET - 1.0))?;
        let entropy = -TARGET * TARGET.ln() - (1.0 - TARGET) * (1.0 - TARGET).ln();
        let penalty = ((on + off)? - entropy)?.sum_all()?;
        error + (penalty * KL_WEIGHT)?
    }

    /// Adds the decay to the gradient, which is cheaper than in the loss. AdamW has only decoupled decay.
    fn gradient(&self, loss: &Tensor) -> Result<GradStore> {
        let mut gradients = loss.backward()?;
        for weights in [&self.w, &self.d] {
            if let Some(gradient) = gradients.remove(weights) {
                let decay = (weights.as_detached_tensor() * WEIGHT_DECAY)?;
                gradients.insert(weights, (gradient + decay)?);
            }
        }
        Ok(gradients)
    }
}

impl Peer for Candle {
    fn new(start: Start) -> Outcome<Self> {
        let (input_size, hidden) = (start.input_size, start.hidden);
        let cpu = &Device::Cpu;
        let w = Var::from_vec(start.w, (input_size, hidden), cpu)?;
        let b = Var::from_vec(start.b, hidden, cpu)?;
        let d = Var::from_vec(start.d, (hidden, input_size), cpu)?;
        let c = Var::from_vec(start.c, input_size, cpu)?;
        let settings = ParamsAdamW {
            lr: LEARNING_RATE,
            beta1: BETAS.0,
            beta2: BETAS.1,
            eps: EPSILON,
            weight_decay: 0.0,
        };
        let vars = vec![w.clone(), b.clone(), d.clone(), c.clone()];
        Ok(Self {
            x: Tensor::from_vec(start.x, (start.samples, input_size), cpu)?,
            w,
            b,
            d,
            c,
            optimizer: AdamW::new(vars, settings)?,
        })
    }

    fn step(&mut self) -> Outcome<()> {
        let loss = self.loss()?;
        let gradients = self.gradient(&loss)?;
        self.optimizer.step(&gradients)?;
        black_box(loss);
        Ok(())
    }

    fn objective_and_gradient(&self) -> Outcome<(f64, Vec<Vec<f32>>)> {
        let loss = self.loss()?;
        let gradients = self.gradient(&loss)?;
        let mut parts = Vec::new();
        for var in [&self.w, &self.b, &self.d, &self.c] {
            let gradient = gradients.get(var).ok_or("a parameter without a gradient")?;
            parts.push(gradient.flatten_all()?.to_vec1()?);
        }
        Ok((loss.to_scalar::<f32>()?.into(), parts))
    }
}
