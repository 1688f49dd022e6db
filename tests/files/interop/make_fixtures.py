"""Writes fixtures/: published layouts, as the libraries that define them write and read them.

    pip install -r requirements.txt
    python make_fixtures.py

Each folder holds a small model, and expected.safetensors with samples, hidden activations, and
reconstructions as the original library computes them after loading the files from disk.
"""

import json
import os
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # decode on the CPU

# dictionary_learning imports it for language models, which its dictionaries do not need.
sys.modules.setdefault("nnsight", types.SimpleNamespace(LanguageModel=None))

import sae_lens.loading.pretrained_sae_loaders as loaders
import sae_lens.saes.transcoder
from dictionary_learning.dictionary import (
    AutoEncoder,
    AutoEncoderNew,
    GatedAutoEncoder,
    JumpReluAutoEncoder,
)
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK
from sae_lens import (
    SAE,
    AbsTopKSAE,
    AbsTopKSAEConfig,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    GatedSAE,
    GatedSAEConfig,
    JumpReLUSAE,
    JumpReLUSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
    StandardSAE,
    StandardSAEConfig,
    TopKSAE,
    TopKSAEConfig,
)
from sparsify import SparseCoder, SparseCoderConfig

D, N, OUTPUTS, SAMPLES = 8, 16, 5, 6
ROOT = Path(__file__).parent / "fixtures"


def folder(project, case):
    path = ROOT / project / case
    path.mkdir(parents=True)
    return path


