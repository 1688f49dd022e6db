"""Compares the samples of experiments/src/synth_sae_bench with those of sae-lens in the same world.

    pip install sae-lens==6.54.12
    cargo run --release -p experiments --bin synth_sae_bench -- samples 204800 FOLDER
    python experiments/peers/synth_sae_bench_sampler.py FOLDER

Both sides draw equally many samples. Squared differences in units of their standard deviation have the
mean 1 over many features or pairs where both draw from the same distribution.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from sae_lens.synthetic import ActivationGenerator, FeatureDictionary
from sae_lens.synthetic.firing_magnitudes import FoldedNormalMagnitudeConfig, LinearMagnitudeConfig
from sae_lens.synthetic.firing_probabilities import ZipfianFiringProbabilityConfig
from sae_lens.synthetic.hierarchy import HierarchyConfig, generate_hierarchy

FEATURES, INPUTS, RANK, BATCH = 16_384, 768, 25, 1024


def read(folder, name, shape):
    values = np.fromfile(Path(folder) / f"{name}.f32", np.float32).reshape(shape)
    return torch.from_numpy(values)


def load_world(folder):
    """Returns sae-lens' dictionary, generator, and hierarchy with the parameters of the folder."""
    hierarchy = generate_hierarchy(
        FEATURES,
        HierarchyConfig(
            total_root_nodes=128,
            branching_factor=4,
            max_depth=3,
            mutually_exclusive_portion=1.0,
            compensate_probabilities=True,
            scale_children_by_parent=True,
        ),
    )
    factors = read(folder, "factors", (FEATURES, RANK))
    dictionary = FeatureDictionary(FEATURES, INPUTS, bias=0.5, initializer=None)
    dictionary.feature_vectors.data = read(folder, "features", (FEATURES, INPUTS))
    dictionary.bias.data = read(folder, "bias", INPUTS)
    generator = ActivationGenerator(
        num_features=FEATURES,
        firing_probabilities=read(folder, "probabilities", FEATURES),
        std_firing_magnitudes=read(folder, "deviations", FEATURES),
        mean_firing_magnitudes=read(folder, "means", FEATURES),
        modify_activations=hierarchy.modifier,
        correlation_matrix=(factors, 1 - (factors**2).sum(1)),
    )
    return dictionary, generator, hierarchy


def check_parameters(generator, hierarchy):
    """Compares the exported parameters with those of sae-lens' own constructors."""
    marginal = ZipfianFiringProbabilityConfig(0.5, 0.4, 5e-4).generate(FEATURES)
    factors = hierarchy.compute_probability_correction_factors(marginal)
    expected = (marginal * factors).clamp(max=1)
    difference = ((generator.firing_probabilities - expected) / expected).abs().max()
    print(f"probabilities: largest relative difference {difference:.1e}")
    means = LinearMagnitudeConfig(5.0, 4.0).generate(FEATURES)
    difference = (generator.mean_firing_magnitudes - means).abs().max()
    theirs = FoldedNormalMagnitudeConfig(0.5, 0.5).generate(FEATURES, seed=0)
    ours = generator.std_firing_magnitudes
    print(f"means of magnitudes: largest difference {difference:.1e}")
    print(
        f"deviations of magnitudes, mean and deviation: ours {ours.mean():.4f} {ours.std():.4f}, "
        f"theirs {theirs.mean():.4f} {theirs.std():.4f}"
    )
    rows = (generator.low_rank_correlation[0] ** 2).sum(1)
    print(f"mean ‖λ‖²: {rows.mean():.4f}, expected {RANK * 0.01:.4f}")


