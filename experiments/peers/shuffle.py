"""The shuffle of experiments/src/shuffle.rs."""


def split_mix(state):
    """Steele, Lea & Flood 2014: a stream of 64-bit numbers."""
    mask = (1 << 64) - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


def shuffle(rows, seed):
    """Shuffles a list in place, by Fisher & Yates."""
    numbers = split_mix(seed)
    for i in range(len(rows) - 1, 0, -1):
        j = next(numbers) % (i + 1)
        rows[i], rows[j] = rows[j], rows[i]
