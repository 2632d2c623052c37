"""What cutting a batch over devices costs: the same work on 1, 2, 4 and 8 of them.

    python experiments/benchmarks/scaling.py [--steps=N] [--repeats=N] [--batch=N] [--out=DIR]
        [--topologies=v5e:2x2,...]

ResNet-20 on random 32x32 images through ``cnn-jax train``. On a CPU the devices are virtual: they
share the same cores, so that the total work is constant and what is lost is the price of sharding.
Under jit and pmap in one process, and in two processes under jit. Where real devices exist, all of
them are used and images/s a device are what to look at. Each run says its own images/s, compiling
left out; the runs take turns, medians count.

For TPU slices, where libtpu is installed (extra ``tpu``), the collectives and bytes a step that
``cnn-jax plan`` reports.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import tables  # beside this file, as a script's folder is on the path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ["--config=configs/resnet20_cifar10.py", "--config.data.classes=10"]
COMMAND = [sys.executable, "-m", "cnn_jax"]
# (devices of a process, processes, strategy)
CASES = [
    *((devices, 1, strategy) for strategy in ("jit", "pmap") for devices in (1, 2, 4, 8)),
    (1, 2, "jit"),
]


def speed(devices: int, processes: int, strategy: str, batch: int, steps: int) -> tuple[float, int]:
    """Return (images/s, devices) of one run."""
    environment = dict(os.environ)
    if devices:
        environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    flags = [
        *CONFIG,
        *("--config.data.name=synthetic", "--config.data.image_size=32"),
        f"--config.data.batch_size={batch}",
        f"--config.train.strategy={strategy}",
        f"--config.train.steps={steps}",
        f"--config.train.log_every={max(steps // 5, 1)}",
        "--config.data.train=train[:2048]",
        "--config.data.test=test[:128]",
    ]
    with tempfile.TemporaryDirectory() as folder:
        flags.append(f"--workdir={folder}")
        together = []
        if processes > 1:
            with socket.socket() as free:
                free.bind(("localhost", 0))
                place = f"--coordinator=localhost:{free.getsockname()[1]}"
            together = [place, f"--processes={processes}"]
        running = [
            subprocess.Popen(
                [*COMMAND, "train", *flags, *together, *([f"--process={i}"] if together else [])],
                env=environment,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for i in range(processes)
        ]
        for process in running:
            _, errors = process.communicate()
            if process.returncode:
                raise SystemExit(errors)
        result = json.loads((Path(folder) / "result.json").read_text())
    return result["images_per_second"], len(result["devices"])


def planned(topologies: list[str], batch: int) -> list[tables.Row]:
    """Return a row for each slice: what a chip computes, holds and sends in a step."""
    rows = []
    for topology in topologies:
        command = [*COMMAND, "plan", *CONFIG, "--json", f"--topology={topology}"]
        command.append(f"--config.data.batch_size={batch}")
        found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        plan = json.loads(found.stdout)
        rows.append(
            {
                "slice": topology,
                "chips": plan["chips"],
                "gflops_a_chip": round(plan["flops"] / 1e9, 2),
                "mib_a_chip": plan["total"] >> 20,
                "collectives": json.dumps(plan["collectives"]).replace('"', ""),
            }
        )
        tables.show(rows[-1], head=len(rows) == 1)
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--topologies", default="v5e:2x2,v5e:4x4")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    import jax

    real = jax.default_backend() != "cpu"
    cases = [(0, 1, "jit"), (0, 1, "pmap")] if real else CASES
    speeds, used = {case: [] for case in cases}, {}
    for _ in range(arguments.repeats):
        for case in cases:
            images, used[case] = speed(*case, arguments.batch, arguments.steps)
            speeds[case].append(images)
    table: list[tables.Row] = []
    alone = statistics.median(speeds[cases[0]])
    for case, found in speeds.items():
        middle = statistics.median(found)
        row = {
            "strategy": case[2],
            "processes": case[1],
            "devices": used[case],
            "images_per_s": round(middle, 1),
            "least": round(min(found), 1),
            "most": round(max(found), 1),
            "images_per_s_a_device": round(middle / used[case], 1),
            "of_the_first": round(middle / alone, 2),
        }
        table.append(row)
        tables.show(row, head=len(table) == 1)
    libraries = tables.versions("jax", "flax")
    if arguments.out:
        tables.write(arguments.out, "scaling", table, libraries)
    if find_spec("libtpu") and arguments.topologies:
        slices = planned(arguments.topologies.split(","), arguments.batch)
        if arguments.out:
            tables.write(arguments.out, "slices", slices, libraries)


if __name__ == "__main__":
    main()
