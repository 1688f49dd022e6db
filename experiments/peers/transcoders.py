"""Transcoders of an MLP, by EleutherAI's sparsify.

    pip install -r experiments/peers/requirements-tokens.txt eai-sparsify==1.3.3
    python -c 'import nltk; nltk.download("brown")'
    python experiments/peers/transcoders.py prepare FOLDER
    python experiments/peers/transcoders.py run FOLDER

`prepare` runs sentences of the Brown corpus in random order through all-MiniLM-L6-v2. A sample is a token that is not
special: the input and the output of the MLP of the third layer, or of another one (`--layer`). Every tenth document is
for tests. The training tokens are in random order.

`run` trains sparsify's SparseCoder, TopK with and without the skip connection, as its Trainer does, by Adam at the
best of four rates. Its output are the lines of `FOLDER/sparsify.jsonl`. The last 10,000 training tokens choose the
rate, and no run is trained on them.
"""

import argparse
import json
import os
from pathlib import Path

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # Triton has no CPUs

import numpy as np  # noqa: E402
import tokens  # noqa: E402
import torch  # noqa: E402

TOKENS = {"train": 200_000, "test": 20_000}
HELD_OUT = 10_000
INPUTS, WIDTH, K, BATCH, STEPS = 384, 1536, 32, 512, 2000
RATES = (1e-3, 3e-3, 5e-3, 1e-2)
SEEDS = (1, 2, 3)


# --- data


def activations(part, model, tokenizer):
    """Returns inputs and outputs of the MLP."""
    count, source, filled = TOKENS[part], tokens.sentences(part), 0
    inputs, outputs = np.empty((count, INPUTS), np.float32), np.empty((count, INPUTS), np.float32)
    seen, layer = {}, model.encoder.layer[-1]
    handles = [
        layer.intermediate.dense.register_forward_pre_hook(lambda _, args: seen.update(inputs=args[0])),
        layer.output.dense.register_forward_hook(lambda _, args, result: seen.update(outputs=result)),
    ]
    while filled < count:
        encoded = tokens.tokenize(tokenizer, [next(source) for _ in range(64)])
        with torch.inference_mode():
            model(**encoded)
        words = [[word is not None for word in encoded.word_ids(row)] for row in range(64)]
        kept = torch.tensor(words)
        taken = min(int(kept.sum()), count - filled)
        inputs[filled : filled + taken] = seen["inputs"][kept][:taken]
        outputs[filled : filled + taken] = seen["outputs"][kept][:taken]
        filled += taken
    for handle in handles:
        handle.remove()
    return inputs, outputs


def prepare(folder, layers):
    folder.mkdir(parents=True, exist_ok=True)
    model, tokenizer = tokens.minilm(layers)
    for part in TOKENS:
        inputs, outputs = activations(part, model, tokenizer)
        order = np.random.default_rng(0).permutation(len(inputs)) if part == "train" else slice(None)
        for name, samples in (("inputs", inputs), ("outputs", outputs)):
            np.save(folder / f"{name}_{part}.npy", np.ascontiguousarray(samples[order]))
            print(part, name, samples.shape, "mean norm", np.linalg.norm(samples, axis=1).mean())


# --- runs


def train(inputs, outputs, skip, seed, steps, rate):
    """Does what sparsify's Trainer does for a transcoder."""
    from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(seed)
    config = SparseCoderConfig(num_latents=WIDTH, k=K, transcode=True, skip_connection=skip)
    model = SparseCoder(INPUTS, config, dtype=torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.999))
    warm_up = steps // 50
    factor = lambda step: min((step + 1) / warm_up, (steps - step) / (steps - warm_up))  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for step in range(steps):
        rows = torch.arange(step * BATCH, (step + 1) * BATCH) % len(inputs)
        x, y = inputs[rows], outputs[rows]
        if step == 0:
            model.encoder.bias.data = -x.mean(0) @ model.encoder.weight.data.T
            model.b_dec.data = y.mean(0)
        # AuxK and Multi-TopK are off by default, and no unit counts as dead before 10 million tokens.
        model(x, y).fvu.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return model


def fvu(predicted, outputs):
    error = (predicted - outputs).double().pow(2).sum()
    return float(error / (outputs - outputs.mean(0)).double().pow(2).sum())


@torch.inference_mode()
def judge(model, inputs, outputs):
    predicted, active, fired = [], 0, torch.zeros(WIDTH, dtype=torch.bool)
    for x, y in zip(inputs.split(1000), outputs.split(1000)):
        out = model(x, y)
        predicted.append(out.sae_out)
        active += int((out.latent_acts > 0).sum())
        fired[out.latent_indices[out.latent_acts > 0]] = True
    dead = 100 * (1 - float(fired.float().mean()))
    return {"fvu": fvu(torch.cat(predicted), outputs), "l0": active / len(inputs), "dead": dead}


def affine_map(inputs, outputs):
    x, y = inputs.double(), outputs.double()
    weights = torch.linalg.lstsq(x - x.mean(0), y - y.mean(0)).solution
    return lambda z: (z.double() - x.mean(0)) @ weights + y.mean(0)


def run(folder):
    def read(part):
        return [torch.from_numpy(np.load(folder / f"{name}_{part}.npy")) for name in ("inputs", "outputs")]

    whole, test = read("train"), read("test")
    training, held_out = ([of[:-HELD_OUT] for of in whole], [of[-HELD_OUT:] for of in whole])
    print("affine map", fvu(affine_map(*training)(test[0]), test[1]))
    rates = {
        (skip, rate): judge(train(*training, skip, 0, STEPS, rate), *held_out)["fvu"]
        for skip in (False, True)
        for rate in RATES
    }
    print(rates)
    with (folder / "sparsify.jsonl").open("w") as file:
        for seed in SEEDS:
            for skip in (False, True):
                rate = min(RATES, key=lambda rate: rates[skip, rate])
                line = {"library": "sparsify", "variant": "topk", "skip": skip, "seed": seed, "learning_rate": rate}
                line |= judge(train(*training, skip, seed, STEPS, rate), *test)
                file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("prepare", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layer", type=int, default=3, help="1 to 6, for `prepare`")
    options = parser.parse_args()
    if options.command == "prepare":
        prepare(options.folder, options.layer)
    else:
        run(options.folder)


if __name__ == "__main__":
    main()
