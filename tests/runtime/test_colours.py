"""Colours, held to another colour space than the one that they were made in."""

import itertools

import cv2
import numpy as np
import pytest

from cnn_jax.runtime import colours, figures

# Machado, Oliveira and Fernandes 2009: what a reader sees who lacks one kind of cones, of linear
# sRGB.
BLIND = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def lab(srgb: np.ndarray) -> np.ndarray:
    """Return colours ``[N, 3]`` in CIELAB, by OpenCV."""
    return cv2.cvtColor(np.asarray(srgb, np.float32)[None], cv2.COLOR_RGB2LAB)[0]


def steps(srgb: np.ndarray) -> np.ndarray:
    """Return how much lighter each sixteenth of a map is than the one before."""
    return np.diff(lab(srgb)[::16, 0])


def unevenness(srgb: np.ndarray) -> float:
    """Return the largest step of a map over its smallest."""
    return float(abs(steps(srgb)).max() / abs(steps(srgb)).min())


def mapped(name: str) -> np.ndarray:
    return figures.colour_map(name)(np.linspace(0, 1, 257))[:, :3]


@pytest.mark.parametrize("name", [colours.MAGNITUDES, colours.HEAT, colours.SHARES])
def test_equal_steps_of_a_map_look_equal(name):
    assert len(set(np.sign(steps(mapped(name))))) == 1  # in grey the order is the same
    assert unevenness(mapped(name)) < 2.5
    jet = mapped("jet")
    assert len(set(np.sign(steps(jet)))) == 2  # which this measure finds out
    assert unevenness(jet) > 5


def test_signed_values_look_as_large_on_both_sides_of_white():
    found = mapped(colours.SIGNED)
    below, above = found[:129][::-1], found[128:]
    assert found[128] == pytest.approx(np.full(3, found[128].mean()), abs=1e-3)
    assert found[128].mean() > 0.95
    np.testing.assert_allclose(lab(below)[:, 0], lab(above)[:, 0], atol=4)
    for half in (below, above):
        assert (steps(half) < 0).all()
        assert unevenness(half) < 1.6
    assert found[0, 2] > found[0, 0] + 0.3  # blue is negative
    assert found[-1, 0] > found[-1, 2] + 0.3


def test_lines_are_told_apart_by_colour_blind_readers():
    values = [[int(each[i : i + 2], 16) / 255 for i in (1, 3, 5)] for each in colours.COLOURS[:6]]
    srgb = np.array(values)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    for matrix in BLIND.values():
        seen = lab(encoded(np.clip(linear @ np.array(matrix).T, 0, 1)))
        for a, b in itertools.combinations(seen, 2):
            assert np.linalg.norm(a - b) > 8


def encoded(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_lines_are_told_apart_in_grey():
    looks = [colours.look(index, points=5) for index in range(35)]
    shapes = [(str(each["linestyle"]), each["marker"]) for each in looks]
    assert len(set(shapes)) == 35
    for one, other in itertools.pairwise(shapes):
        assert one[0] != other[0]
        assert one[1] != other[1]
    assert colours.look(0, points=1000)["marker"] == ""
