"""Equal training, measured: this crate, SAELens, and dictionary_learning on the same batches.

    pip install -r experiments/peers/requirements-features.txt
    cargo build --release -p experiments --bin equal_training
    python experiments/peers/equal_training.py prepare FOLDER --minilm ACTIVATIONS
    python experiments/peers/equal_training.py run FOLDER [--workers 2] [--only LIBRARY] [--only-variant V] [--only-data D]
    python experiments/peers/equal_training.py report FOLDER

FOLDER is a working folder: data, batches, and decoders. ACTIVATIONS holds `layer3_train_20000x384_f16.npy`
and `layer3_test_4000x384_f16.npy`; Fashion-MNIST is that of Debian's package `dataset-fashion-mnist`.
Runs are lines of `FOLDER/equal_training.jsonl`; `run` skips those already there.

**The same for all**: samples scaled to a mean norm of √inputs, not centered; batches, in one order per seed;
steps; width; Adam; a rate that rises over 2 % of the steps and then falls linearly to 0; Matryoshka's prefixes
(1/32, 1/8, 1/2). Their auxiliary losses train units without an activation for 5 % of the steps in the other
libraries, and for 1 %, at least 10 steps, in this crate, whose `Recipe` says so.

**Equal L0**: every variant has a setting that moves L0 (k, a target, or the coefficient of a penalty). A pair of
runs aims just below the lower and just above the higher of the two L0; log FVU is interpolated
over log L0, both measured on the samples of the score. Settings come from the runs so far, by the secant. TopK has
its L0 by itself.

**Learning rate**: of 1e-3, 3e-3, and 1e-2, and one more beyond the border if the best lies there (3e-4, 3e-2). One for
each library, variant, and data: the least mean log FVU at the two L0, at the short budget, with seed 0, trained on 90 % of
the training samples and scored on the others. A rate with a run near each L0 (`BRACKETS`) is before one without.
Then seeds 1 to 3 at both budgets, scored on the test samples. Runs of `ours_default` leave the rate to the recipe.
"""

import argparse
import fcntl
import gzip
import json
import math
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import feature_libraries
import numpy as np

os.environ["TQDM_DISABLE"] = "1"

FASHION = Path("/usr/share/datasets/fashion-mnist")
DATA = {
    "minilm": {"width": 768, "batch": 512, "active": (16, 32)},
    "fashion": {"width": 1024, "batch": 256, "active": (8, 16)},
}
BUDGETS = {"short": 500, "long": 2000}
RATES = [1e-3, 3e-3, 1e-2]
BEYOND = [3e-4, 3e-2]
TUNING_SEED, SEEDS = 0, (1, 2, 3)
VARIANTS = ("l1", "gated", "topk", "batchtopk", "jumprelu", "matryoshka")
LIBRARIES = {
    "ours": VARIANTS + ("frozen",),
    "ours_default": VARIANTS,
    "sae_lens": VARIANTS,
    "dictionary_learning": ("topk", "batchtopk"),
}
# Where the search for a penalty's coefficient starts.
COEFFICIENTS = {"l1": 2.0, "gated": 2.0, "jumprelu": 1.0}
# Accepted ratios of a run's L0 to the lower and to the higher L0.
BRACKETS = {"tune": ((0.7, 1.05), (0.95, 1.4)), "test": ((0.75, 1.02), (0.98, 1.3))}
AIMS = (0.94, 1.06)


# --- data


def idx_pictures(path):
    with gzip.open(path) as file:
        content = file.read()
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255


def prepare(folder, activations):
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"fashion": [idx_pictures(FASHION / f"{name}-images-idx3-ubyte.gz") for name in ("train", "t10k")]}
    if activations:
        names = ("layer3_train_20000x384_f16.npy", "layer3_test_4000x384_f16.npy")
        parts["minilm"] = [np.load(activations / name).astype(np.float32) for name in names]
    for data, (training, test) in parts.items():
        norm = np.linalg.norm(training.astype(np.float64), axis=1).mean()
        factor = np.float32(math.sqrt(training.shape[1]) / norm)
        np.save(folder / f"{data}_training.npy", training * factor)
        np.save(folder / f"{data}_test.npy", test * factor)


