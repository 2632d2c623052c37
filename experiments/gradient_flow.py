"""Gradient flow in a plain and a residual network of the same depth, at initialisation and after.

Hypothesis (He et al. 2015, section 4.1; Balduzzi et al. 2017): a plain network's gradients do not
vanish under BatchNorm, they turn into noise: along a line of images the gradients of neighbours
lose their correlation with depth, and identity shortcuts keep some of it.
Control: the same class without its shortcuts, the same initial kernels, data, order and steps.

    python experiments/gradient_flow.py --preset=short --workdir=DIR --data=cifar10

Trains both networks on 500 images of each class, 16 pixels a side, with their gradient flow
recorded, and writes DIR/gradient_flow.png, of the first seed, beside the report.
`--data=folder --data_dir=CIFAR` takes a folder of the images. `smoke` is 20 layers deep.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cnn_jax import config as configs
from cnn_jax import inspection
from cnn_jax.ablation import Arm, Study, main
from cnn_jax.analysis import flow, pictures
from cnn_jax.analysis.pictures import Chart
from cnn_jax.data.dataset import TRAIN
from cnn_jax.inspection.flowing import EXAMPLES, RECORDED, correlations, initial
from cnn_jax.inspection.subject import Subject, pixels_of
from cnn_jax.runs import workdir
from cnn_jax.train.logging import read_metrics

CONFIG = Path(__file__).parents[1] / "configs/resnet20_cifar10.py"
BLOCKS = {"smoke": 3, "short": 9, "paper": 9}  # of a stage: 20 and 56 layers


def study(preset: str) -> Study:
    """Declare the study."""
    config = configs.read(str(CONFIG))  # an arm fills in its own network's fields
    config.data.image_size, config.data.per_class = 16, 500
    config.data.validation, config.data.batch_size = 0.0, 64
    config.optim.schedule, config.optim.learning_rate = "constant", 0.05
    config.optim.milestones, config.optim.warmup = (), 20
    config.train.epochs, config.train.steps = None, 50 if preset == "smoke" else 300
    config.train.log_every, config.train.flow_every = 10, 25
    deep = {"model.stages": (BLOCKS[preset],) * 3}
    residual = {"model.name": "resnet20"} | deep
    return Study(
        name="gradient_flow",
        question="How does the loss's gradient reach the blocks of a plain and a residual network?",
        hypothesis="The plain network's gradients turn into noise and it trains worse; identity "
        "shortcuts keep some correlation between those of neighbouring images.",
        base=config,
        arms=[
            Arm("plain", {"model.name": "plain20"} | deep),
            Arm("residual", residual, against="plain", factor=["model.name", "model.shortcut"]),
        ],
        seeds={"smoke": 2, "short": 2, "paper": 5}[preset],
        endpoint=TRAIN,
        equal=("params", "macs", "steps", "order", "initial"),
        gradients=True,
    )


def draw(folder: Path, runs: Mapping[tuple[str, int], Path]) -> Sequence[Path]:
    """Draw the gradient flow of the first seed's networks, if both were trained."""
    own = {arm: run for (arm, seed), run in runs.items() if seed == min(s for _, s in runs)}
    if len(own) < 2:
        return ()
    subjects = {name: inspection.open_run(run) for name, run in own.items()}
    one = next(iter(subjects.values()))
    x = one.normalise(pixels_of(one.data().parts[TRAIN], range(EXAMPLES)))
    before = {name: initial(subject, x) for name, subject in subjects.items()}
    after = {name: subject.probe for name, subject in subjects.items()}
    last = one.flow[-1]["step"]
    charts = [
        _by_block(subjects, "gradient", 0, "at initialisation"),
        _by_block(subjects, "gradient", -1, f"after {last} steps"),
        _by_block(subjects, "update_to_weight", -1, f"after {last} steps"),
        _titled(correlations(before, x), "at initialisation"),
        _titled(correlations(after, x), "after training"),
        _losses(own),
    ]
    picture = folder / "gradient_flow.png"
    pictures.chart(charts, [picture], f"gradient flow: {' and '.join(own)}", columns=3)
    return (picture,)


def _by_block(subjects: dict[str, Subject], quantity: str, place: int, title: str) -> Chart:
    curves, blocks = {}, []
    for name, subject in subjects.items():
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
    sys.exit(main(study, finish=draw))
