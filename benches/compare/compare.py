"""Times our training steps and those of the peers, alternately, on this machine.

    python benches/compare/compare.py --output table.md

Run it with the interpreter of an environment that has `requirements.txt`. See README.md.
"""

import argparse
import contextlib
import datetime
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

SMALL = ["100x64x196", "128x784x256"]
LARGE = ["256x784x1000", "1024x784x2048", "2048x512x16384"]
LARGEST = LARGE[-1]
# With peers in Rust: without the largest, of which their steps take many seconds.
RUST_SHAPES = SMALL + LARGE[:2]
ENCODERS = ["784x256", "784x2048", "512x16384"]
# Ours alone: more hidden units, and more samples in a step.
WIDER = [f"256x256x{1024 * 4**i}" for i in range(4)]
LONGER = [f"{1024 * 4**i}x64x256" for i in range(6)]

# Steps that are written for PyTorch alone.
VARIANTS = ["batch-topk", "gated", "gated-sparse", "jump", "jump-sparse"]

# Groups of rows: (step, shape)
ROWS = {
    "small": [(step, shape) for step in ("kl", "relu") for shape in SMALL],
    "dense": [(step, shape) for step in ("kl", "relu") for shape in LARGE],
    "topk": [("topk", shape) for shape in LARGE],
    "sparse": [("relu-sparse", shape) for shape in LARGE[1:]],
    "variants": [(step, shape) for step in VARIANTS for shape in LARGE],
    "encode": [("encode", f"{n}x{sizes}") for n in (4096, 1) for sizes in ENCODERS],
    "scaling": [(step, shape) for step in ("kl", "topk") for shape in WIDER + LONGER],
    "memory": [],
}
NAMES = {
    "kl": "sigmoid, KL, decay",
    "relu": "ReLU, L1",
    "topk": "TopK, k = 32",
    "relu-sparse": "ReLU, L1, ≤ 2 % active",
    "batch-topk": "BatchTopK, k = 32",
    "gated": "gated, L1",
    "gated-sparse": "gated, L1, ≤ 2 % active",
    "jump": "JumpReLU, L0",
    "jump-sparse": "JumpReLU, L0, ≤ 2 % active",
    "encode": "encode (sigmoid)",
}

# Cores that other processes may take without a row being called disturbed.
QUIET = 0.1

# A peer: the kind of server, in peers.py or rust_peers, and whether MKL is told to use AVX-512.
PEERS = {
    "torch": ("eager", False),
    "torch compile": ("compile", False),
    "torch, AVX-512": ("eager", True),
    "torch compile, AVX-512": ("compile", True),
    "sparse torch": ("sparse", False),
    "sparse torch, AVX-512": ("sparse", True),
    "JAX": ("jax", False),
    "candle": ("candle", False),
    "burn": ("burn", False),
    "our dense step": ("ours", False),
}
STOCK = ["torch", "torch compile"]
AVX512 = ["torch, AVX-512", "torch compile, AVX-512"]
SPARSE = ["sparse torch"]
SPARSE_AVX512 = ["sparse torch, AVX-512"]
# A peer in Rust, which is the name of its kind too, and the crate that has its version.
RUST = {"candle": "candle-core", "burn": "burn"}


def peers_of(step, shape, shim):
    if shape in WIDER + LONGER:
        return []
    if step == "relu-sparse":
        return ["our dense step"]
    peers = STOCK + (AVX512 if shim else [])
    if step not in VARIANTS:
        peers.append("JAX")
    if step == "kl" and shape in RUST_SHAPES:
        peers += list(RUST)
    if step in ("topk", "batch-topk"):
        peers += SPARSE + (SPARSE_AVX512 if shim else [])
    return peers


def flops(step, shape):
    """Of the dense products: forward and backward, or the encoder's alone."""
    samples, visible, hidden = sizes(shape)
    return (2 if step == "encode" else 10) * samples * visible * hidden


def sizes(shape):
    return tuple(map(int, shape.split("x")))


