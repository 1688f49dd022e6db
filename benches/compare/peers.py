"""The other side of the comparison: a server that times the training steps of a peer.

    python peers.py <eager|compile|sparse|jax> <threads>

It reads requests from its standard input, one per line, and answers each with one line, as
`ours.rs` does:

    <step> <shape> <iterations> <threads>   milliseconds per step
    check <step> <shape> <threads>          the objective and the norm of its gradient at the start;
                                            for encode the sum of the activations
    form <step> <shape> <threads>           which of the forms of the step was the fastest
    clear                                   forgets the models

Where a peer can say the same mathematics in several ways, all are timed once and the fastest is
kept: what is measured is the best that we could write with the peer.
"""

import math
import os
import sys
import time

import numpy as np

# What every contestant computes. `ours.rs` has the same numbers.
TARGET = 0.05
KL_WEIGHT = 3.0
WEIGHT_DECAY = 1e-4
L1_WEIGHT = 0.01
L0_WEIGHT = 1e-3
K = 32
# Of JumpReLU units.
THRESHOLD = 0.1
BANDWIDTH = 0.05
LEARNING_RATE = 1e-9
BETAS = (0.9, 0.999)
EPSILON = 1e-8


def uniform(seed, *shape):
    """Numbers in [0, 1), the same as in `ours.rs`: SplitMix64, the upper 24 bits."""
    count = math.prod(shape)
    out = np.empty(count, np.float32)
    for start in range(0, count, 1 << 18):  # by parts, so that memory stays that of the step
        part = out[start : start + (1 << 18)]
        z = np.arange(start + 1, start + 1 + len(part), dtype=np.uint64)
        z = (z + np.uint64(seed << 40)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        part[:] = ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float32)
    out /= np.float32(1 << 24)
    return out.reshape(shape)


def spread(seed, half, *shape):
    """Numbers in ±half, in place."""
    out = uniform(seed, *shape)
    out *= 2
    out -= 1
    out *= np.float32(half)
    return out


def batch_and_parameters(step, samples, visible, hidden):
    """x: samples × visible; w and d: hidden × visible, a unit is a row; b and c.

    Behind them what units have that are gated, r and the bias of their magnitudes, or thresholds.
    """
    half = math.sqrt(6 / (visible + hidden + 1))
    bounded = step in ("kl", "encode")
    x = uniform(1, samples, visible) if bounded else spread(1, 1, samples, visible)
    w = spread(2, half, hidden, visible)
    b = spread(3, 0.05, hidden)
    d = spread(4, half, hidden, visible)
    c = spread(5, 0.05, visible)
    if step.endswith("-sparse"):
        b -= np.float32(2.2 * half * math.sqrt(visible) / 3)
    more = {"gated": [0.0, 0.0], "jump": [THRESHOLD]}.get(step.removesuffix("-sparse"), [])
    return x, w, b, d, c, *(np.full(hidden, value, np.float32) for value in more)


