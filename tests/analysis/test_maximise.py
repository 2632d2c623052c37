"""Activation maximisation: the direction of a filter, regularisers that do what they say."""

import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis.maximise import maximise, total_variation
from tests.analysis.networks import Pooled, Small, probe


def test_the_best_image_of_a_filter_is_the_filter():
    net = probe(Pooled(), (3, 3, 2))
    units = [0, 3]
    images, values = maximise(net, "conv", units, jitter=0, variation=0, frequency=0)
    for unit, image, climbed in zip(units, images, values, strict=True):
        kernel = np.asarray(net.variables["params"]["conv"]["kernel"][..., unit])
        cosine = np.sum(image * kernel) / np.linalg.norm(image) / np.linalg.norm(kernel)
        assert cosine > 0.99
        assert climbed[-1] > climbed[0]


def test_total_variation_counts_steps():
    x = jnp.zeros((1, 4, 4, 1)).at[0, 1:3, 1:3, 0].set(2.0)
    assert float(total_variation(x)) == 8 * 4 / 16  # eight borders of height two


def test_regularisers_smooth_and_seeds_repeat():
    net = probe(Small(), (8, 8, 2))
    plain, _ = maximise(net, None, [1], jitter=0, variation=0, frequency=0, steps=32)
    (smooth, again), values = maximise(net, None, [1, 1], variation=5, steps=32)

    def roughness(image):
        image = np.asarray(image)
        steps = [np.diff(image, axis=axis) for axis in (0, 1)]
        return sum(np.sum(step**2) for step in steps) / np.sum(image**2)

    assert roughness(smooth) < 0.5 * roughness(plain[0])
    np.testing.assert_array_equal(again, smooth)
    low, high = np.full(2, -0.1, np.float32), np.full(2, 0.2, np.float32)
    (other,), _ = maximise(net, None, [1], variation=5, steps=32, seed=1, limits=(low, high))
    assert np.any(other != smooth)
    assert values.shape == (2, 32)
    assert float(other.min()) >= low[0]
    assert float(other.max()) <= high[0]
