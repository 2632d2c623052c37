"""Values for the fields of a config: some that a run may well use, and some of any kind."""

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import models
from cnn_jax.data import augment

# What fields take whose values are names, or tied to each other.
NAMES: dict[str, tuple[Any, ...]] = {
    "data.name": ("digits",),
    "data.train": ("train", "train[:50%]", "train[10%:]"),
    "data.test": ("test", "test[:50%]"),
    "data.subsample_as": ("smaller", "missing"),
    "data.subsample_in": ("all", "test"),
    "data.on_error": ("raise", "skip"),
    "data.only": (("3", "8"), ("0", "1", "2"), ()),
    "data.mean": ((0.5,), (0.1307,)),
    "data.std": ((0.5,), (0.3081,)),
    "data.classes": (10,),
    "data.image_size": (8, 12, 16, (16, 20)),
    "data.batch_size": (8, 16, 30, 64),
    "data.per_class": (4, 20),
    "data.workers": (0,),
    "data.stream": (True, False),
    "data.dir": (),
    "optim.name": ("sgd", "nesterov", "adam", "adamw", "rmsprop", "lars", "lamb", "muon", "sam"),
    "optim.schedule": ("constant", "cosine", "onecycle"),
    "optim.milestones": ((), (1,), (1, 2)),
    "optim.accumulate": (1, 2, 4),
    "optim.warmup": (0, 1),
    "train.steps": (1, 2, 3),
    "train.epochs": (),
    "train.precision": ("float32", "bfloat16", "float64"),
    "train.strategy": ("jit", "pmap"),
    "train.writers": ((),),
    "train.profile": (),
    "train.stat_batch": (2, 4, 8),
    "init.source": (),
    "init.regime": (),
    "init.train": ((),),
    "init.freeze": ((),),
    "init.restart": ((),),
    "init.unfreeze": ((),),
    "init.decay": (1.0,),
    "model.name": ("mlp", "lenet1", "lenet5", "resnet20"),
    "model.stages": ((1, 1), (1,), (2, 1)),
    "model.widths": ((),),
    "model.stem": ("cifar", "imagenet"),
    "model.shortcut": ("A", "B", None),
    "model.version": (1, 1.5),
    "model.hidden": ((4,), (8, 8), ()),
}
WILD: tuple[Any, ...] = (
    *(-1, 0, 1, 2, 3, 7, 64, 1000, 4096, 2**31 - 1, 2**31, 2**32, 2**63, 10**20, -(2**31)),
    *(-1.0, -0.5, 0.0, 1e-9, 0.1, 0.5, 0.75, 0.999, 1.0, 1.5, 2.0, 1e30, -1e30),
    *(math.inf, -math.inf, math.nan, True, False, None),
    *("", " ", "x", "é", "a\nb", "0", "1e3", "train", "none", "../x", "{seed}", "100:110"),
    *((), (0,), (1,), (1, 2), (2, 1), (1, 1), (0.5, 0.75), (-1,), ("a", "b"), (1, 2, 3)),
    *({}, {"flip": {}}, {"flip": {"probability": 2}}, {"nothing": {}}),
)


def plausible(rng: np.random.Generator, name: str, default: Any, folder: Path) -> Any:
    """Return a value that a run may well use; None for none."""
    if name == "data.augment":
        return _transforms(rng, wildly=False)
    if name == "init.source" and rng.random() < 0.5:
        return str(folder / "source")
    if name in NAMES:
        choices = NAMES[name]
        return choices[int(rng.integers(len(choices)))] if choices else None
    return _near(rng, default)


def _near(rng: np.random.Generator, default: Any) -> Any:
    """Return a value like the default one."""
    if isinstance(default, bool):
        return bool(rng.random() < 0.5)
    if isinstance(default, int):
        return max(1, round(default * 2 ** rng.uniform(-1, 1)))
    if isinstance(default, float):
        if 0 < default < 1:
            return round(float(rng.uniform(0.05, 0.95)), 3)
        return round(default * 2 ** rng.uniform(-1, 1), 4) or 0.001
    if default is None:
        return [1, 2, 0.5, 0.9][int(rng.integers(4))]
    return default


def wild(rng: np.random.Generator, name: str, default: Any, folder: Path) -> Any:
    """Return a value of any kind; often one that a field of that name could have elsewhere."""
    del default
    if name == "data.augment" and rng.random() < 0.8:
        return _transforms(rng, wildly=True)
    if name == "model.name" and rng.random() < 0.5:
        return str(rng.choice([*models.MODELS]))
    if name in ("init.source", "data.dir") and rng.random() < 0.5:
        return [str(folder), str(folder / "images"), str(folder / "nothing")][int(rng.integers(3))]
    return WILD[int(rng.integers(len(WILD)))]


def _transforms(rng: np.random.Generator, *, wildly: bool) -> dict[str, dict[str, Any]]:
    """Return some transforms with arguments near their defaults, or with any."""
    known = augment.TRANSFORMS
    steps = {}
    for name in rng.choice([*known], size=int(rng.integers(1, 3)), replace=False):
        parameters = inspect.signature(known[str(name)]).parameters.values()
        arguments = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        chosen = {}
        for parameter in arguments:
            if rng.random() < 0.5:
                value = _near(rng, parameter.default)
                if wildly and rng.random() < 0.5:
                    value = WILD[int(rng.integers(len(WILD)))]
                chosen[parameter.name] = value
        steps[str(name)] = chosen
    return steps
