"""Loads what this crate has saved by the libraries of the formats, and compares.

    INTEROP_SAVED=folder cargo test --features safetensors --test interop -- --ignored save_for
    python check_saved.py folder
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # decode on the CPU

from sae_lens import SAE
from sparsify import SparseCoder

TOLERANCE = 1e-5


def numbers(path, width):
    return torch.from_numpy(np.fromfile(path, dtype="<f4").reshape(-1, width))


def sae_lens(path):
    sae = SAE.load_from_disk(path)
    return sae.cfg.architecture(), sae.encode, sae.decode


def sparsify(path):
    coder = SparseCoder.load_from_disk(path)

    def encode(samples):
        values, indices, _ = coder.encode(samples)
        return torch.zeros(len(samples), coder.num_latents).scatter_(1, indices, values)

    return "topk", encode, lambda hidden: coder.decode(*hidden.topk(coder.cfg.k))


def difference(actual, expected):
    return ((actual - expected).abs() / expected.abs().clamp(min=1)).max().item()


def main(root):
    checked = 0
    for load in (sae_lens, sparsify):
        for path in sorted((root / load.__name__).iterdir()):
            samples = numbers(path / "samples.f32", 8)
            hidden = numbers(path / "hidden.f32", 16)
            reconstructions = numbers(path / "reconstructions.f32", 8)
            architecture, encode, decode = load(path)
            with torch.no_grad():
                encoded = difference(encode(samples), hidden)
                decoded = difference(decode(hidden), reconstructions)
            print(f"{load.__name__}/{path.name} ({architecture}): encode {encoded:.1e}, decode {decoded:.1e}")
            assert encoded < TOLERANCE and decoded < TOLERANCE
            checked += 1
    print(f"{checked} models agree to {TOLERANCE}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
