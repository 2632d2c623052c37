"""The study whose folder ``first/study.tar.xz`` holds: four cells of ten steps."""

import sys

from cnn_jax.ablation import Arm, Study, main
from cnn_jax.config import base_config


def study(preset: str) -> Study:
    """Return two arms that differ in dropout."""
    del preset
    base = base_config()
    base.model.name = "lenet1"
    base.data.name, base.data.image_size, base.data.batch_size = "digits", 28, 128
    base.optim.learning_rate = 0.05
    base.train.steps = base.eval.every = base.checkpoint.every = 10
    base.train.log_every = 5
    rate = ["optim.learning_rate"]
    slower = Arm("slow", {"optim.learning_rate": 0.01}, against="fast", factor=rate)
    return Study(
        name="learning_rate",
        question="Does a fifth of the learning rate cost accuracy in ten steps?",
        hypothesis="It does.",
        base=base,
        arms=[Arm("fast"), slower],
        seeds=2,
        smallest=0.01,
    )


if __name__ == "__main__":
    sys.exit(main(study))