class Moments:
    """Sums over samples: of features, of pairs of features, and of numbers of active features."""

    def __init__(self, chosen):
        self.chosen = chosen
        self.count = np.zeros(FEATURES)
        self.powers = np.zeros((4, FEATURES))
        self.pairs = np.zeros((len(chosen), len(chosen)))
        self.l0 = np.zeros(200)
        self.orphans = self.siblings = 0

    def add(self, samples, features, magnitudes, count):
        """Adds active features as triples of `count` samples."""
        self.count += np.bincount(features, minlength=FEATURES)
        for power in range(4):
            self.powers[power] += np.bincount(
                features, magnitudes.astype(float) ** (power + 1), minlength=FEATURES
            )
        active = np.zeros((count, FEATURES), np.float32)
        active[samples, features] = 1
        chosen = active[:, self.chosen]
        self.pairs += chosen.T @ chosen
        self.l0 += np.bincount(active.sum(1).astype(int), minlength=200)
        children = active[:, 128:10_880]
        parents = active[:, (np.arange(128, 10_880) - 128) // 4]
        self.orphans += (children > parents).sum()
        self.siblings += (children.reshape(count, -1, 4).sum(2) > 1).sum()


def ours(folder, moments):
    counts = np.fromfile(Path(folder) / "counts.u32", np.uint32)
    features = np.fromfile(Path(folder) / "features.u32", np.uint32)
    magnitudes = np.fromfile(Path(folder) / "magnitudes.f32", np.float32)
    ends = np.concatenate([[0], counts.cumsum(dtype=np.int64)])
    for first in range(0, len(counts), BATCH):
        last = min(first + BATCH, len(counts))
        part = slice(ends[first], ends[last])
        samples = np.repeat(np.arange(last - first), counts[first:last])
        moments.add(samples, features[part].astype(np.int64), magnitudes[part], last - first)
    return len(counts)


def theirs(generator, moments, count):
    for first in range(0, count, BATCH):
        activations = generator.sample(min(BATCH, count - first))
        samples, features = activations.nonzero(as_tuple=True)
        values = activations[samples, features]
        moments.add(samples.numpy(), features.numpy(), values.numpy(), len(activations))


def report(name, z):
    z = z[np.isfinite(z)]
    expected = np.sqrt(2 / len(z))
    print(
        f"{name}: mean z² {np.mean(z**2):.3f} (1 ± {expected:.3f}), largest |z| {np.abs(z).max():.2f}, "
        f"of {len(z)}"
    )


def main():
    torch.manual_seed(0)
    folder = sys.argv[1]
    dictionary, generator, hierarchy = load_world(folder)
    check_parameters(generator, hierarchy)

    # Roots, their first children, and the most frequent free features.
    chosen = np.concatenate([np.arange(256), np.arange(10_880, 11_136)])
    a, b = Moments(chosen), Moments(chosen)
    count = ours(folder, a)
    theirs(generator, b, count)

    p = (a.count + b.count) / (2 * count)
    with np.errstate(divide="ignore", invalid="ignore"):
        report("frequencies", (a.count - b.count) / np.sqrt(2 * count * p * (1 - p)))
        upper = np.triu_indices(len(chosen), 1)
        both = (a.pairs + b.pairs)[upper] / (2 * count)
        z = (a.pairs - b.pairs)[upper] / np.sqrt(2 * count * both * (1 - both))
        frequent = both * count >= 20
        report("pairs that are active together", z[frequent])
        independent = np.outer(p[chosen], p[chosen])[upper]
        z = (a.pairs[upper] - count * independent) / np.sqrt(count * independent)
        report("  were they independent", z[frequent])

        often = np.minimum(a.count, b.count) >= 30
        for power in (0, 1):
            moments = [(m.powers[power] / m.count)[often] for m in (a, b)]
            squares = [(m.powers[2 * power + 1] / m.count)[often] for m in (a, b)]
            variances = [
                (square - moment**2) / (m.count[often] - 1)
                for m, moment, square in zip((a, b), moments, squares)
            ]
            z = (moments[0] - moments[1]) / np.sqrt(sum(variances))
            report(["means of magnitudes", "mean squares of magnitudes"][power], z)

    numbers = np.arange(200)
    l0 = [(m.l0 @ numbers / count, m.l0 @ numbers**2 / count) for m in (a, b)]
    l0 = [(mean, np.sqrt(square - mean**2)) for mean, square in l0]
    error = l0[0][1] * np.sqrt(2 / count)
    print(
        f"active features, mean and deviation: ours {l0[0][0]:.3f} {l0[0][1]:.3f}, "
        f"theirs {l0[1][0]:.3f} {l0[1][1]:.3f} (means equal within ± {error:.3f})"
    )
    distance = np.abs((a.l0 - b.l0).cumsum()).max() / count
    print(f"  Kolmogorov's distance {distance:.5f}, 5 % are above {1.36 * np.sqrt(2 / count):.5f}")
    for name, m in ("ours", a), ("theirs", b):
        print(f"{name}: {m.orphans} children without parent, {m.siblings} pairs of siblings")

    whole = np.fromfile(Path(folder) / "samples.f32", np.float32).reshape(-1, INPUTS)
    counts = np.fromfile(Path(folder) / "counts.u32", np.uint32)[: len(whole)]
    activations = torch.zeros(len(whole), FEATURES)
    rows = np.repeat(np.arange(len(whole)), counts)
    columns = np.fromfile(Path(folder) / "features.u32", np.uint32, len(rows)).astype(np.int64)
    activations[rows, columns] = torch.from_numpy(
        np.fromfile(Path(folder) / "magnitudes.f32", np.float32, len(rows))
    )
    difference = (dictionary(activations).detach() - torch.from_numpy(whole)).abs().max()
    print(f"samples: largest difference {difference:.1e} of entries up to {np.abs(whole).max():.1f}")


if __name__ == "__main__":
    main()
