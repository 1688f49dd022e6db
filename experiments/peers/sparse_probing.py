"""Features of English tokens, judged by k-sparse probes of the part of speech.

    pip install -r experiments/peers/requirements-features.txt -r experiments/peers/requirements-tokens.txt
    python -c 'import nltk; nltk.download("brown"); nltk.download("universal_tagset")'
    cargo build --release -p experiments --bin equal_training --bin sparse_probing
    python experiments/peers/sparse_probing.py prepare FOLDER
    python experiments/peers/sparse_probing.py run FOLDER [--only LIBRARY]
    python experiments/peers/sparse_probing.py agreement FOLDER

`prepare` runs the words of the Brown corpus through the first three of the six layers of all-MiniLM-L6-v2. A
sample is the activation of a token that is not special; its class is the universal part of speech of its word.
Every tenth document is for tests. Sentences are in random order.

`run` trains this crate's recipes and SAELens' BatchTopK and Matryoshka on the same batches, at the same rate, and has
`sparse_probing` judge the saved models. Its output are the lines of `FOLDER/sparse_probing.jsonl`; `run` skips
models already there. `agreement` prints the mean cosine of the units of two seeds, one matched to one, for each kind of
model in FOLDER.
"""

import argparse
import json
import math
import subprocess
from pathlib import Path

import feature_libraries
import numpy as np
import tokens

LAYERS = 3
TOKENS = {"training": 400_000, "test": 40_000}
# The universal parts of speech without X, the rare others.
CLASSES = ("NOUN", "VERB", ".", "ADP", "DET", "ADJ", "ADV", "PRON", "CONJ", "PRT", "NUM")
SHAPE = {"inputs": 384, "width": 1536, "batch": 512, "steps": 2000}
SEEDS = (1, 2, 3)
RATE = 3e-3  # less FVU than 1e-2 in both libraries
RUNS = [  # library, variant, setting for L0, k of the first step
    ("ours", "l1", 32, None),
    ("ours", "gated", 32, None),
    ("ours", "topk", 32, None),
    ("ours", "batchtopk", 32, None),
    ("ours", "batchtopk", 32, 128),
    ("ours", "jumprelu", 32, None),
    ("ours", "jumprelu", 32, 128),
    ("ours", "matryoshka", 32, None),
    ("ours", "matryoshka", 32, 128),
    ("ours", "frozen", 32, None),
    ("sae_lens", "batchtopk", 32, None),
    ("sae_lens", "matryoshka", 32, None),
]


# --- data


def tagged(part):
    """Yields the words of a sentence and their classes."""
    for sentence in tokens.sentences(part, tagset="universal"):
        words, tags = zip(*sentence)
        yield list(words), [CLASSES.index(tag) if tag in CLASSES else len(CLASSES) for tag in tags]


def activations(part, model, tokenizer):
    """Returns the activations of the tokens and their classes."""
    import torch

    count, source = TOKENS[part], tagged(part)
    samples, classes = np.empty((count, SHAPE["inputs"]), np.float32), np.empty((count, 1), np.float32)
    filled = 0
    while filled < count:
        words, tags = zip(*(next(source) for _ in range(64)))
        encoded = tokens.tokenize(tokenizer, list(words))
        with torch.inference_mode():
            hidden = model(**encoded, output_hidden_states=True).hidden_states[LAYERS]
        for row in range(len(words)):
            for position, word in enumerate(encoded.word_ids(row)):
                if word is not None and filled < count:
                    samples[filled] = hidden[row, position]
                    classes[filled] = tags[row][word]
                    filled += 1
    return samples, classes


def prepare(folder):
    folder.mkdir(parents=True, exist_ok=True)
    model, tokenizer = tokens.minilm(LAYERS)
    factor = None
    for part in TOKENS:
        samples, classes = activations(part, model, tokenizer)
        # As in equal_training.py: a mean norm of √inputs over the training samples.
        factor = factor or math.sqrt(samples.shape[1]) / np.linalg.norm(samples, axis=1).mean()
        np.save(folder / f"tokens_{part}.npy", samples * np.float32(factor))
        np.save(folder / f"tokens_{part}_classes.npy", classes)
        print(part, dict(zip(CLASSES + ("X",), np.bincount(classes.astype(int)[:, 0]).tolist())))


# --- runs


def batches(folder, seed):
    path = folder / f"tokens_batches_{seed}.u32"
    if not path.exists():
        rng, count = np.random.default_rng(seed), SHAPE["steps"] * SHAPE["batch"]
        epochs = -(-count // TOKENS["training"])
        order = np.concatenate([rng.permutation(TOKENS["training"]) for _ in range(epochs)])
        order[:count].astype("<u4").tofile(path)
    return str(path)


def kind(library, variant, start):
    return f"{library} {variant}" + (f" from {start}" if start else "")


def saved(folder, name):
    return folder / name.replace(" ", "_")


def run(folder, binaries, only):
    out = folder / "sparse_probing.jsonl"
    known = {json.loads(line)["model"] for line in out.read_text().splitlines()} if out.exists() else set()

    def probe(name, *arguments):
        command = [str(binaries / "sparse_probing"), str(folder), name, *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        with out.open("a") as file:
            file.write(done.stdout)
        print(done.stdout, end="", flush=True)

    for baseline in ("inputs", "components", "directions"):
        if baseline not in known:
            probe(baseline)
    for seed in SEEDS:
        for library, variant, knob, start in RUNS:
            name = f"{kind(library, variant, start)} seed {seed}"
            if name in known or only not in (None, library):
                continue
            steps = SHAPE["steps"]
            model = saved(folder, name)
            setting = SHAPE | {
                "library": library,
                "variant": variant,
                "knob": knob,
                "anneal_from": start,
                "rate": RATE,
                "seed": seed,
                "warm_up": steps // 50,
                "dead_after": steps // 20,
                "training": str(folder / "tokens_training.npy"),
                "evaluated": str(folder / "tokens_test.npy"),
                "evaluated_from": 0,
                "batches": batches(folder, seed),
                "model": str(model),
            }
            feature_libraries.run(setting, str(binaries / "equal_training"))
            probe(name, str(model))


def agreement(folder):
    from safetensors.numpy import load_file

    for library, variant, _, start in RUNS:
        name = kind(library, variant, start)
        paths = [saved(folder, f"{name} seed {seed}") / "sae_weights.safetensors" for seed in SEEDS]
        decoders = [load_file(path)["W_dec"] for path in paths if path.exists()]
        if len(decoders) > 1:
            print(name, f"{feature_libraries.agreement(decoders):.3f}", f"{len(decoders)} seeds")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("prepare", "run", "agreement"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=("ours", "sae_lens"))
    parser.add_argument("--binaries", type=Path, default=Path("target/release"))
    options = parser.parse_args()
    if options.command == "prepare":
        prepare(options.folder)
    elif options.command == "agreement":
        agreement(options.folder)
    else:
        run(options.folder, options.binaries, options.only)


if __name__ == "__main__":
    main()
