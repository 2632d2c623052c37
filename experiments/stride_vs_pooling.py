"""Stride versus pooling: can a convolution with stride replace max-pooling?

    python experiments/stride_vs_pooling.py --preset=smoke --workdir=runs/stride_vs_pooling

Paper: Springenberg et al. 2014, "Striving for Simplicity", table 3. Hypothesis: dropping the pool
for stride alone is worse; a learned convolution with stride is not worse than a pool with as many
parameters. Control: the max-pool, or ConvPool for All-CNN, which has its parameters. Budgets: MACs
matched by width for the strided arm; parameters equal for All-CNN and ConvPool. Seeds: 2, 3, 5.
`paper` is the All-CNN recipe (350 epochs, CIFAR-10); the networks beside it share its schedule.
"""

import sys

from cnn_jax.ablation import Arm, Match, Study, main
from cnn_jax.config import base_config

FACTOR = ["model.downsample"]
RATES = {"All-CNN": 0.05, "LeNet-5": 0.02, "VGG": 0.02}
SMOKE_RATE = 0.003  # of Adam: a hundred steps of SGD do not get All-CNN off the ground


def networks(preset: str) -> dict[str, dict]:
    """Return the networks that a preset compares, with their fields."""
    found: dict[str, dict] = {"All-CNN": {"model.name": "allcnn_c"}}
    if preset == "smoke":
        small = {"model.widths": (16, 32), "model.input_dropout": 0.0, "model.dropout": 0.1}
        return {"All-CNN": found["All-CNN"] | small}
    found["LeNet-5"] = {"model.name": "lenet5"}
    found["VGG"] = {"model.name": "vgg11_bn", "model.hidden": 256}
    if preset == "short":
        found["All-CNN"]["model.widths"] = (16, 32)
        found["VGG"] |= {"model.width": 8, "model.hidden": 64}
    return found


def arms(preset: str) -> list[Arm]:
    """Return every network's arms, its control first."""
    found = []
    for name, fields in networks(preset).items():
        rate = SMOKE_RATE if preset == "smoke" else RATES[name]
        common = fields | {"optim.learning_rate": rate}

        def arm(kind: str, *control: str, common=common, name=name, **more) -> Arm:
            against = f"{name} {control[0]}" if control else None
            own = common | {"model.downsample": kind}
            label = f"{name} {kind}" + (", equal MACs" if "match" in more else "")
            return Arm(label, own, against, FACTOR if control else (), **more)

        found += [arm("pool"), arm("avg", "pool"), arm("stride", "pool")]
        if name != "All-CNN":
            found += [arm("conv", "pool")]
            continue
        equal = ("params", "steps", "order", "initial")
        found += [arm("convpool", "pool")]
        found += [arm("conv", "convpool", equal=equal, not_worse=[f"{name} convpool"])]
        found += [arm("stride", "conv", match=Match("macs", "model.widths"))]
    return found


def study(preset: str) -> Study:
    """Declare the study."""
    config = base_config()
    config.optim.weight_decay = 0.001
    if preset == "paper":
        config.data.name, config.data.validation = "cifar10", 0.0
        epoch = 50_000 // 128
        config.train.steps = 350 * epoch
        config.optim.schedule = "step"
        config.optim.milestones = tuple(epochs * epoch for epochs in (200, 250, 300))
        config.eval.every = config.checkpoint.every = 10 * epoch
        config.train.log_every = epoch
    else:
        config.data.name = "digits"
        config.data.image_size = 16 if preset == "smoke" else 32
        config.data.batch_size = 64
        config.optim.schedule = "cosine"
        config.train.steps = {"smoke": 120, "short": 1200}[preset]
        config.optim.warmup = config.train.steps // 10
        config.eval.every = config.train.steps // 4
        config.checkpoint.every = config.train.steps // 2
        config.train.log_every = config.train.steps // 10
        config.optim.name = "adam" if preset == "smoke" else "sgd"
    return Study(
        name="stride_vs_pooling",
        question="Can a convolution with stride 2 replace the pooling between blocks, and is "
        "max-pooling better than average pooling?",
        hypothesis="Stride instead of the pool is worse than max-pooling in test error; a learned "
        "convolution with stride 2 is not worse than ConvPool, which has as many parameters.",
        base=config,
        arms=arms(preset),
        seeds={"smoke": 2, "short": 3, "paper": 5}[preset],
        smallest=0.005 if preset == "paper" else 0.01,
        threats=[
            "The paper chose the learning rate for each network; here it is one for each family.",
            "ReLU follows every convolution: All-CNN has one more than the arms with a pool.",
        ],
    )


if __name__ == "__main__":
    sys.exit(main(study))
