"""Metrics as sums and counts: added up on the device, divided once, on the host."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

TOP = 5


class Sums(struct.PyTreeNode):
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

    def cleared(self) -> "Sums":
        """Return zeros on the same devices."""
        return jax.tree.map(lambda x: jnp.zeros_like(x, device=x.sharding), self)

    def __add__(self, other: "Sums") -> "Sums":
        return jax.tree.map(jnp.add, self, other)


def sums(losses: jax.Array, logits: jax.Array, labels: jax.Array, mask: jax.Array) -> Sums:
    """Sum up a batch: losses ``[N]``, logits ``[N, classes]``, labels ``[N]``, mask bool ``[N]``.

    An example counts among the top five when fewer than five classes score above its own.
    """
    own = jnp.take_along_axis(logits, labels[:, None], axis=1)
    above = jnp.sum(logits > own, axis=1)
    right = jnp.argmax(logits, axis=1) == labels
    return Sums(
        loss=jnp.sum(jnp.where(mask, losses, 0)),
        correct=jnp.sum(right & mask, dtype=jnp.int32),
        correct_top5=jnp.sum((above < TOP) & mask, dtype=jnp.int32),
        examples=jnp.sum(mask, dtype=jnp.int32),
    )


def means(parts: Iterable[Sums], classes: int) -> dict[str, float | int]:
    """Return loss, accuracy, accuracy_top5 (for more than five classes) and examples."""
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
