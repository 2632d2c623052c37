"""Transforms of pixel values: functions of (key, image), images float32 ``[H, W, 1 or 3]``."""

import functools

import jax
import jax.numpy as jnp

from cnn_jax.data.augment.arguments import Hue, Level, Strength
from cnn_jax.runtime.errors import BadInputError

# The share of red, green and blue in brightness (ITU-R BT.601), which Pillow uses.
LUMA = (0.299, 0.587, 0.114)


def grey(image: jax.Array) -> jax.Array:
    """Return the brightness of each pixel, ``[H, W, 1]``."""
    if image.shape[-1] == 1:
        return image
    if image.shape[-1] != len(LUMA):
        raise BadInputError(f"takes images of 1 or 3 channels, not {image.shape[-1]}")
    weighted = image * jnp.asarray(LUMA, image.dtype)
    return jnp.sum(weighted, axis=-1, keepdims=True)


def blend(zero: jax.Array | float, image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Return ``image`` at factor 1, ``zero`` at 0, in between or beyond otherwise, in 0..255."""
    return jnp.clip(zero + factor * (image - zero), 0, 255)


def brighten(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Blend the image with black."""
    return blend(0.0, image, factor)


def set_contrast(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Blend the image with the grey of its mean brightness."""
    return blend(jnp.mean(grey(image)), image, factor)


def saturate(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Blend the image with its grey version."""
    return blend(grey(image), image, factor)


def shift_hue(image: jax.Array, turn: jax.Array | float) -> jax.Array:
    """Turn the hue of every pixel; ``turn`` 1 is the whole circle. Grey images stay."""
    if image.shape[-1] == 1:
        return image
    largest, least = jnp.max(image, -1), jnp.min(image, -1)
    chroma = largest - least
    safe = jnp.where(chroma == 0, 1, chroma)
    red, green, blue = (image[..., c] for c in range(3))
    sector = jnp.where(
        largest == red,
        (green - blue) / safe % 6,
        jnp.where(largest == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    sector = sector + 6 * turn
    # Back by the formula without cases: channel n is V - C max(0, min(k, 4 - k, 1)).
    place = (jnp.asarray([5.0, 3.0, 1.0]) + sector[..., None]) % 6
    share = jnp.clip(jnp.minimum(place, 4 - place), 0, 1)
    return largest[..., None] - chroma[..., None] * share


def _factor(key: jax.Array, strength: float) -> jax.Array:
    """Draw a factor, uniform in 1 +- ``strength``, none below 0."""
    return jax.random.uniform(key, (), jnp.float32, max(0.0, 1 - strength), 1 + strength)


def brightness(key: jax.Array, image: jax.Array, *, strength: Strength = 0.4) -> jax.Array:
    """Multiply the image by a factor uniform in 1 +- ``strength``."""
    return brighten(image, _factor(key, strength))


def contrast(key: jax.Array, image: jax.Array, *, strength: Strength = 0.4) -> jax.Array:
    """Spread the image about its mean brightness by a factor uniform in 1 +- ``strength``."""
    return set_contrast(image, _factor(key, strength))


def colour_jitter(
    key: jax.Array,
    image: jax.Array,
    *,
    brightness: Strength = 0.4,
    contrast: Strength = 0.4,
    saturation: Strength = 0.4,
    hue: Hue = 0.0,
) -> jax.Array:
    """Change brightness, contrast, saturation and hue, in this order, each by its own draw.

    The factors are uniform in 1 +- the strength, the hue's turn in +- ``hue`` (0.5 is half the
    circle).
    """
    first, second, third, fourth = jax.random.split(key, 4)
    image = brighten(image, _factor(first, brightness))
    image = set_contrast(image, _factor(second, contrast))
    image = saturate(image, _factor(third, saturation))
    if hue:
        image = shift_hue(image, jax.random.uniform(fourth, (), jnp.float32, -hue, hue))
    return image


def noise(key: jax.Array, image: jax.Array, *, std: Level = 10.0) -> jax.Array:
    """Add Gaussian noise of ``std`` levels (of 255) to every value, cut off at 0 and 255."""
    return jnp.clip(image + std * jax.random.normal(key, image.shape, image.dtype), 0, 255)


def sharpen(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Blend the image with a smoothed one (5 in the middle, 1 around, the rim left as it is)."""
    return blend(smooth(image), image, factor)


def smooth(image: jax.Array) -> jax.Array:
    """Return the weighted mean of each pixel (5) and its eight neighbours (1); rims stay."""
    height, width, _ = image.shape
    if min(height, width) < 3:
        return image
    rows = [image[i : height - 2 + i] for i in range(3)]
    around = [row[:, j : width - 2 + j] for row in rows for j in range(3)]
    middle = image[1:-1, 1:-1]
    inner = (functools.reduce(jnp.add, around) + 4 * middle) / 13
    return image.at[1:-1, 1:-1].set(inner)
