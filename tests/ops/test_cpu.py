"""The CPU's formulations one by one, also those that only large shapes choose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.ops import convolution, cpu
from cnn_jax.ops.cpu import dense
from cnn_jax.ops.geometry import Geometry


def geometry(stride=1, padding=(0, 0), groups=1):
    rows, columns = padding
    return Geometry((stride, stride), ((rows, rows), (columns, columns)), groups, (1, 1))


@pytest.mark.parametrize(
    ("shape", "field", "how"),
    [
        pytest.param((4, 8, 6, 3), (1, 1), geometry(stride=2), id="pointwise_strided"),
        pytest.param((4, 7, 8, 3), (3, 3), geometry(padding=(1, 1)), id="tiny"),
        pytest.param((2, 17, 9, 3), (7, 1), geometry(padding=(3, 0)), id="tall"),
        pytest.param((6, 12, 10, 32), (3, 3), geometry(padding=(1, 1)), id="large"),
        pytest.param((6, 12, 10, 32), (3, 3), geometry(), id="large_valid"),
        pytest.param((2, 6, 14, 4), (3, 3), geometry(1, (1, 1), 4), id="depthwise_two_blocks"),
        pytest.param((2, 6, 13, 4), (3, 3), geometry(1, (1, 1), 4), id="depthwise_a_row"),
        pytest.param((2, 6, 32, 4), (3, 3), geometry(2, (1, 1), 4), id="depthwise_strided"),
        pytest.param((2, 6, 3, 4), (3, 3), geometry(groups=4), id="depthwise_one_column"),
    ],
)
def test_kernel_gradients(shape, field, how, monkeypatch):
    # As of shapes so large that a test would take long: several parts of the batch, too.
    monkeypatch.setattr(cpu, "_SMALL", 0)
    monkeypatch.setattr(cpu, "_OF_CACHE", 1000)
    monkeypatch.setattr(dense, "_CHUNK_BYTES", 1 << 16)
    rng = np.random.default_rng(0)
    rows, columns = how.output(shape[1:3], field)
    x = jnp.asarray(rng.standard_normal(shape), jnp.float32)
    g = jnp.asarray(rng.standard_normal((shape[0], rows, columns, 4)), jnp.float32)
    ours = jax.jit(lambda x, g: cpu.kernel_gradient(x, g, how, field))(x, g)
    assert ours is not None
    theirs = jax.jit(
        lambda x, g: convolution._xla_kernel_gradient(x, g, geometry=how, field=field)
    )(x, g)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_kernel_gradients_that_xla_is_good_at_are_left_to_it():
    x, g = jnp.ones((4, 8, 8, 3)), jnp.ones((4, 4, 4, 2))
    assert cpu.kernel_gradient(x, g, geometry(stride=2), (1, 1)) is None  # small and strided
    assert cpu.kernel_gradient(x, x, geometry(), (1, 1)) is not None
    x, g = jnp.ones((4, 16, 16, 3)), jnp.ones((4, 16, 16, 2))
    assert cpu.kernel_gradient(x, g, geometry(padding=(1, 1)), (3, 3)) is None
    x, g = jnp.ones((4, 5, 5, 128)), jnp.ones((4, 1, 1, 8))  # a field as large as the map
    assert cpu.kernel_gradient(x, g, geometry(), (5, 5)) is None