def randomize(module, seed):
    """Weights, biases, and thresholds far enough from 0 to tell every convention from another."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            numbers = torch.randn(value.shape, generator=generator).to(value.dtype)
            if "threshold" in name:
                value.copy_(0.1 + 0.5 * numbers.abs())
            elif name in ("b_dec", "bias", "decoder_bias", "decoder.bias"):
                value.copy_(0.7 * numbers)
            else:
                value.copy_(0.4 * numbers)
    return module


def write_expected(path, encode, decode, dtype=torch.float32, seed=99, skip=None):
    samples = torch.randn(SAMPLES, D, generator=torch.Generator().manual_seed(seed)).to(dtype)
    with torch.no_grad():
        hidden = encode(samples)
        reconstructions = decode(hidden) if skip is None else skip(samples)
    share = (hidden != 0).float().mean().item()
    assert 0.02 < share < 0.8, f"{path}: {share} of the units are active"
    expected = {"samples": samples, "hidden": hidden, "reconstructions": reconstructions}
    save_file({k: v.contiguous() for k, v in expected.items()}, path / "expected.safetensors")


def from_lens(path):
    sae = SAE.load_from_disk(path)
    skip = sae.forward if hasattr(sae, "W_skip") else None
    write_expected(path, sae.encode, sae.decode, sae.dtype, skip=skip)


def lens():
    def save(case, cls, cfg, seed, weights_dtype=None):
        path = folder("sae_lens", case)
        randomize(cls(cfg), seed).save_model(path)
        if weights_dtype is not None:
            file = path / "sae_weights.safetensors"
            save_file({k: v.to(weights_dtype) for k, v in load_file(file).items()}, file)
        from_lens(path)
        return path

    size = dict(d_in=D, d_sae=N)
    save("standard", StandardSAE, StandardSAEConfig(**size), 1)
    plain = StandardSAEConfig(**size, apply_b_dec_to_input=False)
    save("standard_uncentered", StandardSAE, plain, 2)
    save("standard_f16", StandardSAE, StandardSAEConfig(**size), 3, torch.float16)
    save("standard_bf16", StandardSAE, StandardSAEConfig(**size), 4, torch.bfloat16)
    save("standard_f64", StandardSAE, StandardSAEConfig(**size, dtype="float64"), 5)
    average = StandardSAEConfig(**size, normalize_activations="expected_average_only_in")
    save("standard_average_norm", StandardSAE, average, 6)
    save("topk", TopKSAE, TopKSAEConfig(**size, k=3), 7)
    plain = TopKSAEConfig(**size, k=3, apply_b_dec_to_input=False)
    save("topk_uncentered", TopKSAE, plain, 8)
    rescaled = TopKSAEConfig(**size, k=3, rescale_acts_by_decoder_norm=True)
    save("topk_rescaled", TopKSAE, rescaled, 9)
    save("abstopk", AbsTopKSAE, AbsTopKSAEConfig(**size, k=3), 22)
    rescaled = AbsTopKSAEConfig(**size, k=3, rescale_acts_by_decoder_norm=True)
    save("abstopk_rescaled", AbsTopKSAE, rescaled, 23)
    save("jumprelu", JumpReLUSAE, JumpReLUSAEConfig(**size), 10)
    plain = JumpReLUSAEConfig(**size, apply_b_dec_to_input=False)
    save("jumprelu_uncentered", JumpReLUSAE, plain, 11)
    save("gated", GatedSAE, GatedSAEConfig(**size), 12)

    transcoders(save)
    for case, cls, cfg, seed in [
        ("batchtopk", BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig(**size, k=3), 13),
        (
            "matryoshka",
            MatryoshkaBatchTopKTrainingSAE,
            MatryoshkaBatchTopKTrainingSAEConfig(**size, k=3, matryoshka_widths=[4, 16]),
            14,
        ),
    ]:
        sae = randomize(cls(cfg), seed)
        sae.topk_threshold.fill_(0.9)
        path, checkpoint = folder("sae_lens", case), folder("sae_lens", case + "_checkpoint")
        sae.save_model(checkpoint)
        sae.save_inference_model(path)
        from_lens(path)
        shutil.copy(path / "expected.safetensors", checkpoint)

    # The flat cfg.json before version 6, with the keys that SAELens 3 to 5 wrote.
    def legacy(case, cls, cfg, seed, **fields):
        path = folder("sae_lens", case)
        randomize(cls(cfg), seed).save_model(path)
        flat = {
            "d_in": D,
            "d_sae": N,
            "dtype": "torch.float32",
            "device": "cpu",
            "model_name": "gpt2-small",
            "hook_point": "blocks.8.hook_resid_pre",
            "hook_point_layer": 8,
            "hook_point_head_index": None,
            "activation_fn_str": "relu",
            "activation_fn_kwargs": {},
            "apply_b_dec_to_input": True,
            "finetuning_scaling_factor": False,
            "normalize_activations": False,
            "context_size": 128,
            "prepend_bos": True,
            **fields,
        }
        (path / "cfg.json").write_text(json.dumps(flat, indent=1))
        from_lens(path)
        return path

    path = legacy("legacy_standard", StandardSAE, StandardSAEConfig(**size), 15)
    cfg = json.loads((path / "cfg.json").read_text())
    del cfg["apply_b_dec_to_input"]
    (path / "cfg.json").write_text(json.dumps(cfg, indent=1))
    from_lens(path)
    legacy(
        "legacy_topk",
        StandardSAE,
        StandardSAEConfig(**size),
        16,
        architecture="standard",
        activation_fn_str="topk",
        activation_fn_kwargs={"k": 3},
        normalize_activations="none",
        sae_lens_training_version="5.3.1",
    )
    legacy(
        "legacy_jumprelu",
        JumpReLUSAE,
        JumpReLUSAEConfig(**size),
        17,
        architecture="jumprelu",
        apply_b_dec_to_input=False,
    )
    legacy("legacy_gated", GatedSAE, GatedSAEConfig(**size), 18, architecture="gated")

    # Version 6 loads no scaling factors any more. Before, hidden activations were multiplied with
    # them in decode.
    path = legacy("legacy_scaling_factor", StandardSAE, StandardSAEConfig(**size), 19)
    sae = SAE.load_from_disk(path)
    factors = 0.5 + torch.rand(N, generator=torch.Generator().manual_seed(20))
    write_expected(path, sae.encode, lambda hidden: sae.decode(hidden * factors))
    file = path / "sae_weights.safetensors"
    save_file({**load_file(file), "scaling_factor": factors}, file)
    cfg = json.loads((path / "cfg.json").read_text())
    (path / "cfg.json").write_text(json.dumps({**cfg, "finetuning_scaling_factor": True}, indent=1))


def transcoders(save):
    for seed, name in enumerate(["", "Skip", "JumpReLU", "JumpReLUSkip"], 61):
        cls = getattr(sae_lens.saes.transcoder, f"{name}Transcoder")
        cfg = getattr(sae_lens.saes.transcoder, f"{name}TranscoderConfig")
        size = dict(d_in=D, d_sae=N, d_out=OUTPUTS, apply_b_dec_to_input=False)
        save(cls.__name__.lower(), cls, cfg(**size), seed)


def sparsify():
    for case, seed, cfg in [
        ("topk", 21, SparseCoderConfig(num_latents=N, k=3)),
        ("expansion", 22, SparseCoderConfig(expansion_factor=2, k=2, normalize_decoder=False)),
        ("transcode", 23, SparseCoderConfig(num_latents=N, k=3, transcode=True)),
        ("skip", 24, SparseCoderConfig(num_latents=N, k=3, transcode=True, skip_connection=True)),
    ]:
        path = folder("sparsify", case)
        randomize(SparseCoder(D, cfg), seed).save_to_disk(path)
        coder = SparseCoder.load_from_disk(path)

        def encode(samples, coder=coder):
            values, indices, _ = coder.encode(samples)
            return torch.zeros(len(samples), N).scatter_(1, indices, values)

        def decode(hidden, coder=coder):
            return coder.decode(*hidden.topk(coder.cfg.k))

        skip = (lambda samples, coder=coder: coder(samples).sae_out) if cfg.skip_connection else None
        write_expected(path, encode, decode, skip=skip)


def from_hub(path, loader, folder_name, scale=None):
    """Loads a local folder by SAELens's loader for files of the hub."""
    download = loaders.hf_hub_download
    loaders.hf_hub_download = lambda repo_id, filename, subfolder=None, **_: str(
        path.joinpath(*filename.split("/")[filename.startswith(folder_name + "/") :])
        if subfolder is None
        else path.joinpath(*subfolder.split("/")[1:], filename)
    )
    shapes = loaders.get_safetensors_tensor_shapes
    loaders.get_safetensors_tensor_shapes = lambda *_: {
        name: list(tensor.shape) for name, tensor in load_file(path / "params.safetensors").items()
    }
    try:
        cfg, state, _ = loader("repo", folder_name, "cpu", False, {"d_in": D, "d_sae": N, "dtype": "float32"})
    finally:
        loaders.hf_hub_download = download
        loaders.get_safetensors_tensor_shapes = shapes
    cls = sae_lens.saes.transcoder.JumpReLUSkipTranscoder if "W_skip" in state else JumpReLUSAE
    sae = cls.from_dict(cfg)
    sae.load_state_dict(state)
    if scale is not None:
        sae.fold_activation_norm_scaling_factor(scale)
    write_expected(path, sae.encode, sae.decode, skip=sae.forward if "W_skip" in state else None)


