"""Behaviour under shifts: what is exactly equivariant, and what a stride costs."""

import flax.linen as nn
import numpy as np

from cnn_jax import ops
from cnn_jax.analysis.shifts import consistency, equivariance_error, shifted
from cnn_jax.analysis.summary import views
from cnn_jax.nn import layers
from tests.analysis.networks import Linear, noise, probe

SHAPE = (24, 24, 1)


def test_a_shift_moves_down_and_right_and_keeps_the_edge():
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(shifted(x, 1)[0, :, :, 0], [[0, 0, 1], [0, 0, 1], [3, 3, 4]])
    np.testing.assert_array_equal(shifted(x, 0), x)


class Strided(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = layers.Conv(2, 3, padding="valid", name="conv")(x)
        x = layers.Conv(3, 3, stride=4, padding="valid", name="strided")(x)
        return ops.global_avg_pool(x)


def test_convolutions_move_along_and_strides_only_by_whole_steps():
    net, x = probe(Strided(), SHAPE), np.asarray(noise((3, *SHAPE)))
    seen = views(net.module, SHAPE)
    errors = equivariance_error(net, x, ["conv", "strided"], seen, range(9))
    np.testing.assert_allclose(errors["conv"], 0, atol=1e-5)
    np.testing.assert_allclose(errors["strided"][[0, 4, 8]], 0, atol=1e-5)
    assert errors["strided"][[1, 2, 3, 5, 6, 7]].min() > 0.1


def test_consistency_is_the_share_of_classes_that_stay():
    net = probe(Linear(), (4, 4, 1))
    kernel = np.zeros((16, 3), np.float32)
    kernel[0, 1], kernel[5, 2] = 1, 1  # classes follow two pixels
    net.variables["params"]["head"] = {"kernel": kernel, "bias": np.array([0.5, 0, 0])}
    x = np.zeros((2, 4, 4, 1), np.float32)
    x[0, 0, 0] = 1  # class 1; shifted by one, the corner stays and fills, and (1, 1) ties behind
    x[1, 1, 1] = 1  # class 2; shifted by one, nothing is left at (1, 1)
    np.testing.assert_array_equal(consistency(net, x, [0, 1]), [1.0, 0.5])
