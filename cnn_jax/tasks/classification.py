"""Classification: one class an example; softmax and cross-entropy."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax.tasks import metrics
from cnn_jax.tasks.losses import cross_entropy
from cnn_jax.tasks.metrics import Sums
from cnn_jax.tasks.task import Batch


@dataclasses.dataclass(frozen=True)
class Classification:
    """Telling classes apart.

    A network's outputs are logits ``[N, classes]``; in training perhaps a tuple, of which the first
    are those and the others come from auxiliary heads.

    Attributes:
        classes: how many.
        label_smoothing: of the loss, in training (Szegedy et al. 2015, section 7).
        aux_weights: of the auxiliary heads' losses, which are added to the network's own; metrics
            are those of the network's own logits, their loss included.
    """

    classes: int
    label_smoothing: float = 0.0
    aux_weights: tuple[float, ...] = ()

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        """Return the cross-entropy of each example, ``[N]``, with the auxiliary heads'."""
        logits, *heads = outputs if isinstance(outputs, tuple) else (outputs,)
        total = self._losses(logits, batch)
        weights = self.aux_weights if heads else ()
        for weight, head in zip(weights, heads, strict=True):
            total += weight * self._losses(head, batch)
        return total

    def metrics(self, outputs: Any, batch: Batch, *, train: bool) -> Sums:
        """Return loss, hits, hits among five and examples, summed up."""
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        labels = batch["label"]
        losses = self._losses(logits, batch) if train else cross_entropy(logits, labels)
        mask = batch.get("mask", jnp.ones(labels.shape, bool))
        return metrics.sums(losses, logits, labels, mask)

    def _losses(self, logits: jax.Array, batch: Batch) -> jax.Array:
        return cross_entropy(logits, batch["label"], self.label_smoothing, batch.get("target"))

    def zero(self, dtype: Any) -> Sums:
        """Return the sums over no examples."""
        return Sums.zero(dtype)

    def means(self, parts: Iterable[Sums]) -> dict[str, float | int]:
        """Return loss, accuracy, accuracy_top5 (of more than five classes) and examples."""
        return metrics.means(parts, self.classes)

    def predictions(self, outputs: jax.Array) -> jax.Array:
        """Return the class of each example, int32 ``[N]``; -1 where the network gives a NaN."""
        return metrics.predictions(outputs)
