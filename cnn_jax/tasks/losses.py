"""Losses, an example each."""

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer

from cnn_jax.ops.arguments import number
from cnn_jax.ops.precision import wide
from cnn_jax.runtime.errors import BadInputError


def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    smoothing: float = 0.0,
    targets: jax.Array | None = None,
) -> jax.Array:
    """Return the softmax cross-entropy ``[N]`` of logits ``[N, classes]`` with labels ``[N]``.

    ``targets`` ``[N, classes]`` are distributions to use instead of the labels (mixed images).
    ``smoothing`` mixes the target with the uniform distribution (Szegedy et al. 2015, section 7).
    Computed in at least float32.

    A label outside 0 .. classes - 1 raises ``BadInputError`` where its value is known; inside a
    traced function, which cannot raise, the example's loss and its gradient are NaN. Other shapes,
    labels that are no integers and a smoothing outside 0 .. 1 always raise it.
    """
    logits = wide(logits)
    number("cross_entropy: smoothing", smoothing, 0, 1)
    if targets is not None:
        if targets.shape != logits.shape:
            raise BadInputError(
                f"cross_entropy: targets {targets.shape} are not of the logits' {logits.shape}"
            )
        return _smoothed(logits, targets.astype(logits.dtype), smoothing)
    labels = jnp.asarray(labels)
    if labels.shape != logits.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise BadInputError(
            f"cross_entropy: logits {logits.shape} take labels of whole numbers "
            f"{logits.shape[:-1]}, not {labels.dtype} {labels.shape}"
        )
    classes = logits.shape[-1]
    known = (labels >= 0) & (labels < classes)
    if not isinstance(labels, Tracer) and not known.all():
        raise BadInputError(
            f"cross_entropy: label {labels[~known][0]} is outside 0 to {classes - 1}"
        )
    # Added to the logits, NaN reaches loss and gradient, and 0 changes no bit of the others'. As a
    # factor of the one-hot target it would be lost: XLA compiles that product to a selection.
    logits += jnp.where(known, 0, jnp.nan).astype(logits.dtype)[..., None]
    if smoothing == 0:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return _smoothed(logits, jax.nn.one_hot(labels, classes, dtype=logits.dtype), smoothing)


def _smoothed(logits, targets, smoothing):
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, jnp.asarray(smoothing)))
