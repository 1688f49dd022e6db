//! burn on the CPU: its Flex backend under autodiff, and its Adam.

use std::hint::black_box;

use burn::module::{Module, Param, ParamGroup};
use burn::nn::Linear;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use rust_peers::{
    BETAS, EPSILON, KL_WEIGHT, LEARNING_RATE, Outcome, Peer, Start, TARGET, WEIGHT_DECAY, serve,
};

fn main() -> Outcome<()> {
    serve::<Burn>()
}

#[derive(Module, Debug)]
struct Autoencoder {
    encoder: Linear,
    decoder: Linear,
}

impl Autoencoder {
    fn loss(&self, x: Tensor<2>) -> Tensor<1> {
        let [samples, _] = x.dims();
        let h = sigmoid(self.encoder.forward(x.clone()));
        let y = sigmoid(self.decoder.forward(h.clone()));
        let error = (y - x).square().sum().mul_scalar(0.5 / samples as f64);
        let mean = h.mean_dim(0);
        let on = mean.clone().log().mul_scalar(-TARGET);
        let off = (-mean).add_scalar(1.0).log().mul_scalar(TARGET - 1.0);
        let entropy = -TARGET * TARGET.ln() - (1.0 - TARGET) * (1.0 - TARGET).ln();
        let penalty = (on + off).sub_scalar(entropy).sum();
        error + penalty.mul_scalar(KL_WEIGHT)
    }
}

struct Burn {
    x: Tensor<2>,
    /// `None` only while the optimizer owns it.
    model: Option<Autoencoder>,
    optimizer: ModuleOptimizer,
}

impl Burn {
    fn model(&self) -> &Autoencoder {
        self.model.as_ref().expect("put back after each step")
    }
}

impl Peer for Burn {
    fn new(start: Start) -> Outcome<Self> {
        let device = Device::flex().autodiff();
        let (input_size, hidden) = (start.input_size, start.hidden);
        let matrix = |values: Vec<f32>, rows: usize, columns: usize| {
            Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), &device)
        };
        let linear = |weights: Tensor<2>, biases: Vec<f32>| {
            let count = biases.len();
            let biases = Tensor::<1>::from_data(TensorData::new(biases, [count]), &device);
            Linear {
                weight: Param::from_tensor(weights),
                bias: Some(Param::from_tensor(biases)),
            }
        };
        let model = Autoencoder {
            encoder: linear(matrix(start.w, input_size, hidden), start.b),
            decoder: linear(matrix(start.d, hidden, input_size), start.c),
        };
        let adam = AdamConfig::new()
            .with_beta_1(BETAS.0 as f32)
            .with_beta_2(BETAS.1 as f32)
            .with_epsilon(EPSILON as f32);
        let decay = WeightDecayConfig::new(WEIGHT_DECAY as f32);
        let weights = ParamGroup::from_ids(vec![model.encoder.weight.id, model.decoder.weight.id]);
        let decayed = adam.clone().with_weight_decay(Some(decay)).build();
        Ok(Self {
            x: matrix(start.x, start.samples, input_size),
            model: Some(model),
            optimizer: adam.init().with_group(weights, decayed, None),
        })
    }

    fn step(&mut self) -> Outcome<()> {
        let model = self.model.take().expect("put back after each step");
        let loss = model.loss(self.x.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        self.model = Some(self.optimizer.step(LEARNING_RATE, model, gradients));
        black_box(loss);
        Ok(())
    }

    /// In a step, the optimizer adds the decay to the gradient of the weights. Here it is added by hand.
    fn objective_and_gradient(&self) -> Outcome<(f64, Vec<Vec<f32>>)> {
        let loss = self.model().loss(self.x.clone());
        let gradients = loss.backward();
        let mut parts = Vec::new();
        for layer in [&self.model().encoder, &self.model().decoder] {
            let weights = layer.weight.val();
            let decay = weights.clone().inner().mul_scalar(WEIGHT_DECAY);
            parts.push(values(gradient(&weights, &gradients)? + decay)?);
            let biases = layer.bias.as_ref().ok_or("a layer without biases")?.val();
            parts.push(values(gradient(&biases, &gradients)?)?);
        }
        Ok((values(loss.inner())?[0].into(), parts))
    }
}

fn gradient<const D: usize>(of: &Tensor<D>, gradients: &Gradients) -> Outcome<Tensor<D>> {
    Ok(of.grad(gradients).ok_or("a parameter without a gradient")?)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Outcome<Vec<f32>> {
    let values = tensor.into_data().try_to_vec();
    values.map_err(|error| format!("{error:?}").into())
}
