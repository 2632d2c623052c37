"""Gradient flow in a plain and a residual network of the same depth, at initialisation and after.

Hypothesis (He et al. 2015, section 4.1; Balduzzi et al. 2017): a plain network's gradients do not
vanish under BatchNorm, they turn into noise: along a line of images the gradients of neighbours
lose their correlation with depth, and identity shortcuts keep some of it.
Control: the same class without its shortcuts, the same initial kernels, data, order and steps.

    python experiments/gradient_flow.py --workdir=DIR --data=cifar10 [--depth=56] [--steps=300]

Trains both networks on 500 images of each class, 16 pixels a side, into DIR/plain56 and
DIR/resnet56, with their gradient flow recorded, goes on where it was when given again, and writes
DIR/gradient_flow.png. `--data=folder --data_dir=CIFAR` takes a folder of the images.
"""

import argparse
from pathlib import Path

from cnn_jax import inspection
from cnn_jax.analysis import flow, pictures
from cnn_jax.analysis.pictures import Chart
from cnn_jax.config import Config
from cnn_jax.data.dataset import TRAIN
from cnn_jax.inspection.flowing import EXAMPLES, RECORDED, correlations, initial
from cnn_jax.inspection.subject import Subject, pixels_of
from cnn_jax.runs import run, workdir
from cnn_jax.runs.experiment import load_config
from cnn_jax.train.logging import read_metrics

CONFIG = Path(__file__).parents[1] / "configs/resnet20_cifar10.py"


def main() -> None:
    """Train both networks, unless they are, and draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", required=True, type=Path)
    parser.add_argument("--data", required=True, help="cifar10, or folder")
    parser.add_argument("--data_dir", default=None)
    parser.add_argument("--depth", type=int, default=56)
    parser.add_argument("--steps", type=int, default=300)
    flags = parser.parse_args()
    names = [f"plain{flags.depth}", f"resnet{flags.depth}"]
    for name in names:
        run.train_and_evaluate(_config(name, flags), flags.workdir / name)
    runs = {name: inspection.open_run(flags.workdir / name) for name in names}
    part = next(iter(runs.values())).data().parts[TRAIN]
    x = next(iter(runs.values())).normalise(pixels_of(part, range(EXAMPLES)))
    last = runs[names[0]].flow[-1]["step"]
    before = {name: initial(subject, x) for name, subject in runs.items()}
    after = {name: subject.probe for name, subject in runs.items()}
    charts = [
        _by_block(runs, "gradient", 0, "at initialisation"),
        _by_block(runs, "gradient", -1, f"after {last} steps"),
        _by_block(runs, "update_to_weight", -1, f"after {last} steps"),
        _titled(correlations(before, x), "at initialisation"),
        _titled(correlations(after, x), f"after {flags.steps} steps"),
        _losses({name: flags.workdir / name for name in names}),
    ]
    file = flags.workdir / "gradient_flow.png"
    pictures.chart(charts, file, f"gradient flow: {' and '.join(names)}", columns=3)
    print(file)


def _config(name: str, flags: argparse.Namespace) -> Config:
    fields = {
        "model.name": name,
        "data.name": flags.data,
        "data.image_size": 16,
        "data.per_class": 500,
        "data.validation": 0.0,
        "data.batch_size": 64,
        "optim.schedule": "constant",
        "optim.learning_rate": 0.05,
        "optim.warmup": 20,
        "train.steps": flags.steps,
        "train.log_every": 10,
        "train.flow_every": 25,
    }
    if flags.data_dir is not None:
        fields["data.dir"] = flags.data_dir
    overrides = [f"--config.{field}={value}" for field, value in fields.items()]
    return load_config(str(CONFIG), overrides)


def _by_block(runs: dict[str, Subject], quantity: str, place: int, title: str) -> Chart:
    curves, blocks = {}, []
    for name, subject in runs.items():
        norms = flow.in_order(subject.flow[place][quantity], subject.probe.layers)
        blocks = list(norms)
        curves[name] = range(len(blocks)), list(norms.values())
    return Chart(curves, "", RECORDED[quantity], log=True, ticks=blocks, title=title)


def _titled(chart: Chart, title: str) -> Chart:
    return Chart(chart.curves, chart.xlabel, chart.ylabel, title=title)


def _losses(folders: dict[str, Path]) -> Chart:
    curves = {}
    for name, folder in folders.items():
        lines = [x for x in read_metrics(folder / workdir.METRICS) if x["split"] == TRAIN][:-1]
        curves[name] = [line["step"] for line in lines], [line["loss"] for line in lines]
    return Chart(curves, "step", "training loss", title="training")


if __name__ == "__main__":
    main()
