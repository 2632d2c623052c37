"""Receptive fields measured: which pixels a unit's output depends on, and how much on each."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis.probe import Probe
from cnn_jax.analysis.receptive_field import ReceptiveField

# Luo et al. 2016, section 3: the effective field is where the mean gradient is above this share
# of its largest value, which is two standard deviations of a Gaussian.
SHARE = 1 - 0.9545

Extent = tuple[int, int, int, int]  # top, bottom, left, right, the last ones included


@dataclasses.dataclass(frozen=True)
class Reach:
    """What the middle position of a layer sees.

    Attributes:
        position: row and column in the layer's output, or None where it has none.
        slope: root mean square of the output's gradient by each pixel, ``[H, W]``.
        measured: box of the pixels with a gradient other than zero; None if there are none.
        theory: box of the pixels that the program lets it see, cut at the image; None if unknown.
        effective: side of the square with as many pixels as have a gradient above ``SHARE`` of
            the largest.
    """

    position: tuple[int, int] | None
    slope: np.ndarray
    measured: Extent | None
    theory: Extent | None
    effective: float


def reach(
    probe: Probe, layer: str, view: ReceptiveField | None, *, seed: int = 0, images: int = 16
) -> Reach:
    """Measure what the middle of a layer's output sees, on ``images`` images of Gaussian noise.

    Luo et al. 2016, section 3: the gradient of the output's sum over channels. ``view`` is what
    ``summary.views`` says of the layer.
    """
    shape = probe.layers[layer]
    position = (shape[0] // 2, shape[1] // 2) if len(shape) == 3 else None

    def output(x, weights):
        maps = probe.read(x[None], [layer])[1][layer][0]
        return jnp.sum(weights * (maps if position is None else maps[position]))

    @jax.jit
    def squares(keys):
        def one(key):
            noise, signs = jax.random.split(key)
            # Random signs, or the channels' gradients would cancel where a layer is normalised.
            weights = jax.random.rademacher(signs, shape[-1:], jnp.float32)
            return jnp.square(
                jax.grad(output)(jax.random.normal(noise, probe.image_shape), weights)
            )

        return jax.lax.map(one, keys).mean(axis=(0, -1))

    slope = np.sqrt(np.asarray(squares(jax.random.split(jax.random.key(seed), images))))
    rows, columns = np.nonzero(slope)
    measured = None
    if len(rows):
        measured = (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max()))
    wide = int(np.sum(slope > SHARE * slope.max())) if len(rows) else 0
    return Reach(position, slope, measured, _box(view, position, slope.shape), float(np.sqrt(wide)))


def _box(view: ReceptiveField | None, position: tuple[int, int] | None, size) -> Extent | None:
    """Return the pixels that a position of a layer with a ``view`` sees, cut at the image."""
    if view is None:
        return None
    sides = []
    for axis, at, pixels in zip(view, position or (0, 0), size, strict=True):
        moved = 0 if axis.position is None else at * axis.jump
        sides += [max(axis.low + moved, 0), min(axis.high + moved, pixels - 1)]
    return sides[0], sides[1], sides[2], sides[3]


def patch(view: ReceptiveField | None, position: tuple[int, int], size: tuple[int, int]) -> Extent:
    """Return the pixels of an image of ``size`` that a position sees; all, where that is open."""
    return _box(view, position, size) or (0, size[0] - 1, 0, size[1] - 1)
