"""Tiles: the right filter in the right place."""

import numpy as np
import pytest

from cnn_jax.analysis.filters import filter_tiles, kernel_of, map_tiles, mosaic
from cnn_jax.runtime.errors import BadInputError


def test_a_mosaic_has_its_tiles_in_rows():
    tiles = np.arange(1, 4)[:, None, None] * np.ones((3, 2, 3))
    found = mosaic(tiles, 2, between=0)
    expected = np.zeros((7, 9))
    expected[1:3, 1:4], expected[1:3, 5:8], expected[4:6, 1:4] = 1, 2, 3
    np.testing.assert_array_equal(found, expected)
    assert mosaic(np.ones((2, 4, 4, 3)), 2, between=0.5).shape == (6, 11, 3)


@pytest.mark.parametrize(
    ("channels", "shape", "columns"),
    [(1, (10, 3, 5), 4), (3, (10, 3, 5, 3), 4), (7, (70, 3, 5), 7), (40, (120, 3, 5), 12)],
)
def test_filters_are_tiles_over_their_own_range(channels, shape, columns):
    kernel = np.random.default_rng(0).normal(size=(3, 5, channels, 10))
    kernel[..., 4] = 0
    tiles, found = filter_tiles(kernel)
    assert (tiles.shape, found) == (shape, columns)
    scaled = kernel[..., 2] / np.abs(kernel[..., 2]).max()
    if channels == 1:
        np.testing.assert_allclose(tiles[2], scaled[..., 0], rtol=1e-5)
    elif channels == 3:
        np.testing.assert_allclose(tiles[2], scaled, rtol=1e-5)
    else:
        np.testing.assert_allclose(tiles[2 * columns + 1], scaled[..., 1], rtol=1e-5)
    assert np.isfinite(tiles).all()


def test_maps_are_tiles_from_0_to_1():
    maps = np.stack([np.full((2, 3), 7.0), np.arange(6.0).reshape(2, 3)], axis=-1)
    tiles = map_tiles(maps)
    np.testing.assert_array_equal(tiles[0], np.zeros((2, 3)))
    np.testing.assert_allclose(tiles[1], np.arange(6).reshape(2, 3) / 5)


def test_the_first_convolution_that_sees_colours_is_taken():
    params = {
        "a": {
            "conv": {"kernel": np.zeros((1, 1, 3, 4))},
            "other": {"kernel": np.zeros((3, 3, 8, 4))},
        },
        "stem": {"kernel": np.zeros((3, 3, 3, 4))},
        "head": {"kernel": np.zeros((4, 2))},
    }
    assert kernel_of({"params": params}, None)[0] == "stem"
    assert kernel_of({"params": params}, "a/other")[1].shape == (3, 3, 8, 4)
    with pytest.raises(BadInputError, match="no such convolution; there are a/conv, a/other, stem"):
        kernel_of({"params": params}, "head")
    with pytest.raises(BadInputError, match="has no convolution"):
        kernel_of({"params": {"head": params["head"]}}, None)
