"""1x1 bottlenecks: what do they buy at equal MACs and at equal parameters?

    python experiments/bottleneck_1x1.py --preset=smoke --workdir=runs/bottleneck_1x1

Papers: Szegedy et al. 2014, figure 2 (naive and reduced inception modules); He et al. 2015, figure
5 (basic and bottleneck blocks); Iandola et al. 2016, section 5 (squeeze ratios). Hypothesis: at an
equal budget the reduced form has the lower test error, because it affords more channels; the
linear arm, whose reductions have no ReLU, tells low rank from the extra non-linearity. Controls:
reduced inception, the basic block, a squeeze ratio of 0.125. Budgets: matched by width, once for
MACs and once for parameters, within 1 %, at worst 4 % (squeeze ratios on digits). Seeds: 2, 3, 5.
"""

import sys

from cnn_jax.ablation import Arm, Match, Study, main
from cnn_jax.config import base_config


def matched(
    label: str, fields: dict, against: str, factor: str, by: str, budgets, tolerance: float = 0.01
) -> list[Arm]:
    """Return an arm for each budget, its width adjusted to the control's."""
    return [
        Arm(f"{label}, equal {budget}", fields, against, [factor], Match(budget, by, tolerance))
        for budget in budgets
    ]


def arms(preset: str) -> list[Arm]:
    """Return the three families, each control first."""
    smoke, paper = preset == "smoke", preset == "paper"
    budgets = ("macs",) if smoke else ("macs", "params")
    net = {"model.name": "inception_v1", "model.aux": False, "model.dropout": 0.1}
    net |= {"model.width": 0.5 if paper else 0.25, "optim.learning_rate": 0.02}
    if not paper:
        net |= {"model.modules": ("3a",) if smoke else ("3a", "3b")}
    name, linear = "inception reduced", net | {"model.linear": True}
    found = [Arm(name, net), Arm("inception linear", linear, name, ["model.linear"])]
    naive, near = net | {"model.reduce": False}, 0.02 if paper else 0.01
    found += matched("inception naive", naive, name, "model.reduce", "model.width", budgets, near)
    net = {"model.name": "resnet20", "model.shortcut": "B"}
    net |= {"model.stages": (3, 3, 3) if paper else (1, 1, 1)}
    net |= {"model.widths": (16, 32, 64) if paper else (8, 16, 32)}
    name, factor, deep = "residual basic", "model.bottleneck", net | {"model.bottleneck": True}
    found += [Arm(name, net)]
    found += matched("residual bottleneck", deep, name, factor, "model.widths", budgets)
    if smoke:
        return found
    net = {"model.name": "squeezenet1_1", "optim.learning_rate": 0.02}
    net |= {"model.width": 1.0 if paper else 0.25}
    name, factor = "squeeze 0.125", "model.squeeze_ratio"
    found.append(Arm(name, net))
    near = 0.02 if paper else 0.04  # few channels leave coarse steps
    for ratio in (0.25, 0.5, 0.75):
        own = net | {factor: ratio}
        found += matched(f"squeeze {ratio}", own, name, factor, "model.width", budgets, near)
    return found


def study(preset: str) -> Study:
    """Declare the study."""
    config = base_config()
    config.optim.learning_rate = 0.1
    config.optim.weight_decay = 1e-4
    config.optim.clip = 5.0
    if preset == "paper":
        config.data.name, config.data.batch_size = "cifar10", 128
        config.data.augment = {"pad_crop": {"padding": 4}, "flip": {}}
        config.optim.schedule = "step"
        config.optim.milestones = (32_000, 48_000)
        config.train.steps = 64_000
        config.eval.every = config.checkpoint.every = 2_000
        config.train.log_every = 500
    else:
        config.data.name = "digits"
        config.data.image_size = 32
        config.data.batch_size = 64
        config.optim.schedule = "cosine"
        config.train.steps = {"smoke": 80, "short": 800}[preset]
        config.eval.every = config.train.steps // 4
        config.checkpoint.every = config.train.steps // 2
        config.train.log_every = config.train.steps // 10
    config.optim.warmup = config.train.steps // 10
    return Study(
        name="bottleneck_1x1",
        question="At equal MACs or parameters, do 1x1 bottlenecks lower the test error, and is "
        "it by their rank or by their extra non-linearity?",
        hypothesis="At an equal budget the reduced form is better; without its ReLU it is worse.",
        base=config,
        arms=arms(preset),
        seeds={"smoke": 2, "short": 3, "paper": 5}[preset],
        smallest=0.005 if preset == "paper" else 0.01,
        threats=[
            "Widths are scaled as a whole; another split of the same budget may do better.",
        ],
    )


if __name__ == "__main__":
    sys.exit(main(study))
