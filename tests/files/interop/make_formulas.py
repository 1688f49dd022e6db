"""Writes formulas/: files of Llama Scope's library in each of its modes, with what its formulas give.

    pip install numpy
    python make_formulas.py

NumPy alone, in float64, from the formulas of the library's two generations: nothing of the library is
run. Of the first, the formulas are those of a model after loading, with the scales and the norms of the
decoder in its weights. Each folder holds expected.safetensors with samples, hidden activations in units of
the scaled input, reconstructions, and the activations that the library itself returns.
"""

import json
import shutil
import struct
from pathlib import Path

import numpy as np

D, N, SAMPLES = 6, 12, 5
ROOT = Path(__file__).parent / "formulas" / "llama_scope"


def write(path, tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        values = np.ascontiguousarray(values, dtype="<f8")
        start = len(data)
        data += values.tobytes()
        header[name] = {"dtype": "F64", "shape": list(values.shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def parameters(seed):
    rng = np.random.default_rng(seed)
    return {
        "W": 0.4 * rng.standard_normal((N, D)),
        "b": 0.4 * rng.standard_normal(N),
        # Norms from 0.3 to 2.
        "D": rng.standard_normal((D, N)) * np.geomspace(0.12, 0.8, N),
        "c": 0.7 * rng.standard_normal(D),
        "x": rng.standard_normal((SAMPLES, D)),
    }


def largest(scores, values, k):
    kept = np.zeros_like(values)
    for row, (score, value) in enumerate(zip(scores, values)):
        best = np.argsort(-np.maximum(score, 0))[:k]
        kept[row, best] = np.maximum(value[best], 0)
    return kept


def finish(folder, x, hidden, original, reconstructions):
    share = (hidden != 0).mean()
    assert 0.06 < share < 0.7, f"{folder}: {share} of the units are active"
    expected = {"samples": x, "hidden": hidden, "original": original, "reconstructions": reconstructions}
    write(folder / "expected.safetensors", expected)


def first(case, seed, change=(), norms=(2.25, 2.25), bias=True):
    """hyperparams.json, and what the library's first generation makes of it as it loads."""
    folder = ROOT / case
    p = parameters(seed)
    config = {
        "act_fn": "jumprelu",
        "apply_decoder_bias_to_pre_encoder": False,
        "bias_init_method": "all_zero",
        "d_model": D,
        "d_sae": N,
        "dataset_average_activation_norm": {"in": norms[0], "out": norms[1]},
        "decoder_exactly_fixed_norm": False,
        "device": "cuda",
        "dtype": "torch.bfloat16",
        "expansion_factor": N // D,
        "hook_point_in": "blocks.3.hook_resid_post",
        "hook_point_out": "blocks.3.hook_resid_post",
        "jump_relu_threshold": 0.35,
        "norm_activation": "dataset-wise",
        "sparsity_include_decoder_norm": True,
        "top_k": 3,
        "use_decoder_bias": True,
        "use_glu_encoder": False,
    }
    for key, value in dict(change).items():
        if value is None:
            del config[key]
        else:
            config[key] = value
    tensors = {"encoder.weight": p["W"], "encoder.bias": p["b"], "decoder.weight": p["D"], "decoder.bias": p["c"]}
    if not bias:
        del tensors["decoder.bias"]
        p["c"] = np.zeros(D)
    folder.mkdir(parents=True)
    (folder / "hyperparams.json").write_text(json.dumps(config, indent=1))
    write(folder / "checkpoints" / "final.safetensors", tensors)

    W, b, dec, c, x = (p[name] for name in ("W", "b", "D", "c", "x"))
    s, r = 1.0, 1.0
    if config["norm_activation"] == "dataset-wise":
        s, r = (np.sqrt(D) / norm for norm in norms)
        b, c, dec = b / s, c / r, dec * s / r
    lengths = np.ones(N)
    if config.get("sparsity_include_decoder_norm", False):
        lengths = np.linalg.norm(dec, axis=0)
        dec, W, b = dec / lengths, W * lengths[:, None], b * lengths
    before = c if bias and config.get("apply_decoder_bias_to_pre_encoder", True) else 0
    pre = (x - before) @ W.T + b
    act_fn, threshold = config["act_fn"], config["jump_relu_threshold"]
    if act_fn == "topk" and threshold > 0:
        act_fn = "jumprelu"
    if act_fn == "jumprelu":
        original = np.where(pre > threshold, pre, 0)
    elif act_fn == "relu":
        original = np.maximum(pre, 0)
    else:
        original = largest(pre, pre, config["top_k"])
    # Of topk, the norms stay in the activations, divided by the same scale as those of the decoder.
    hidden = original * s / lengths
    if act_fn == "topk":
        hidden = original * r if config["sparsity_include_decoder_norm"] else original * s
    finish(folder, x, hidden, original, original @ dec.T + c)


def later(case, seed, change=(), norms=(2.25, 2.25), short=True):
    """config.json, and what the library's later generation computes."""
    folder = ROOT / case
    p = parameters(seed)
    thresholds = np.random.default_rng(seed + 100).uniform(0.1, 0.6, N)
    hook = "blocks.3.hook_resid_post"
    config = {
        "sae_type": "sae",
        "d_model": D,
        "expansion_factor": N / D,
        "use_decoder_bias": True,
        "act_fn": "jumprelu",
        "norm_activation": "dataset-wise",
        "sparsity_include_decoder_norm": True,
        "top_k": 3,
        "use_triton_kernel": False,
        "sparsity_threshold_for_triton_spmm_kernel": 0.996,
        "jumprelu_threshold_window": 2.0,
        "hook_point_in": hook,
        "hook_point_out": hook,
        "use_glu_encoder": False,
    }
    for key, value in dict(change).items():
        if value is None:
            del config[key]
        else:
            config[key] = value
    W, b, dec, c, x = (p[name] for name in ("W", "b", "D", "c", "x"))
    if short:
        tensors = {"W_E": W.T, "b_E": b, "W_D": dec.T, "b_D": c}
        name = "activation_function.log_jumprelu_threshold"
    else:
        tensors = {"encoder.weight": W, "encoder.bias": b, "decoder.weight": dec, "decoder.bias": c}
        name = "log_jumprelu_threshold"
    if config["act_fn"] == "jumprelu":
        tensors[name] = np.log(thresholds)
    tensors[f"dataset_average_activation_norm.{hook}"] = np.array(norms[0])
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    write(folder / "sae_weights.safetensors", tensors)

    s = np.sqrt(D) / norms[0] if config["norm_activation"] == "dataset-wise" else 1.0
    by_norm = config.get("sparsity_include_decoder_norm", True)
    lengths = np.linalg.norm(dec, axis=0) if by_norm else np.ones(N)
    before = c if config.get("apply_decoder_bias_to_pre_encoder", False) else 0
    pre = (s * x - before) @ W.T + b
    if config["act_fn"] == "jumprelu":
        original = pre * (pre * lengths > thresholds)
    elif config["act_fn"] == "relu":
        original = pre * (pre > 0)
    else:
        original = largest(pre * lengths, pre, config["top_k"])
    # Of topk, they come out in units of the decoder's columns.
    hidden = original * lengths if config["act_fn"] == "topk" else original
    finish(folder, x, hidden, original, (original @ dec.T + c) / s)


if __name__ == "__main__":
    shutil.rmtree(ROOT, ignore_errors=True)
    without = {"sparsity_include_decoder_norm": False}
    first("first", 1, without)
    first("first_norm", 2)
    first("first_default_bias", 3, {"apply_decoder_bias_to_pre_encoder": None})
    first("first_centered", 4, {"apply_decoder_bias_to_pre_encoder": True, **without})
    first("first_in_out", 5, norms=(2.25, 1.5))
    first("first_in_out_centered", 13, {"apply_decoder_bias_to_pre_encoder": True}, norms=(2.25, 1.5))
    first("first_in_out_without_norm", 6, without, norms=(2.25, 1.5))
    first("first_inference", 7, {"norm_activation": "inference"})
    first("first_without_bias", 8, {"use_decoder_bias": False, "apply_decoder_bias_to_pre_encoder": None}, bias=False)
    first("first_relu", 9, {"act_fn": "relu"})
    first("first_topk", 10, {"act_fn": "topk", "jump_relu_threshold": 0.0, **without})
    first("first_topk_norm", 11, {"act_fn": "topk", "jump_relu_threshold": 0.0}, norms=(2.25, 1.5))
    first("first_topk_converted", 12, {"act_fn": "topk"})
    later("later", 21, without)
    later("later_default_norm", 22, {"sparsity_include_decoder_norm": None})
    later("later_inference", 23, {"norm_activation": "inference"}, short=False)
    later("later_centered", 24, {"apply_decoder_bias_to_pre_encoder": True}, short=False)
    later("later_relu", 25, {"act_fn": "relu"})
    later("later_topk", 26, {"act_fn": "topk", **without})
    later("later_topk_norm", 27, {"act_fn": "topk"})
