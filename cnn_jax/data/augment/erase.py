"""Transforms that blot out a part: functions of (key, image), images float32 ``[H, W, C]``."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from cnn_jax.data.augment import boxes
from cnn_jax.data.augment.arguments import Areas, Factors, Level, Probability, Side


def inside(
    shape: Sequence[int],
    top: jax.Array | float,
    left: jax.Array | float,
    bottom: jax.Array | float,
    right: jax.Array | float,
) -> jax.Array:
    """Return which pixels lie in a rectangle, bool ``[H, W, 1]``; it may reach over the rim."""
    rows, columns = jnp.arange(shape[0])[:, None, None], jnp.arange(shape[1])[None, :, None]
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def cutout(key: jax.Array, image: jax.Array, *, size: Side = 16, fill: Level = 127.5) -> jax.Array:
    """Fill a square of ``size`` pixels a side around a random pixel (DeVries & Taylor 2017).

    The square may reach over the rim. ``fill`` is a level; the paper's is the data's mean.
    """
    height, width, _ = image.shape
    row, column = jax.random.randint(key, (2,), 0, jnp.asarray([height, width]))
    top, left = row - size // 2, column - size // 2
    return jnp.where(inside(image.shape, top, left, top + size, left + size), fill, image)


def random_erasing(
    key: jax.Array,
    image: jax.Array,
    *,
    probability: Probability = 0.5,
    area: Areas = (0.02, 0.4),
    ratio: Factors = (0.3, 10 / 3),
) -> jax.Array:
    """Replace a random rectangle by random levels, uniform in 0..255 (Zhong et al. 2017).

    The rectangle is drawn as ``boxes.window`` does: its share of the area, its ratio, its place.
    """
    chance, place, levels = jax.random.split(key, 3)
    height, width, _ = image.shape
    draws = jax.random.uniform(place, boxes.DRAWS)
    top, left, rows, columns = boxes.window(draws, height, width, area=area, ratio=ratio, xp=jnp)
    hit = inside(image.shape, top, left, top + rows, left + columns)
    hit &= jax.random.bernoulli(chance, probability)
    random = jax.random.uniform(levels, image.shape, image.dtype, 0, 255)
    return jnp.where(hit, random, image)
