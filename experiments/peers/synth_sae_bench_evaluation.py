"""Has SAELens evaluate a model of experiments/src/bin/synth_sae_bench, on samples of SAELens' own generator.

    pip install sae-lens==6.54.12
    cargo build --release -p experiments --bin synth_sae_bench
    target/release/synth_sae_bench samples 0 WORLD
    python experiments/peers/synth_sae_bench_evaluation.py MODEL --world WORLD [--samples 20000]

MODEL is the `.safetensors` file of a finished run, in the folder of its checkpoints. It must be BatchTopK, Matryoshka, or
JumpReLU.
"""

import argparse
import dataclasses

import torch
from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
from sae_lens.synthetic.evals import eval_sae_on_synthetic_data
from safetensors.torch import load_file
from synth_sae_bench_sampler import BATCH, load_world


def load(path):
    """Returns the model as SAELens infers with thresholds. Files hold both weights as units × inputs."""
    tensors = {name.removeprefix("layers.0."): tensor for name, tensor in load_file(path).items()}
    units, inputs = tensors["decoder_weights"].shape
    # The recipes have no pre-encoder bias.
    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=inputs, d_sae=units, apply_b_dec_to_input=False))
    state = {
        "W_enc": tensors["encoder_weights"].T,
        "b_enc": tensors["encoder_bias"],
        "W_dec": tensors["decoder_weights"],
        "b_dec": tensors["decoder_bias"],
        "threshold": tensors["thresholds"].expand(units),
    }
    sae.load_state_dict(state)
    return sae


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--world", required=True)
    parser.add_argument("--samples", type=int, default=20_000)
    options = parser.parse_args()
    torch.manual_seed(0)
    dictionary, generator, _ = load_world(options.world)
    result = eval_sae_on_synthetic_data(load(options.model), dictionary, generator, options.samples, batch_size=BATCH)
    for name, value in dataclasses.asdict(result).items():
        print(name, value)


if __name__ == "__main__":
    main()
