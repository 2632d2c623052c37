"""What trains of a network that starts from given weights.

A network's stages are its outermost modules in the order in which they run, blocks of one stage
and a normalisation with the layer before it taken together: conv1, stage1, ..., head. Three
regimes name what trains, after how much data there is: ``last`` (little) the last stage alone,
``late`` (more) the later half of the stages, ``all`` (enough) everything. A rule of one's own is a
list of patterns. Yosinski et al. 2014 measured what freezing, continuing and re-initialising do.

A pattern is a glob over paths, as in a shell: it names a parameter if it matches its path or that
of a module around it. ``stage4*``, ``*/bn1`` and ``head/kernel`` are some.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from cnn_jax.analysis.execution import children
from cnn_jax.analysis.probe import inference
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.partial import Path, Paths

LAST, LATE, ALL = "last", "late", "all"
AUXILIARY = "aux"  # heads that run in training only have names that start so

Stages = dict[str, Paths]  # a stage's name -> its parameters, from the input to the head


@dataclasses.dataclass(frozen=True)
class Regime:
    """What trains, and how fast.

    Attributes:
        phases: (first step, paths of the parameters that train from there on); more in each.
        factors: of the learning rate, by path; None: 1 for all.
    """

    phases: tuple[tuple[int, Paths], ...]
    factors: Mapping[Path, float] | None = None


@dataclasses.dataclass(frozen=True)
class Rule:
    """The fields of a config's section ``init`` that say what trains.

    Attributes:
        regime: last, late or all; None where ``train`` says it.
        train: patterns of what trains, instead of a regime.
        freeze: patterns of what does not, whatever else is said.
        decay: factor of the learning rate from each stage to the one before it (Howard & Ruder
            2018, section 3.2, discriminative fine-tuning); 1 is the same rate for all.
        unfreeze: steps at which the next stage joins, from the head to the input (section 3.3).
    """

    regime: str | None = None
    train: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    decay: float = 1.0
    unfreeze: tuple[int, ...] = ()


def shapes_of(module: nn.Module, image_shape: Sequence[int]) -> Any:
    """Return the shapes of a network's variables, for images ``[H, W, C]``."""
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    key = jax.random.key(0)
    return jax.eval_shape(lambda key, x: module.init(key, x, **inference(module)), key, image)


def stages(module: nn.Module, image_shape: Sequence[int]) -> Stages:
    """Return a network's stages; auxiliary heads belong to the last one."""
    shapes = shapes_of(module, image_shape)
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    order = children(partial(module.apply, **inference(module)), shapes, image)
    paths = list(traverse_util.flatten_dict(shapes["params"]))
    outermost = [name for name in order if name in shapes["params"]]
    outermost += [name for name in shapes["params"] if name not in order]
    found: dict[str, list[Path]] = {}
    for name in outermost:
        stage = _stage(name)
        if found and (stage.startswith("bn") or name not in order):
            stage = list(found)[-1]
        found.setdefault(stage, []).extend(path for path in paths if path[0] == name)
    return {stage: frozenset(own) for stage, own in found.items()}


def _stage(name: str) -> str:
    """Return what an outermost module's name has in common with others of its stage.

    stage1_block2 -> stage1, conv3_1 -> conv3, inception4b -> inception4; Dense_0 stays.
    """
    found = re.fullmatch(r"([a-z]+\d+)([a-z]?|_.*)", name)
    return found[1] if found else name


def named(
    patterns: Iterable[str], paths: Iterable[Path], field: str, known: Iterable[str]
) -> Paths:
    """Return the paths that patterns name.

    Raises:
        BadInputError: a pattern that names none; the line has ``field`` and ``known``, the stages.
    """
    paths = list(paths)
    found: set[Path] = set()
    for pattern in patterns:
        own = {path for path in paths if _matches(pattern, path)}
        if not own:
            raise BadInputError(
                f"{field}: {pattern!r} matches no parameter; the network's stages are "
                f"{', '.join(known)}"
            )
        found |= own
    return frozenset(found)


def _matches(pattern: str, path: Path) -> bool:
    return any(fnmatchcase("/".join(path[: n + 1]), pattern) for n in range(len(path)))


def resolve(rule: Rule, network: Stages, anew: Paths = frozenset()) -> Regime:
    """Return what trains of a network.

    Args:
        rule: what the config says.
        network: its stages.
        anew: parameters that start from drawn values; they train unless ``freeze`` names them.

    Raises:
        BadInputError: a pattern that matches nothing, nothing left to train, more steps in
            ``unfreeze`` than there are frozen stages.
    """
    names = list(network)
    everything = frozenset().union(*network.values())
    if rule.train:
        chosen = named(rule.train, everything, "init.train", names)
    else:
        first = {LAST: len(names) - 1, LATE: len(names) // 2}.get(rule.regime or ALL, 0)
        chosen = frozenset().union(*(network[name] for name in names[first:]))
    kept = named(rule.freeze, everything, "init.freeze", names)
    trained = (chosen | anew) - kept
    if not trained:
        what = "init.freeze" if rule.freeze else f"init.regime {rule.regime!r}"
        raise BadInputError(f"{what} leaves nothing to train of {', '.join(names)}")
    phases = [(0, trained)]
    for step in rule.unfreeze:
        frozen = [name for name in names if network[name] - kept - phases[-1][1]]
        if not frozen:
            raise BadInputError(
                f"init.unfreeze: at step {step} every stage trains already; leave it out"
            )
        phases.append((step, phases[-1][1] | (network[frozen[-1]] - kept)))
    factors = None
    if rule.decay != 1:
        factors = {
            path: rule.decay ** (len(names) - 1 - depth)
            for depth, name in enumerate(names)
            for path in network[name]
        }
    return Regime(tuple(phases), factors)
