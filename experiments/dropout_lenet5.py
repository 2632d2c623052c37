"""Dropout on LeNet-5: the smallest study, and the example for new ones.

    python experiments/dropout_lenet5.py --preset=smoke --workdir=runs/dropout_lenet5

Control: no dropout. Budgets: equal by construction (parameters, MACs, steps). 5 seeds.
"""

import sys

from cnn_jax.ablation import Arm, Study, main
from cnn_jax.config import base_config


def study(preset: str) -> Study:
    """Declare the study."""
    config = base_config()
    config.model.name = "lenet5"
    config.data.name = "digits"
    config.data.image_size = 32
    config.data.batch_size = 64
    config.data.augment = {"pad_crop": {"padding": 3}}
    config.optim.learning_rate = 0.02
    config.optim.schedule = "cosine"
    config.optim.warmup = 20
    config.optim.weight_decay = 5e-4
    config.train.steps = {"smoke": 150, "short": 1500, "paper": 6000}[preset]
    config.eval.every = config.train.steps // 5
    config.checkpoint.every = config.train.steps // 2
    config.train.log_every = config.train.steps // 10
    factor = ["model.dropout"]
    return Study(
        name="dropout_lenet5",
        question="Does dropout before the last two layers of LeNet-5 lower its test error?",
        hypothesis="It lowers the test error where training is long enough to overfit.",
        base=config,
        arms=[
            Arm("none"),
            Arm("dropout 0.25", {"model.dropout": 0.25}, against="none", factor=factor),
            Arm("dropout 0.5", {"model.dropout": 0.5}, against="none", factor=factor),
        ],
        seeds={"smoke": 3, "short": 5, "paper": 10}[preset],
        smallest=0.005,
        equal=("params", "macs", "steps", "order", "initial"),
    )


if __name__ == "__main__":
    sys.exit(main(study))
