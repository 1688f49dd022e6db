"""One training run of each library that equal_training.py compares.

All take the same samples, the same batches in the same order, Adam, and the same schedule of the
learning rate. Everything else is what the library documents:

- SAELens: `SAETrainer` over its training classes, with their defaults. The coefficients of penalties rise over 5 %
  of the steps. JumpReLU has the settings that the documentation names after Anthropic (tanh penalty, bandwidth 2,
  initial threshold 0.1, pre-activation loss), not the defaults (step penalty, bandwidth 0.05, threshold 0.01, no such
  loss). Scores come from the inference model that it saves.
- dictionary_learning: `update` of its trainers, step by step, as `trainSAE` calls it. Defaults, except
  lengths that count steps or samples: warm-up, dead units, and the averaging of the threshold, whose
  rate is that of SAELens.

The auxiliary losses of both train units without an activation for `dead_after` steps.
"""

import json
import os
import subprocess
import tempfile
import time
from importlib import metadata
from itertools import combinations

import numpy as np

MATRYOSHKA = (32, 8, 2)  # the prefixes are these parts of the width


def batches(setting):
    import torch

    samples = np.load(setting["training"], mmap_mode="r")
    order = np.fromfile(setting["batches"], dtype="<u4").reshape(-1, setting["batch"])
    for indices in order[: setting["steps"]]:
        yield torch.from_numpy(samples[indices])


