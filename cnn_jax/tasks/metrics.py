"""Metrics as sums and counts: added up on the device, divided once, on the host."""

from collections.abc import Iterable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

TOP = 5


class Additive:
    """Sums, a tree of arrays, that are added to others."""

    def cleared(self) -> Self:
        """Return zeros on the same devices."""
        return jax.tree.map(lambda x: jnp.zeros_like(x, device=x.sharding), self)

    def __add__(self, other: Self) -> Self:
        return jax.tree.map(jnp.add, self, other)


class OverExamples(Additive):
    """Sums that have ``loss`` and ``examples``."""

    def mean_loss(self: Any) -> float:
        """Return the mean loss of the examples; waits for the device."""
        return float(self.loss) / int(self.examples)


class Sums(OverExamples, struct.PyTreeNode):
    """Sums over examples: loss (at least float32) and int32 counts."""

    loss: jax.Array
    correct: jax.Array
    correct_top5: jax.Array
    examples: jax.Array

    @classmethod
    def zero(cls, dtype=jnp.float32) -> "Sums":
        """Return the sums over no examples."""
        # An array each: buffers that are donated must not be shared.
        return cls(
            jnp.zeros((), dtype),
            jnp.zeros((), jnp.int32),
            jnp.zeros((), jnp.int32),
            jnp.zeros((), jnp.int32),
        )


def ranks(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return how many classes come before each label's, int32 ``[N]``: 0 is a hit.

    Of logits ``[N, classes]`` and labels ``[N]``: the classes that score above the label's own, and
    those that score the same with a lower index, so that the first one is ``predictions``'. A row
    with a NaN, and a label that is none of the classes, comes last: rank ``classes``.
    """
    classes = logits.shape[1]
    own = jnp.take_along_axis(logits, labels[:, None], axis=1, mode="clip")
    before = jnp.arange(classes) < labels[:, None]
    rank = jnp.sum((logits > own) | ((logits == own) & before), axis=1, dtype=jnp.int32)
    known = (labels >= 0) & (labels < classes) & ~jnp.any(jnp.isnan(logits), axis=1)
    return jnp.where(known, rank, classes)


def predictions(logits: jax.Array) -> jax.Array:
    """Return the class of each row's largest logit, int32 ``[N]``; -1 for a row with a NaN."""
    largest = jnp.argmax(logits, axis=1).astype(jnp.int32)
    return jnp.where(jnp.any(jnp.isnan(logits), axis=1), -1, largest)


def sums(losses: jax.Array, logits: jax.Array, labels: jax.Array, mask: jax.Array) -> Sums:
    """Sum up a batch: losses ``[N]``, logits ``[N, classes]``, labels ``[N]``, mask bool ``[N]``.

    An example counts among the top k when fewer than k classes come before its own (``ranks``).
    """
    rank = ranks(logits, labels)
    return Sums(
        loss=jnp.sum(jnp.where(mask, losses, 0)),
        correct=jnp.sum((rank < 1) & mask, dtype=jnp.int32),
        correct_top5=jnp.sum((rank < TOP) & mask, dtype=jnp.int32),
        examples=jnp.sum(mask, dtype=jnp.int32),
    )


def means(parts: Iterable[Sums], classes: int) -> dict[str, float | int]:
    """Return loss, accuracy, accuracy_top5 (for more than five classes) and examples.

    A loss that overflowed is what the floating-point type makes of it: inf or NaN.
    """
    loss, correct, correct_top5, examples = 0.0, 0, 0, 0
    for part in jax.device_get(list(parts)):
        loss += float(np.float64(part.loss))
        correct += int(part.correct)
        correct_top5 += int(part.correct_top5)
        examples += int(part.examples)
    result: dict[str, float | int] = {"loss": loss / examples, "accuracy": correct / examples}
    if classes > TOP:
        result["accuracy_top5"] = correct_top5 / examples
    return result | {"examples": examples}
