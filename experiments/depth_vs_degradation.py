"""Depth versus degradation: do deeper plain networks train worse, and do shortcuts repair it?

    python experiments/depth_vs_degradation.py --preset=smoke --workdir=runs/depth_vs_degradation

Paper: He et al. 2015, "Deep Residual Learning", section 4.2. Hypothesis: the deeper plain network
has the higher *training* error, the deeper residual one does not. Controls: the shallowest network
of the same kind, and the plain network of the same depth, which has the same parameters and MACs
(shortcuts of option A have neither). Endpoint: training error. Gradient norms by block; arms
without BatchNorm, which keep its scales and shifts. Seeds: 2, 3, 5. `paper` is the published
recipe (64,000 steps, CIFAR-10) but for 400 steps of warm-up in every arm.
"""

import sys

from cnn_jax.ablation import Arm, Study, main
from cnn_jax.config import base_config

DEPTHS = {"smoke": (8, 14), "short": (8, 20, 32, 44), "paper": (20, 32, 44, 56, 110)}
NAMES = {"plain": "plain20", "residual": "resnet20"}  # of any depth: stages say how deep
SHORTCUT = ["model.name", "model.shortcut"]


def arm(kind: str, depth: int, against: str | None, factor: list, fields: dict, **also) -> Arm:
    """Return the arm of a kind and depth: 6 n + 2 layers with n blocks a stage."""
    blocks = (depth - 2) // 6
    own = {"model.name": NAMES[kind], "model.stages": (blocks,) * 3} | fields
    name = f"{kind}-{depth}" + ("" if own.get("model.batch_norm", True) else " without BatchNorm")
    equal = ("params", "macs", "steps", "order", "initial") if factor == SHORTCUT else None
    return Arm(name, own, against, factor, equal=equal, **also)


def arms(preset: str) -> list[Arm]:
    """Return plain and residual networks of the preset's depths."""
    depths = DEPTHS[preset]
    width = {} if preset == "paper" else {"model.width": 8}
    shallow = depths[0]
    stages = ["model.stages"]
    found = [arm("plain", shallow, None, [], width)]
    found += [arm("plain", depth, f"plain-{shallow}", stages, width) for depth in depths[1:]]
    for depth in depths:
        also = {f"residual-{shallow}": stages} if depth != shallow else {}
        found.append(arm("residual", depth, f"plain-{depth}", SHORTCUT, width, also=also))
    # At the base's rate they diverge: a lower one, and a bound on the gradient, in both of them.
    bare = {"model.batch_norm": False, "optim.learning_rate": 0.01, "optim.clip": 1.0} | width
    for depth in depths[:1] if preset == "smoke" else depths[:2]:
        plain = arm("plain", depth, None, [], bare)
        found += [plain, arm("residual", depth, plain.name, SHORTCUT, bare)]
    return found


def study(preset: str) -> Study:
    """Declare the study."""
    config = base_config()
    config.optim.learning_rate = 0.1
    config.optim.weight_decay = 1e-4
    if preset == "paper":
        config.data.name = "cifar10"
        config.data.batch_size = 128
        config.data.augment = {"pad_crop": {"padding": 4}, "flip": {}}
        config.optim.schedule = "step"
        config.optim.milestones = (32_000, 48_000)
        config.optim.warmup = 400
        config.train.steps = 64_000
        config.eval.every = config.checkpoint.every = 2_000
        config.train.log_every = 500
    else:
        config.data.name = "digits"
        config.data.image_size = 8 if preset == "smoke" else 16
        config.data.batch_size = 64
        config.data.augment = {"pad_crop": {"padding": 1}}
        config.optim.schedule = "cosine"
        config.train.steps = {"smoke": 100, "short": 1000}[preset]
        config.optim.warmup = config.train.steps // 10
        config.eval.every = config.train.steps // 4
        config.checkpoint.every = config.train.steps // 2
        config.train.log_every = config.train.steps // 10
    return Study(
        name="depth_vs_degradation",
        question="Do deeper plain networks have a higher training error, and do identity "
        "shortcuts repair it?",
        hypothesis="Training error rises with the depth of plain networks and not with that of "
        "residual ones; it is the optimisation, not overfitting.",
        base=config,
        arms=arms(preset),
        seeds={"smoke": 2, "short": 3, "paper": 5}[preset],
        endpoint="train",
        smallest=0.005 if preset == "paper" else 0.01,
        gradients=True,
        threats=[
            "Training error is that of a clean pass in inference mode: BatchNorm's running "
            "statistics are part of it.",
            "The arms without BatchNorm have a learning rate of their own and are compared with "
            "each other alone.",
        ],
    )


if __name__ == "__main__":
    sys.exit(main(study))
