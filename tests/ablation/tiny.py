"""The smallest real study: two MLPs on digits, for tests. A program like those of experiments/."""

import dataclasses
import sys

from cnn_jax.ablation import Arm, Study, main
from cnn_jax.config import Config, base_config


def config() -> Config:
    """Return the base: 8x8 digits, a few steps."""
    config = base_config()
    config.model.name = "mlp"
    config.model.hidden = (16,)
    config.data.name = "digits"
    config.data.batch_size = 64
    config.optim.learning_rate = 0.05
    config.train.steps = 60
    config.train.log_every = 20
    config.eval.every = 30
    config.checkpoint.every = 20
    return config


def study(preset: str) -> Study:
    """Declare it: twice the width, and the same network with another rate."""
    base = config()
    base.train.steps = {"smoke": 60, "short": 600, "paper": 6000}[preset]
    return Study(
        name="tiny",
        question="Does a wider hidden layer help?",
        hypothesis="It does.",
        base=base,
        arms=[
            Arm("narrow"),
            Arm("wide", {"model.hidden": (32,)}, against="narrow", factor=["model.hidden"]),
        ],
        seeds=2,
        smallest=0.02,
    )


def brief(preset: str) -> Study:
    """Declare the same for a few steps, with the gradients' norms."""
    declared = study(preset)
    declared.base.train.steps = declared.base.train.log_every = 6
    declared.base.eval.every = declared.base.checkpoint.every = 6
    return dataclasses.replace(declared, gradients=True)


if __name__ == "__main__":
    sys.exit(main(study))
