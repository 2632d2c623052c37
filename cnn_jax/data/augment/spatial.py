"""Transforms that move pixels: functions of (key, image), images float32 ``[H, W, C]``."""

import math

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from cnn_jax.data.augment import boxes
from cnn_jax.data.augment.arguments import (
    Areas,
    Degrees,
    Factors,
    Level,
    Padding,
    Probability,
    Share,
)


def flip(key: jax.Array, image: jax.Array, *, probability: Probability = 0.5) -> jax.Array:
    """Mirror the image left to right with the given probability."""
    return jnp.where(jax.random.bernoulli(key, probability), image[:, ::-1], image)


def pad_crop(key: jax.Array, image: jax.Array, *, padding: Padding = 4) -> jax.Array:
    """Pad by ``padding`` black pixels and cut a window of the old size at a random place.

    The CIFAR augmentation of He et al. 2015, section 4.2.
    """
    sides = ((padding, padding), (padding, padding), (0, 0))
    row, column = jax.random.randint(key, (2,), 0, 2 * padding + 1)
    return jax.lax.dynamic_slice(jnp.pad(image, sides), (row, column, 0), image.shape)


def random_resized_crop(
    key: jax.Array,
    image: jax.Array,
    *,
    area: Areas = boxes.CUSTOMARY["area"],
    ratio: Factors = boxes.CUSTOMARY["ratio"],
) -> jax.Array:
    """Cut a random window (``boxes.window``) and enlarge it to the image's size."""
    height, width, _ = image.shape
    draws = jax.random.uniform(key, boxes.DRAWS)
    top, left, rows, columns = boxes.window(draws, height, width, area=area, ratio=ratio, xp=jnp)
    return resized_window(image, top, left, rows, columns)


def resized_window(
    image: jax.Array,
    top: jax.Array | float,
    left: jax.Array | float,
    rows: jax.Array | float,
    columns: jax.Array | float,
) -> jax.Array:
    """Return the window of ``rows`` x ``columns`` pixels, enlarged to the image's own size.

    Linear between the centres of the window's pixels and constant beyond the outermost: what
    ``decode.resize`` does on the host.
    """
    height, width, _ = image.shape
    down, along = _enlarging(height, top, rows), _enlarging(width, left, columns)
    # The highest precision: on a TPU the factors would be rounded to eight bits.
    return jnp.einsum("ih,hwc,jw->ijc", down, image, along, precision="highest")


def _enlarging(size: int, start: jax.Array | float, count: jax.Array | float) -> jax.Array:
    """Return the weights ``[size, size]`` of a line's pixels in those of its enlarged window."""
    pixels, count = jnp.arange(size, dtype=jnp.float32), jnp.asarray(count, jnp.float32)
    places = start + jnp.clip((pixels + 0.5) * count / size - 0.5, 0, count - 1)
    return jnp.maximum(0, 1 - jnp.abs(places.astype(jnp.float32)[:, None] - pixels))


def warp(image: jax.Array, matrix: jax.Array, shift: jax.Array, fill: float = 0.0) -> jax.Array:
    """Return the image whose pixel at p is what the old one has at ``matrix @ p + shift``.

    Args:
        image: float32 ``[H, W, C]``; bilinear between pixels, ``fill`` outside.
        matrix: ``[2, 2]``, acts on (row, column) relative to the image's centre.
        shift: ``[2]``, rows and columns.
        fill: level of what comes in from outside.
    """
    height, width, _ = image.shape
    centre = jnp.asarray([(height - 1) / 2, (width - 1) / 2])
    grid = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), -1)
    # The highest precision: on a TPU a product of rounded factors would be pixels off.
    turned = jnp.einsum("ij,hwj->ihw", matrix, grid - centre, precision="highest")
    places = turned + (centre + shift)[:, None, None]

    def channel(plane: jax.Array) -> jax.Array:
        return map_coordinates(plane, list(places), order=1, mode="constant", cval=fill)

    return jax.vmap(channel, in_axes=2, out_axes=2)(image)


def turning(degrees: jax.Array | float) -> jax.Array:
    """Return the matrix for ``warp`` that turns the image counter-clockwise."""
    angle = jnp.deg2rad(degrees)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([cos, sin]), jnp.stack([-sin, cos])])


def rotation(
    key: jax.Array, image: jax.Array, *, degrees: Degrees = 15.0, fill: Level = 0.0
) -> jax.Array:
    """Turn the image about its centre by an angle uniform in +-``degrees``."""
    angle = jax.random.uniform(key, (), jnp.float32, -degrees, degrees)
    return warp(image, turning(angle), jnp.zeros(2), fill)


def scale(
    key: jax.Array, image: jax.Array, *, factor: Factors = (0.8, 1.25), fill: Level = 0.0
) -> jax.Array:
    """Enlarge the image about its centre by a factor whose logarithm is uniform between two."""
    low, high = (math.log(bound) for bound in factor)
    zoom = jnp.exp(jax.random.uniform(key, (), jnp.float32, low, high))
    return warp(image, jnp.eye(2) / zoom, jnp.zeros(2), fill)


def translation(
    key: jax.Array, image: jax.Array, *, share: Share = 0.1, fill: Level = 0.0
) -> jax.Array:
    """Move the image by up to ``share`` of its height and width, between pixels too."""
    height, width, _ = image.shape
    bounds = share * jnp.asarray([height, width], jnp.float32)
    shift = bounds * jax.random.uniform(key, (2,), jnp.float32, -1, 1)
    return warp(image, jnp.eye(2), -shift, fill)
