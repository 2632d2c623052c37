"""How long a user waits: for the import, for help, for the first step of a run.

    python experiments/benchmarks/start_up.py [--repeats=N] [--out=DIR]

Whole processes, seconds from their start. ``import`` and ``--help`` against Python's own start and
against importing jax and PyTorch; then ``cnn-jax train`` until its log shows the first step: cold,
with an empty cache folder (data are decoded, programs compiled), and again with the cache that this
left. Medians, with the least and the most; the commands take turns.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import tables  # beside this file, as a script's folder is on the path

ROOT = Path(__file__).resolve().parents[2]
RUNS = {
    "LeNet-5 on digits": ["--config=configs/lenet5_digits.py"],
    "ResNet-20 on 32x32": [
        *("--config=configs/resnet20_cifar10.py", "--config.data.name=synthetic"),
        "--config.data.image_size=32",
    ],
}


def whole(*command: str) -> float:
    """Return the seconds that a process takes."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - begin


def first_step(flags: list[str], cache: str) -> float:
    """Return the seconds from the start of ``cnn-jax train`` to the line of its first step."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cnn_jax", "train", *flags, f"--workdir={folder}/run"]
        begin = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--config.train.log_every=1"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=os.environ | {"CNN_JAX_CACHE": cache},
        )
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            if line.startswith("step "):
                seconds = time.perf_counter() - begin
                process.kill()
                process.wait()
                return seconds
            lines.append(line)
        raise SystemExit("".join(lines))


def rounds(count: int) -> dict[str, list[float]]:
    """Return the seconds of each thing that is waited for, in turns."""
    waits: dict[str, Callable[[], float]] = {
        "python": lambda: whole("-c", ""),
        "import cnn_jax": lambda: whole("-c", "import cnn_jax"),
        "cnn-jax --help": lambda: whole("-m", "cnn_jax", "--help"),
        "import jax": lambda: whole("-c", "import jax"),
    }
    if find_spec("torch"):
        waits["import torch"] = lambda: whole("-c", "import torch")
    found: dict[str, list[float]] = {}
    for _ in range(count):
        for name, wait in waits.items():
            found.setdefault(name, []).append(wait())
        for name, flags in RUNS.items():
            with tempfile.TemporaryDirectory() as cache:
                for state in ("cold", "cached"):
                    seconds = first_step(flags, cache)
                    found.setdefault(f"first step of {name}, {state}", []).append(seconds)
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    table: list[tables.Row] = []
    for name, seconds in rounds(arguments.repeats).items():
        row = {"what": name, "s": statistics.median(seconds)}
        row |= {"least": min(seconds), "most": max(seconds)}
        table.append({key: round(v, 2) if isinstance(v, float) else v for key, v in row.items()})
        tables.show(table[-1], head=len(table) == 1)
    if arguments.out:
        tables.write(arguments.out, "start_up", table, tables.versions("jax", "flax", "torch"))


if __name__ == "__main__":
    main()
