"""Several seeds of a small network: in lanes of one program, one after the other, side by side.

    python experiments/benchmarks/seeds.py [--seeds=N,...] [--out=DIR]

Hypothesis: where a step leaves the device idle, lanes (``vmap``) are faster than cells one by one;
a CPU is not idle, and XLA's grouped convolutions, which ``vmap`` makes of convolutions with a
kernel a lane, are slow there. Control: one after the other, in one process (``in_turn``).

LeNet-5 on digits (32x32, batch 64, 100 steps), compilation, evaluation and checkpoints included,
each way in fresh processes without compiled programs from before. Side by side there is a process
a core. The table: seconds of wall time, and of processor time (``cpu``), of each way. It goes to
--out as seeds.csv and .md.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tables  # beside this file, as a script's folder is on the path

LANES, IN_TURN, PROCESSES = WAYS = ("lanes", "in_turn", "side_by_side")
SEEDS, STEPS = (1, 2, 5, 10), 100


def train(way: str, seeds: list[int], folder: Path) -> None:
    """Train the seeds in this process."""
    from cnn_jax.ablation import worker

    worker.prepare()
    import cnn_jax
    from cnn_jax.config import base_config
    from cnn_jax.runs.lanes import train_lanes

    def config(seed: int):
        made = base_config()
        made.model.name, made.data.name = "lenet5", "digits"
        made.data.image_size, made.data.batch_size = 32, 64
        made.data.augment = {"pad_crop": {"padding": 3}}
        made.optim.learning_rate = 0.02
        made.train.steps, made.train.log_every = STEPS, STEPS // 10
        made.eval.every = made.checkpoint.every = STEPS // 2
        made.seed = seed
        return made

    runs = {place: (config(seed), folder / str(seed)) for place, seed in enumerate(seeds)}
    if way == LANES:
        for ended in train_lanes(runs, len(runs)).values():
            if isinstance(ended, Exception):
                raise ended
    else:
        for each in runs.values():
            cnn_jax.train_and_evaluate(*each)


def processes(way: str, count: int, folder: Path) -> list[list[str]]:
    """Return the commands that train so many seeds, to be run at once."""
    seeds = list(range(count))
    at_once = min(len(os.sched_getaffinity(0)), count) if way == PROCESSES else 1
    shares = [seeds[i::at_once] for i in range(at_once)]
    return [
        [sys.executable, __file__, f"--train={json.dumps([way, share, str(folder)])}"]
        for share in shares
    ]


def measure(way: str, count: int) -> tuple[float, float]:
    """Return (wall seconds, CPU seconds) of training so many seeds."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"CNN_JAX_CACHE": f"{folder}/cache"}
        # The data set is prepared before the clock starts.
        warm = "from cnn_jax.data import sources; from cnn_jax.data.reading import Wanted; "
        warm += "sources.load('digits', None, Wanted())"
        subprocess.run([sys.executable, "-c", warm], env=environment, check=True)
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        running = [
            subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
            for command in processes(way, count, Path(folder))
        ]
        if any(process.wait() for process in running):
            raise SystemExit(f"{way}, {count} seeds: a process failed")
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="numbers of seeds")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        way, seeds, folder = json.loads(arguments.train)
        train(way, seeds, Path(folder))
        return
    table: list[tables.Row] = []
    for count in map(int, arguments.seeds.split(",")):
        row: tables.Row = {"seeds": count}
        for way in WAYS:
            wall, cpu = measure(way, count)
            row |= {f"{way}_s": round(wall, 1), f"{way}_cpu_s": round(cpu, 1)}
        tables.show(row, head=not table)
        table.append(row)
    if arguments.out:
        tables.write(arguments.out, "seeds", table, tables.versions("jax", "flax"))


if __name__ == "__main__":
    main()
