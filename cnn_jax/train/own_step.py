"""A step of one's own: any pure function (state, batch) -> (state, metrics)."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from cnn_jax.runtime import random_keys
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks.metrics import Additive

Metrics = Mapping[str, jax.Array]


class Totals(Additive, struct.PyTreeNode):
    """Metrics, numbers by name, summed up over steps."""

    totals: dict[str, jax.Array]
    steps: jax.Array

    def mean_loss(self) -> float:
        """Return the mean of ``loss``, or of the first metric; waits for the device."""
        name = "loss" if "loss" in self.totals else min(self.totals)
        return float(self.totals[name]) / int(self.steps)

    @staticmethod
    def means(parts: Iterable["Totals"]) -> dict[str, float]:
        """Return the metrics by name, their mean over all steps."""
        held = jax.device_get(list(parts))
        steps = sum(int(part.steps) for part in held)
        return {
            name: float(sum(np.float64(part.totals[name]) for part in held)) / steps
            for name in held[0].totals
        }


class OwnState(struct.PyTreeNode):
    """Someone's state, with what the loop needs beside it."""

    step: jax.Array  # updates done, int32
    own: Any
    window: Totals  # since the last line of the log
    bad_step: jax.Array  # the first update with a metric that was not finite, else -1

    @property
    def averaged(self) -> dict[str, Any]:
        """No running mean is kept of it."""
        return {}


@dataclasses.dataclass(frozen=True)
class OwnStep:
    """A step of one's own, and the state that it begins with.

    Attributes:
        step: pure: (state, batch) -> (state, metrics). The batch has ``image`` ``[N, H, W, C]``,
            ``label`` int32 ``[N]`` and ``key``, a random key of the step's own, the same whatever
            the devices are. Metrics are numbers by name, such as means over the batch.
        state: a tree of arrays, of any structure.
    """

    step: Callable[[Any, Any], tuple[Any, Metrics]]
    state: Any

    def __post_init__(self):
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.state):
            name = f"Trainer: state{jax.tree_util.keystr(path)}"
            if not hasattr(leaf, "dtype"):
                raise BadInputError(f"{name} is a {type(leaf).__name__}; a state holds arrays only")
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                raise BadInputError(
                    f"{name} is a random key; keep jax.random.key_data of it, or take batch['key']"
                )

    def initial_state(self, setup: Any) -> OwnState:
        """Return the state before the first step; to be traced."""
        own = jax.tree.map(jnp.array, self.state)  # copies: the loop gives up its buffers
        return OwnState(
            step=jnp.zeros((), jnp.int32),
            own=own,
            window=jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self._metrics(setup, own)),
            bad_step=jnp.full((), -1, jnp.int32),
        )

    def _metrics(self, setup: Any, own: Any) -> Any:
        """Return the shapes of what the step measures.

        Raises:
            BadInputError: the step returns something else than a state like its own and numbers.
        """
        images = setup.preprocessing.image_shape
        batch = {
            "image": jax.ShapeDtypeStruct((setup.batch_size, *images), setup.preprocessing.dtype),
            "label": jax.ShapeDtypeStruct((setup.batch_size,), jnp.int32),
            "key": jax.eval_shape(lambda: jax.random.key(0)),
        }
        returned = jax.eval_shape(self.step, own, batch)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise BadInputError("Trainer: step has to return (state, metrics)")
        state, metrics = returned
        before, after = (
            jax.tree.map(lambda x: (tuple(x.shape), jnp.dtype(x.dtype).name), tree)
            for tree in (jax.eval_shape(lambda x: x, own), state)
        )
        if before != after:
            raise BadInputError(
                "Trainer: step returns another state than it takes: "
                f"{_first_difference(before, after)}"
            )
        if not isinstance(metrics, Mapping) or not metrics:
            raise BadInputError("Trainer: step has to return metrics as a dict of numbers by name")
        for name, value in metrics.items():
            if value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
                raise BadInputError(
                    f"Trainer: the metric {name!r} is {value.dtype}{list(value.shape)}; it has "
                    "to be one floating-point number"
                )
        count: Any = jax.ShapeDtypeStruct((), jnp.int32)
        return Totals(dict(metrics), count)

    def train_step(self, seed: int | jax.Array) -> Callable[[OwnState, Any], Any]:
        """Return the step as the loop takes it."""

        def step(now: OwnState, batch: Any) -> tuple[OwnState, Totals]:
            stream = random_keys.stream(seed, random_keys.Purpose.DROPOUT)
            batch = batch | {"key": jax.random.fold_in(stream, now.step)}
            own, metrics = self.step(now.own, batch)
            measured = Totals(dict(metrics), jnp.ones((), jnp.int32))
            done = now.step + 1
            finite = jnp.all(jnp.isfinite(jnp.stack([*metrics.values()])))
            bad = (now.bad_step < 0) & ~finite
            after = OwnState(
                step=done,
                own=own,
                window=now.window + measured,
                bad_step=jnp.where(bad, done, now.bad_step),
            )
            return after, measured

        return step


def _first_difference(before: Any, after: Any) -> str:
    held, new = (
        {
            jax.tree_util.keystr(path): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(
                tree, is_leaf=lambda x: isinstance(x, tuple) and len(x) == 2
            )
        }
        for tree in (before, after)
    )
    for path in {**held, **new}:
        if held.get(path) != new.get(path):
            return f"{path} is {new.get(path, 'absent')}, was {held.get(path, 'absent')}"
    return "the containers differ"