def scopes():
    def params(seed):
        sae = randomize(JumpReLUSAE(JumpReLUSAEConfig(d_in=D, d_sae=N)), seed)
        return {name: value.detach().clone() for name, value in sae.state_dict().items()}

    name = "layer_3"
    path = folder("gemma_scope", "stored")
    np.savez(path / "params.npz", **{k: v.numpy() for k, v in params(31).items()})
    loader = loaders.gemma_2_sae_huggingface_loader
    config = loaders.get_gemma_2_config_from_hf
    loaders.get_gemma_2_config_from_hf = lambda *_: dict(
        architecture="jumprelu", d_in=D, d_sae=N, apply_b_dec_to_input=False
    )
    from_hub(path, loader, name)
    path = folder("gemma_scope", "deflated")
    arrays = {k: v.numpy() for k, v in params(32).items()}
    arrays["W_enc"] = np.asfortranarray(arrays["W_enc"])
    lower = {"W_enc": "w_enc", "W_dec": "w_dec"}
    np.savez_compressed(path / "params.npz", **{lower.get(k, k): v for k, v in arrays.items()})
    from_hub(path, loader, name)
    loaders.get_gemma_2_config_from_hf = config

    path = folder("gemma_scope", "second")
    save_file({lower.get(k, k): v for k, v in params(33).items()}, path / "params.safetensors")
    raw = {"architecture": "jump_relu", "model_name": "gemma-v3-270m-pt", "hf_hook_point_in": "x"}
    (path / "config.json").write_text(json.dumps(raw))
    from_hub(path, loaders.gemma_3_sae_huggingface_loader, "layer_3_resid_post")

    path = folder("gemma_scope", "second_skip")
    state = params(35)
    generator = torch.Generator().manual_seed(36)
    state["W_dec"], state["b_dec"] = (0.4 * torch.randn(*size, generator=generator) for size in [(N, OUTPUTS), (OUTPUTS,)])
    state["affine_skip_connection"] = 0.4 * torch.randn(D, OUTPUTS, generator=generator)
    save_file({lower.get(k, k): v for k, v in state.items()}, path / "params.safetensors")
    raw = {"architecture": "jump_relu", "model_name": "gemma-v3-270m-pt", "hf_hook_point_in": "x"}
    raw |= {"hf_hook_point_out": "y", "affine_connection": True}
    (path / "config.json").write_text(json.dumps(raw))
    from_hub(path, loaders.gemma_3_sae_huggingface_loader, "layer_3_transcoder_affine")

    path = folder("llama_scope", "jumprelu")
    (path / "checkpoints").mkdir()
    state = params(34)
    save_file(
        {
            "encoder.weight": state["W_enc"].T.contiguous(),
            "encoder.bias": state["b_enc"],
            "decoder.weight": state["W_dec"].T.contiguous(),
            "decoder.bias": state["b_dec"],
        },
        path / "checkpoints" / "final.safetensors",
    )
    raw = {
        "act_fn": "jumprelu",
        "apply_decoder_bias_to_pre_encoder": False,
        "d_model": D,
        "d_sae": N,
        "dataset_average_activation_norm": {"in": 2.25, "out": 2.25},
        "hook_point_in": "blocks.3.hook_resid_post",
        "jump_relu_threshold": 0.5,
        "norm_activation": "dataset-wise",
        "use_glu_encoder": False,
    }
    (path / "hyperparams.json").write_text(json.dumps(raw, indent=1))
    from_hub(path, loaders.llama_scope_sae_huggingface_loader, name, D**0.5 / 2.25)


