"""The published protocol of experiments/src/bin/winner_take_all.rs in NumPy, on the published split.

    pip install numpy scikit-learn                   # 2.4.6 and 1.9.1 made the figures in RESULTS.md
    python experiments/peers/winner_take_all_numpy.py [SEED...]

As tensorflow-fcwta has it: tied weights drawn from a normal distribution with deviation 0.01, biases
that start at 1, each unit active in the 17 of 256 digits of a batch in which it is strongest, and a
LinearSVC with the best of 11 regularizations on the test digits. Its seeds cannot be reproduced here.
"""

import sys
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC

HIDDEN, BATCH, ACTIVE, STEPS, RATE = 256, 256, 17, 10_000, 1e-2


def encode(samples, weights, bias):
    return np.maximum(samples @ weights + bias, 0)


def autoencoder(training, seed):
    rng = np.random.default_rng(seed)
    visible = training.shape[1]
    weights = rng.normal(0, 0.01, (visible, HIDDEN)).astype(np.float32)
    bias, output_bias = np.ones(HIDDEN, np.float32), np.ones(visible, np.float32)
    parameters = [weights, bias, output_bias]
    first = [np.zeros_like(p) for p in parameters]
    second = [np.zeros_like(p) for p in parameters]
    order = np.array([], int)
    for step in range(1, STEPS + 1):
        while len(order) < BATCH:
            order = np.concatenate([order, rng.permutation(len(training))])
        batch, order = training[order[:BATCH]], order[BATCH:]
        hidden = encode(batch, weights, bias)
        weakest = np.partition(hidden, BATCH - ACTIVE, axis=0)[BATCH - ACTIVE]
        hidden *= hidden >= weakest
        error = 2 * (hidden @ weights.T + output_bias - batch)
        below = (error @ weights) * (hidden > 0)
        gradients = [batch.T @ below + error.T @ hidden, below.sum(0), error.sum(0)]
        for p, m, v, g in zip(parameters, first, second, gradients):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= RATE * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return weights, bias


def best_on_the_test_digits(training, training_labels, test, test_labels):
    def accuracy(c):
        classifier = LinearSVC(C=c, random_state=0).fit(training, training_labels)
        return 100 * classifier.score(test, test_labels)

    return max(map(accuracy, np.logspace(-5, 5, 11)))


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)
    seeds = [int(argument) for argument in sys.argv[1:]] or [1, 2, 3]
    digits = load_digits()
    training, test, training_labels, test_labels = train_test_split(
        digits.data.astype(np.float32), digits.target, test_size=0.35, random_state=0
    )
    best = best_on_the_test_digits(training, training_labels, test, test_labels)
    print(f"pixels {best:.2f} %", flush=True)
    accuracies = []
    for seed in seeds:
        model = autoencoder(training, seed)
        features = [encode(samples, *model) for samples in (training, test)]
        best = best_on_the_test_digits(features[0], training_labels, features[1], test_labels)
        print(f"seed {seed}: features {best:.2f} %", flush=True)
        accuracies.append(best)
    deviation = np.std(accuracies, ddof=1) if len(accuracies) > 1 else 0
    print(f"features {np.mean(accuracies):.2f} ± {deviation:.2f} %")


if __name__ == "__main__":
    main()
