"""What halves maps."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest
from scipy import ndimage

from cnn_jax.nn.blocks.halve import Halving, halve


class Halves(nn.Module):
    kind: Halving

    @nn.compact
    def __call__(self, x):
        return halve(x, self.kind, name="down")


def test_blur_is_a_max_pool_at_stride_one_then_a_binomial_filter_then_a_stride():
    x = np.random.default_rng(0).normal(size=(2, 8, 6, 3)).astype(np.float32)
    found = np.asarray(Halves("blur").apply({}, x))
    # Each pixel, the one to its right, and those below the two.
    origin: Any = (0, -1, -1, 0)
    largest = ndimage.maximum_filter(x, (1, 2, 2, 1), origin=origin, mode="constant", cval=-np.inf)
    taps = np.outer([1, 2, 1], [1, 2, 1])[None, :, :, None] / 16
    expected = ndimage.correlate(largest, taps, mode="constant")[:, ::2, ::2]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["pool", "avg", "blur"])
def test_a_constant_stays_one_inside(kind):
    y = np.asarray(Halves(kind).apply({}, jax.numpy.ones((1, 8, 8, 1))))
    np.testing.assert_allclose(y[0, 1:-1, 1:-1], 1, rtol=1e-6)
