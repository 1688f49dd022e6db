"""Our metrics, in exact arithmetic, beside those of SAELens, SAEBench, and scikit-learn.

    python -m venv venv
    venv/bin/pip install torch scikit-learn "sae-lens==6.54.*" einops tqdm
    venv/bin/pip download --no-deps -d wheels "sae-bench==0.6.*"
    venv/bin/python tests/metrics/peers.py wheels/sae_bench-0.6.0-py3-none-any.whl

Run by hand. `exact` is the formula in the documentation of each of our metrics, computed in
rational numbers from the same floats; `exact.rs` beside this file makes the same data and
holds our code to these values. SAELens and scikit-learn are called; of SAEBench, whose requirements
exclude this SAELens, the function `get_sparsity_and_variance_metrics` is taken out of the wheel. The
peers get float64. SAELens and SAEBench take samples from a language model, so they are given one
that answers with ours.

Where they differ from us, and why:

    SAELens explained_variance         1 - E|e|^2 / (E|x|^2 - |E x|^2): ours, but the difference of two
                                       large numbers; below a variance of 1e-10 it is 1 or 0
    SAELens, SAEBench ..._legacy       1 - mean_i |e_i|^2/|x_i - x_batch|^2: another formula, which
                                       depends on the batches
    SAEBench explained_variance        1 - E|e|^2 / (E|x|^2 - (E|x|^2/d)^2): about 0, not about the
                                       mean, and each batch has the same weight
    SAELens mse                        E|e|^2: our mean_squared_error_norm, d times our mean_squared_error
    SAEBench mse                       1/m sum over the batches of the batch's E|e|^2: depends on the batches
    SAEBench feature_density           #{h > 0}/m: ours counts negative activations too, as SAELens does
    scikit-learn r2_score              ours, but nothing is scaled: 1e200 and 1e-200 are lost, and the mean
                                       of equal numbers is rounded, so that a constant may vary
"""

import ast
import sys
import types
import warnings
import zipfile
from fractions import Fraction

import einops
import numpy as np
import torch
from sae_lens import evals as sae_lens
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score
from tqdm import tqdm

SAMPLES, VISIBLE, UNITS = 16, 3, 5
EQUAL, UNEQUAL = [4, 4, 4, 4], [1, 7, 2, 6]


def entry(i, j):
    return ((37 * i + 101 * j) % 64) / 16 - 2


def error(i, j):
    return ((13 * i + 7 * j) % 8 - 3) / 32


def activation(i, j):
    return 0.0 if j == 4 else max(((5 * i + 11 * j) % 13 - 7) / 4, 0.0)


def table(m, make):
    return [[make(i, j) for j in range(VISIBLE)] for i in range(m)]


def scaled(scale, shift=0.0, m=SAMPLES):
    x = table(m, lambda i, j: shift + scale * entry(i, j))
    return x, table(m, lambda i, j: x[i][j] + scale * error(i, j))


def cases():
    plain = scaled(1.0)
    yield "plain", plain, EQUAL
    yield "unequal batches", plain, UNEQUAL
    yield "mean 1e8", scaled(1.0, 1e8), EQUAL
    x = table(SAMPLES, lambda i, j: 0.1 if j == 1 else entry(i, j))
    yield "constant column", (x, table(SAMPLES, lambda i, j: x[i][j] + error(i, j))), EQUAL
    x = table(SAMPLES, lambda i, j: 0.1)
    yield "all constant", (x, table(SAMPLES, lambda i, j: x[i][j] + error(i, j))), EQUAL
    yield "one sample", scaled(1.0, m=1), [1]
    yield "1e200", scaled(1e200), EQUAL
    yield "1e-200", scaled(1e-200), EQUAL
    large, small = scaled(1e200), scaled(1e-200)
    mixed = [[(a if i % 2 else b)[i] for i in range(SAMPLES)] for a, b in zip(large, small)]
    yield "1e200 and 1e-200", mixed, UNEQUAL
    x, x_hat = plain
    yield "duplicates", (x + x[:4], x_hat + x_hat[:4]), [20]
    yield "duplicates only", ([x[3]] * 4, [x_hat[3]] * 4), [4]