class Fastest:
    """A step in several forms, of which the fastest stays.

    A form is made by a function without arguments that returns the step, a function too.
    """

    def __init__(self, forms):
        self.name, self.run = None, None
        if os.environ.get("FIRST_FORM"):  # for memory: no other form beside it
            forms = dict(list(forms.items())[:1])
        if len(forms) == 1:
            ((self.name, make),) = forms.items()
            self.run = make()
            return
        best = math.inf
        for name, make in forms.items():
            try:
                run = make()
                run()
                run()
                times = []
                while len(times) < 3 or (sum(times) < 0.2 and len(times) < 200):
                    start = time.perf_counter()
                    run()
                    times.append(time.perf_counter() - start)
            except Exception as error:  # a form that the peer cannot run is none
                print(f"{name}: {error!r}"[:500], file=sys.stderr)
                continue
            median = sorted(times)[len(times) // 2]
            print(f"form {name}: {1e3 * median:.3f} ms", file=sys.stderr)
            if median < best:
                best, self.name, self.run = median, name, run
        if self.run is None:
            raise RuntimeError("no form of the step runs")


class Torch:
    def __init__(self, kind, threads):
        import torch

        self.torch, self.kind = torch, kind
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)

    # Forward passes. Dense: w is hidden × visible and d is visible × hidden, as in `nn.Linear`.

    def kl_loss(self, x, w, b, d, c):
        """Without the weight decay, which Adam adds to the gradient: the faster form."""
        F = self.torch.nn.functional
        h = self.torch.sigmoid(F.linear(x, w, b))
        y = self.torch.sigmoid(F.linear(h, d, c))
        mean = h.mean(0)
        penalty = TARGET * (TARGET / mean).log() + (1 - TARGET) * ((1 - TARGET) / (1 - mean)).log()
        return self.half_square(y, x) + KL_WEIGHT * penalty.sum()

    def relu_loss(self, x, w, b, d, c):
        F = self.torch.nn.functional
        h = self.torch.relu(F.linear(x, w, b))
        y = F.linear(h, d, c)
        return self.half_square(y, x) + L1_WEIGHT / x.shape[0] * h.sum()

    def topk_scatter_loss(self, x, w, b, d, c):
        return self.scatter_loss(x, w, b, d, c, len(x))

    def topk_threshold_loss(self, x, w, b, d, c):
        return self.threshold_loss(x, w, b, d, c, len(x))

    def batch_topk_scatter_loss(self, x, w, b, d, c):
        return self.scatter_loss(x, w, b, d, c, 1)

    def batch_topk_threshold_loss(self, x, w, b, d, c):
        return self.threshold_loss(x, w, b, d, c, 1)

    def scatter_loss(self, x, w, b, d, c, parts):
        """The largest of each part of the batch: as many parts as samples, or one."""
        F = self.torch.nn.functional
        z = F.linear(x, w, b)
        of_part = z.view(parts, -1)
        values, indices = of_part.topk(K * len(x) // parts, dim=-1, sorted=False)
        h = self.torch.zeros_like(of_part).scatter(-1, indices, self.torch.relu(values))
        return self.half_square(F.linear(h.view_as(z), d, c), x)

    def threshold_loss(self, x, w, b, d, c, parts):
        F = self.torch.nn.functional
        z = F.linear(x, w, b)
        largest = z.detach().view(parts, -1).topk(K * len(x) // parts, dim=-1, sorted=False)
        least = largest.values.amin(-1, keepdim=True)
        h = self.torch.where(z >= least.clamp_min(0), z, 0)
        return self.half_square(F.linear(h, d, c), x)

    def gated_loss(self, x, w, b, d, c, r, magnitude_bias):
        """Rajamanoharan et al. (2024), the decoder of the last term being constant."""
        F, relu = self.torch.nn.functional, self.torch.relu
        u = F.linear(x, w)
        opening = u + b
        gates = relu(opening)
        h = self.torch.where(opening > 0, relu(r.exp() * u + magnitude_bias), 0)
        loss = self.half_square(F.linear(h, d, c), x)
        frozen = self.half_square(F.linear(gates, d.detach(), c.detach()), x)
        return loss + frozen + L1_WEIGHT / len(x) * gates.sum()

    def jump_loss(self, x, w, b, d, c, thresholds):
        F = self.torch.nn.functional
        h, active = self.jump_relu()(F.linear(x, w, b), thresholds)
        return self.half_square(F.linear(h, d, c), x) + L0_WEIGHT / len(x) * active

    def jump_relu(self):
        """JumpReLU and the number of active units, with the pseudo-derivatives of
        Rajamanoharan et al. (2024, Jumping Ahead)."""
        if hasattr(self, "jump"):
            return self.jump
        torch = self.torch

        class Jump(torch.autograd.Function):
            @staticmethod
            def forward(ctx, z, thresholds):
                ctx.save_for_backward(z, thresholds)
                active = z > thresholds
                return torch.where(active, z, 0), active.sum().to(z.dtype)

            @staticmethod
            def backward(ctx, delta, of_active):
                z, thresholds = ctx.saved_tensors
                near = (z - thresholds).abs() < BANDWIDTH / 2
                by_threshold = torch.where(near, thresholds * delta + of_active, 0).sum(0)
                return torch.where(z > thresholds, delta, 0), -by_threshold / BANDWIDTH

        self.jump = Jump.apply
        return self.jump

    # Sparse: w and d are hidden × visible, a unit is a row.

    def topk_bag_loss(self, x, w, b, d, c):
        """The decoder as a bag of embeddings, the rest by autograd."""
        F = self.torch.nn.functional
        values, indices = F.linear(x, w, b).topk(K, dim=-1, sorted=False)
        h = self.torch.relu(values)
        y = F.embedding_bag(indices, d, per_sample_weights=h, mode="sum") + c
        return self.half_square(y, x)

    def topk_sparsify_loss(self, x, w, b, d, c):
        """The encoder and the decoder of EleutherAI's sparsify."""
        os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # there is no Triton for CPUs
        from sparsify.fused_encoder import fused_encoder
        from sparsify.utils import decoder_impl

        h, indices, _ = fused_encoder(x, w, b, K, "topk")
        return self.half_square(decoder_impl(indices, h, d.mT) + c, x)

    def topk_csr_loss(self, x, w, b, d, c):
        """Both weight gradients as products with a sparse matrix, of MKL."""
        return self.csr_loss(x, w, b, d, c, self.largest_of_samples)

    def batch_topk_csr_loss(self, x, w, b, d, c):
        return self.csr_loss(x, w, b, d, c, self.largest_of_batch)

    def csr_loss(self, x, w, b, d, c, largest):
        encode, decode = self.csr_functions()
        h, indices, starts = encode(x, w, b, largest)
        return self.half_square(decode(h, indices, starts, d) + c, x)

    def largest_of_samples(self, z):
        """Values, the units that they are of, and where each sample's begin."""
        values, indices = z.topk(K, dim=-1, sorted=False)
        starts = self.torch.arange(0, values.numel() + 1, K)
        return values.flatten(), indices.flatten(), starts

    def largest_of_batch(self, z):
        samples, units = z.shape
        places = z.flatten().topk(K * samples, sorted=False).indices.sort().values
        starts = self.torch.searchsorted(places, units * self.torch.arange(samples + 1))
        return z.flatten()[places], places % units, starts

    def csr_functions(self):
        if hasattr(self, "functions"):
            return self.functions
        torch = self.torch

        def gradient(values, indices, starts, rows, units):
            """Σ over the samples of value · row, for each unit."""
            sparse = torch.sparse_csr_tensor(starts, indices, values, (len(rows), units))
            return torch.sparse.mm(sparse.t(), rows)

        class Encoder(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, w, b, largest):
                values, indices, starts = largest(torch.nn.functional.linear(x, w, b))
                values = torch.relu(values)
                ctx.save_for_backward(x, values, indices, starts)
                ctx.units = len(b)
                ctx.mark_non_differentiable(indices, starts)
                return values, indices, starts

            @staticmethod
            def backward(ctx, delta, *_):
                x, values, indices, starts = ctx.saved_tensors
                delta = delta * (values > 0)
                bias = torch.zeros(ctx.units)
                bias.index_add_(0, indices, delta)
                return None, gradient(delta, indices, starts, x, ctx.units), bias, None

        class Decoder(torch.autograd.Function):
            @staticmethod
            def forward(ctx, values, indices, starts, d):
                y, bag, _, _ = torch.embedding_bag(
                    d, indices, starts[:-1], False, 0, False, values
                )
                ctx.save_for_backward(values, indices, starts, d, bag)
                return y

            @staticmethod
            def backward(ctx, delta):
                values, indices, starts, d, bag = ctx.saved_tensors
                into_values = torch.ops.aten._embedding_bag_per_sample_weights_backward(
                    delta, d, indices, starts[:-1], bag, 0
                )
                into_d = gradient(values, indices, starts, delta, len(d))
                return into_values, None, None, into_d

        self.functions = (Encoder.apply, Decoder.apply)
        return self.functions

    def half_square(self, y, x):
        return self.torch.nn.functional.mse_loss(y, x, reduction="sum") * (0.5 / x.shape[0])

    def losses(self, step):
        sparse = {
            "topk": {
                "sparsify": self.topk_sparsify_loss,
                "csr": self.topk_csr_loss,
                "embedding bag": self.topk_bag_loss,
            },
            "batch-topk": {"csr": self.batch_topk_csr_loss},
        }
        dense = {
            "kl": {"": self.kl_loss},
            "relu": {"": self.relu_loss},
            "topk": {"scatter": self.topk_scatter_loss, "threshold": self.topk_threshold_loss},
            "batch-topk": {
                "scatter": self.batch_topk_scatter_loss,
                "threshold": self.batch_topk_threshold_loss,
            },
            "gated": {"": self.gated_loss},
            "jump": {"": self.jump_loss},
        }
        return (sparse if self.kind == "sparse" else dense)[step.removesuffix("-sparse")]

    def tensors(self, step, sizes):
        x, w, b, d, c, *more = map(self.torch.from_numpy, batch_and_parameters(step, *sizes))
        if self.kind != "sparse":
            d = d.t().contiguous()
        parameters = [t.requires_grad_() for t in (w, b, d, c, *more)]
        return x, parameters

    def forms(self, step, sizes):
        torch = self.torch
        if self.kind == "compile":
            torch._dynamo.reset()
        if step == "encode":
            x, w, b, _, _ = map(torch.from_numpy, batch_and_parameters(step, *sizes))

            def encode(x, w, b):
                return torch.sigmoid(torch.nn.functional.linear(x, w, b))

            if self.kind == "compile":
                encode = torch.compile(encode, dynamic=False)

            def run():
                with torch.inference_mode():
                    return encode(x, w, b)

            return {"": lambda: run}
        forms = {}
        for name, loss in self.losses(step).items():
            if self.kind != "compile":
                forms[name] = lambda loss=loss: self.training(step, sizes, loss)
                continue
            for mode in ("default", "max-autotune-no-cudagraphs"):
                forms[f"{name} {mode}".strip()] = lambda loss=loss, mode=mode: self.training(
                    step, sizes, torch.compile(loss, dynamic=False, mode=mode)
                )
        return forms

    def training(self, step, sizes, loss):
        x, parameters = self.tensors(step, sizes)
        w, b, d, c, *more = parameters
        decay = WEIGHT_DECAY if step == "kl" else 0.0
        optimizer = self.torch.optim.Adam(
            [{"params": [w, d], "weight_decay": decay}, {"params": [b, c, *more]}],
            lr=LEARNING_RATE,
            betas=BETAS,
            eps=EPSILON,
            fused=True,
        )

        def run():
            optimizer.zero_grad(set_to_none=True)
            value = loss(x, *parameters)
            value.backward()
            optimizer.step()
            return value

        return run

    def check(self, step, sizes):
        """At the start, of each form; the decay is added here."""
        if step == "encode":
            (make,) = self.forms(step, sizes).values()
            return f"{float(make()().double().sum()):.9e}"
        answers = []
        for loss in self.losses(step).values():
            if self.kind == "compile":
                loss = self.torch.compile(loss, dynamic=False)
            x, parameters = self.tensors(step, sizes)
            value = loss(x, *parameters)
            value.backward()
            total = float(value.detach())
            decayed = parameters[:4:2] if step == "kl" else []
            for weights in decayed:
                total += WEIGHT_DECAY / 2 * float(weights.detach().double().square().sum())
                weights.grad += WEIGHT_DECAY * weights.detach()
            norm = math.sqrt(sum(float(p.grad.double().square().sum()) for p in parameters))
            answers.append(f"{total:.9e} {norm:.9e}")
        return " ".join(answers)


class Jax:
    def __init__(self, threads):
        if threads == 1:
            flags = os.environ.get("XLA_FLAGS", "")
            os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false"
        os.environ["JAX_PLATFORMS"] = "cpu"
        import jax

        self.jax, self.np = jax, jax.numpy

    def encoded(self, x, p):
        return x @ p["w"].T + p["b"]

    def half_square(self, y, x):
        return 0.5 / x.shape[0] * self.np.sum((y - x) ** 2)

    def kl_loss(self, p, x):
        sigmoid, log = self.jax.nn.sigmoid, self.np.log
        h = sigmoid(self.encoded(x, p))
        y = sigmoid(h @ p["d"] + p["c"])
        mean = h.mean(0)
        penalty = TARGET * log(TARGET / mean) + (1 - TARGET) * log((1 - TARGET) / (1 - mean))
        return self.half_square(y, x) + KL_WEIGHT * penalty.sum()

    def relu_loss(self, p, x):
        h = self.jax.nn.relu(self.encoded(x, p))
        return self.half_square(h @ p["d"] + p["c"], x) + L1_WEIGHT / x.shape[0] * h.sum()

    def topk_scatter_loss(self, p, x):
        z = self.encoded(x, p)
        values, indices = self.jax.lax.top_k(z, K)
        rows = self.np.arange(x.shape[0])[:, None]
        h = self.np.zeros_like(z).at[rows, indices].set(self.jax.nn.relu(values))
        return self.half_square(h @ p["d"] + p["c"], x)

    def topk_threshold_loss(self, p, x):
        z = self.encoded(x, p)
        least = self.jax.lax.top_k(self.jax.lax.stop_gradient(z), K)[0][:, -1:]
        h = self.np.where(z >= self.np.maximum(least, 0), z, 0)
        return self.half_square(h @ p["d"] + p["c"], x)

    def topk_gather_loss(self, p, x):
        values, indices = self.jax.lax.top_k(self.encoded(x, p), K)
        y = self.np.einsum("bk,bkd->bd", self.jax.nn.relu(values), p["d"][indices])
        return self.half_square(y + p["c"], x)

    def losses(self, step):
        return {
            "kl": {"": self.kl_loss},
            "relu": {"": self.relu_loss},
            "topk": {
                "scatter": self.topk_scatter_loss,
                "threshold": self.topk_threshold_loss,
                "gather": self.topk_gather_loss,
            },
        }[step]

    def tensors(self, step, sizes):
        x, *parameters = map(self.np.asarray, batch_and_parameters(step, *sizes))
        return x, dict(zip("wbdc", parameters))

    def gradient(self, step, loss):
        """Of the whole objective: the decay only adds to the gradient, as in PyTorch's Adam."""
        decay = WEIGHT_DECAY if step == "kl" else 0.0

        def evaluate(p, x):
            value, g = self.jax.value_and_grad(loss)(p, x)
            if decay:
                g = {name: g[name] + decay * p[name] if name in "wd" else g[name] for name in g}
            return value, g

        return evaluate

    def forms(self, step, sizes):
        if step == "encode":
            x, p = self.tensors(step, sizes)
            x, w, b = x, p["w"], p["b"]
            encode = self.jax.jit(lambda x, w, b: self.jax.nn.sigmoid(x @ w.T + b))
            return {"": lambda: lambda: encode(x, w, b).block_until_ready()}
        return {
            name: lambda loss=loss: self.training(step, sizes, loss)
            for name, loss in self.losses(step).items()
        }

    def training(self, step, sizes, loss):
        jax, np = self.jax, self.np
        x, p = self.tensors(step, sizes)
        evaluate = self.gradient(step, loss)

        def update(state, x):
            p, m, v, t = state
            value, g = evaluate(p, x)
            t = t + 1
            tree = jax.tree.map
            m = tree(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, m, g)
            v = tree(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, v, g)
            c1, c2 = 1 - BETAS[0] ** t, 1 - BETAS[1] ** t
            p = tree(
                lambda p, m, v: p - LEARNING_RATE * (m / c1) / (np.sqrt(v / c2) + EPSILON), p, m, v
            )
            return (p, m, v, t), value

        update = jax.jit(update, donate_argnums=0)
        zeros = lambda: jax.tree.map(np.zeros_like, p)  # noqa: E731
        state = [(p, zeros(), zeros(), np.float32(0))]

        def run():
            state[0], value = update(state[0], x)
            jax.block_until_ready(state[0])
            return value

        return run

    def check(self, step, sizes):
        if step == "encode":
            (make,) = self.forms(step, sizes).values()
            return f"{np.asarray(make()(), np.float64).sum():.9e}"
        answers = []
        for loss in self.losses(step).values():
            x, p = self.tensors(step, sizes)
            value, g = self.jax.jit(self.gradient(step, loss))(p, x)
            total, square = float(value), 0.0
            for name in p:
                square += np.square(np.asarray(g[name], np.float64)).sum()
                if step == "kl" and name in "wd":
                    weights = np.asarray(p[name], np.float64)
                    total += WEIGHT_DECAY / 2 * np.square(weights).sum()
            answers.append(f"{total:.9e} {math.sqrt(square):.9e}")
        return " ".join(answers)


def timed(run, iterations):
    for _ in range(1 + iterations // 10):
        run()
    start = time.perf_counter()
    for _ in range(iterations):
        run()
    return 1e3 * (time.perf_counter() - start) / max(iterations, 1)


def main():
    kind, threads = sys.argv[1], int(sys.argv[2])
    peer = Jax(threads) if kind == "jax" else Torch(kind, threads)
    contests = {}

    def contest(step, shape):
        if (step, shape) not in contests:
            sizes = tuple(map(int, shape.split("x")))
            contests[step, shape] = Fastest(peer.forms(step, sizes))
        return contests[step, shape]

    # Compilers print what they like: answers keep the standard output for themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        match line.split():
            case ["clear"]:
                contests.clear()
                answer = "cleared"
            case ["check", step, shape, _]:
                answer = peer.check(step, tuple(map(int, shape.split("x"))))
            case ["form", step, shape, _]:
                answer = contest(step, shape).name or "-"
            case [step, shape, iterations, _]:
                answer = f"{timed(contest(step, shape).run, int(iterations)):.6f}"
            case _:
                raise SystemExit(f"cannot understand {line!r}")
        print(answer, file=answers, flush=True)


if __name__ == "__main__":
    main()
