"""Pixels thrown away: does the object survive, and does it help to have trained without them?

    python experiments/pixels_thrown_away.py --preset=short --workdir=runs/pixels \
        --data=folder --data_dir=MNIST

Lecture 002 keeps 10, 20, 50 and 75 % of an image's pixels and asks whether the object can still be
seen. The others are black here, drawn by each image itself, so that all arms are tested on the
same images. Hypothesis: a network trained on whole images fails where most pixels are missing; one
trained on images that lack as many does not. Control: the same network, trained on whole images
and tested on the same ones; and tested on whole images. Budgets are equal by construction. Seeds:
2, 5, 5. `smoke` is digits, `short` MNIST with 500 images of a class, `paper` CIFAR-10.
"""

import sys

from cnn_jax.ablation import Arm, Series, Study, main
from cnn_jax.config import base_config

SHARES = {"smoke": (0.2, 0.5), "short": (0.1, 0.2, 0.5, 0.75), "paper": (0.1, 0.2, 0.5, 0.75)}
WHOLE, THINNED = "trained on whole images", "trained on thinned images"


def named(line: str, share: float) -> str:
    """Return the name of a line's arm."""
    return f"{line}, {share:.0%} kept"


def arms(preset: str) -> list[Arm]:
    """Return both ways of training for each share that the test images keep."""
    first = named(WHOLE, 1.0)
    found = [Arm(first)]
    for share in SHARES[preset]:
        kept = {"data.subsample": share, "data.subsample_in": "test"}
        whole = named(WHOLE, share)
        found.append(Arm(whole, kept, against=first, factor=list(kept)))
        same = {"data.subsample": share}
        found.append(Arm(named(THINNED, share), same, against=whole, factor=["data.subsample_in"]))
    return found


def study(preset: str) -> Study:
    """Declare the study."""
    config = base_config()
    config.model.name = "resnet20" if preset == "paper" else "lenet5"
    config.data.subsample_as = "missing"
    if preset == "smoke":
        config.data.name, config.data.image_size = "digits", 16
    elif preset == "short":
        config.data.name, config.data.image_size = "mnist", 28
        config.data.mean, config.data.std = (0.1307,), (0.3081,)
        config.data.per_class = 500
    else:
        config.data.name = "cifar10"
        config.data.augment = {"pad_crop": {"padding": 4}, "flip": {}}
    config.data.batch_size = 64
    config.optim.learning_rate = 0.02
    config.optim.schedule = "cosine"
    config.optim.weight_decay = 5e-4
    config.train.steps = {"smoke": 150, "short": 800, "paper": 64_000}[preset]
    config.train.log_every = config.train.steps // 10
    config.eval.every = config.checkpoint.every = config.train.steps
    shares = SHARES[preset]
    places = {
        named(line, share): (line, 100 * share) for line in (WHOLE, THINNED) for share in shares
    }
    return Study(
        name="pixels_thrown_away",
        question="How much of the pixels does a network need, and does training without them help?",
        hypothesis="A network trained on whole images fails where most pixels are missing; one "
        "trained on images that lack as many has a lower error there.",
        base=config,
        arms=arms(preset),
        seeds={"smoke": 2, "short": 5, "paper": 5}[preset],
        equal=(
            "params",
            "macs",
            "steps",
            "initial",
        ),  # which pixels are kept is a field of the data
        series=Series(
            "pixels kept in the test images (%)", places | {named(WHOLE, 1.0): (WHOLE, 100.0)}
        ),
        threats=[
            "Missing pixels are black, which is the background of these digits: on other images "
            "they cost more.",
            "All images are normalised by the constants of whole ones.",
        ],
    )


if __name__ == "__main__":
    sys.exit(main(study))
