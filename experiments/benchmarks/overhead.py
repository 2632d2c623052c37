"""What a step costs beside the computation: Python's share of the loop.

    python experiments/benchmarks/overhead.py [--networks=NAME,...] [--steps_per_call=N]
        [--repeats=N] [--out=DIR]

``cnn-jax train``'s own loop on synthetic data, in this process: order, dispatch, logging, checks.
Clocks are read whenever a line of the log is written, so that start, compilation and end are left
out; a repeat is the steps from one line to the next. ``python_%`` is the processor time of the main
thread, in which all Python of the loop runs, as a share of the wall time; the computation is in
other threads. Medians, with the least and the most. ``waiting_%`` is the share of the whole run's
steps in which the loop waited for data. ``--steps_per_call`` sets ``train.steps_per_call``: 1 on a
CPU, 20 elsewhere, unless given.
"""

import argparse
import contextlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import tables  # beside this file, as a script's folder is on the path

from cnn_jax.runtime.malloc import tune_malloc

tune_malloc()  # as the command does, before jax is imported

import cnn_jax  # noqa: E402
from cnn_jax.config import base_config  # noqa: E402
from cnn_jax.data.dataset import TRAIN  # noqa: E402
from cnn_jax.train.logging import RunLog  # noqa: E402

# network: (batch, image side, steps of a repeat)
CASES = {"lenet5": (256, 32, 200), "resnet20": (128, 32, 20), "resnet50": (16, 224, 4)}


@contextlib.contextmanager
def clocks() -> Iterator[list[tuple[float, float]]]:
    """Give the wall time and this thread's at each line that the log writes about training."""
    read, write = [], RunLog.write

    def writing(log: RunLog, step: int, split: str, metrics: dict[str, Any]) -> None:
        write(log, step, split, metrics)
        if split == TRAIN:
            read.append((time.perf_counter(), time.thread_time()))

    with mock.patch.object(RunLog, "write", writing):
        yield read


def share(name: str, repeats: int, per_call: int | None) -> tables.Row:
    """Return the row of a network."""
    batch, side, steps = CASES[name]
    config = base_config()
    config.model.name, config.data.name = name, "synthetic"
    config.data.image_size, config.data.classes = side, 10
    config.data.batch_size = batch
    config.data.test = f"test[:{batch}]"
    config.data.validation = 0.0
    config.train.steps_per_call, config.train.log_every = per_call, steps
    config.train.steps = config.eval.every = config.checkpoint.every = steps * (repeats + 1)
    with tempfile.TemporaryDirectory() as folder, clocks() as read:
        used = cnn_jax.train_and_evaluate(config, Path(folder) / "run")["seconds_by_use"]
    passed = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(read)]
    python = [100 * own / wall for wall, own in passed]
    return {
        "network": name,
        "batch": batch,
        "step_ms": round(1e3 * statistics.median(wall for wall, _ in passed) / steps, 2),
        "python_%": round(statistics.median(python), 2),
        "least": round(min(python), 2),
        "most": round(max(python), 2),
        "waiting_%": round(100 * used["data"] / (used["data"] + used["compute"]), 2),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", default=",".join(CASES))
    parser.add_argument("--steps_per_call", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    table: list[tables.Row] = []
    for name in arguments.networks.split(","):
        row = share(name, arguments.repeats, arguments.steps_per_call)
        tables.show(row, head=not table)
        table.append(row)
    if arguments.out:
        tables.write(arguments.out, "overhead", table, tables.versions("jax", "flax"))


if __name__ == "__main__":
    main()