def batches_file(folder, data, count, seed, steps):
    """Writes the indices of `steps` batches of `count` samples, epoch after epoch, each in another order."""
    batch = DATA[data]["batch"]
    path = folder / f"{data}_batches_{count}_{seed}.u32"
    if not path.exists() or path.stat().st_size < 4 * steps * batch:
        rng = np.random.default_rng(seed)
        epochs = -(-steps // (count // batch))
        order = [rng.permutation(count)[: count // batch * batch] for _ in range(epochs)]
        partial = path.with_suffix(f".{os.getpid()}")
        np.concatenate(order).astype("<u4").tofile(partial)
        partial.rename(path)
    return str(path)


# --- runs


class Runs:
    """The lines of a file, shared by several processes."""

    IDENTITY = ("library", "variant", "data", "part", "steps", "rate", "knob", "seed")

    def __init__(self, path):
        self.path = path

    def read(self):
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def find(self, setting):
        same = (run for run in self.read() if all(run[key] == setting[key] for key in self.IDENTITY))
        return next(same, None)

    def add(self, run):
        with self.path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(run) + "\n")


class Chain:
    """All runs of one variant of one library on one data set, one after another."""

    def __init__(self, library, variant, data, options):
        self.library, self.variant, self.data, self.options = library, variant, data, options
        self.folder = Path(options.folder)
        self.steps = dict(zip(BUDGETS, options.steps))
        self.runs = Runs(self.folder / "equal_training.jsonl")

    def train(self, part, steps, rate, knob, seed):
        shape = DATA[self.data]
        training = self.folder / f"{self.data}_training.npy"
        count, inputs = np.load(training, mmap_mode="r").shape
        held_out = count // 10 if part == "tune" else 0
        setting = {
            "library": self.library,
            "variant": self.variant,
            "data": self.data,
            "part": part,
            "steps": steps,
            "rate": rate,
            "knob": knob,
            "seed": seed,
            "inputs": inputs,
            "width": shape["width"],
            "batch": shape["batch"],
            "warm_up": max(1, steps // 50),
            "dead_after": max(1, steps // 20),
        }
        if known := self.runs.find(setting):
            return known
        files = {
            "training": str(training),
            "batches": batches_file(self.folder, self.data, count - held_out, seed, steps),
            "evaluated": str(training if part == "tune" else self.folder / f"{self.data}_test.npy"),
            "evaluated_from": count - held_out if part == "tune" else 0,
        }
        if part == "test":
            name = "_".join(str(setting[key]) for key in Runs.IDENTITY)
            (self.folder / "decoders").mkdir(exist_ok=True)
            files["decoder"] = str(self.folder / "decoders" / f"{name}.npy")
        try:
            scores = feature_libraries.run(setting | files, self.options.binary)
        except RuntimeError as error:  # diverged
            scores = {"l0": 0.0, "fvu": None, "dead": 100.0, "seconds": 0.0, "error": str(error)}
        run = setting | scores
        self.runs.add(run)
        print(*(f"{run[key]}" for key in Runs.IDENTITY), f"L0 {run['l0']:.2f}, FVU {run['fvu']}", flush=True)
        return run

    def counted(self):
        """Returns whether the setting that moves L0 is a number of units."""
        return self.library.startswith("ours") or self.variant in ("topk", "batchtopk", "matryoshka")

    def knob(self, aim, own, hints):
        """Returns the setting for L0 = `aim` by the nearest runs. Those of other steps or rates, `hints`, count with
        the mean difference that the `own` have to them."""
        points = {(run["knob"], log_l0(run)) for run in own}
        others = sorted((math.log(run["knob"]), log_l0(run)) for run in hints)
        if others:
            here = [np.interp(math.log(knob), *zip(*others)) for knob, _ in points]
            shift = sum(l0 - other for (_, l0), other in zip(points, here)) / max(1, len(points))
            points |= {(run["knob"], log_l0(run) + shift) for run in hints}
        points = sorted(points, key=lambda point: abs(point[1] - math.log(aim)))
        if not points:
            return round(aim) if self.counted() else COEFFICIENTS[self.variant]
        (knob, l0), others = points[0], points[1:]
        slope = 1.0 if self.counted() else -1.0
        for other, other_l0 in others:
            if abs(math.log(other / knob)) > 0.02:
                measured = (l0 - other_l0) / math.log(knob / other)
                slope = math.copysign(min(max(measured / slope, 0.3), 4.0), slope)
                break
        change = min(max((math.log(aim) - l0) / slope, -math.log(4)), math.log(4))
        wanted = knob * math.exp(change)
        return max(1, round(wanted)) if self.counted() else float(f"{wanted:.4g}")

    def beyond(self, knob, aim, own):
        """Returns a setting that was not tried, on the side of `knob` that should move L0 toward `aim`."""
        up = (aim > own[knob]["l0"]) == self.counted()
        if self.counted():
            return max(own) + 1 if up else max(1, min(own) - 1)
        return max(own) * 2 if up else min(own) / 2

    def pair(self, part, steps, rate, seed, hints):
        """Trains until two runs bracket the two L0. Returns all runs of these settings."""
        low, high = DATA[self.data]["active"]
        if self.variant in ("topk", "frozen"):
            return [self.train(part, steps, rate, active, seed) for active in (low, high)]
        own = {}
        for l0, aim, ratios in zip((low, high), AIMS, BRACKETS[part]):
            for _ in range(self.options.tries):
                if reached(l0, ratios, own.values()):
                    break
                knob = self.knob(aim * l0, list(own.values()), hints)
                if knob in own:
                    knob = self.beyond(knob, aim * l0, own)
                own[knob] = self.train(part, steps, rate, knob, seed)
                if not finite(own[knob]["fvu"]):
                    return list(own.values())
        return list(own.values())

    def tune(self):
        """Returns the best learning rate and the runs with it."""
        low_and_high = DATA[self.data]["active"]
        tuned, hints = {}, []

        def score(rate):
            runs = self.pair("tune", self.steps["short"], rate, TUNING_SEED, hints)
            tuned[rate] = runs
            hints[:] = [run for run in runs if run["l0"] > 0] or hints
            both = all(reached(l0, ratios, runs) for l0, ratios in zip(low_and_high, BRACKETS["tune"]))
            return not both, sum(log_fvu_at(l0, runs)[0] for l0 in low_and_high)

        scored = {rate: score(rate) for rate in RATES}
        best = min(scored, key=scored.get)
        for border, beyond in zip((RATES[0], RATES[-1]), BEYOND):
            if best == border:
                scored[beyond] = score(beyond)
        best = min(scored, key=scored.get)
        return best, tuned[best]

    def all(self):
        rate, hints = (None, []) if self.library == "ours_default" else self.tune()
        for budget in ("short", "long"):
            if self.options.budget in (None, budget):
                for seed in SEEDS:
                    runs = self.pair("test", self.steps[budget], rate, seed, hints)
                    hints = runs if seed == SEEDS[0] else hints + runs
        return f"{self.library} {self.variant} {self.data}"


def reached(l0, ratios, runs):
    """Returns whether a run has about this L0: a ratio to it in the range."""
    least, most = ratios
    return any(least <= run["l0"] / l0 <= most for run in runs)


def log_l0(run):
    return math.log(max(run["l0"], 1e-2))


def finite(fvu):
    return fvu is not None and math.isfinite(fvu)


def log_fvu_at(l0, runs):
    """Returns log FVU at this L0 and whether runs bracket it, with 2 % of tolerance."""
    points = {}
    for run in runs:
        if finite(run["fvu"]):
            points[log_l0(run)] = math.log(run["fvu"])
    aim = math.log(l0)
    below = sorted(point for point in points.items() if point[0] <= aim)
    above = sorted(point for point in points.items() if point[0] > aim)
    if below and above:
        ends = [below[-1], above[0]]
    else:
        ends = below[-2:] or above[:2]
    if not ends:
        return math.inf, False
    if len(ends) == 1:
        return ends[0][1], abs(ends[0][0] - aim) < 0.02
    (x0, y0), (x1, y1) = ends
    value = y0 + (y1 - y0) * (aim - x0) / (x1 - x0)
    near = min(abs(x0 - aim), abs(x1 - aim)) < 0.02
    return value, near or bool(below and above)


def baselines(options):
    """Adds principal components and random directions."""
    runs = Runs(options.folder / "equal_training.jsonl")
    for data, shape in DATA.items():
        files = [options.folder / f"{data}_{part}.npy" for part in ("training", "test")]
        for active in shape["active"]:
            for name in ("principal components", "random directions"):
                run = {"library": "baseline", "variant": name, "data": data, "part": "test"}
                run |= {"steps": 0, "rate": 0.0, "knob": active, "seed": 0, "l0": active}
                if runs.find(run) or not files[0].exists():
                    continue
                training, test = (np.load(file) for file in files)
                if name == "principal components":
                    fvu = feature_libraries.principal_components(training, test, active)
                else:
                    fvu = feature_libraries.random_directions(training, test, active, shape["width"])
                runs.add(run | {"fvu": fvu})


def chain(library, variant, data, options):
    import torch

    torch.set_num_threads(1)
    return Chain(library, variant, data, options).all()


def run_all(options):
    chains = [
        (library, variant, data)
        for library, variants in LIBRARIES.items()
        for data in DATA
        if options.only_data in (None, data)
        for variant in variants
        if options.only in (None, library)
        and options.only_variant in (None, variant)
        and (Path(options.folder) / f"{data}_training.npy").exists()
    ]
    if options.only is None:
        baselines(options)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=spawn) as pool:
        futures = {pool.submit(chain, *names, options): names for names in chains}
        for future in as_completed(futures):
            if error := future.exception():
                print("failed:", *futures[future], error, file=sys.stderr, flush=True)
            else:
                print("done:", future.result(), flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("prepare", "run", "report"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minilm", type=Path, help="the folder of the activations, for `prepare`")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", choices=LIBRARIES)
    parser.add_argument("--only-variant", choices=VARIANTS + ("frozen",))
    parser.add_argument("--only-data", choices=DATA)
    parser.add_argument("--budget", choices=BUDGETS)
    parser.add_argument("--steps", type=int, nargs=2, default=list(BUDGETS.values()), metavar=tuple(BUDGETS))
    parser.add_argument("--tries", type=int, default=6, help="runs to reach one L0, at most")
    parser.add_argument("--binary", default="target/release/equal_training")
    return parser.parse_args()


def main():
    options = arguments()
    if options.command == "prepare":
        prepare(options.folder, options.minilm)
    elif options.command == "run":
        run_all(options)
    else:
        import feature_report

        feature_report.report(options.folder)


if __name__ == "__main__":
    main()
