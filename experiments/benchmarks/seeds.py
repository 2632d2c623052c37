"""Several seeds of a small network: in lanes of one program, one after the other, side by side.

Hypothesis: where a step leaves the device idle, lanes (``vmap``) are faster than cells one by one;
a CPU is not idle, and XLA's grouped convolutions, which ``vmap`` makes of convolutions with a
kernel a lane, are slow there. Control: one after the other, in one process.

    python experiments/benchmarks/seeds.py --out=experiments/results/benchmarks

LeNet-5 on digits (32x32, batch 64, 100 steps), compilation, evaluation and checkpoints included,
each way in fresh processes without compiled programs from before. Side by side there is a process
a core. Writes seeds.md and seeds.csv: wall and CPU seconds.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LANES, IN_TURN, PROCESSES = WAYS = ("lanes", "one after the other", "side by side")
SEEDS, STEPS = (1, 2, 5, 10), 100


def train(way: str, seeds: list[int], folder: Path) -> None:
    """Train the seeds in this process."""
    from cnn_jax.ablation import worker

    worker.prepare()
    import cnn_jax
    from cnn_jax.config import base_config
    from cnn_jax.lanes import train_lanes

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
        [sys.executable, __file__, f"--out={folder}", f"--train={json.dumps([way, share])}"]
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
    """Measure every way and number of seeds; write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="numbers of seeds")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.train:
        way, seeds = json.loads(flags.train)
        train(way, seeds, flags.out)
        return
    counts = [int(count) for count in flags.seeds.split(",")]
    flags.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for count in counts:
        for way in WAYS:
            wall, cpu = measure(way, count)
            rows.append((count, way, round(wall, 1), round(cpu, 1)))
            print(*rows[-1], sep="  ", flush=True)
    with (flags.out / "seeds.csv").open("w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerows([("seeds", "way", "wall_seconds", "cpu_seconds"), *rows])
    found = {(count, way): f"{wall} ({cpu})" for count, way, wall, cpu in rows}
    lines = [
        "# Several seeds of LeNet-5 on digits",
        f"{STEPS} steps of 64 images, compilation included: wall seconds (CPU seconds), "
        f"{len(os.sched_getaffinity(0))} cores.",
        "| seeds | " + " | ".join(WAYS) + " |\n|---|" + "---|" * len(WAYS),
    ]
    lines[-1] += "".join(
        f"\n| {count} | " + " | ".join(found[count, way] for way in WAYS) + " |" for count in counts
    )
    (flags.out / "seeds.md").write_text("\n\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
