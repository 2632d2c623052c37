"""MLP against CNN at equal parameters, with shuffled pixels as the control for spatial structure.

    python experiments/mlp_vs_cnn.py --preset=short --workdir=runs/mlp_vs_cnn \
        --data=folder --data_dir=MNIST

Lectures 000, 002, 003 and 004: an MLP flattens an image and loses where its pixels are, a CNN
lives on it. Hypothesis: at equal parameters LeNet-5 has the lower test error; with the pixels of
all images brought into one random order it loses that advantage, and the MLP, to which order is
nothing, does not change. Controls: each network on the images as they are. Budgets: parameters
within 1 %, by the MLP's width; steps. Seeds: 2, 6, 10. `smoke` is digits, the others MNIST,
`short` with 500 images of a class.
"""

import sys

from cnn_jax.ablation import Arm, Match, Study, main
from cnn_jax.config import base_config

SHUFFLED = {"data.shuffle_pixels": 0}


def study(preset: str) -> Study:
    """Declare the study."""
    config = base_config()
    config.model.name = "lenet5"
    if preset == "smoke":
        config.data.name, config.data.image_size = "digits", 16
    else:
        config.data.name, config.data.image_size = "mnist", 28
        config.data.mean, config.data.std = (0.1307,), (0.3081,)
    if preset == "short":
        config.data.per_class = 500
    config.data.batch_size = 64
    config.optim.learning_rate = 0.01
    config.optim.schedule = "cosine"
    config.optim.clip = 1.0
    config.optim.weight_decay = 5e-4
    config.train.steps = {"smoke": 150, "short": 800, "paper": 9000}[preset]
    config.optim.warmup = config.train.steps // 10
    config.train.log_every = config.train.steps // 10
    config.eval.every = config.checkpoint.every = config.train.steps // 2
    mlp = {"model.name": "mlp", "model.hidden": (56,)}
    same = ("params", "macs", "steps", "initial")  # the order of pixels is a field of the data
    match = Match("params", "model.hidden", 0.01)
    arms = [
        Arm("cnn"),
        Arm(
            "mlp",
            mlp,
            against="cnn",
            factor=["model"],
            match=match,
        ),
        Arm("cnn, shuffled", SHUFFLED, "cnn", list(SHUFFLED), equal=same),
        Arm(
            "mlp, shuffled",
            mlp | SHUFFLED,
            against="mlp",
            factor=list(SHUFFLED),
            match=match,  # finds the width that `mlp` has
            equal=same,
            also={"cnn, shuffled": ["model"]},
        ),
    ]
    return Study(
        name="mlp_vs_cnn",
        question="At equal parameters, does a CNN have a lower test error than an MLP, and is it "
        "by the images' spatial structure?",
        hypothesis="It does. Shuffling the pixels raises its error to the MLP's or above and "
        "leaves the MLP's where it was.",
        base=config,
        arms=arms,
        seeds={"smoke": 2, "short": 6, "paper": 10}[preset],
        smallest=0.01,
        equal=("steps", "order"),
        threats=[
            "One order of the pixels, the same for all seeds.",
            "At equal parameters the CNN takes several times the MLP's multiply-adds.",
        ],
    )


if __name__ == "__main__":
    sys.exit(main(study))
