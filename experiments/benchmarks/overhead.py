"""What a step costs beside the computation: Python's share of the loop.

    python experiments/benchmarks/overhead.py [--networks=NAME,...] [--steps_per_call=N]
        [--repeats=N] [--out=DIR]

``cnn-jax train``'s own loop on synthetic data, in this process: order, dispatch, logging, checks.
Each network trains twice, for N and for 3 N steps; the differences are what 2 N steps take, start,
compilation, evaluation and end left out. ``python_%`` is the processor time of the main thread, in
which all Python of the loop runs, as a share of the wall time; the computation is in other threads.
``waiting_%`` is the share in which the loop waited for data. Medians, with the least and the most.
``--steps_per_call`` sets ``train.steps_per_call``: 1 on a CPU, 20 elsewhere, unless given.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import tables  # beside this file, as a script's folder is on the path

from cnn_jax.memory import tune_malloc

tune_malloc()  # as the command does, before jax is imported

import cnn_jax  # noqa: E402
from cnn_jax.config import base_config  # noqa: E402
from cnn_jax.train import compilation  # noqa: E402

# network: (batch, image side, steps)
CASES = {"lenet5": (256, 32, 200), "resnet20": (128, 32, 20), "resnet50": (16, 224, 3)}


def spent(name: str, steps: int, per_call: int | None) -> tuple[float, float, float]:
    """Return (wall seconds, the main thread's processor seconds, seconds waiting) of a run."""
    batch, side, _ = CASES[name]
    config = base_config()
    config.model.name, config.data.name = name, "synthetic"
    config.data.image_size, config.data.classes = side, 10
    config.data.batch_size = batch
    config.data.test = f"test[:{batch}]"
    config.data.validation = 0.0
    config.train.steps_per_call = per_call
    config.train.steps = config.eval.every = config.checkpoint.every = steps
    with tempfile.TemporaryDirectory() as folder:
        wall, own = time.perf_counter(), time.thread_time()
        result = cnn_jax.train_and_evaluate(config, Path(folder) / "run")
        wall, own = time.perf_counter() - wall, time.thread_time() - own
    return wall, own, result["seconds_by_use"]["data"]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", default=",".join(CASES))
    parser.add_argument("--steps_per_call", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compilation.keep_compiled(Path(folder))  # compiling would vary from run to run
        table = shares(arguments)
    if arguments.out:
        tables.write(arguments.out, "overhead", table, tables.versions("jax", "flax"))


def shares(arguments: argparse.Namespace) -> list[tables.Row]:
    """Return a row for each network."""
    table: list[tables.Row] = []
    for name in arguments.networks.split(","):
        steps, per_call = CASES[name][-1], arguments.steps_per_call
        spent(name, steps, per_call)  # compiles
        python, waiting, walls = [], [], []
        for _ in range(arguments.repeats):
            short, long = (spent(name, count, per_call) for count in (steps, 3 * steps))
            wall, own, data = (b - a for a, b in zip(short, long, strict=True))
            walls.append(1e3 * wall / (2 * steps))
            python.append(100 * own / wall)
            waiting.append(100 * data / wall)
        row = {"network": name, "batch": CASES[name][0], "step_ms": statistics.median(walls)}
        row |= {"python_%": statistics.median(python), "least": min(python), "most": max(python)}
        row |= {"waiting_%": statistics.median(waiting)}
        row = {key: round(v, 2) if isinstance(v, float) else v for key, v in row.items()}
        tables.show(row, head=not table)
        table.append(row)
    return table


if __name__ == "__main__":
    main()
