"""The tables of equal_training.py, in Markdown."""

import math
from collections import defaultdict

import feature_libraries
import numpy as np
from equal_training import DATA, LIBRARIES, SEEDS, VARIANTS, Runs, log_fvu_at, log_l0

NAMES = {
    "ours": "ours",
    "ours_default": "ours, default rate",
    "sae_lens": "SAELens",
    "dictionary_learning": "dictionary_learning",
}
OURS = [library for library in NAMES if library.startswith("ours")]
TITLES = {"minilm": "MiniLM, layer 3", "fashion": "Fashion-MNIST"}


def mean_and_deviation(values):
    return np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0.0


def nearest(l0, runs):
    return min(runs, key=lambda run: abs(log_l0(run) - math.log(l0)))


def cell(l0, runs):
    """Returns FVU at this L0, dead units, and agreement over the seeds, and whether all is bracketed."""
    fvu, dead, decoders, bracketed = [], [], [], True
    for seed in SEEDS:
        of_seed = [run for run in runs if run["seed"] == seed]
        if not of_seed:
            continue
        value, inside = log_fvu_at(l0, of_seed)
        fvu.append(math.exp(value))
        bracketed &= inside
        near = nearest(l0, of_seed)
        dead.append(near["dead"])
        decoders.append(near)
    return {"fvu": fvu, "dead": dead, "bracketed": bracketed, "runs": decoders}


def agreement(folder, runs):
    """Returns the mean cosine of the units of two seeds as text, empty without two decoders."""
    names = ("_".join(str(run[key]) for key in Runs.IDENTITY) for run in runs)
    paths = (folder / "decoders" / f"{name}.npy" for name in names)
    decoders = [np.load(path) for path in paths if path.exists()]
    return f"{feature_libraries.agreement(decoders):.2f}" if len(decoders) > 1 else ""


def shown(value):
    if value is None:
        return ""
    mean, deviation = mean_and_deviation(value["fvu"])
    return f"{mean:.4f} ± {deviation:.4f}" + ("" if value["bracketed"] else " (extrapolated)")


def verdict(ours, other):
    """Returns the ratio of the means, and the difference in pooled standard deviations."""
    (mean, deviation), (other_mean, other_deviation) = (mean_and_deviation(c["fvu"]) for c in (ours, other))
    pooled = math.sqrt((deviation**2 + other_deviation**2) / 2)
    difference = mean - other_mean
    ratio = mean / other_mean
    word = "better" if difference < -pooled else "worse" if difference > pooled else "equal"
    return ratio, f"{ratio:.3f}, {difference / max(pooled, 1e-12):+.1f} sd, {word}"


def shown_rate(rate):
    return "recipe" if rate is None else f"{rate:g}"


def geometric_mean(values):
    return f"{math.exp(np.mean(np.log(values))):.3f}" if values else ""


def report(folder):
    runs = Runs(folder / "equal_training.jsonl").read()
    groups = defaultdict(list)
    for run in runs:
        if run["part"] == "test" and run["library"] != "baseline":
            groups[run["data"], run["steps"], run["library"], run["variant"]].append(run)
    budgets = sorted({(data, steps) for data, steps, _, _ in groups})
    ratios = defaultdict(lambda: defaultdict(list))
    for data, steps in budgets:
        for l0 in DATA[data]["active"]:
            print(f"\n### {TITLES[data]}, {steps} steps of {DATA[data]['batch']}, L0 {l0}\n")
            peers = [library for library in LIBRARIES if any(k[:3] == (data, steps, library) for k in groups)]
            columns = [NAMES[p] for p in peers] + [f"{NAMES[p]} / SAELens" for p in OURS]
            columns += [f"dead in %, {NAMES[p]}" for p in peers] + [f"agreement, {NAMES[p]}" for p in peers]
            print("| FVU | " + " | ".join(columns) + " |")
            print("|" + "---|" * (len(columns) + 1))
            for variant in VARIANTS + ("frozen",):
                found = {p: groups.get((data, steps, p, variant)) for p in peers}
                cells = {p: cell(l0, of) if of else None for p, of in found.items()}
                if not any(cells.values()):
                    continue
                verdicts = []
                for library in OURS:
                    text = ""
                    if cells.get(library) and cells.get("sae_lens"):
                        ratio, text = verdict(cells[library], cells["sae_lens"])
                        ratios[library, variant][data, steps].append(ratio)
                    verdicts.append(text)
                dead = [f"{np.mean(c['dead']):.1f}" if c else "" for c in cells.values()]
                agreements = [agreement(folder, c["runs"]) if c else "" for c in cells.values()]
                row = [variant] + [shown(c) for c in cells.values()] + verdicts + dead + agreements
                print("| " + " | ".join(row) + " |")
            for run in runs:
                if run["library"] == "baseline" and run["data"] == data and run["knob"] == l0:
                    print(f"| {run['variant']} | {run['fvu']:.4f} | " + "| " * (len(columns) - 1))
    print("\n| geometric mean of FVU over SAELens' | all | " + " | ".join(f"{d}, {s}" for d, s in budgets) + " |")
    print("|" + "---|" * (2 + len(budgets)))
    for (library, variant), of in ratios.items():
        every = [ratio for values in of.values() for ratio in values]
        means = [geometric_mean(values) for values in (every, *(of[budget] for budget in budgets))]
        print(f"| {NAMES[library]}: {variant} | " + " | ".join(means) + " |")
    print("\n| learning rate | " + " | ".join(f"{NAMES[p]}, {d}" for p in LIBRARIES for d in DATA) + " |")
    print("|" + "---|" * (1 + len(LIBRARIES) * len(DATA)))
    rates = defaultdict(set)
    for (data, _, library, variant), of in groups.items():
        rates[variant, library, data] |= {run["rate"] for run in of}
    for variant in VARIANTS + ("frozen",):
        row = ["/".join(sorted(map(shown_rate, rates[variant, p, d]))) for p in LIBRARIES for d in DATA]
        print(f"| {variant} | " + " | ".join(row) + " |")