def exact(x, x_hat):
    x, x_hat = ([[Fraction(v) for v in row] for row in rows] for rows in (x, x_hat))
    m, d = len(x), len(x[0])
    e = [[b - a for a, b in zip(*rows)] for rows in zip(x, x_hat)]
    mean = lambda rows: [sum(column) / m for column in zip(*rows)]
    squares = lambda rows, about: sum((v - c) ** 2 for row in rows for v, c in zip(row, about))
    error, variance = squares(e, [0] * d), squares(x, mean(x))
    ratio = lambda a, b: None if b == 0 else a / b
    norms = [squares([row], [0] * d) for row in x]
    relative = None if 0 in norms else sum(squares([r], [0] * d) / n for r, n in zip(e, norms)) / m
    one_less = lambda value: None if value is None else 1 - value
    return {
        "explained_variance": one_less(ratio(error, variance)),
        "centered": one_less(ratio(squares(e, mean(e)), variance)),
        "mean_squared_error": error / (m * d),
        "mean_squared_error_norm": error / m,
        "normalized": relative,
    }


def show(value):
    if value is None or isinstance(value, str):
        return str(value)
    try:
        value = float(value)
    except OverflowError:
        value = float("inf")
    return f"{value:.15g}"


def function_of(wheel, file, name, scope):
    """A function of a file in a wheel, without what the file imports."""
    tree = ast.parse(zipfile.ZipFile(wheel).read(file))
    function = next(n for n in tree.body if getattr(n, "name", "") == name)
    function.returns = None
    for argument in function.args.args:
        argument.annotation = None
    exec(compile(ast.Module([function], []), file, "exec"), scope)
    return scope[name]


def peers_by(function, of_sae_lens, x, x_hat, h, batches):
    """What `function` makes of a model that answers with these samples, batch by batch."""
    x, x_hat, h = (torch.tensor(rows, dtype=torch.float64) for rows in (x, x_hat, h))
    parts = list(zip(*(torch.split(t, batches) for t in (x, x_hat, h))))
    state = {"next": -1}

    def tokens(_):
        state["next"] += 1
        return torch.zeros(1, batches[state["next"]], dtype=torch.long)

    now = lambda k: parts[state["next"]][k].unsqueeze(0)
    hook = types.SimpleNamespace(hook_name="blocks.0.x", hook_head_index=None, hook_layer=0)
    hook.metadata, hook.d_sae = hook, h.shape[1]
    sae = types.SimpleNamespace(
        cfg=hook, device="cpu", encode=lambda _: now(2), decode=lambda _: now(1)
    )
    model = types.SimpleNamespace(run_with_cache=lambda *_, **__: (None, {"blocks.0.x": now(0)}))
    store = types.SimpleNamespace(get_batch_tokens=tokens)
    same = lambda value: value
    scaler = [types.SimpleNamespace(scale=same, unscale=same)] if of_sae_lens else []
    return function(
        sae, model, store, *scaler, n_batches=len(batches), compute_l2_norms=False,
        compute_sparsity_metrics=True, compute_variance_metrics=True,
        compute_featurewise_density_statistics=True, eval_batch_size_prompts=1, model_kwargs={},
    )


