"""Layers from elsewhere, and the options that they would ignore.

What this project's layers ask the step about (``cnn_jax.nn.context``) others do not know of: which
examples share statistics, what is frozen, where an example is in the whole batch.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
from flax import traverse_util

from cnn_jax.nn.calling import mode
from cnn_jax.runtime.errors import BadInputError

Path = tuple[str, ...]


class Layer(NamedTuple):
    """A module that does not read the step's context, and has reason to.

    Attributes:
        path: in the network.
        kind: its class's name.
        statistics: it keeps variables that training changes, beside parameters.
        random: it draws random numbers.
        parameters: the paths of its own.
    """

    path: Path
    kind: str
    statistics: bool
    random: bool
    parameters: frozenset[Path]

    def __str__(self) -> str:
        return f"{'/'.join(self.path) or 'the network'} ({self.kind})"


def found(module: nn.Module, image_shape: tuple[int, ...], dtype: Any) -> list[Layer]:
    """Return such layers of a network, by tracing it on two images ``[2, H, W, C]``."""
    kinds: dict[Path, Any] = {}
    drew: set[Path] = set()
    moved: set[Path] = set()  # of variables
    parameters: set[Path] = set()

    def look(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        made, scope = call(*args, **kwargs), context.module.scope
        if scope is not None:
            kinds[tuple(scope.path)] = context.module
            own = (count for name, count in scope.rng_counters.items() if isinstance(name, str))
            if any(own):  # other names are those of its children
                drew.add(tuple(scope.path))
        return made

    def trace(key: jax.Array, x: jax.Array) -> None:
        keys = {"params": key, "dropout": key}
        variables = module.init(keys, x, **mode(module, train=False))
        rest = [name for name in variables if name != "params"]
        how = {"rngs": {"dropout": key}, "mutable": rest, **mode(module, train=True)}
        with nn.intercept_methods(look):
            _, updated = module.apply(variables, x, **how)
        before: Any = traverse_util.flatten_dict(variables)
        after: Any = traverse_util.flatten_dict(updated)
        moved.update(path[1:] for path, leaf in after.items() if before.get(path) is not leaf)
        parameters.update(path[1:] for path in before if path[0] == "params")

    images = jax.ShapeDtypeStruct((2, *image_shape), dtype)
    jax.eval_shape(trace, jax.random.key(0), images)
    keeping = {_module_of(path, kinds) for path in moved}
    layers = [
        Layer(
            path,
            type(kinds[path]).__name__,
            path in keeping,
            path in drew,
            frozenset(each for each in parameters if _module_of(each, kinds) == path),
        )
        for path in kinds
        if path in keeping | drew
    ]
    return [layer for layer in layers if not getattr(kinds[layer.path], "reads_context", False)]


def _module_of(path: Path, kinds: dict[Path, Any]) -> Path:
    """Return the module that a variable belongs to: the longest path that one has."""
    return max((path[:end] for end in range(len(path)) if path[:end] in kinds), key=len)


def check(made: Any) -> None:
    """Raise ``BadInputError`` for an option of a setup that a layer would silently ignore."""
    over_devices = made.execution.strategy == "pmap" and jax.device_count() > 1
    phases = [trained for _, trained in made.phases if trained is not None]
    averages = made.ema is not None and made.ema_batches > 0
    asked = made.stat_batch is not None or made.accumulate > 1 or bool(phases)
    if made.module is None or not (asked or over_devices or averages):
        return
    for layer in found(made.module, made.preprocessing.image_shape, made.preprocessing.dtype):
        if layer.statistics:
            ours = "take cnn_jax.nn.layers.BatchNorm"
            _refuse(
                made.stat_batch is not None,
                f"stat_batch: {layer} takes its statistics over all examples at hand; leave "
                f"stat_batch unset, or {ours}",
            )
            _refuse(
                any(not layer.parameters & trained for trained in phases),
                f"{layer} would go on collecting statistics though it is frozen; let it train, or "
                f"{ours}",
            )
            _refuse(
                over_devices, f"pmap: {layer} has statistics of each device; use jit, or {ours}"
            )
            _refuse(
                averages,
                f"ema: the statistics of {layer} cannot be estimated for the averaged network; set "
                f"ema_batches to 0, or {ours}",
            )
        if layer.random:
            ours = "draw by cnn_jax.nn.context.example_keys, as cnn_jax.nn.layers.Dropout does"
            _refuse(
                over_devices, f"pmap: {layer} draws the same on each device; use jit, or {ours}"
            )
            _refuse(
                made.accumulate > 1,
                f"accumulate: {layer} draws the same for each part of the batch; set 1, or {ours}",
            )


def _refuse(wrong: bool, line: str) -> None:
    if wrong:
        raise BadInputError(f"Trainer: {line}")
