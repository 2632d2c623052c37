"""Classification: one class an example; softmax and cross-entropy."""

import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from cnn_jax.ops.precision import wide
from cnn_jax.tasks import measures, metrics
from cnn_jax.tasks.losses import cross_entropy
from cnn_jax.tasks.metrics import Sums
from cnn_jax.tasks.task import Batch

MOST_CONFUSED = 256  # classes whose confusion is counted: a square for each batch is kept


class Measured(struct.PyTreeNode):
    """Sums of an evaluation: those of training, and those of the task's measures by name."""

    base: Any
    more: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Classification:
    """Telling classes apart.

    A network's outputs are logits ``[N, classes]``; in training perhaps a tuple, of which the first
    are those and the others come from auxiliary heads. Another loss is a subclass with another
    ``example_loss``.

    Attributes:
        classes: how many.
        label_smoothing: of the loss, in training (Szegedy et al. 2015, section 7).
        aux_weights: of the auxiliary heads' losses, which are added to the network's own; metrics
            are those of the network's own logits, their loss included.
        measures: what evaluation reports beside loss and accuracy: names of metrics, such as
            ``calibration_error`` and ``accuracy_top3``, or objects; see ``cnn_jax.tasks.measures``.
    """

    classes: int
    label_smoothing: float = 0.0
    aux_weights: tuple[float, ...] = ()
    measures: tuple[Any, ...] = ()

    best: ClassVar[str] = "accuracy"  # the metric that the best checkpoint is the best in
    least_is_best: ClassVar[bool] = False

    def __post_init__(self):
        measures.named(self.measures)  # tells of one that there is not

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for each example."""
        return self.classes

    @property
    def loss_name(self) -> str:
        """What an axis calls the loss; of a subclass that has another one no more is known."""
        own = type(self).example_loss is Classification.example_loss
        return "cross-entropy (nats)" if own else "loss"

    def example_loss(self, logits: jax.Array, batch: Batch, *, train: bool) -> jax.Array:
        """Return the loss of each example, ``[N]``, of one head's logits ``[N, classes]``.

        Smoothing and mixed targets belong to training.
        """
        if not train:
            return cross_entropy(logits, batch["label"])
        return cross_entropy(logits, batch["label"], self.label_smoothing, batch.get("target"))

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        """Return the loss of each example, ``[N]``, with the auxiliary heads'."""
        logits, *heads = outputs if isinstance(outputs, tuple) else (outputs,)
        total = self.example_loss(logits, batch, train=True)
        weights = self.aux_weights if heads else ()
        for weight, head in zip(weights, heads, strict=True):
            total += weight * self.example_loss(head, batch, train=True)
        return total

    def metrics(self, outputs: Any, batch: Batch, *, train: bool) -> Any:
        """Return loss, hits, hits among five and examples, and in evaluation the measures'."""
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        labels = batch["label"]
        losses = self.example_loss(logits, batch, train=train)
        mask = batch.get("mask", jnp.ones(labels.shape, bool))
        base = metrics.sums(losses, logits, labels, mask)
        if train or not self.measures:
            return base
        return Measured(base, measures.sums(self.measures, logits, batch, mask))

    def zero(self, dtype: Any) -> Sums:
        """Return the sums over no examples."""
        return Sums.zero(dtype)

    def means(self, parts: Iterable[Any]) -> dict[str, Any]:
        """Return loss, accuracy, accuracy_top5 (of more than five classes), examples, measures."""
        parts = list(parts)
        if not isinstance(parts[0], Measured):
            return metrics.means(parts, self.classes)
        found = metrics.means((part.base for part in parts), self.classes)
        more = jax.device_get([part.more for part in parts])
        return found | measures.values(self.measures, more, int(found["examples"]))

    def predictions(self, outputs: jax.Array) -> jax.Array:
        """Return the class of each example, int32 ``[N]``; -1 where the network gives a NaN."""
        return metrics.predictions(outputs)

    def scores(self, outputs: jax.Array) -> jax.Array:
        """Return the probabilities of the classes, ``[N, classes]``, in at least float32."""
        return jax.nn.softmax(wide(outputs))

    def of_scores(self, scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Return metrics that need all scores at once: none."""
        del scores, labels
        return {}

    def in_full(self) -> Self:
        """Return the task with every measure that tells something of it."""
        more = ["log_loss", "calibration_error", "per_class_accuracy"]
        more += ["confusion"] if self.classes <= MOST_CONFUSED else []
        named = measures.named(self.measures)
        kept = (*self.measures, *(name for name in more if name not in named))
        return dataclasses.replace(self, measures=kept)
