"""Several labels an example, or two classes by one output: sigmoid and binary cross-entropy."""

import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from cnn_jax.ops.precision import wide
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks import measures
from cnn_jax.tasks.classification import Measured
from cnn_jax.tasks.metrics import OverExamples
from cnn_jax.tasks.task import Batch


class LabelSums(OverExamples, struct.PyTreeNode):
    """Sums over examples: loss (at least float32), examples and labels told right, int32."""

    loss: jax.Array
    correct: jax.Array  # examples all of whose labels are right
    right: jax.Array  # labels
    examples: jax.Array


@dataclasses.dataclass(frozen=True)
class Multilabel:
    """Telling for each label by itself whether it applies.

    A network's outputs are logits ``[N, classes]``, a label each; with ``single``, ``[N, 1]``: how
    much speaks for the second of two classes. Targets are 0 or 1 ``[N, classes]``, or classes
    ``[N]``, of which one applies.

    Attributes:
        classes: labels, or the two classes of ``single``.
        label_smoothing: of the loss, in training: mixes targets with 0.5.
        single: two classes by one output.
        threshold: of the probability from which on a label applies.
        measures: what evaluation reports beside loss and accuracy.
    """

    classes: int
    label_smoothing: float = 0.0
    single: bool = False
    threshold: float = 0.5
    measures: tuple[Any, ...] = ()

    best: ClassVar[str] = "label_accuracy"
    least_is_best: ClassVar[bool] = False

    def __post_init__(self):
        if self.single and self.classes != 2:
            raise BadInputError(
                f"task.single: one output tells two classes apart; the data have {self.classes}"
            )
        if not 0 < self.threshold < 1:
            raise BadInputError(f"task.threshold is {self.threshold}; it has to be between 0 and 1")
        measures.named(self.measures)  # tells of one that there is not

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for each example."""
        return 1 if self.single else self.classes

    @property
    def loss_name(self) -> str:
        """What an axis calls the loss; of a subclass that has another one no more is known."""
        own = type(self)._losses is Multilabel._losses and type(self).metrics is Multilabel.metrics
        return "binary cross-entropy (nats)" if own else "loss"

    def check_labels(self, labels: np.ndarray, what: str) -> None:
        """Raise ``BadInputError`` unless labels are classes ``[N]``, or 0 to 1 ``[N, classes]``."""
        if labels.ndim == 1:
            good = not len(labels) or (labels.min() >= 0 and labels.max() < self.classes)
            right = f"classes in 0..{self.classes - 1}"
        else:
            good = not self.single and labels.shape[1:] == (self.classes,)
            good = good and bool(((labels >= 0) & (labels <= 1)).all())
            right = f"{self.classes} numbers in 0..1 for each example"
        if not good:
            raise BadInputError(f"{what} has labels {list(labels.shape)} that are not {right}")

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        """Return the binary cross-entropy of each example, ``[N]``: the mean over its labels."""
        return self._losses(outputs, batch, self.label_smoothing, train=True)

    def _losses(self, outputs: Any, batch: Batch, smoothing: float, *, train: bool) -> jax.Array:
        targets = self._targets(outputs, batch, train=train)
        targets = targets * (1 - smoothing) + smoothing / 2
        return jnp.mean(optax.sigmoid_binary_cross_entropy(wide(outputs), targets), axis=-1)

    def _targets(self, outputs: Any, batch: Batch, *, train: bool) -> jax.Array:
        """Return the targets ``[N, outputs]`` in at least float32."""
        dtype = wide(outputs).dtype
        if train and "target" in batch:  # of mixed images
            mixed = batch["target"].astype(dtype)
            return mixed[:, 1:] if self.single else mixed
        labels = batch["label"]
        if labels.ndim > 1:
            return labels.astype(dtype)
        if self.single:
            return labels[:, None].astype(dtype)
        return jax.nn.one_hot(labels, self.classes, dtype=dtype)

    def metrics(self, outputs: Any, batch: Batch, *, train: bool) -> Any:
        """Return loss, examples and labels told right, and in evaluation the measures'."""
        smoothing = self.label_smoothing if train else 0.0
        losses = self._losses(outputs, batch, smoothing, train=train)
        mask = batch.get("mask", jnp.ones(losses.shape, bool))
        true = self._targets(outputs, batch, train=False) >= 0.5
        said = jax.nn.sigmoid(wide(outputs)) >= self.threshold
        right = (said == true) & ~jnp.isnan(outputs) & mask[:, None]
        base = LabelSums(
            loss=jnp.sum(jnp.where(mask, losses, 0)),
            correct=jnp.sum(jnp.all(right, axis=1), dtype=jnp.int32),
            right=jnp.sum(right, dtype=jnp.int32),
            examples=jnp.sum(mask, dtype=jnp.int32),
        )
        if train or not self.measures:
            return base
        return Measured(base, measures.sums(self.measures, outputs, batch, mask))

    def zero(self, dtype: Any) -> LabelSums:
        """Return the sums over no examples."""
        counts = [jnp.zeros((), jnp.int32) for _ in range(3)]
        return LabelSums(jnp.zeros((), dtype), *counts)

    def means(self, parts: Iterable[Any]) -> dict[str, Any]:
        """Return loss, accuracy (all labels of an example right), label_accuracy and examples."""
        held = jax.device_get(list(parts))
        bases = [part.base if isinstance(part, Measured) else part for part in held]
        examples = sum(int(part.examples) for part in bases)
        found: dict[str, Any] = {
            "loss": sum(float(np.float64(part.loss)) for part in bases) / examples,
            "accuracy": sum(int(part.correct) for part in bases) / examples,
            "label_accuracy": sum(int(part.right) for part in bases) / examples / self.outputs,
            "examples": examples,
        }
        if not isinstance(held[0], Measured):
            return found
        return found | measures.values(self.measures, [part.more for part in held], examples)

    def predictions(self, outputs: jax.Array) -> jax.Array:
        """Return which labels apply, int32 ``[N, classes]``, or classes ``[N]`` if ``single``.

        -1 where the network gives a NaN.
        """
        said = (jax.nn.sigmoid(wide(outputs)) >= self.threshold).astype(jnp.int32)
        said = jnp.where(jnp.isnan(outputs), -1, said)
        return said[:, 0] if self.single else said

    def scores(self, outputs: jax.Array) -> jax.Array:
        """Return the probability of each label, or of both classes, ``[N, classes]``."""
        found = jax.nn.sigmoid(wide(outputs))
        return jnp.concatenate([1 - found, found], axis=1) if self.single else found

    def of_scores(self, scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Return the average precision: its mean over labels that occur, and each label's."""
        true = labels if labels.ndim > 1 else np.eye(self.classes)[labels]
        each = [average_precision(scores[:, i], true[:, i] >= 0.5) for i in range(self.classes)]
        known = [value for value in each if value is not None]
        mean = float(np.mean(known)) if known else None
        return {"average_precision": mean, "average_precision_by_label": each}

    def in_full(self) -> Self:
        """Return the task with every measure that tells something of it."""
        return self


def average_precision(scores: np.ndarray, true: np.ndarray) -> float | None:
    """Return the average precision of one label, None where no example has it.

    The sum over thresholds of the precision there times what the recall gains; examples with equal
    scores share a threshold. NaN if a score is.

    Args:
        scores: ``[N]``.
        true: bool ``[N]``.
    """
    if not true.any():
        return None
    if np.isnan(scores).any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(true[order])[ends]
    gained = np.diff(hits, prepend=0)
    return float(np.sum(hits / (ends + 1) * gained) / hits[-1])
