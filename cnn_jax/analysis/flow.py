"""Gradient flow: how the loss's gradient reaches each layer, and each pixel."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis.probe import Probe
from cnn_jax.nn.norms import layer_of_kernel, norms


def layer_norms(tree: Any) -> dict[str, float]:
    """Return the Euclidean norm of each layer's ``kernel`` in a tree of parameters, by its path."""
    found = jax.jit(partial(norms, group=layer_of_kernel))(tree)
    return {name: float(norm) for name, norm in found.items()}


def in_order(values: dict[str, float], layers: Any) -> dict[str, float]:
    """Return the entries of ``values`` in the order of ``layers``; others are left out."""
    return {name: values[name] for name in layers if name in values}


def ratios(updates: dict[str, float], weights: dict[str, float]) -> dict[str, float]:
    """Return the norm of each layer's update over that of its weights."""
    return {name: update / max(weights[name], 1e-30) for name, update in updates.items()}


def input_gradients(probe: Probe, images: jax.Array, key: jax.Array) -> np.ndarray:
    """Return the gradient of a random mix of the logits by the pixels of each image, ``[N, D]``.

    The mix is the same for all images.
    """
    classes = jax.eval_shape(probe, images[:1]).shape[1]
    mix = jax.random.normal(key, (classes,))
    slope = jax.jit(jax.grad(lambda x: jnp.sum(probe(x) @ mix)))(images)
    return np.asarray(slope).reshape(len(images), -1)


def correlation(gradients: np.ndarray) -> np.ndarray:
    """Return the cosine of gradients ``[N, D]`` by how many places they are apart, ``[N]``.

    Balduzzi et al. 2017, section 2: along a line of inputs, plain networks' gradients turn into
    white noise with depth, residual networks' keep some correlation.
    """
    length = np.linalg.norm(gradients, axis=1, keepdims=True)
    unit = gradients / np.where(length > 0, length, 1)
    cosines = unit @ unit.T
    return np.array([np.mean(np.diagonal(cosines, apart)) for apart in range(len(unit))])


def settled(probe: Probe, x: jax.Array) -> Probe:
    """Return the network with the running statistics that it would have after many passes over x.

    Untrained networks need them: theirs are those that they were made with. Passing a batch moves
    each statistic s to k s + (1 - k) b, whatever s is, so that two passes, one from zeros and one
    from ones, tell k and the batch's own b.
    """
    if "batch_stats" not in probe.variables:
        return probe

    @jax.jit
    def passed(variables, x, value):  # arguments: the compiler would work constants out, slowly
        start = jax.tree.map(lambda s: jnp.full_like(s, value), variables["batch_stats"])
        _, updated = probe.module.apply(
            {**variables, "batch_stats": start},
            x,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )
        return updated["batch_stats"]

    zeros, ones = (passed(probe.variables, x, value) for value in (0.0, 1.0))
    found = jax.tree.map(lambda zero, one: zero / (1 - (one - zero)), zeros, ones)
    return Probe(probe.module, {**probe.variables, "batch_stats": found}, probe.image_shape)


def along_a_line(first: jax.Array, last: jax.Array, n: int) -> jax.Array:
    """Return ``n`` images ``[n, H, W, C]`` evenly spaced from one to another."""
    shares = jnp.linspace(0, 1, n)[:, None, None, None]
    return first[None] * (1 - shares) + last[None] * shares
