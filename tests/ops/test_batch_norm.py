"""Which examples share their statistics: all, ghost batches, on one device or on several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.runtime.errors import BadInputError

X = np.random.default_rng(0).normal(3, 2, (16, 3, 2, 5))
SCALE, BIAS = np.linspace(0.5, 2, 5), np.linspace(-1, 1, 5)


def ours(x, **how):
    return ops.batch_norm(x, jnp.asarray(SCALE), jnp.asarray(BIAS), **how)


def by_hand(x, group):
    """Return (y, mean, variance) in NumPy, each group of examples by itself."""
    groups = x.reshape(-1, group, *x.shape[1:])
    mean, var = groups.mean((1, 2, 3)), groups.var((1, 2, 3))
    y = (groups - mean[:, None, None, None]) / np.sqrt(var + 1e-5)[:, None, None, None]
    return (y * SCALE + BIAS).reshape(x.shape), mean.mean(0), var.mean(0)


@pytest.mark.parametrize("group", [1, 2, 8, 16])
def test_ghost_batches(group):
    with jax.enable_x64(True):
        found = jax.jit(lambda x: ours(x, stat_batch=group))(X)
        for a, b in zip(found, by_hand(X, group), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("group", [2, 4, 8, 16])
def test_over_devices_in_value_and_gradient(group):
    """Four devices of four examples: groups within a device, of one, and of several."""
    weights = np.random.default_rng(1).normal(size=X.shape)

    def loss(x, weights, axis):
        y, mean, var = ours(x, stat_batch=group, axis=axis)
        return jnp.sum(jnp.sin(y) * weights), (y, mean, var)

    with jax.enable_x64(True):
        whole = jax.jit(jax.value_and_grad(lambda x, w: loss(x, w, None), has_aux=True))
        (_, (y, mean, var)), gradient = whole(X, weights)
        cut = jax.pmap(
            jax.value_and_grad(lambda x, w: loss(x, w, "data"), has_aux=True),
            axis_name="data",
            devices=jax.devices()[:4],
        )
        (_, (ys, means, variances)), gradients = cut(
            X.reshape(4, 4, *X.shape[1:]), weights.reshape(4, 4, *X.shape[1:])
        )
        np.testing.assert_allclose(np.reshape(ys, X.shape), y, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(np.reshape(gradients, X.shape), gradient, rtol=1e-9, atol=1e-9)
        for device in range(4):
            np.testing.assert_allclose(means[device], mean, rtol=1e-9)
            np.testing.assert_allclose(variances[device], var, rtol=1e-9)


def test_a_group_that_does_not_divide_the_batch():
    with pytest.raises(BadInputError, match="stat_batch 5 does not divide 16 examples"):
        ops.batch_norm(jnp.asarray(X), jnp.ones(5), jnp.zeros(5), stat_batch=5)
