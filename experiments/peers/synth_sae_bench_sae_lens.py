"""Trains SAELens' BatchTopK or Matryoshka on the samples of experiments/src/bin/synth_sae_bench.

    pip install sae-lens==6.54.12
    cargo build --release -p experiments --bin synth_sae_bench
    target/release/synth_sae_bench samples 0 WORLD
    python experiments/peers/synth_sae_bench_sae_lens.py VARIANT SAMPLES --world WORLD --out FILE.jsonl

VARIANT is batchtopk or matryoshka, with the settings of the published benchmark. Training sees the same
batches as ours with the same seed: the program of this repository writes them into a pipe, as SAELens'
own generator takes longer than a step of training. SAELens evaluates, on samples of its own generator.
The same command continues an interrupted run.
"""

import argparse
import json
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    LoggingConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.config import SAETrainerConfig
from sae_lens.synthetic.evals import eval_sae_on_synthetic_data
from sae_lens.training.sae_trainer import SAETrainer
from synth_sae_bench_sampler import BATCH, INPUTS, load_world


def make_sae(options):
    shared = {"k": options.l0, "d_in": INPUTS, "d_sae": options.width}
    if options.variant == "batchtopk":
        return BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**shared))
    widths = [options.width // part for part in (32, 8, 2)]
    config = MatryoshkaBatchTopKTrainingSAEConfig(
        **shared, matryoshka_widths=widths, use_matryoshka_aux_loss=True
    )
    return MatryoshkaBatchTopKTrainingSAE(config)


def make_trainer(sae, options):
    steps = options.samples // BATCH
    config = SAETrainerConfig(
        n_checkpoints=0,
        checkpoint_path=None,
        save_final_checkpoint=False,
        total_training_samples=steps * BATCH,
        device="cpu",
        autocast=False,
        lr=options.lr,
        lr_end=options.lr,
        lr_scheduler_name="constant",
        lr_warm_up_steps=int(options.warm_up * steps),
        adam_beta1=0.9,
        adam_beta2=0.999,
        lr_decay_steps=int(options.decay * steps),
        n_restart_cycles=1,
        train_batch_size_samples=BATCH,
        dead_feature_window=1000,
        feature_sampling_window=2000,
        logger=LoggingConfig(log_to_wandb=False),
        n_batches_for_norm_estimate=1000,
    )
    return SAETrainer(cfg=config, sae=sae, data_provider=None)


def batches(options, first):
    """Yields batches from number `first` on, as the program draws them."""
    command = [options.program, "stream", str(first * BATCH), "--seed", str(options.seed)]
    command += ["--cache", options.cache]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        while len(part := program.stdout.read(4 * BATCH * INPUTS)) == 4 * BATCH * INPUTS:
            yield torch.from_numpy(np.frombuffer(part, np.float32).reshape(BATCH, INPUTS).copy())


def save(sae, trainer, seconds, folder):
    part = folder.with_suffix(".part")
    part.mkdir(parents=True, exist_ok=True)
    torch.save(sae.state_dict(), part / "sae.pt")
    trainer.save_trainer_state(part)
    (part / "seconds").write_text(str(seconds))
    if folder.exists():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    part.rename(folder)


def evaluate(sae, world, samples):
    dictionary, generator, _ = world
    result = eval_sae_on_synthetic_data(sae, dictionary, generator, samples, batch_size=BATCH)
    return {
        "evaluation_samples": samples,
        "true_l0": result.true_l0,
        "l0": result.sae_l0,
        "explained_variance": result.explained_variance,
        "dead": result.dead_latents,
        "shrinkage": result.shrinkage,
        "mcc": result.mcc,
        "uniqueness": result.uniqueness,
        "precision": result.classification.precision,
        "recall": result.classification.recall,
        "f1": result.classification.f1_score,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("variant", choices=["batchtopk", "matryoshka"])
    parser.add_argument("samples", type=int)
    parser.add_argument("--l0", type=int, default=25)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--decay", type=float, default=0.0, help="share of steps of linear decay")
    parser.add_argument("--warm-up", type=float, default=0.0, help="share of steps of warm-up")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--evaluate", type=int, default=100_000)
    parser.add_argument("--every", type=float, default=300, help="seconds between checkpoints")
    parser.add_argument("--program", default="target/release/synth_sae_bench")
    parser.add_argument("--cache", default="target/synth_sae_bench")
    parser.add_argument("--checkpoints", default="target/synth_sae_bench")
    parser.add_argument("--world", required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)

    sae = make_sae(options)
    trainer = make_trainer(sae, options)
    settings = ("variant", "samples", "l0", "lr", "decay", "warm_up", "seed", "width")
    name = "-".join(str(getattr(options, setting)) for setting in settings)
    checkpoint = Path(options.checkpoints) / f"sae_lens-{name}"
    if (checkpoint / "done").exists():
        print(f"{checkpoint} is complete")
        return
    seconds = 0.0
    if checkpoint.exists():
        sae.load_state_dict(torch.load(checkpoint / "sae.pt"))
        trainer.load_trainer_state(checkpoint)
        seconds = float((checkpoint / "seconds").read_text())
    steps, first = options.samples // BATCH, trainer.n_training_steps
    begun = saved = time.monotonic()
    for step, batch in zip(range(first, steps), batches(options, first)):
        trainer.maybe_reset_sparsity()
        start = time.monotonic()
        trainer.step(batch)
        trainer.n_training_steps += 1
        seconds += time.monotonic() - start
        done = step + 1
        if done == first + 20 or done % 1000 == 0:
            per_step = (time.monotonic() - begun) / (done - first)
            print(f"step {done} of {steps}, {per_step:.3f} s a step", flush=True)
        if time.monotonic() - saved >= options.every:
            save(sae, trainer, seconds, checkpoint)
            saved = time.monotonic()
    save(sae, trainer, seconds, checkpoint)

    line = {
        "variant": f"sae_lens_{options.variant}",
        "final": True,
        "selection": "batch",
        "seed": options.seed,
        "samples": options.samples,
        "target_l0": options.l0,
        "lr": options.lr,
        "decay": options.decay,
        "width": options.width,
        "samples_seen": steps * BATCH,
        "training_seconds": seconds,
        **evaluate(sae, load_world(options.world), options.evaluate),
    }
    with open(options.out, "a") as file:
        file.write(json.dumps(line) + "\n")
    (checkpoint / "done").touch()
    print(line)


if __name__ == "__main__":
    main()
