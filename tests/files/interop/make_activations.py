"""Writes the activations that the dictionaries of https://github.com/Theosdoor/list-comp encode.

    python make_activations.py models/2layer_100dig_64d.pt activations.safetensors

What the separator of the lists has after the first layer, for all 10,000 pairs of numbers.
"""

import itertools
import sys

import torch
from safetensors.torch import save_file

NUMBERS, SEPARATOR = 100, 101

state = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
pairs = torch.tensor(list(itertools.product(range(NUMBERS), repeat=2)))
tokens = torch.cat([pairs, torch.full((len(pairs), 1), SEPARATOR)], dim=1)
x = state["embed.W_E"][tokens] + state["pos_embed.W_pos"][:3]
# One head without biases. The separator attends to the two numbers.
query = x[:, 2] @ state["blocks.0.attn.W_Q"][0]
key, value = (x[:, :2] @ state[f"blocks.0.attn.W_{name}"][0] for name in "KV")
scores = torch.einsum("bd,btd->bt", query, key) / query.shape[1] ** 0.5
mixed = torch.einsum("bt,btd->bd", scores.softmax(dim=1), value)
activations = x[:, 2] + mixed @ state["blocks.0.attn.W_O"][0]
save_file({"activations": activations.contiguous()}, sys.argv[2])
