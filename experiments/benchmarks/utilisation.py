"""How much of what the device can do a training step does: model FLOP utilisation.

    python experiments/benchmarks/utilisation.py [--networks=NAME,...] [--batch=N]
        [--precision=float32|bfloat16] [--size=N] [--repeats=N] [--out=DIR]

The device's rate is measured: the product of two square matrices of ``--size`` in the same
precision, the best of the repeats. A step's work is six operations for each multiply-add of the
network's forward pass and image (a product and a sum, forward and twice backward), the convention
of MFU; the time is the median step's. ``tflops`` is their ratio, ``of_product_%`` its share of the
product's rate; against a card's data sheet compare ``tflops`` yourself.

On a GPU ``--networks=resnet50 --batch=256 --precision=bfloat16`` is what to run. The step is
``ours`` of train_step.py.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import tables  # beside this file, as a script's folder is on the path
import train_step

from cnn_jax.runtime.malloc import tune_malloc

tune_malloc()  # as the command does, before jax is imported

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from cnn_jax import models  # noqa: E402
from cnn_jax.analysis import summarize  # noqa: E402


def seconds_of(run: Callable[[], object], repeats: int) -> list[float]:
    """Return the seconds of each call, after one that warms up."""
    run()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return times


def product_rate(precision: str, size: int, repeats: int) -> float:
    """Return the operations a second of a product of two ``[size, size]`` matrices."""
    a, b = jax.random.normal(jax.random.key(0), (2, size, size), jnp.dtype(precision))
    product = jax.jit(jnp.matmul)
    return 2 * size**3 / min(seconds_of(lambda: product(a, b).block_until_ready(), repeats))


def step_seconds(name: str, precision: str, repeats: int) -> float:
    """Return the median seconds of a training step."""
    step, _, _ = train_step.jax_step(name, "ours", precision)
    step()  # compiles
    return statistics.median(seconds_of(step, repeats))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", default="resnet50,vgg16,mobilenet_v1,resnet20")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--size", type=int, help="4096 on a CPU, 16384 elsewhere, unless given")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    size = arguments.size or (4096 if jax.default_backend() == "cpu" else 16384)
    rate = product_rate(arguments.precision, size, arguments.repeats)
    table = []
    for name in arguments.networks.split(","):
        train_step.set_batch(name, arguments.batch)
        batch, side, channels, classes = train_step.NETWORKS[name]
        module = models.create(name, num_classes=classes)
        macs = summarize(module, (side, side, channels)).macs
        seconds = step_seconds(name, arguments.precision, arguments.repeats)
        work = 6 * macs * batch / seconds
        row = {"network": name, "batch": batch, "ms": round(1e3 * seconds, 1)}
        row |= {"tflops": float(f"{work / 1e12:.3g}"), "of_product_%": round(100 * work / rate, 1)}
        tables.show(row, head=not table)
        table.append(row)
    remark = f"The product of two {size}x{size} matrices: {rate / 1e12:.3g} TFLOP/s."
    print(remark)
    if arguments.out:
        libraries = tables.versions("jax", "flax")
        device = jax.devices()[0].device_kind
        tables.write(arguments.out, "utilisation", table, f"{libraries}, {device}", remark)


if __name__ == "__main__":
    main()
