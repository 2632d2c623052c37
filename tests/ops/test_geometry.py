"""The formulas, where they round and where they refuse."""

import pytest

from cnn_jax.ops import conv_weights, output_size, same_padding
from cnn_jax.ops.geometry import Geometry, ceil_extra, pads, pair
from cnn_jax.runtime.errors import BadInputError


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("valid", ((0, 0), (0, 0))),
        ("same", ((1, 1), (2, 2))),
        (3, ((3, 3), (3, 3))),
        ((1, 2), ((1, 1), (2, 2))),
        (((1, 0), (0, 2)), ((1, 0), (0, 2))),
        ([[1, 0], 2], ((1, 0), (2, 2))),
    ],
)
def test_pads(padding, expected):
    assert pads(padding, (3, 5)) == expected


def test_same_counts_the_dilated_field():
    assert pads("same", (3, 4), (2, 2)) == ((2, 2), (3, 3))


@pytest.mark.parametrize("padding", [-1, (1, -2), (1,), ((1, 2, 3), (0, 0)), "full", ((1, 2),) * 3])
def test_bad_padding(padding):
    with pytest.raises(BadInputError, match="padding"):
        pads(padding, 3)


@pytest.mark.parametrize("value", [0, (1, 2, 3), (1, -1), (1.5, 2)])
def test_bad_pair(value):
    with pytest.raises(BadInputError, match="stride"):
        pair(value, "stride")


def test_formulas_refuse():
    with pytest.raises(BadInputError, match="field of 5"):
        output_size(3, 5)
    with pytest.raises(BadInputError, match="odd"):
        same_padding(4)
    assert output_size(3, 5, padding=1) == 1
    assert conv_weights(16, 1, 6) == 112


@pytest.mark.parametrize(
    ("n", "f", "stride", "sides", "extra"),
    [
        (7, 2, 2, (0, 0), 1),  # 3.5 windows
        (6, 2, 2, (0, 0), 0),
        (6, 3, 2, (0, 0), 1),
        (5, 2, 3, (1, 1), 0),  # the last window would start in the padding
        (10, 3, 2, (1, 1), 1),
    ],
)
def test_ceil_extra(n, f, stride, sides, extra):
    assert ceil_extra(n, f, stride, sides) == extra


def test_geometry_counts_windows():
    assert Geometry((2, 1), ((1, 1), (0, 0)), 1, (1, 2)).output((7, 9), (3, 3)) == (4, 5)