class Server:
    """A process that answers a line with a line."""

    def __init__(self, command, cpus, env=None):
        def pin():
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, cpus)

        self.command = command
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=env,
            cwd=tempfile.gettempdir(),
            preexec_fn=pin,
        )

    def ask(self, *words):
        request = " ".join(map(str, words))
        with contextlib.suppress(BrokenPipeError):
            print(request, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().strip()
        if not answer:
            self.log.seek(0)
            raise RuntimeError(f"{self.command}: no answer to '{request}'\n{self.log.read()[-3000:]}")
        return answer

    def number(self, *words):
        return float(self.ask(*words))

    def close(self):
        """Ends the process and returns the most memory that it had resident, in bytes."""
        self.process.stdin.close()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = status
        self.log.close()
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Row:
    def __init__(self, step, shape, threads):
        self.step, self.shape, self.threads = step, shape, threads
        self.ours = self.peak = self.of_peak = self.of_bandwidth = None
        self.bandwidth = None
        self.theirs, self.ratios, self.forms = {}, {}, {}
        self.note = ""
        self.others = 0.0


class Contest:
    def __init__(self, options):
        self.options = options
        self.ours = build()
        self.shim = options.avx512 and shim()
        self.cpus = cpus()
        self.servers = {}
        self.rust_peers = {}
        self.agreed = set()

    def server(self, peer, threads):
        kind, avx512 = PEERS.get(peer, ("ours", False))
        key = (kind, avx512, threads)
        if key not in self.servers:
            self.servers[key] = self.start(kind, avx512, threads)
        return self.servers[key]

    def start(self, kind, avx512, threads, **more):
        env = dict(os.environ, RAYON_NUM_THREADS=str(threads), **more)
        if kind == "ours":
            return Server([self.ours], self.cpus[:threads], env)
        env |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        if avx512:
            env["LD_PRELOAD"] = " ".join(filter(None, [str(self.shim), env.get("LD_PRELOAD")]))
        if self.options.keep_memory:  # glibc then returns nothing to the system between steps
            env |= {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
        if kind in RUST:
            command = [self.rust_peer(kind)]
        else:
            command = [self.options.python, str(HERE / "peers.py"), kind, str(threads)]
        return Server(command, self.cpus[:threads], env)

    def rust_peer(self, kind):
        if kind not in self.rust_peers:
            self.rust_peers[kind] = build_rust_peer(kind)
        return self.rust_peers[kind]

    def close(self):
        for server in self.servers.values():
            server.close()
        self.servers.clear()

    def row(self, step, shape, threads):
        row = Row(step, shape, threads)
        peers = [p for p in peers_of(step, shape, self.shim) if self.wanted(p)]
        ours = self.server("ours", threads)

        def step_of(peer):
            return "relu" if peer == "our dense step" else step

        for peer in peers:
            self.agree(peer, step_of(peer), threads)
        if step.endswith("-sparse"):
            active = ours.number("active", step, shape, threads)
            row.note = f"{100 * active:.1f} % active"

        iterations = {}
        for peer in ["ours", *peers]:
            server = self.server(peer, threads)
            name = step if peer == "ours" else step_of(peer)
            once = server.number(name, shape, 1, threads)
            count = max(1, min(5000, round(1e3 * self.options.seconds / max(once, 1e-3))))
            once = server.number(name, shape, max(1, count // 4), threads)
            iterations[peer] = max(1, min(20000, round(1e3 * self.options.seconds / once)))
            if PEERS.get(peer, ("ours",))[0] != "ours":
                row.forms[peer] = server.ask("form", name, shape, threads)

        times = {peer: [] for peer in ["ours", *peers]}
        ratios = {peer: [] for peer in peers}
        peaks, bandwidths = [], []
        busy = Busy([server.process.pid for server in self.servers.values()])
        for _ in range(self.options.rounds):
            peaks.append(ours.number("peak", threads))
            if step == "encode" and shape.startswith("1x"):
                weights = 4 * sizes(shape)[1] * sizes(shape)[2]
                bandwidths.append(ours.number("bandwidth", weights, threads))
            for peer in peers or [None]:
                a = ours.number(step, shape, iterations["ours"], threads)
                times["ours"].append(a)
                if peer is None:
                    continue
                b = self.server(peer, threads).number(
                    step_of(peer), shape, iterations[peer], threads
                )
                times[peer].append(b)
                ratios[peer].append(b / a)
                time.sleep(0.02)  # the peer's threads go to sleep
        row.others = busy.others()
        for server in self.servers.values():
            server.ask("clear")

        row.ours = statistics.median(times["ours"])
        row.theirs = {peer: statistics.median(times[peer]) for peer in peers}
        row.ratios = {peer: statistics.median(ratios[peer]) for peer in peers}
        row.peak = statistics.median(peaks)
        row.of_peak = flops(step, shape) / row.ours / 1e6 / row.peak
        if bandwidths:
            row.bandwidth = statistics.median(bandwidths)
            row.of_bandwidth = weights / row.ours / 1e6 / row.bandwidth
        return row

    def wanted(self, peer):
        chosen = self.options.peers
        return not chosen or peer == "our dense step" or PEERS[peer][0] in chosen

    def agree(self, peer, step, threads):
        """Whether we compute the same: the objective and the norm of its gradient at the start."""
        if peer == "our dense step" or (peer, step) in self.agreed:
            return
        self.agreed.add((peer, step))
        shape = SMALL[1]
        mine = numbers(self.server("ours", threads).ask("check", step, shape, threads))
        theirs = numbers(self.server(peer, threads).ask("check", step, shape, threads))
        apart = max(abs(b / mine[i % len(mine)] - 1) for i, b in enumerate(theirs))
        verdict = "agrees" if apart < 1e-4 else "DISAGREES"
        what = "sum of the activations" if step == "encode" else "objective and ‖gradient‖"
        values = ", ".join(f"{value:.7g}" for value in mine)
        say(f"{peer} {verdict} on {step} {shape}: {what} {values}, at most {apart:.0e} apart")
        if apart >= 1e-4:
            raise SystemExit(f"ours {mine}, {peer} {theirs}")


def numbers(answer):
    return [float(word) for word in answer.split()]


def cpus():
    """Those that we may use, one of each core first."""
    if not hasattr(os, "sched_getaffinity"):
        return [0]
    seen = {}

    def turn(cpu):
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        core = path.read_text() if path.exists() else str(cpu)
        seen[core] = seen.get(core, 0) + 1
        return seen[core]

    return [cpu for _, cpu in sorted((turn(cpu), cpu) for cpu in sorted(os.sched_getaffinity(0)))]


def build():
    """Our server."""
    command = ["cargo", "bench", "-p", "benches", "--bench", "compare", "--no-run"]
    return built(command, "compare")


def build_rust_peer(kind):
    """Alone, so that none has the features of the other in the crates that they share."""
    command = ["cargo", "build", "--release", "--locked", "--bin", kind, "--features", kind]
    command += ["--manifest-path", HERE / "rust_peers" / "Cargo.toml"]
    command += ["--target-dir", ROOT / "target" / "rust_peers"]
    return built(command, kind)


def built(command, name):
    """The path of what cargo builds, with the flags that everyone gets."""
    env = {key: value for key, value in os.environ.items() if key != "RUSTFLAGS"}
    command = [*command, "--message-format=json"]
    out = subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True)
    for line in out.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == name:
            return message["executable"]
    raise SystemExit(f"cargo built no '{name}'")


def shim():
    """A library that lets MKL use AVX-512 on processors of every maker, where that is held back.

    MKL asks a function of its own who made the processor, and gives others than Intel its AVX2
    path. The library answers in its place.
    """
    info = cpuinfo()
    if info.get("vendor_id") == "GenuineIntel" or "avx512f" not in info.get("flags", "").split():
        return None
    folder = Path(tempfile.gettempdir()) / "sparse-autoencoder-compare"
    folder.mkdir(exist_ok=True)
    source, library = folder / "mkl.c", folder / "mkl.so"
    source.write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n")
    try:
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"no rows with AVX-512 for MKL: {error}")
        return None
    return library


class Busy:
    """What other processes take of the processors meanwhile, in cores; 0 where nobody tells."""

    def __init__(self, ours):
        self.ours = [*ours, os.getpid()]
        self.start = self.now()

    def now(self):
        """Seconds, and busy seconds of the machine that are not ours."""
        try:
            every = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
            busy = sum(int(every[i]) for i in (0, 1, 2, 5, 6, 7))
            for pid in self.ours:
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                busy -= int(stat[11]) + int(stat[12])
        except OSError:
            busy = 0
        return time.monotonic(), busy / os.sysconf("SC_CLK_TCK")

    def others(self):
        (start, before), (end, after) = self.start, self.now()
        return max(0.0, (after - before) / (end - start))


def cpuinfo():
    try:
        text = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def say(text):
    print(text, file=sys.stderr, flush=True)


# The report


def report(contest, rows, memory, options):
    yield from heading(contest, rows, options)
    if rows:
        yield ""
        yield from table(rows)
        yield ""
        yield from means(rows)
    if memory:
        yield ""
        yield from memory


def heading(contest, rows, options):
    info = cpuinfo()
    packages = ("torch", "jax", "jaxlib", "numpy", "eai-sparsify")
    rustc = output_of("rustc", "--version")
    yield f"- date: {datetime.date.today().isoformat()}"
    name = info.get("model name", platform.processor())
    family = f"family {info.get('cpu family')}, model {info.get('model')}"
    avx512 = "AVX-512" if "avx512f" in info.get("flags", "") else "no AVX-512"
    count = len(contest.cpus)
    yield f"- processor: {name} ({info.get('vendor_id')}, {family}), {count} processors used, {avx512}"
    versions = [f"{p} {version(options.python, p)}" for p in packages]
    versions += [f"{peer} {rust_version(crate)}" for peer, crate in RUST.items()]
    versions = ", ".join(versions)
    python = output_of(options.python, "--version")
    yield f"- versions: {rustc}; {python}, {versions}"
    for threads in options.threads:
        peaks = [row.peak for row in rows if row.threads == threads]
        if peaks:
            low, high = min(peaks), max(peaks)
            yield (
                f"- f32 multiply-add peak of this run, {counted(threads, 'thread')}: "
                f"{statistics.median(peaks):.0f} GFLOP/s ({low:.0f} to {high:.0f} over the rows)"
            )
    yield f"- {options.rounds} rounds, ours and theirs alternately; medians; ratio = theirs / ours"
    if options.keep_memory:
        yield "- the peers' allocator keeps its memory between steps"


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def version(python, package):
    if python == sys.executable:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
        return "absent"
    code = f"from importlib import metadata as m; print(m.version({package!r}))"
    return output_of(python, "-c", code) or "absent"


def rust_version(crate):
    lock = (HERE / "rust_peers" / "Cargo.lock").read_text()
    return re.search(f'name = "{crate}"\nversion = "(.*)"', lock)[1]


COLUMNS = [
    ("torch", ["torch"]),
    ("torch compile", ["torch compile"]),
    ("torch, AVX-512", AVX512),
    ("JAX", ["JAX"]),
    ("candle", ["candle"]),
    ("burn", ["burn"]),
    ("sparse torch", SPARSE),
    ("sparse torch, AVX-512", SPARSE_AVX512),
    ("our dense step", ["our dense step"]),
]


def table(rows):
    used = [c for c in COLUMNS if any(peer in row.theirs for row in rows for peer in c[1])]
    titles = ["step", "samples x visible x hidden", "threads", "ours, ms"]
    titles += [f"{name}, ms (ratio)" for name, _ in used] + ["of peak"]
    yield "| " + " | ".join(titles) + " |"
    yield "|" + "---|" * len(titles)
    for row in rows:
        yield "| " + " | ".join(cells(row, used)) + " |"


def cells(row, columns):
    step = NAMES[row.step] + (f" ({row.note})" if row.note else "")
    yield from (step, row.shape, str(row.threads), figure(row.ours))
    for _, peers in columns:
        peers = [peer for peer in peers if peer in row.theirs]
        if not peers:
            yield ""
            continue
        best = min(peers, key=row.ratios.get)
        form = row.forms.get(best, "-")
        form = "" if form in ("-", "default") else f" {form}"
        if len(peers) > 1:
            form = f" {PEERS[best][0]}{form}"
        yield f"{figure(row.theirs[best])} ({row.ratios[best]:.2f}){form}"
    peak = f"{100 * row.of_peak:.0f} %"
    if row.of_bandwidth is not None:
        peak = f"{100 * row.of_bandwidth:.0f} % of {row.bandwidth:.0f} GB/s"
    disturbed = f", DISTURBED by {row.others:.2f} cores" if row.others > QUIET else ""
    yield peak + disturbed


def counted(number, what):
    return f"{number} {what}{'s' if number != 1 else ''}"


def figure(ms):
    digits = max(0, 2 - math.floor(math.log10(ms))) if ms > 0 else 3
    return f"{ms:.{digits}f}"


def means(rows):
    """Of the ratios over the shapes of a step."""
    for threads in sorted({row.threads for row in rows}):
        for step in NAMES:
            some = [row for row in rows if row.threads == threads and row.step == step]
            for name, peers in COLUMNS:
                best = [
                    min(row.ratios[p] for p in peers if p in row.ratios)
                    for row in some
                    if any(p in row.ratios for p in peers)
                ]
                if not best:
                    continue
                mean = statistics.geometric_mean(best)
                line = f"- {NAMES[step]}, {counted(threads, 'thread')}, "
                line += f"{counted(len(best), 'shape')}, {name}: "
                line += f"{mean:.2f} in the geometric mean"
                yield line
    disturbed = sum(row.others > QUIET for row in rows)
    if disturbed:
        yield f"- **{disturbed} of {len(rows)} rows were disturbed** by other processes: measure again"


def memory_report(contest, options):
    """In fresh processes, on the largest shape, all cores."""
    threads = max(options.threads)
    yield f"| peak resident memory, MB, {LARGEST}, {threads} threads | after start | KL step | ReLU step | TopK step |"
    yield "|---|---|---|---|---|"
    _, visible, hidden = sizes(LARGEST)
    parameters = 4 * (2 * visible * hidden + visible + hidden) / 1e6
    peers = {"ours": "ours", "torch": "eager", "sparse torch": "sparse", "JAX": "jax"}
    for name, kind in peers.items():
        if kind != "ours" and options.peers and kind not in options.peers:
            continue
        steps = ["topk"] if kind == "sparse" else ["kl", "relu", "topk"]
        # A request that makes a small model has everything loaded that a large one needs.
        found = {"": peak_memory(contest, kind, steps[0], "64x64x64", threads)}
        for step in steps:
            found[step] = peak_memory(contest, kind, step, LARGEST, threads)
        figures = [f"{found[s]:.0f}" if s in found else "" for s in ("", "kl", "relu", "topk")]
        yield f"| {name} | " + " | ".join(figures) + " |"
        say(f"memory of {name}: {found}")
    yield ""
    yield f"One vector of parameters is {parameters:.0f} MB, one batch of hidden activations "
    yield f"{4 * sizes(LARGEST)[0] * hidden / 1e6:.0f} MB."


def peak_memory(contest, kind, step, shape, threads):
    server = contest.start(kind, False, threads, FIRST_FORM="1")
    server.number(step, shape, 2, threads)
    return server.close() / 1e6


def choice(names):
    def parse(text):
        chosen = [word for word in text.split(",") if word]
        for word in chosen:
            if word not in names:
                raise argparse.ArgumentTypeError(f"'{word}' is none of {', '.join(names)}")
        return chosen

    return parse


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = ["eager", "compile", "sparse", "jax", *RUST]
    groups = ",".join(ROWS)
    parser.add_argument("--rows", type=choice(ROWS), default=list(ROWS), help=groups)
    parser.add_argument("--steps", type=choice(NAMES), default=[], help="only these of the rows")
    parser.add_argument("--shapes", type=lambda text: text.split(","), default=[], help="only these")
    parser.add_argument("--peers", type=choice(kinds), default=[], help=",".join(kinds))
    parser.add_argument(
        "--threads", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2]
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.4, help="of one measurement, about")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the peers")
    parser.add_argument("--output", type=Path, help="file for the Markdown table")
    parser.add_argument("--no-avx512", dest="avx512", action="store_false")
    parser.add_argument(
        "--keep-memory", action="store_true", help="the peers' malloc returns nothing to the system"
    )
    return parser.parse_args()


def main():
    options = arguments()
    contest = Contest(options)
    rows, memory = [], []

    def write(final):
        text = "\n".join(report(contest, rows, memory, options)) + "\n"
        if options.output:
            options.output.write_text(text)
        if final:
            print(text)

    try:
        for threads in options.threads:
            for group in options.rows:
                for step, shape in ROWS[group]:
                    if options.steps and step not in options.steps:
                        continue
                    if options.shapes and shape not in options.shapes:
                        continue
                    rows.append(contest.row(step, shape, threads))
                    say("\n".join(table(rows[-1:])))
                    write(final=False)
            contest.close()
        if "memory" in options.rows:
            memory.extend(memory_report(contest, options))
    finally:
        contest.close()
    write(final=True)


if __name__ == "__main__":
    main()
