"""The CPU's formulations one by one, also those that only large shapes choose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.ops import convolution, cpu
from cnn_jax.ops.geometry import Geometry


def geometry(stride=1, padding=0):
    return Geometry((stride, stride), ((padding, padding), (padding, padding)), 1, (1, 1))


@pytest.mark.parametrize(
    ("shape", "field", "how"),
    [
        pytest.param((4, 8, 6, 3), 1, geometry(stride=2), id="pointwise_strided"),
        pytest.param((2, 96, 98, 32), 3, geometry(padding=1), id="shifts"),
        pytest.param((2, 98, 98, 32), 3, geometry(), id="shifts_valid"),
    ],
)
def test_kernel_gradients_of_large_maps(shape, field, how, monkeypatch):
    monkeypatch.setattr(cpu, "_SMALL", 0)
    rng = np.random.default_rng(0)
    rows, columns = ((n + 2 * how.padding[0][0] - field) // how.stride[0] + 1 for n in shape[1:3])
    x = jnp.asarray(rng.standard_normal(shape), jnp.float32)
    g = jnp.asarray(rng.standard_normal((shape[0], rows, columns, 2)), jnp.float32)
    ours = jax.jit(lambda x, g: cpu.kernel_gradient(x, g, how, (field, field)))(x, g)
    assert ours is not None
    theirs = jax.jit(
        lambda x, g: convolution._xla_kernel_gradient(x, g, geometry=how, field=(field, field))
    )(x, g)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_small_strided_pointwise_is_left_to_xla():
    x, g = jnp.ones((4, 8, 8, 3)), jnp.ones((4, 4, 4, 2))
    assert cpu.kernel_gradient(x, g, geometry(stride=2), (1, 1)) is None
    assert cpu.kernel_gradient(x, x, geometry(), (1, 1)) is not None
