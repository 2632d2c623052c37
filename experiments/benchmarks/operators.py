"""Operators one by one: this project's, stock JAX and, where installed, PyTorch, on one device.

    python experiments/benchmarks/operators.py [--only=TEXT] [--repeats=N] [--csv=FILE]

For each operator and shape: forward, and forward with the gradients of everything. The sides take
turns, in an order that rotates, so that they see the same machine. All run in one process, on a
CPU with the memory setting of the command line (``CNN_JAX_TUNE_MALLOC=0`` switches it off). The
table: median in ms with the quartiles, the ratio of stock's median to ours, and of PyTorch's.

"stock" is the same function under ``ops.stock()``: XLA's own operators.
"""

import argparse
import csv
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax.runtime.malloc import tune_malloc

TUNED = tune_malloc()  # before jax is imported
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # PyTorch's threads would spin in our turn

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from cnn_jax import ops  # noqa: E402


class Case(NamedTuple):
    """An operator with its arguments; the first shape is that of the images."""

    name: str
    function: Callable[..., jax.Array]
    shapes: tuple[tuple[int, ...], ...]
    torch: Callable[..., Any] | None


def convolution(n, size, channels, filters, field, stride=1, padding=None, groups=1) -> Case:
    """Return a convolution of square images; its padding keeps the size unless given."""
    padding = (field - 1) // 2 if padding is None else padding
    how = {"stride": stride, "padding": padding, "groups": groups}

    def in_torch(functional, x, w):
        return functional.conv2d(x, w, **how)

    kind = "depthwise" if groups > 1 else "conv"
    name = f"{kind} {field}x{field}/{stride} {n},{size},{channels}->{filters}"
    shapes = ((n, size, size, channels), (field, field, channels // groups, filters))
    return Case(name, partial(ops.conv2d, **how), shapes, in_torch)


def pooling(kind, n, size, channels, window, stride, padding=0) -> Case:
    """Return a max or average pooling of square images."""
    how = {"stride": stride, "padding": padding}

    def in_torch(functional, x):
        return getattr(functional, f"{kind}_pool2d")(x, window, **how)

    name = f"{kind}-pool {window}x{window}/{stride} {n},{size},{channels}"
    operator = {"max": ops.max_pool, "avg": ops.avg_pool}[kind]
    function = partial(operator, window=window, **how)
    return Case(name, function, ((n, size, size, channels),), in_torch)


def normalisation(n, size, channels) -> Case:
    """Return batch normalisation in training."""

    def in_torch(functional, x, scale, bias):
        return functional.batch_norm(x, None, None, scale, bias, training=True)

    def function(x, scale, bias):
        return ops.batch_norm(x, scale, bias)[0]

    shapes = ((n, size, size, channels), (channels,), (channels,))
    return Case(f"batch-norm {n},{size},{channels}", function, shapes, in_torch)


def response(n, size, channels) -> Case:
    """Return local response normalisation as in AlexNet."""

    def in_torch(functional, x):
        return functional.local_response_norm(x, 5, 5e-4, 0.75, 2.0)

    shapes = ((n, size, size, channels),)
    return Case(f"lrn {n},{size},{channels}", ops.local_response_norm, shapes, in_torch)


CASES = [
    convolution(16, 56, 64, 64, 1),
    convolution(16, 56, 256, 64, 1),
    convolution(16, 56, 256, 512, 1, 2),
    convolution(16, 14, 256, 1024, 1),
    convolution(16, 7, 2048, 512, 1),
    convolution(128, 32, 16, 16, 3),
    convolution(128, 16, 32, 32, 3),
    convolution(128, 8, 64, 64, 3),
    convolution(128, 32, 16, 32, 3, 2),
    convolution(16, 56, 64, 64, 3),
    convolution(16, 14, 256, 256, 3),
    convolution(16, 56, 128, 128, 3, 2),
    convolution(8, 224, 3, 64, 3),
    convolution(8, 224, 64, 64, 3),
    convolution(8, 112, 128, 128, 3),
    convolution(16, 224, 3, 64, 7, 2),
    convolution(32, 227, 3, 96, 11, 4, 0),
    convolution(256, 28, 1, 6, 5, padding=2),
    convolution(256, 14, 6, 16, 5, padding=0),
    convolution(16, 112, 32, 32, 3, groups=32),
    convolution(16, 56, 128, 128, 3, groups=128),
    convolution(16, 112, 64, 64, 3, 2, groups=64),
    convolution(16, 14, 512, 512, 3, groups=512),
    pooling("max", 16, 112, 64, 3, 2, 1),
    pooling("max", 8, 224, 64, 2, 2),
    pooling("max", 32, 28, 192, 3, 1, 1),
    pooling("max", 256, 28, 6, 2, 2),
    pooling("avg", 16, 56, 64, 2, 2),
    pooling("avg", 32, 28, 192, 3, 1, 1),
    normalisation(16, 112, 64),
    normalisation(16, 56, 256),
    normalisation(128, 32, 16),
    response(32, 55, 96),
]


def in_jax(case: Case, gradient: bool, arrays, weights) -> Callable[[], Any]:
    """Return a function that runs the compiled case once."""

    def run(weights, *arrays):
        if not gradient:
            return case.function(*arrays)
        y, back = jax.vjp(case.function, *arrays)
        return y, back(weights)

    compiled = jax.jit(run).lower(weights, *arrays).compile()
    return lambda: jax.block_until_ready(compiled(weights, *arrays))


def in_torch(case: Case, gradient: bool, arrays, weights) -> Callable[[], Any] | None:
    """Return a function that runs the case in PyTorch (channels last), None without it."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    if case.torch is None or jax.default_backend() != "cpu":
        return None
    layout = {"memory_format": torch.channels_last}
    axes = [(0, 3, 1, 2), (3, 2, 0, 1)]

    def tensor(array, order):
        value = torch.tensor(np.asarray(array))
        value = value.permute(order).contiguous(**layout) if array.ndim == 4 else value
        return value.requires_grad_(gradient)

    inputs = [tensor(a, axes[min(i, 1)]) for i, a in enumerate(arrays)]
    upstream = torch.tensor(np.asarray(weights)).permute(0, 3, 1, 2).contiguous(**layout)
    operator = partial(case.torch, torch.nn.functional, *inputs)
    if not gradient:
        return operator
    return lambda: torch.autograd.grad(operator(), inputs, upstream)


def measure(case: Case, gradient: bool, repeats: int) -> dict[str, list[float]]:
    """Time all sides of a case in turns; return milliseconds by side."""
    rng = np.random.default_rng(0)
    arrays = [jnp.asarray(rng.standard_normal(s), jnp.float32) for s in case.shapes]
    shape = jax.eval_shape(case.function, *arrays).shape
    weights = jnp.asarray(rng.standard_normal(shape), jnp.float32)
    sides = {"ours": in_jax(case, gradient, arrays, weights)}
    with ops.stock():
        sides["stock"] = in_jax(case, gradient, arrays, weights)
    other = in_torch(case, gradient, arrays, weights)
    if other is not None:
        sides["torch"] = other
    times = {side: [] for side in sides}
    for turn in range(repeats + 2):
        order = list(sides.items())
        for side, run in order[turn % len(order) :] + order[: turn % len(order)]:
            begin = time.perf_counter()
            run()
            if turn > 1:  # the first two warm caches and memory up
                times[side].append(1e3 * (time.perf_counter() - begin))
    return times


def row(case: Case, gradient: bool, times: dict[str, list[float]]) -> dict[str, Any]:
    """Return a line of the table."""
    median = {side: statistics.median(values) for side, values in times.items()}
    line: dict[str, Any] = {"operator": case.name, "pass": "f+g" if gradient else "f"}
    for side, values in times.items():
        low, _, high = statistics.quantiles(values, n=4)
        line[side] = f"{median[side]:.2f}"
        line[f"{side}_quartiles"] = f"{low:.2f}-{high:.2f}"
    line["stock/ours"] = f"{median['stock'] / median['ours']:.2f}"
    if "torch" in median:
        line["torch/ours"] = f"{median['torch'] / median['ours']:.2f}"
    return line


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="operators whose name contains this text")
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    device = jax.devices()[0].device_kind
    print(f"jax {jax.__version__} on {device}; memory setting {'on' if TUNED else 'off'}; ms")
    table = []
    for case in (case for case in CASES if arguments.only in case.name):
        for gradient in (False, True):
            line = row(case, gradient, measure(case, gradient, arguments.repeats))
            if not table:
                print("  ".join(f"{key:<{_width(key)}}" for key in line))
            print("  ".join(f"{value:<{_width(key)}}" for key, value in line.items()), flush=True)
            table.append(line)
    if arguments.csv and table:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, table[0])
            writer.writeheader()
            writer.writerows(table)


def _width(key: str) -> int:
    return 36 if key == "operator" else max(len(key), 9)


if __name__ == "__main__":
    main()
