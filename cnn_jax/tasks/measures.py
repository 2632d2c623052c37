"""What evaluation measures beside the loss: pure sums over examples, divided on the host.

A measure has ``sums(outputs, batch, mask)``, a tree of arrays that are added over batches and
devices, and ``value(sums, examples)``, which makes a number, or lists of them, of the whole. A
function ``(outputs, batch) -> [N]`` is one, too: its mean over the examples.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.ops.precision import wide
from cnn_jax.registry import look_up, table
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks.losses import cross_entropy
from cnn_jax.tasks.metrics import ranks
from cnn_jax.tasks.task import Batch

BINS = 15  # of confidence (Guo et al. 2017, section 4)


class Measure(Protocol):
    """A measure; outputs are those of the network, in inference."""

    def sums(self, outputs: Any, batch: Batch, mask: jax.Array) -> Any:
        """Return sums over the examples that ``mask`` bool ``[N]`` lets through, a tree."""
        ...

    def value(self, sums: Any, examples: int) -> Any:
        """Return what the sums of all examples, NumPy's in at least float64, come to."""
        ...


Each = Callable[[Any, Batch], jax.Array]
Named = str | Measure | Each


@dataclasses.dataclass(frozen=True)
class Mean:
    """The mean of what a function gives for each example, ``[N]``."""

    each: Each

    def sums(self, outputs: Any, batch: Batch, mask: jax.Array) -> jax.Array:
        """Return the sum."""
        values = self.each(outputs, batch)
        if values.shape != mask.shape:
            raise BadInputError(
                f"the metric {getattr(self.each, '__name__', self.each)!r} gives "
                f"{list(values.shape)} for {len(mask)} examples; a number for each is needed"
            )
        return jnp.sum(jnp.where(mask, values, 0), dtype=_sum_type(values))

    def value(self, sums: Any, examples: int) -> float:
        """Return the mean."""
        return float(sums) / examples


def _sum_type(values: jax.Array) -> Any:
    floating = jnp.issubdtype(values.dtype, jnp.floating)
    return jnp.promote_types(values.dtype, jnp.float32) if floating else jnp.int32


@dataclasses.dataclass(frozen=True)
class PerClass:
    """The share of each class's examples that are told right; None for a class without any."""

    def sums(self, outputs: Any, batch: Batch, mask: jax.Array) -> dict[str, jax.Array]:
        """Return hits and examples by class, int32 ``[classes]``."""
        labels, zeros = batch["label"], jnp.zeros(outputs.shape[1], jnp.int32)
        hit = (ranks(outputs, labels) < 1) & mask
        return {
            "hits": zeros.at[labels].add(hit.astype(jnp.int32)),
            "examples": zeros.at[labels].add(mask.astype(jnp.int32)),
        }

    def value(self, sums: Any, examples: int) -> list[float | None]:
        """Return the accuracy of each class."""
        del examples
        pairs = zip(sums["hits"].tolist(), sums["examples"].tolist(), strict=True)
        return [hits / count if count else None for hits, count in pairs]


@dataclasses.dataclass(frozen=True)
class Confusion:
    """How often class j is said of examples of class i; a row with a NaN counts in no column."""

    def sums(self, outputs: Any, batch: Batch, mask: jax.Array) -> jax.Array:
        """Return counts int32 ``[classes, classes]``, true by predicted."""
        classes, labels = outputs.shape[1], batch["label"]
        said = jnp.argmax(outputs, axis=1)
        counted = mask & ~jnp.any(jnp.isnan(outputs), axis=1)
        zeros = jnp.zeros((classes, classes), jnp.int32)
        return zeros.at[labels, said].add(counted.astype(jnp.int32))

    def value(self, sums: Any, examples: int) -> list[list[int]]:
        """Return the counts, a list for each true class."""
        del examples
        return sums.tolist()


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Expected calibration error: how far confidence is from accuracy (Guo et al. 2017, eq. 3).

    Over ``BINS`` bins of equal width, (i / BINS, (i + 1) / BINS]. Confidence is the largest
    probability; it is NaN, and so is the error, if the network gives one.
    """

    def sums(self, outputs: Any, batch: Batch, mask: jax.Array) -> dict[str, jax.Array]:
        """Return examples, hits and summed confidence by bin, ``[BINS]``."""
        confidence = jnp.max(jax.nn.softmax(wide(outputs)), axis=1)
        place = jnp.nan_to_num(jnp.ceil(confidence * BINS) - 1).astype(jnp.int32)
        place = jnp.clip(place, 0, BINS - 1)
        counts, sums = jnp.zeros(BINS, jnp.int32), jnp.zeros(BINS, confidence.dtype)
        hit = (ranks(outputs, batch["label"]) < 1) & mask
        return {
            "examples": counts.at[place].add(mask.astype(jnp.int32)),
            "hits": counts.at[place].add(hit.astype(jnp.int32)),
            "confidence": sums.at[place].add(jnp.where(mask, confidence, 0)),
        }

    def value(self, sums: Any, examples: int) -> float:
        """Return the mean distance of a bin's accuracy from its confidence, by its examples."""
        return float(np.abs(sums["hits"] - sums["confidence"]).sum()) / examples


def log_loss(outputs: jax.Array, batch: Batch) -> jax.Array:
    """Return the cross-entropy of each example with its label, ``[N]``, whatever was trained."""
    return cross_entropy(outputs, batch["label"])


def rank(outputs: jax.Array, batch: Batch) -> jax.Array:
    """Return how many classes come before each example's own, ``[N]``: 0 is a hit."""
    return ranks(outputs, batch["label"])


METRICS: dict[str, Any] = table(
    "metric",
    {
        "per_class_accuracy": PerClass(),
        "confusion": Confusion(),
        "calibration_error": Calibration(),
        "log_loss": log_loss,
        "rank": rank,
    },
)


def top(k: int) -> Each:
    """Return whether fewer than ``k`` classes come before an example's own, by ``ranks``."""

    def hit(outputs: jax.Array, batch: Batch) -> jax.Array:
        return ranks(outputs, batch["label"]) < k

    return hit


def named(measures: Iterable[Named]) -> dict[str, Measure]:
    """Return measures by name; ``accuracy_topK`` is one for every K.

    Raises ``BadInputError`` for a name that is none.
    """
    found: dict[str, Any] = {}
    for given in measures:
        if isinstance(given, str):
            number = re.fullmatch(r"accuracy_top([1-9]\d*)", given)
            name = given
            made: Any = (
                top(int(number[1])) if number else look_up(METRICS, given, "unknown metric", 3)
            )
        else:
            name = getattr(given, "__name__", type(given).__name__)
            made = given
        found[name] = made if hasattr(made, "sums") else Mean(made)
    return found


def sums(measures: Sequence[Named], outputs: Any, batch: Batch, mask: jax.Array) -> dict[str, Any]:
    """Return the sums of a batch by the measure's name."""
    found = named(measures)
    return {name: measure.sums(outputs, batch, mask) for name, measure in found.items()}


def values(measures: Sequence[Named], parts: Sequence[Any], examples: int) -> dict[str, Any]:
    """Return the values by name, of the sums of several batches."""
    if not measures:
        return {}
    whole = jax.tree.map(lambda *x: np.sum([_exact(each) for each in x], axis=0), *parts)
    found = named(measures)
    return {name: measure.value(whole[name], examples) for name, measure in found.items()}


def _exact(x: Any) -> np.ndarray:
    array = np.asarray(x)
    return array.astype(np.int64 if array.dtype.kind in "iu" else np.float64)
