"""Windows as shifted images: the view that the formulations of this package are written in.

``shifted`` reads what one tap of every window sees; ``spread`` is the way back, from windows to
the pixels they were taken from, as plain sums: no scatter, so the order of additions is fixed.
"""

from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops.geometry import Geometry, Pads

Tap = tuple[int, int]


def taps(field: Sequence[int]) -> Iterator[Tap]:
    """Yield (row, column) of every tap of a window, row by row."""
    return ((a, b) for a in range(field[0]) for b in range(field[1]))


def pad_sides(x: jax.Array, sides: Pads, value: float = 0) -> jax.Array:
    """Return ``x`` [N, H, W, C] with rows and columns of ``value`` added; made before it is used.

    The barrier keeps the padding out of the sums that read it, where it would cost a comparison
    for every tap of every pixel.
    """
    if not any(before or after for before, after in sides):
        return x
    config = ((0, 0, 0), *((before, after, 0) for before, after in sides), (0, 0, 0))
    return lax.optimization_barrier(lax.pad(x, jnp.asarray(value, x.dtype), config))


def shifted(x: jax.Array, tap: Tap, size: Sequence[int], geometry: Geometry) -> jax.Array:
    """Return what ``tap`` sees of the padded ``x`` in every window, ``[N, *size, C]``."""
    start = [tap[i] * geometry.dilation[i] for i in range(2)]
    stop = [start[i] + (size[i] - 1) * geometry.stride[i] + 1 for i in range(2)]
    strides = (1, *geometry.stride, 1)
    return lax.slice(x, (0, *start, 0), (x.shape[0], *stop, x.shape[3]), strides)


def _phases(axis: int, size: int, field: int, geometry: Geometry) -> list[list[tuple[int, int]]]:
    """Return for each residue p of the stride the (tap, offset) that reach its pixels.

    Pixel s m + p lies under tap a of window m + offset where s offset = p + padding - a d.
    """
    s, d = geometry.stride[axis], geometry.dilation[axis]
    edge = geometry.padding[axis][0]
    return [
        [(a, (p + edge - a * d) // s) for a in range(field) if (p + edge - a * d) % s == 0]
        for p in range(min(s, size))
    ]


def cover(windows: tuple[int, int], size, field, geometry: Geometry) -> Pads:
    """Return how many windows of zeros ``spread`` needs around the given ones."""
    sides = []
    for i in range(2):
        phases = _phases(i, size[i], field[i], geometry)
        offsets = [0, *(offset for phase in phases for _, offset in phase)]
        last = -(-size[i] // geometry.stride[i]) + max(offsets)
        sides.append((-min(offsets), max(0, last - windows[i])))
    return sides[0], sides[1]


def spread(
    term: Callable[[Tap, Callable[[jax.Array], jax.Array]], jax.Array],
    sides: Pads,
    size: tuple[int, int],
    field: tuple[int, int],
    geometry: Geometry,
) -> jax.Array:
    """Sum over windows what each adds to the pixels that it saw; return ``[N, *size, C]``.

    Pixels with one residue modulo the stride - a phase - lie under the same taps, so their sums
    are sums of shifted images; the phases are interleaved at the end.

    Args:
        term: given a tap and a function that cuts the windows in question out of an array
            [N, ...windows, C] padded by ``sides``, returns what the tap adds to their pixels.
        sides: what ``cover`` returned.
        size: of the images.
        field: of the windows.
        geometry: how the windows slid over the images.
    """
    count = [-(-size[i] // geometry.stride[i]) for i in range(2)]

    def cut(offsets):
        low = [sides[i][0] + offsets[i] for i in range(2)]
        high = [low[i] + count[i] for i in range(2)]
        return lambda x: lax.slice(x, (0, *low, 0), (x.shape[0], *high, x.shape[3]))

    rows, columns = (_phases(i, size[i], field[i], geometry) for i in range(2))
    some = jax.eval_shape(lambda: term((0, 0), cut((0, 0))))
    zero = jnp.zeros(some.shape, some.dtype)  # for pixels that no window sees
    sums = []
    for row in rows:
        sums.append([])
        for column in columns:
            parts = [term((a, b), cut((i, j))) for a, i in row for b, j in column]
            sums[-1].append(sum(parts[1:], parts[0]) if parts else zero)
    return _interleave(sums, size)


def _interleave(phases: list[list[jax.Array]], size: tuple[int, int]) -> jax.Array:
    """Return the image of ``size`` whose pixel (s i + p, t j + q) is pixel (i, j) of phase p, q."""
    if len(phases) == len(phases[0]) == 1:
        return phases[0][0]
    n, h, w, c = phases[0][0].shape
    x = jnp.stack([jnp.stack(row, axis=3) for row in phases], axis=2)
    x = x.reshape(n, h * len(phases), w * len(phases[0]), c)
    return x[:, : size[0], : size[1]]
