"""Transfer learning by the amount of data: when does which regime win?

    python experiments/transfer_by_data_size.py --preset=short --workdir=runs/transfer \
        --data=folder --data_dir=CIFAR

Lecture 002: with little data train the last layers of a trained network only; with more keep the
early ones; with enough start from the weights and train all. Hypothesis: `last` beats training
from scratch with 10 images a class, and with all images `all` is at least as good as scratch.
Control: the same network from scratch, on the same images in the same order, for as many steps.
Source: CIFAR-10's six animals; target: its four vehicles, in `short` at 16x16 pixels. `smoke` is
digits, 0 to 5 and 6 to 9. Budgets are equal by construction; the regimes that freeze are cheaper a
step. Seeds: 2, 5, 5. This file is also the source's config, for
`cnn-jax train --config=experiments/transfer_by_data_size.py:PRESET`.
"""

import dataclasses
import subprocess
import sys
from pathlib import Path

from cnn_jax.ablation import Arm, Series, Study, main
from cnn_jax.config import Config, base_config
from cnn_jax.runtime.errors import BadInputError

ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
VEHICLES = ("airplane", "automobile", "ship", "truck")
ALL = 4900  # training images of a class of CIFAR-10 that validation leaves
# Preset -> images a class (of the target) -> (batch, steps).
SIZES = {
    "smoke": {2: (8, 40), 20: (32, 80)},
    "short": {1: (4, 40), 10: (40, 120), 100: (64, 150), ALL: (64, 500)},
    "paper": {
        **{1: (4, 100), 3: (12, 200), 10: (40, 400), 30: (64, 800), 100: (64, 1600)},
        **{300: (128, 3200), 1000: (128, 6400), ALL: (128, 12_800)},
    },
}


def get_config(arg: str | None = None) -> Config:
    """Return the source's config; ``arg`` is the preset."""
    preset = arg or "short"
    if preset not in SIZES:
        raise BadInputError(f"the preset is {', '.join(SIZES)}, not {preset!r}")
    config = base_config()
    config.model.name = "lenet5" if preset == "smoke" else "resnet20"
    config.data.image_size = 32 if preset == "paper" else 16
    if preset == "smoke":
        config.data.name, config.data.only = "digits", tuple("012345")
    else:
        config.data.name, config.data.only = "cifar10", ANIMALS
        config.data.validation = 0.02
        config.data.mean = (0.4914, 0.4822, 0.4465)
        config.data.std = (0.2470, 0.2435, 0.2616)
        config.data.augment = {
            "pad_crop": {"padding": config.data.image_size // 8},
            "flip": {},
        }
        config.optim.weight_decay = 5e-4
    if preset == "short":  # a block a stage
        config.model.stages, config.model.width = (1, 1, 1), 16
    config.data.batch_size = 64 if preset == "smoke" else 128
    config.optim.learning_rate = 0.02 if preset == "smoke" else 0.1
    config.optim.schedule = "cosine"
    config.train.steps = {"smoke": 400, "short": 1500, "paper": 30_000}[preset]
    config.optim.warmup = config.train.steps // 25
    config.train.log_every = config.train.steps // 10
    config.eval.every = config.train.steps // 2
    return config


def named(line: str, size: int) -> str:
    """Return the name of a line's arm."""
    return f"{line}, {'all' if size == ALL else size} a class"


def arms(preset: str) -> list[Arm]:
    """Return scratch and the regimes for each number of images."""
    found = []
    for size, (batch, steps) in SIZES[preset].items():
        own = {"data.per_class": None if size == ALL else size, "data.batch_size": batch}
        own |= {"train.steps": steps, "train.log_every": steps // 5}
        own |= {"eval.every": steps, "checkpoint.every": steps}
        found.append(Arm(named("scratch", size), own))
        for regime in ("last", "late", "all"):
            others = {named("last", size): ["init.regime"]} if regime == "all" else {}
            found.append(
                Arm(
                    named(regime, size),
                    own | {"init.source": "sources", "init.regime": regime},
                    against=named("scratch", size),
                    factor=["init.source", "init.regime"],
                    also=others,
                )
            )
    return found


def study(preset: str) -> Study:
    """Declare the study."""
    config = get_config(preset)
    config.data.only = tuple("6789") if preset == "smoke" else VEHICLES
    config.optim.learning_rate, config.optim.warmup = 0.02, 0
    lines = ("scratch", "last", "late", "all")
    threats = [
        "One pair of source and target, both of one data set: they share camera, size and style, "
        "which favours transfer.",
        "One learning rate and one number of steps for all regimes at each size; an early stop or "
        "another rate may suit one of them better.",
    ]
    if preset != "paper":
        threats.append("All seeds start from one source network: the intervals are for this one.")
    return Study(
        name="transfer_by_data_size",
        question="With how many images a class is it best to train the last layer of a trained "
        "network, its later half, all of it, or a network from scratch?",
        hypothesis="With 10 images a class training the last layer has a lower test error than "
        "training from scratch; with all of them, training all of a trained network has no "
        "higher one.",
        base=config,
        arms=arms(preset),
        seeds={"smoke": 2, "short": 5, "paper": 5}[preset],
        equal=("params", "macs", "steps", "order"),
        series=Series(
            "images a class",
            {named(line, size): (line, size) for line in lines for size in SIZES[preset]},
        ),
        threats=threats,
    )


def with_sources(declared: Study, folder: Path, preset: str) -> Study:
    """Train what the arms start from, and return the study that starts there.

    One network for all seeds; for `paper` each seed has its own.
    """
    data = declared.base.data
    flags = [f"--config.data.name={data.name}"]
    flags += [f"--config.data.dir={data.dir}"] if data.dir else []
    many = preset == "paper"
    for seed in range(declared.seeds if many else 1):
        own = [f"--workdir={folder / 'sources' / f'seed{seed}'}", f"--config.seed={seed}"]
        spec = f"--config={__file__}:{preset}"
        command = [sys.executable, "-m", "cnn_jax", "train", spec, *own, *flags]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise BadInputError(f"the source of seed {seed} was not trained")
    place = str(folder / "sources" / ("seed{seed}" if many else "seed0"))
    changed = [
        dataclasses.replace(arm, fields=dict(arm.fields) | {"init.source": place})
        if "init.source" in arm.fields
        else arm
        for arm in declared.arms
    ]
    return dataclasses.replace(declared, arms=changed)


if __name__ == "__main__":
    sys.exit(main(study, prepare=with_sources))
