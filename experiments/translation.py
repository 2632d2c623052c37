"""What a network makes of an image that moves: stride, max, average and blur compared.

Hypothesis (Zhang 2019): what halves the maps decides how far a network follows a shift; a stride
alone aliases most, a max-pool less, an average less again, a max-pool with a blur behind it least.
Control: LeNet-5 with its 2x2 max-pools; the arms have its parameters and initial weights, its data
and its order, and differ in `model.downsample` alone.

    python experiments/translation.py --workdir=DIR [--seeds=3]

Trains each arm on scikit-learn's digits, moved by up to three pixels, goes on where it was
when given again, and writes DIR/translation.png and .csv: the share of test images that keep their
class under diagonal shifts of 0 to 8 pixels, and how far the maps of conv3, behind the first
halving (with stride, the second as well), are from moving along. Lines are means over seeds.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from cnn_jax import inspection
from cnn_jax.analysis import pictures, shifts
from cnn_jax.analysis.pictures import Chart
from cnn_jax.config import Config
from cnn_jax.data.dataset import TEST
from cnn_jax.inspection.subject import pixels_of
from cnn_jax.runs import run
from cnn_jax.runs.experiment import load_config

CONFIG = Path(__file__).parents[1] / "configs/lenet5_digits.py"
KINDS = ("stride", "pool", "avg", "blur")
PLACES = range(shifts.MOST + 1)


def main() -> None:
    """Train the arms, unless they are, and draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", required=True, type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    flags = parser.parse_args()
    rows = []
    for kind in KINDS:
        for seed in range(flags.seeds):
            folder = flags.workdir / f"{kind}-seed{seed}"
            run.train_and_evaluate(config(kind, seed), folder)
            rows += measured(kind, seed, folder)
    with (flags.workdir / "translation.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    charts = [
        Chart(lines(rows, "same class (%)"), "shift (pixels)", "same class (%)"),
        Chart(lines(rows, "equivariance error"), "shift (pixels)", "equivariance error, conv3"),
    ]
    file = flags.workdir / "translation.png"
    pictures.chart(charts, file, f"LeNet-5 on digits by what halves its maps, seeds: {flags.seeds}")
    print(file)


def config(kind: str, seed: int) -> Config:
    """Return the config of a cell."""
    flags = [f"--config.model.downsample={kind}", f"--config.seed={seed}"]
    return load_config(str(CONFIG), flags)


def measured(kind: str, seed: int, folder: Path) -> list[dict]:
    """Return a row for each measure and shift."""
    subject = inspection.open_run(folder)
    part = subject.data().parts[TEST]
    x = np.asarray(subject.normalise(pixels_of(part, range(len(part)))))
    same = 100 * shifts.consistency(subject.probe, x, PLACES)
    errors = shifts.equivariance_error(subject.probe, x[:64], ["conv3"], subject.views, PLACES)
    found = {"same class (%)": same, "equivariance error": errors["conv3"]}
    return [
        {"downsample": kind, "seed": seed, "measure": name, "shift": place, "value": float(value)}
        for name, values in found.items()
        for place, value in zip(PLACES, values, strict=True)
    ]


def lines(rows: list[dict], measure: str) -> dict[str, tuple[list[int], list[float]]]:
    """Return kind -> (shifts, means over seeds)."""
    found = {}
    for kind in KINDS:
        own = [row for row in rows if (row["downsample"], row["measure"]) == (kind, measure)]
        means = [float(np.mean([row["value"] for row in own if row["shift"] == s])) for s in PLACES]
        found[kind] = (list(PLACES), means)
    return found


if __name__ == "__main__":
    main()
