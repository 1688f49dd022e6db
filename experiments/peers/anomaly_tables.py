"""PyOD's detectors and the Mahalanobis distance on the splits of experiments/src/bin/anomaly_tables.rs.

    pip install numpy scipy scikit-learn torch pyod        # pyod 3.6.7
    python experiments/peers/anomaly_tables.py --prepare ADBENCH FOLDER     # from its folder `datasets/Classical`
    python experiments/peers/anomaly_tables.py FOLDER RUNS.jsonl [SEEDS]    # appends the missing runs
    python experiments/peers/anomaly_tables.py --report RUNS.jsonl...       # those of the Rust program, too

FOLDER is that of the Rust experiment, whose head comment describes the settings. Both programs draw the same
rows: SplitMix64, seeded by the number of the run, drives a Fisher-Yates shuffle of the normal rows.

All detectors have PyOD's default settings; `random_state` is the number of the run. The inputs are standardized by
the training rows; constant columns are only centered. PyOD's PCA fails on exactly dependent features, which are left
out by the rank. Contaminated runs take the scores of the fit, so that no row is its own neighbor; the methods without
random numbers then have one seed.

The report averages the seeds, ranks the methods on each table (1 is best), and compares the first method with
PyOD's AutoEncoder by the two-sided Wilcoxon test over the tables.
"""

import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from shuffle import shuffle

METHODS = ["AnomalyEnsemble", "AutoEncoder", "KNN", "PCA", "IForest", "Mahalanobis"]
RANDOM = ["AutoEncoder", "IForest"]
# The four largest files, a table of 1,555 columns, and smtp, where no drawn row is an anomaly.
LEFT_OUT = ["3_backdoor", "9_census", "13_fraud", "36_speech", "17_InternetAds", "34_smtp"]
SETTINGS = ["semi-supervised", "contaminated"]


def prepare(adbench, folder):
    """Writes each table of `.npz` as two files, except those left out. Of more than 7,200 rows, 6,000 are drawn."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for file in sorted(Path(adbench).glob("*.npz")):
        if file.stem in LEFT_OUT:
            continue
        table = np.load(file, allow_pickle=True)
        x, y = table["X"].astype(np.float32), table["y"].astype(np.int8).ravel()
        if len(x) > 7200:
            rows = np.sort(np.random.default_rng(0).choice(len(x), 6000, replace=False))
            x, y = x[rows], y[rows]
        np.save(Path(folder) / f"{file.stem}_x_f32.npy", x)
        np.save(Path(folder) / f"{file.stem}_y.npy", y)


def split(labels, setting, seed):
    if setting == "contaminated":
        return np.arange(len(labels)), None
    normal = np.flatnonzero(~labels).tolist()
    shuffle(normal, seed)
    half = len(normal) // 2
    return np.array(normal[:half]), np.r_[normal[half:], np.flatnonzero(labels)]


def scores(method, train, test, seed):
    """Returns the scores of the test rows, or without them those of the training rows."""
    if method == "Mahalanobis":
        test = train if test is None else test
        mean = train.mean(axis=0)
        precision = np.linalg.pinv(np.cov(train.T), rcond=1e-6, hermitian=True)
        return np.einsum("ij,jk,ik->i", test - mean, precision, test - mean)
    if method == "AutoEncoder":
        from pyod.models.auto_encoder import AutoEncoder

        detector = AutoEncoder(random_state=seed, verbose=0)
        train = train.astype(np.float32)
        test = None if test is None else test.astype(np.float32)
    elif method == "KNN":
        from pyod.models.knn import KNN

        detector = KNN()
    elif method == "IForest":
        from pyod.models.iforest import IForest

        detector = IForest(random_state=seed)
    else:
        from pyod.models.pca import PCA

        rank = np.linalg.matrix_rank(train, tol=1e-5 * np.linalg.norm(train, 2))
        detector = PCA(n_components=int(rank))
    detector.fit(train)
    return detector.decision_scores_ if test is None else detector.decision_function(test)


def read(paths):
    lines = (line for path in paths if Path(path).exists() for line in open(path))
    return [json.loads(line) for line in lines]


def run(folder, path, seeds):
    import torch
    from sklearn.metrics import average_precision_score, roc_auc_score

    torch.set_num_threads(1)
    done = {(r["table"], r["setting"], r["seed"], r["method"]) for r in read([path])}
    out = open(path, "a")
    for file in sorted(Path(folder).glob("*_x_f32.npy")):
        table = file.name.removesuffix("_x_f32.npy")
        x = np.load(file).astype(np.float64)
        y = np.load(file.with_name(f"{table}_y.npy")).astype(bool)
        for seed in range(seeds):
            for setting in SETTINGS:
                train, test = split(y, setting, seed)
                mean, deviation = x[train].mean(axis=0), x[train].std(axis=0)
                deviation[deviation == 0] = 1
                scaled = (x - mean) / deviation
                labels = y[train if test is None else test]
                for method in METHODS[1:]:
                    same = setting == "contaminated" and method not in RANDOM and seed > 0
                    if same or (table, setting, seed, method) in done:
                        continue
                    start = time.perf_counter()
                    result = scores(method, scaled[train], None if test is None else scaled[test], seed)
                    line = {
                        "table": table,
                        "setting": setting,
                        "seed": seed,
                        "method": method,
                        "auc": roc_auc_score(labels, result),
                        "ap": average_precision_score(labels, result),
                        "seconds": time.perf_counter() - start,
                    }
                    print(json.dumps(line), file=out, flush=True)


def report(paths):
    from scipy.stats import rankdata, wilcoxon

    runs = defaultdict(list)
    for r in read(paths):
        runs[r["setting"], r["table"], r["method"]].append((r["auc"], r["ap"], r["seconds"]))
    for setting in SETTINGS:
        tables = sorted({key[1] for key in runs if key[0] == setting})
        means = np.array(
            [[np.mean(runs[setting, t, m], axis=0) for m in METHODS] for t in tables]
        )
        print(f"\n{setting}: ROC AUC / average precision\n")
        print("| table | " + " | ".join(METHODS) + " |\n|---|" + "---|" * len(METHODS))
        for table, row in zip(tables, means):
            cells = [f"{auc:.3f} / {ap:.3f}" for auc, ap, _ in row]
            print(f"| {table} | " + " | ".join(cells) + " |")
        ranks = np.array([[rankdata(-row[:, i]) for i in (0, 1)] for row in means]).mean(axis=0)
        mean = means.mean(axis=0)
        cells = [f"{auc:.3f} / {ap:.3f}" for auc, ap, _ in mean]
        print("| mean | " + " | ".join(cells) + " |")
        print("| mean rank | " + " | ".join(f"{a:.2f} / {b:.2f}" for a, b in ranks.T) + " |")
        print("| seconds | " + " | ".join(f"{s:.1f}" for s in mean[:, 2]) + " |")
        for i, name in ((0, "ROC AUC"), (1, "average precision")):
            wins = int((means[:, 0, i] > means[:, 1, i]).sum())
            p = wilcoxon(means[:, 0, i], means[:, 1, i]).pvalue
            print(f"{name}: ahead of AutoEncoder on {wins} of {len(tables)} tables, p = {p:.4f}")


if __name__ == "__main__":
    if len(sys.argv) >= 3 and sys.argv[1] == "--report":
        report(sys.argv[2:])
    elif len(sys.argv) == 4 and sys.argv[1] == "--prepare":
        prepare(*sys.argv[2:])
    elif len(sys.argv) in (3, 4):
        run(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else 5)
    else:
        sys.exit(__doc__)
