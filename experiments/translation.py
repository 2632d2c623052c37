"""What a network makes of an image that moves: stride, max, average and blur compared.

Hypothesis (Zhang 2019): what halves the maps decides how far a network follows a shift; a stride
alone aliases most, a max-pool less, an average less again, a max-pool with a blur behind it least.
Control: LeNet-5 with its 2x2 max-pools; the arms have its parameters and initial weights, its data
and its order, and differ in `model.downsample` alone.

    python experiments/translation.py --preset=short --workdir=DIR

Trains each arm on scikit-learn's digits, moved by up to three pixels, and writes beside the report
DIR/translation.png and .csv: the share of test images that keep their class under diagonal shifts
of 0 to 8 pixels, and how far the maps of conv3, behind the first halving (with stride, the second
as well), are from moving along. Lines are means over seeds. `smoke` takes a tenth of the steps.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cnn_jax import inspection
from cnn_jax.ablation import Arm, Study, main
from cnn_jax.analysis import pictures, shifts
from cnn_jax.analysis.pictures import Chart
from cnn_jax.data.dataset import TEST
from cnn_jax.inspection.subject import pixels_of
from cnn_jax.runs.experiment import load_config

CONFIG = Path(__file__).parents[1] / "configs/lenet5_digits.py"
KINDS = ("stride", "avg", "blur")  # beside the control's pool
PLACES = range(shifts.MOST + 1)


def study(preset: str) -> Study:
    """Declare the study."""
    config = load_config(str(CONFIG))
    if preset == "smoke":
        config.train.epochs = 6
    factor = ["model.downsample"]
    arms = [Arm(kind, {factor[0]: kind}, against="pool", factor=factor) for kind in KINDS]
    return Study(
        name="translation",
        question="Does what halves the maps decide how LeNet-5 classifies, where its images move?",
        hypothesis="On images that stay where they are it matters little; under shifts (see the "
        "picture) blur keeps most classes, then avg, pool and stride.",
        base=config,
        arms=[Arm("pool", {factor[0]: "pool"}), *arms],
        seeds={"smoke": 2, "short": 3, "paper": 10}[preset],
        equal=("params", "steps", "order", "initial"),
    )


def draw(folder: Path, runs: Mapping[tuple[str, int], Path]) -> Sequence[Path]:
    """Measure the trained networks under shifts; write the numbers and their picture."""
    rows = [row for (arm, seed), run in runs.items() for row in measured(arm, seed, run)]
    numbers, picture = folder / "translation.csv", folder / "translation.png"
    with numbers.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    charts = [
        Chart(lines(rows, "same class (%)"), "shift (pixels)", "same class (%)"),
        Chart(lines(rows, "equivariance error"), "shift (pixels)", "equivariance error, conv3"),
    ]
    seeds = len({seed for _, seed in runs})
    pictures.chart(charts, [picture], f"LeNet-5 on digits by what halves its maps, seeds: {seeds}")
    return numbers, picture


def measured(arm: str, seed: int, run: Path) -> list[dict]:
    """Return a row for each measure and shift."""
    subject = inspection.open_run(run)
    part = subject.data().parts[TEST]
    x = np.asarray(subject.normalise(pixels_of(part, range(len(part)))))
    same = 100 * shifts.consistency(subject.probe, x, PLACES)
    errors = shifts.equivariance_error(subject.probe, x[:64], ["conv3"], subject.views, PLACES)
    found = {"same class (%)": same, "equivariance error": errors["conv3"]}
    return [
        {"downsample": arm, "seed": seed, "measure": name, "shift": place, "value": float(value)}
        for name, values in found.items()
        for place, value in zip(PLACES, values, strict=True)
    ]


def lines(rows: list[dict], measure: str) -> dict[str, tuple[list[int], list[float]]]:
    """Return arm -> (shifts, means over seeds)."""
    found = {}
    for arm in dict.fromkeys(row["downsample"] for row in rows):
        own = [row for row in rows if (row["downsample"], row["measure"]) == (arm, measure)]
        means = [float(np.mean([row["value"] for row in own if row["shift"] == s])) for s in PLACES]
        found[arm] = (list(PLACES), means)
    return found


if __name__ == "__main__":
    sys.exit(main(study, finish=draw))