def sae_lens(setting):
    """Returns `encode`, `decode`, and the decoder, units × inputs."""
    import sae_lens as sl
    import torch
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    steps, width, knob = setting["steps"], setting["width"], setting["knob"]
    shared = {"d_in": setting["inputs"], "d_sae": width}
    rise = max(1, steps // 20)
    torch.manual_seed(setting["seed"])
    match setting["variant"]:
        case "l1":
            sae = sl.StandardTrainingSAE(
                sl.StandardTrainingSAEConfig(**shared, l1_coefficient=knob, l1_warm_up_steps=rise)
            )
        case "gated":
            sae = sl.GatedTrainingSAE(
                sl.GatedTrainingSAEConfig(**shared, l1_coefficient=knob, l1_warm_up_steps=rise)
            )
        case "topk":
            sae = sl.TopKTrainingSAE(sl.TopKTrainingSAEConfig(**shared, k=knob))
        case "batchtopk":
            sae = sl.BatchTopKTrainingSAE(sl.BatchTopKTrainingSAEConfig(**shared, k=knob))
        case "matryoshka":
            widths = [width // part for part in MATRYOSHKA] + [width]
            sae = sl.MatryoshkaBatchTopKTrainingSAE(
                sl.MatryoshkaBatchTopKTrainingSAEConfig(**shared, k=knob, matryoshka_widths=widths)
            )
        case "jumprelu":
            mode = {
                "jumprelu_sparsity_loss_mode": "tanh",
                "jumprelu_bandwidth": 2.0,
                "jumprelu_init_threshold": 0.1,
                "pre_act_loss_coefficient": 3e-6,
            }
            sae = sl.JumpReLUTrainingSAE(
                sl.JumpReLUTrainingSAEConfig(**shared, l0_coefficient=knob, l0_warm_up_steps=rise, **mode)
            )
    trainer = SAETrainer(
        SAETrainerConfig(
            total_training_samples=steps * setting["batch"],
            train_batch_size_samples=setting["batch"],
            lr=setting["rate"],
            lr_end=setting["rate"] / 10,  # unused by "constant"
            lr_warm_up_steps=setting["warm_up"],
            lr_decay_steps=steps - setting["warm_up"],
            dead_feature_window=setting["dead_after"],
        ),
        sae,
        batches(setting),
    )
    trainer.fit()
    with tempfile.TemporaryDirectory() as temporary:
        folder = setting.get("model", temporary)
        sae.save_inference_model(folder)
        sae = sl.SAE.load_from_disk(folder)
    return sae.encode, sae.decode, sae.W_dec.detach().numpy()


def dictionary_learning(setting):
    """Returns `encode`, `decode`, and the decoder, units × inputs."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer

    steps, warm_up = setting["steps"], setting["warm_up"]
    trainer = {"topk": TopKTrainer, "batchtopk": BatchTopKTrainer}[setting["variant"]](
        steps=steps,
        activation_dim=setting["inputs"],
        dict_size=setting["width"],
        k=setting["knob"],
        layer=0,
        lm_name="",
        lr=setting["rate"],
        warmup_steps=warm_up,
        decay_start=warm_up + 1,
        threshold_beta=0.99,
        threshold_start_step=steps // 10,
        seed=setting["seed"],
        device="cpu",
    )
    trainer.dead_feature_threshold = setting["dead_after"] * setting["batch"]
    for step, batch in enumerate(batches(setting)):
        trainer.update(step, batch)
    model = trainer.ae
    return model.encode, model.decode, model.decoder.weight.T.detach().numpy()


def scores(encode, decode, samples, reconstruct=True):
    """Returns L0, FVU = Σ‖e‖² / Σ‖x − x̄‖², and the percentage of units without an activation."""
    import torch

    error, active, fired = 0.0, 0, None
    with torch.no_grad():
        for start in range(0, len(samples), 1000):
            chunk = torch.from_numpy(np.array(samples[start : start + 1000]))
            hidden = encode(chunk)
            on = hidden != 0
            active += int(on.sum())
            fired = on.any(0) if fired is None else fired | on.any(0)
            if reconstruct:
                error += float((decode(hidden) - chunk).double().pow(2).sum())
    fvu = error / deviation(samples) if reconstruct else None
    return active / len(samples), fvu, 100 * float((~fired).double().mean())


def deviation(samples):
    """Returns Σ‖x − x̄‖²."""
    mean = samples.mean(axis=0, dtype=np.float64)
    return float(sum(((part - mean) ** 2).sum() for part in np.array_split(samples, 10)))


def run(setting, binary):
    """Trains and returns L0, FVU, the dead units in percent, and the seconds of the training."""
    if setting["library"].startswith("ours"):
        environment = os.environ | {"RAYON_NUM_THREADS": "1"}
        text = json.dumps(setting)
        done = subprocess.run([binary, text], env=environment, capture_output=True, text=True)
        if done.returncode < 0:
            raise SystemExit(f"signal {-done.returncode} ended {binary}")
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout.splitlines()[-1])
    start, used = time.perf_counter(), time.process_time()
    encode, decode, decoder = globals()[setting["library"]](setting)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    evaluated = np.load(setting["evaluated"], mmap_mode="r")[setting["evaluated_from"] :]
    l0, fvu, _ = scores(encode, decode, evaluated)
    version = metadata.version(setting["library"].replace("_", "-"))
    result = {"version": version, "l0": l0, "fvu": fvu, "seconds": seconds, "processor_seconds": used}
    if setting.get("decoder"):
        np.save(setting["decoder"], decoder.astype(np.float16))
        training = np.load(setting["training"], mmap_mode="r")
        result["dead"] = scores(encode, decode, training, reconstruct=False)[2]
    return result


def principal_components(training, test, active):
    """Returns FVU of the reconstruction by as many principal components as there are active units."""
    mean = training.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(np.cov(training.T.astype(np.float64)))
    components = vectors[:, np.argsort(values)[-active:]]
    centered = test - mean
    error = ((centered - centered @ components @ components.T) ** 2).sum()
    return float(error / deviation(test))


def random_directions(training, test, active, width):
    """Returns FVU of the reconstruction by the random directions with the largest products with the sample
    minus the mean, with the amplitudes of least squares."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(width, training.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centered = test - training.mean(axis=0, dtype=np.float64)
    products = centered @ directions.T
    gram = directions @ directions.T
    chosen = np.argpartition(-products, active, axis=1)[:, :active]
    right = np.take_along_axis(products, chosen, axis=1)
    amplitudes = np.linalg.solve(gram[chosen[:, :, None], chosen[:, None, :]], right[:, :, None])[:, :, 0]
    # With least squares, the error is orthogonal to the reconstruction.
    error = (centered**2).sum() - (amplitudes * right).sum()
    return float(error / deviation(test))


def agreement(decoders):
    """Returns the mean cosine of the units of two decoders, one matched to one: the mean over all pairs of these decoders,
    units × inputs."""
    from scipy.optimize import linear_sum_assignment

    unit = [(d / np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-12)).astype(np.float32) for d in decoders]
    values = []
    for one, other in combinations(unit, 2):
        cosines = np.abs(one @ other.T)
        values.append(cosines[linear_sum_assignment(-cosines)].mean())
    return float(np.mean(values))
