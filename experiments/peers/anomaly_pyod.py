"""PyOD's AutoEncoder and PCA on the splits of experiments/src/bin/anomaly_detection.rs.

    pip install numpy scikit-learn torch pyod        # pyod 3.6.7 made the figures in RESULTS.md
    python experiments/peers/anomaly_pyod.py FOLDER [SEEDS]

FOLDER is that of the Rust experiment, whose head comment lists its files: with ECG5000, or without it
for the tables of ADBench. Both programs draw the same rows. SplitMix64, seeded by the number of the run, drives a Fisher-Yates shuffle of all rows. The
first 70 % (rounded half up) of each class in shuffled order are for training, the others for the
test. "Semi-supervised" drops the anomalies from the training rows, "unsupervised" keeps them.

Both detectors have PyOD's default settings; `random_state` is the number of the run, and the
inputs are standardized by the training rows (PyOD does it itself, by default).
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from pyod.models.auto_encoder import AutoEncoder
from pyod.models.pca import PCA as PyodPCA
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from shuffle import shuffle

DATA_SETS = {
    "cardio": "6_cardio",
    "thyroid": "38_thyroid",
    "satellite": "30_satellite",
    "WBC": "42_WBC",
}


def split(labels, seed):
    rows = list(range(len(labels)))
    shuffle(rows, seed)
    train, test = [], []
    for anomalous in (False, True):
        of_class = [row for row in rows if labels[row] == anomalous]
        count = (7 * len(of_class) + 5) // 10
        train += of_class[:count]
        test += of_class[count:]
    return np.array(train), np.array(test)


def find(folder, *names):
    for name in names:
        if (folder / name).exists():
            return np.load(folder / name)
    sys.exit(f"none of {names} in {folder}")


def pyod_scores(detector, train, test):
    detector.fit(train)
    return detector.decision_function(test)


def pyod_pca_scores(train, test):
    """PyOD's PCA weights by 1/eigenvalue and fails on exactly dependent features, such as the
    minimum, maximum, and width of cardio: they are left out by the rank."""
    scaler = StandardScaler().fit(train.astype(np.float64))
    train, test = (scaler.transform(part.astype(np.float64)) for part in (train, test))
    rank = np.linalg.matrix_rank(train, tol=1e-5 * np.linalg.norm(train, 2))
    return pyod_scores(PyodPCA(n_components=int(rank)), train, test)


def pca_reconstruction_scores(components, train, test):
    """The squared distance from the plane of the leading components, inputs as they are."""
    pca = PCA(components).fit(train)
    return ((pca.inverse_transform(pca.transform(test)) - test) ** 2).sum(axis=1)


def report(name, labels, scores):
    auc = [roc_auc_score(y, s) for y, s in zip(labels, scores)]
    precision = [average_precision_score(y, s) for y, s in zip(labels, scores)]
    spread = [np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in (auc, precision)]
    print(
        f"{name:<42} AUC {np.mean(auc):.4f} ± {spread[0]:.4f}   "
        f"AP {np.mean(precision):.4f} ± {spread[1]:.4f}",
        flush=True,
    )


def adbench(folder, seeds):
    for name, stem in DATA_SETS.items():
        x = find(folder, f"{stem}_x_f32.npy").astype(np.float32)
        y = find(folder, f"{stem}_y.npy").astype(bool)
        for setting in ("semi-supervised", "unsupervised"):
            labels, encoder, pca, seconds = [], [], [], 0.0
            for seed in seeds:
                train, test = split(y, seed)
                if setting == "semi-supervised":
                    train = train[~y[train]]
                labels.append(y[test])
                start = time.perf_counter()
                encoder.append(
                    pyod_scores(AutoEncoder(random_state=seed, verbose=0), x[train], x[test])
                )
                seconds += time.perf_counter() - start
                pca.append(pyod_pca_scores(x[train], x[test]))
            report(f"{name}, {setting}, PyOD AutoEncoder", labels, encoder)
            print(f"{'':<42} {seconds / len(labels):.2f} s a run")
            report(f"{name}, {setting}, PyOD PCA", labels, pca)


def ecg5000(folder, seeds):
    x = find(folder, "all_5000x140_f32.npy").astype(np.float32)
    y = find(folder, "all_y_anomaly.npy").astype(bool)
    official = find(folder, "all_is_official_train.npy").astype(bool)
    train, test = official & ~y, ~(official & ~y)
    report("ECG5000, PCA-5, reconstruction error", [y[test]], [pca_reconstruction_scores(5, x[train], x[test])])
    runs = [pyod_scores(AutoEncoder(random_state=s, verbose=0), x[train], x[test]) for s in seeds]
    report("ECG5000, PyOD AutoEncoder", [y[test]] * len(runs), runs)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    seeds = range(int(sys.argv[2]) if len(sys.argv) > 2 else 5)
    if (folder / "all_5000x140_f32.npy").exists():
        ecg5000(folder, seeds)
    else:
        adbench(folder, seeds)
