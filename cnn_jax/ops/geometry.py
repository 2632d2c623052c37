"""Sizes: the formulas that say what a convolution or a pooling layer makes of its input."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cnn_jax.ops.arguments import as_whole, at_least, is_known, shown, whole
from cnn_jax.runtime.errors import BadInputError

Size = int | Sequence[int]
Padding = str | int | Sequence[int] | Sequence[Sequence[int]]
Pads = tuple[tuple[int, int], tuple[int, int]]


def pair(value: Size, name: str) -> tuple[int, int]:
    """Return ``value`` as (rows, columns); an int, of any integer type, stands for both.

    The one place where an int-or-tuple is normalised. Raises ``BadInputError`` naming ``name``.
    """
    sizes = [as_whole(size) for size in _two(value)]
    if len(sizes) != 2 or None in sizes or not at_least(1, *sizes):
        raise BadInputError(f"{name} is an int >= 1 or a pair of them, not {shown(value)}")
    return sizes[0], sizes[1]


def _two(value: Any) -> list:
    """Return the items of a sequence or an array, and twice what is none."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return list(value) if several or getattr(value, "ndim", 0) else [value, value]


def same_padding(f: int) -> int:
    """Return (f - 1) / 2, the padding that keeps the size at stride 1. ``f`` has to be odd."""
    f = whole("same_padding: f", f)
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
            raise _bad_padding(padding)
        high = same_padding((rows - 1) * dilate[0] + 1)
        wide = same_padding((columns - 1) * dilate[1] + 1)
        return (high, high), (wide, wide)
    sides = [[as_whole(p) for p in _two(side)] for side in _two(padding)]
    if len(sides) != 2 or not all(
        len(side) == 2 and all(isinstance(p, int) and p >= 0 for p in side) for side in sides
    ):
        raise _bad_padding(padding)
    (top, bottom), (left, right) = sides
    return (top, bottom), (left, right)


def _bad_padding(padding: object) -> BadInputError:
    return BadInputError(f"padding is {PADDINGS}, not {shown(padding)}")


class _Fitting:
    """The range of what a function takes without ``BadInputError``; see ``ranges``."""

    def __init__(self, takes: Callable[[Any], Any], words: str):
        self.takes, self.words = takes, words

    def holds(self, value: Any) -> bool:
        try:
            self.takes(value)
        except BadInputError:
            return False
        return True

    def __str__(self) -> str:
        return self.words


# Ranges for the fields of layers.
SIZES = _Fitting(lambda value: pair(value, "size"), "an int >= 1 or a pair of them")
PADDINGS = _Fitting(lambda value: pads(value, 1), "'same', 'valid', an int >= 0 or pairs of them")


def output_size(n: int, f: int, *, stride: int = 1, padding: int = 0) -> int:
    """Return floor((n + 2 p - f) / s) + 1, the size after a field of ``f`` slides over ``n``."""
    n, f = whole("output_size: n", n, 0), whole("output_size: f", f)
    stride = whole("output_size: stride", stride)
    padding = whole("output_size: padding", padding, 0)
    if n + 2 * padding < f:
        raise BadInputError(f"a field of {f} does not fit into {n} pixels padded by {padding}")
    return (n + 2 * padding - f) // stride + 1


def conv_weights(filters: int, field: int, channels: int) -> int:
    """Return filters x (field x field x channels + 1): weights of a layer, biases included."""
    filters = whole("conv_weights: filters", filters)
    field = whole("conv_weights: field", field)
    channels = whole("conv_weights: channels", channels)
    return filters * (field * field * channels + 1)


def ceil_extra(n: int, f: int, stride: int, sides: tuple[int, int]) -> int:
    """Return how many pixels past the padding a last window reaches when sizes are rounded up.

    As in Caffe and PyTorch, a window that would start in the trailing padding is left out. Of a
    size that is open these are the most that can be, which makes as many windows; raises
    ``BadInputError`` where one could start in the padding.
    """
    if not is_known(n):
        if sides[1] + stride > f:
            raise BadInputError(
                f"ceil_mode of an open size takes a window of stride + padding, "
                f"{stride + sides[1]}, or more, not {f}"
            )
        return stride - 1
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
