"""Small networks with weights made by hand."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import ops
from cnn_jax.analysis.probe import Probe, inference
from cnn_jax.nn import layers


class Linear(nn.Module):
    """One matrix from pixels to classes: nothing but a bias makes it less than linear."""

    @nn.compact
    def __call__(self, x):
        return layers.Dense(3, name="head")(x.reshape(x.shape[0], -1))


class Pooled(nn.Module):
    """A convolution, the mean over positions, a linear head; no ReLU unless asked for."""

    rectified: bool = False
    padding: str = "valid"

    @nn.compact
    def __call__(self, x, *, train: bool):
        del train
        x = layers.Conv(4, 3, padding=self.padding, name="conv")(x)
        x = nn.relu(x) if self.rectified else x
        return layers.Dense(3, use_bias=False, name="head")(ops.global_avg_pool(x))


class Small(nn.Module):
    """Two convolutions with ReLU, a max-pool between: every kind of step in little."""

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.relu(layers.BatchNorm(name="bn1")(layers.Conv(4, name="conv1")(x), train=train))
        x = ops.max_pool(x, 2)
        x = nn.relu(layers.Conv(6, name="conv2")(x))
        return layers.Dense(3, name="head")(ops.global_avg_pool(x))


_MADE: dict[tuple[str, tuple[int, ...]], Probe] = {}


def probe(module: nn.Module, shape: tuple[int, ...]) -> Probe:
    """Return a network with random weights, biases included, opened up; the same each time."""
    known = repr(module), shape
    if known not in _MADE:
        _MADE[known] = _make(module, shape)
    return _MADE[known]


def _make(module: nn.Module, shape: tuple[int, ...]) -> Probe:
    x = jnp.zeros((1, *shape))
    init: Any = jax.jit(lambda key: module.init(key, x, **inference(module)))
    variables = init(jax.random.key(0))
    rng = np.random.default_rng(0)
    moved = jax.tree.map(
        lambda leaf: jnp.asarray(leaf + rng.normal(0, 0.1, leaf.shape).astype(np.float32)),
        variables["params"],
    )
    return Probe(module, {**variables, "params": moved}, shape)


def read(net: Probe, x: jax.Array, layer: str) -> np.ndarray:
    """Return a layer's output."""
    return np.asarray(jax.jit(lambda x: net.read(x, [layer])[1][layer])(x))


def noise(shape: tuple[int, ...], seed: int = 0) -> jax.Array:
    """Return standard normal values."""
    return jnp.asarray(np.random.default_rng(seed + 100).normal(size=shape), jnp.float32)
