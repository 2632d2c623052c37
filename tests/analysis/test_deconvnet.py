"""The deconvolution view: transposed convolutions, switches, and the strongest activations."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.analysis import deconvnet
from cnn_jax.nn import layers
from tests.analysis.networks import Pooled, Small, noise, probe, read

SHAPE = (8, 9, 2)


def test_one_convolution_is_projected_by_its_transpose():
    net, x = probe(Pooled(), SHAPE), noise((2, *SHAPE))
    maps = read(net, x, "conv")
    positions = np.array([[2, 3], [5, 0]])
    found = deconvnet.project(net, x, "conv", 1, positions)
    kernel = net.variables["params"]["conv"]["kernel"]
    spikes = np.zeros(maps.shape, np.float32)
    for image, (row, column) in enumerate(positions):
        spikes[image, row, column, 1] = maps[image, row, column, 1]
    expected = jax.lax.conv_transpose(
        jnp.asarray(spikes), kernel, (1, 1), "VALID", transpose_kernel=True
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


class Switched(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = layers.Conv(1, 1, use_bias=False, name="conv")(ops.max_pool(x, 2))
        return x.reshape(x.shape[0], -1)


def test_a_max_pool_leads_back_to_where_the_maximum_was():
    net = probe(Switched(), (4, 4, 1))
    x = jnp.zeros((1, 4, 4, 1)).at[0, 1, 2, 0].set(5.0)
    found = deconvnet.project(net, x, "conv", 0, np.array([[0, 1]]))
    weight = float(net.variables["params"]["conv"]["kernel"][0, 0, 0, 0])
    expected = np.zeros((4, 4))
    expected[1, 2] = 5 * weight * weight
    np.testing.assert_allclose(found[0, :, :, 0], expected, rtol=1e-5)


def test_the_strongest_of_many_batches_with_bounded_memory():
    net, images = probe(Small(), SHAPE), noise((23, *SHAPE))
    sizes = []

    def batches():
        for start in range(0, 23, 5):
            sizes.append(len(images[start : start + 5]))
            yield images[start : start + 5]

    units = (3, 0)
    each = deconvnet.top_activations(net, "conv2", units, batches(), 4)
    assert sizes == [5, 5, 5, 5, 3]
    for unit, found in zip(units, each, strict=True):
        maps = read(net, images, "conv2")[..., unit]
        largest = maps.reshape(23, -1).max(axis=1)
        order = np.argsort(-largest)[:4]
        assert [entry.image for entry in found] == list(order)
        for entry in found:
            assert entry.value == pytest.approx(maps[entry.image].max(), rel=1e-5)
            assert maps[entry.image][entry.position] == pytest.approx(entry.value, rel=1e-5)
