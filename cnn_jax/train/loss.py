"""Losses, an example each."""

import jax
import jax.numpy as jnp
import optax


def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    smoothing: float = 0.0,
    targets: jax.Array | None = None,
) -> jax.Array:
    """Return the softmax cross-entropy ``[N]`` of logits ``[N, classes]`` with labels ``[N]``.

    ``targets`` ``[N, classes]`` are distributions to use instead of the labels (mixed images).
    ``smoothing`` mixes the target with the uniform distribution (Szegedy et al. 2015, section 7).
    """
    if targets is None and smoothing == 0:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    if targets is None:
        targets = jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    targets = targets.astype(logits.dtype)
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, jnp.asarray(smoothing)))
