"""Sizes: the formulas that say what a convolution or a pooling layer makes of its input."""

from collections.abc import Sequence
from typing import NamedTuple

from cnn_jax.errors import BadInputError

Size = int | Sequence[int]
Padding = str | int | Sequence[int] | Sequence[Sequence[int]]
Pads = tuple[tuple[int, int], tuple[int, int]]


def pair(value: Size, name: str) -> tuple[int, int]:
    """Return ``value`` as (rows, columns); an int stands for both.

    The one place where an int-or-tuple is normalised. Raises ``BadInputError`` naming ``name``.
    """
    sizes = (value, value) if isinstance(value, int) else tuple(value)
    if len(sizes) != 2 or not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise BadInputError(f"{name} is an int >= 1 or a pair of them, not {value!r}")
    return sizes[0], sizes[1]


def same_padding(f: int) -> int:
    """Return (f - 1) / 2, the padding that keeps the size at stride 1. ``f`` has to be odd."""
    if f % 2 == 0:
        raise BadInputError(
            f"padding 'same' is (f - 1) / 2 on each side and takes odd fields only, not {f}; "
            "give the padding as ((top, bottom), (left, right))"
        )
    return (f - 1) // 2


def pads(padding: Padding, field: Size, dilation: Size = 1) -> Pads:
    """Return ``padding`` as ((top, bottom), (left, right)) for a field of the given size.

    ``padding`` is 'same', 'valid', an int for all four sides, a pair of ints (rows, columns), or
    a pair of pairs. 'same' counts the dilated field.
    """
    rows, columns = pair(field, "field")
    dilate = pair(dilation, "dilation")
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0), (0, 0)
        if padding != "same":
            raise BadInputError(f"padding is 'same', 'valid', an int or pairs, not {padding!r}")
        high = same_padding((rows - 1) * dilate[0] + 1)
        wide = same_padding((columns - 1) * dilate[1] + 1)
        return (high, high), (wide, wide)
    if isinstance(padding, int):
        padding = (padding, padding)
    sides = [(side, side) if isinstance(side, int) else tuple(side) for side in padding]
    if len(sides) != 2 or not all(
        len(side) == 2 and all(isinstance(p, int) and p >= 0 for p in side) for side in sides
    ):
        raise BadInputError(f"padding is 'same', 'valid', an int or pairs, not {padding!r}")
    (top, bottom), (left, right) = sides
    return (top, bottom), (left, right)


def output_size(n: int, f: int, *, stride: int = 1, padding: int = 0) -> int:
    """Return floor((n + 2 p - f) / s) + 1, the size after a field of ``f`` slides over ``n``."""
    if n + 2 * padding < f:
        raise BadInputError(f"a field of {f} does not fit into {n} pixels padded by {padding}")
    return (n + 2 * padding - f) // stride + 1


def conv_weights(filters: int, field: int, channels: int) -> int:
    """Return filters x (field x field x channels + 1): weights of a layer, biases included."""
    return filters * (field * field * channels + 1)


def ceil_extra(n: int, f: int, stride: int, sides: tuple[int, int]) -> int:
    """Return how many pixels past the padding a last window reaches when sizes are rounded up.

    As in Caffe and PyTorch, a window that would start in the trailing padding is left out.
    """
    padded = n + sum(sides)
    windows = -(-(padded - f) // stride) + 1
    if (windows - 1) * stride >= n + sides[0]:
        windows -= 1
    return max(0, (windows - 1) * stride + f - padded)


class Geometry(NamedTuple):
    """How a window slides over images; every size is (rows, columns)."""

    stride: tuple[int, int] = (1, 1)
    padding: Pads = ((0, 0), (0, 0))
    groups: int = 1
    dilation: tuple[int, int] = (1, 1)

    def output(self, size: Sequence[int], field: Sequence[int]) -> tuple[int, int]:
        """Return how many windows of ``field`` fit into images of ``size``."""
        rows, columns = (
            (size[i] + sum(self.padding[i]) - (field[i] - 1) * self.dilation[i] - 1)
            // self.stride[i]
            + 1
            for i in range(2)
        )
        return rows, columns
