"""Loads what this crate has saved by the libraries of the formats, and compares.

    INTEROP_SAVED=folder cargo test --features files --test files -- --ignored save_for
    python check_saved.py folder
"""

import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import torch

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # decode on the CPU

# dictionary_learning imports it for language models, which its dictionaries do not need.
sys.modules.setdefault("nnsight", types.SimpleNamespace(LanguageModel=None))

from dictionary_learning import dictionary
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK
from sae_lens import SAE
from safetensors.torch import load_file
from sparsify import SparseCoder

TOLERANCE = 1e-5


def numbers(path, width):
    return torch.from_numpy(np.fromfile(path, dtype="<f4").reshape(-1, width))


def sae_lens(path):
    sae = SAE.load_from_disk(path)
    return sae.cfg.architecture(), sae.encode, sae.decode, getattr(sae, "W_skip", None)


def sparsify(path):
    coder = SparseCoder.load_from_disk(path)

    def encode(samples):
        values, indices, _ = coder.encode(samples)
        return torch.zeros(len(samples), coder.num_latents).scatter_(1, indices, values)

    architecture = "topk transcoder" if coder.cfg.transcode else "topk"
    return architecture, encode, lambda hidden: coder.decode(*hidden.topk(coder.cfg.k)), coder.W_skip


def dictionary_learning(path):
    config = json.loads((path / "config.json").read_text())["trainer"]
    name = config["dict_class"]
    pickle = path / "ae.pt"
    torch.save(load_file(path / "ae.safetensors"), pickle)
    classes = {"BatchTopKSAE": BatchTopKSAE, "AutoEncoderTopK": AutoEncoderTopK}
    known = classes.get(name) or getattr(dictionary, name)
    arguments = {"normalize_decoder": False} if name == "AutoEncoder" else {}
    model = known.from_pretrained(pickle, **arguments)
    if name in ("AutoEncoderTopK", "BatchTopKSAE"):
        assert model.k == config["k"]
    encode = lambda samples: model.encode(samples)
    if name == "AutoEncoderTopK":
        encode = lambda samples: model.encode(samples, use_threshold=False)
    return name, encode, model.decode, None


def jump_relu(weights, skip=None):
    w, b, t, d, c = weights
    encode = lambda x: torch.where((z := x @ w + b) > t, z.relu(), 0)
    return "by its formula", encode, lambda h: h @ d + c, skip


def gemma_scope(path):
    """As its tutorial loads it."""
    weights = np.load(path / "params.npz")
    names = ["W_enc", "b_enc", "threshold", "W_dec", "b_dec"]
    return jump_relu([torch.from_numpy(weights[name]) for name in names])


def gemma_scope_2(path):
    weights = load_file(path / "params.safetensors")
    skip = weights["affine_skip_connection"].T if "affine_skip_connection" in weights else None
    return jump_relu([weights[name] for name in ["w_enc", "b_enc", "threshold", "w_dec", "b_dec"]], skip)


def llama_scope(path):
    config = json.loads((path / "hyperparams.json").read_text())
    weights = load_file(path / "checkpoints/final.safetensors")
    d = config["d_model"]
    scale = d**0.5 / config["dataset_average_activation_norm"]["in"]
    w, c = weights["encoder.weight"].T, weights["decoder.bias"]
    b = weights["encoder.bias"]
    if config["apply_decoder_bias_to_pre_encoder"]:
        b = b - c @ w
    t = scale * config["jump_relu_threshold"]
    return jump_relu([scale * w, b, t, weights["decoder.weight"].T / scale, c / scale])


def difference(actual, expected):
    return ((actual - expected).abs() / expected.abs().clamp(min=1)).max().item()


def main(root):
    checked = 0
    for load in (sae_lens, sparsify, dictionary_learning, gemma_scope, gemma_scope_2, llama_scope):
        for path in sorted((root / load.__name__).iterdir()):
            samples = numbers(path / "samples.f32", 8)
            hidden = numbers(path / "hidden.f32", 16)
            architecture, encode, decode, skip = load(path)
            with torch.no_grad():
                encoded = difference(encode(samples), hidden)
                decoded = decode(hidden) if skip is None else decode(hidden) + samples @ skip.T
            decoded = difference(decoded, numbers(path / "reconstructions.f32", decoded.shape[1]))
            print(f"{load.__name__}/{path.name} ({architecture}): encode {encoded:.1e}, decode {decoded:.1e}")
            assert encoded < TOLERANCE and decoded < TOLERANCE
            checked += 1
    print(f"{checked} models agree to {TOLERANCE}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