def dictionaries():
    for case, seed, dictionary in [
        ("auto_encoder", 41, AutoEncoder(D, N)),
        ("auto_encoder_new", 42, AutoEncoderNew(D, N)),
        ("gated", 43, GatedAutoEncoder(D, N)),
        ("top_k", 44, AutoEncoderTopK(D, N, 3)),
        ("batch_top_k", 45, BatchTopKSAE(D, N, 3)),
        ("batch_top_k_unset", 46, BatchTopKSAE(D, N, 3)),
        ("matryoshka", 47, MatryoshkaBatchTopKSAE(D, N, 3, [4, 12])),
        ("jump_relu", 48, JumpReluAutoEncoder(D, N)),
    ]:
        path = folder("dictionary_learning", case)
        randomize(dictionary, seed)
        if case in ("batch_top_k", "matryoshka"):
            dictionary.threshold.fill_(0.6)
        state = {name: value.contiguous() for name, value in dictionary.state_dict().items()}
        save_file(state, path / "ae.safetensors")
        config = {"trainer": {"dict_class": type(dictionary).__name__}, "buffer": {}}
        (path / "config.json").write_text(json.dumps(config))
        write_expected(path, dictionary.encode, dictionary.decode)


if __name__ == "__main__":
    shutil.rmtree(ROOT, ignore_errors=True)
    lens()
    sparsify()
    scopes()
    dictionaries()
