"""Transforms of pixel values, against Pillow and the standard library."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import stats

from cnn_jax.data.augment import colour

RGB = np.random.default_rng(0).integers(0, 256, (17, 19, 3), np.uint8)
IMAGE = jnp.asarray(RGB, jnp.float32)


def keys(count: int) -> jax.Array:
    return jax.random.split(jax.random.key(0), count)


@pytest.mark.parametrize(
    ("function", "enhance"),
    [
        (colour.brighten, ImageEnhance.Brightness),
        (colour.set_contrast, ImageEnhance.Contrast),
        (colour.saturate, ImageEnhance.Color),
        (colour.sharpen, ImageEnhance.Sharpness),
    ],
)
@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
def test_blends_are_pillows(function, enhance, factor):
    expected = np.asarray(enhance(Image.fromarray(RGB)).enhance(factor), np.float32)
    # Pillow rounds the other end and the result, and the larger the factor the more it shows.
    assert np.abs(function(IMAGE, factor) - expected).max() <= 1.0 + abs(factor - 1)


@pytest.mark.parametrize("turn", [0.0, 0.1, -0.25, 0.5])
def test_the_hue_turns_as_in_the_standard_library(turn):
    found = np.asarray(colour.shift_hue(IMAGE, turn))
    for row in range(0, 17, 4):
        for column in range(19):
            hue, saturation, value = colorsys.rgb_to_hsv(*(RGB[row, column] / 255))
            expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
            np.testing.assert_allclose(found[row, column] / 255, expected, atol=1e-3)


def test_grey_images_take_every_transform():
    grey = IMAGE[..., :1]
    np.testing.assert_array_equal(colour.shift_hue(grey, 0.3), grey)
    np.testing.assert_array_equal(colour.saturate(grey, 0.3), grey)
    changed = colour.colour_jitter(jax.random.key(0), grey, hue=0.1)
    assert changed.shape == grey.shape


@pytest.mark.parametrize("transform", [colour.brightness, colour.contrast])
def test_factors_are_even_about_one(transform):
    # Levels near the middle, so that nothing is cut off; contrast leaves the mean alone.
    image = jnp.asarray([[[90.0], [110.0]]])
    changed = jax.jit(jax.vmap(lambda key: transform(key, image, strength=0.5)))(keys(2000))
    factor = (changed[:, 0, 1, 0] - changed[:, 0, 0, 0]) / 20
    assert stats.kstest(factor, stats.uniform(0.5, 1.0).cdf).pvalue > 1e-4


def test_jitter_is_its_four_parts_in_order():
    key = jax.random.key(2)
    parts = {"brightness": 0.4, "contrast": 0.3, "saturation": 0.2, "hue": 0.1}
    first, second, third, fourth = jax.random.split(key, 4)

    def draw(key, strength):
        return jax.random.uniform(key, (), jnp.float32, 1 - strength, 1 + strength)

    expected = colour.brighten(IMAGE, draw(first, 0.4))
    expected = colour.set_contrast(expected, draw(second, 0.3))
    expected = colour.saturate(expected, draw(third, 0.2))
    turn = jax.random.uniform(fourth, (), jnp.float32, -0.1, 0.1)
    expected = colour.shift_hue(expected, turn)
    np.testing.assert_allclose(colour.colour_jitter(key, IMAGE, **parts), expected, atol=1e-3)


def test_noise_is_gaussian_of_its_width_and_cut_off():
    middle = jnp.full((100, 100, 1), 128.0)
    added = np.asarray(colour.noise(jax.random.key(0), middle, std=12.0)) - 128
    assert stats.kstest(added.ravel(), stats.norm(0, 12).cdf).pvalue > 1e-4
    black = np.asarray(colour.noise(jax.random.key(0), 0 * middle, std=12.0))
    assert black.min() == 0
    np.testing.assert_allclose(black, np.maximum(added, 0), atol=1e-4)