def reconstruction(sae_bench):
    for name, (x, x_hat), batches in cases():
        h = [[activation(i, j) for j in range(UNITS)] for i in range(len(x))]
        print(f"\n{name}: {len(x)} samples in batches of {batches}")
        for metric, value in exact(x, x_hat).items():
            print(f"  exact     {metric:28} {show(value)}")
        functions = {"SAELens": sae_lens.get_sparsity_and_variance_metrics, "SAEBench": sae_bench}
        for peer, function in functions.items():
            metrics, _ = peers_by(function, peer == "SAELens", x, x_hat, h, batches)
            for metric in ["explained_variance", "explained_variance_legacy", "mse"]:
                print(f"  {peer:9} {metric:28} {show(metrics[metric])}")
        if len(x) > 1:
            score = r2_score(np.array(x), np.array(x_hat), multioutput="variance_weighted")
            print(f"  sklearn   {'r2 variance_weighted':28} {show(score)}")


def sparsity(sae_bench):
    plain = [[activation(i, j) for j in range(UNITS)] for i in range(SAMPLES)]
    signed = [[-v if j == 1 else v for j, v in enumerate(row)] for row in plain]
    tiny = [[v * 1e-200 for v in row] for row in plain]
    for name, h in [("plain", plain), ("a negative unit", signed), ("1e-200", tiny)]:
        counts = [sum(row[j] != 0 for row in h) for j in range(UNITS)]
        print(f"\nactivations, {name}, in batches of {UNEQUAL}")
        print(f"  exact     l0 {show(Fraction(sum(counts), len(h)))}, frequency", end=" ")
        print([c / len(h) for c in counts], "dead", [j for j, c in enumerate(counts) if c == 0])
        functions = {"SAELens": sae_lens.get_sparsity_and_variance_metrics, "SAEBench": sae_bench}
        for peer, function in functions.items():
            x, x_hat = scaled(1.0)
            metrics, units = peers_by(function, peer == "SAELens", x, x_hat, h, UNEQUAL)
            density = units["feature_density"]
            dead = [j for j, share in enumerate(density) if share == 0]
            print(f"  {peer:9} l0 {metrics['l0']}, frequency {density} dead {dead}")


def rankings():
    labels = [i * i % 7 < 3 for i in range(12)]
    yield "ties", [float(5 * i % 4) for i in range(12)], labels
    yield "all equal", [0.1] * 12, labels
    yield "1e200 and 1e-200", [(-1) ** i * 10.0 ** (200 - 400 * (i % 2)) * (i % 5) for i in range(12)], labels
    yield "ends of the range", [(i % 4 - 1.5) * 1e308 for i in range(12)], labels
    yield "1 and the next number", [1.0 + 2**-52 * (7 * i % 3) for i in range(12)], labels
    yield "0 and -0", [0.0 if i % 2 else -0.0 for i in range(12)], labels
    yield "one positive", [float(i % 6) for i in range(12)], [i == 4 for i in range(12)]


def exact_ranking(scores, labels):
    p, n = sum(labels), len(labels) - sum(labels)
    pairs = [(a, b) for a, l in zip(scores, labels) if l for b, k in zip(scores, labels) if not k]
    auc = sum(Fraction(1) if a > b else Fraction(int(a == b), 2) for a, b in pairs) / (p * n)
    precision = Fraction(0)
    for score in {s for s, l in zip(scores, labels) if l}:
        above = [l for s, l in zip(scores, labels) if s >= score]
        hits = sum(l and s == score for s, l in zip(scores, labels))
        precision += Fraction(hits, p) * Fraction(sum(above), len(above))
    return auc, precision


def ranking():
    for name, scores, labels in rankings():
        auc, precision = exact_ranking(scores, labels)
        print(f"\nscores, {name}")
        print(f"  exact     AUC {auc} = {show(auc)}, AP {precision} = {show(precision)}")
        theirs = roc_auc_score(labels, scores), average_precision_score(labels, scores)
        print(f"  sklearn   AUC {show(theirs[0])}, AP {show(theirs[1])}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    function = function_of(
        sys.argv[1],
        "sae_bench/evals/core/main.py",
        "get_sparsity_and_variance_metrics",
        {"torch": torch, "einops": einops, "tqdm": tqdm},
    )
    reconstruction(function)
    sparsity(function)
    ranking()
