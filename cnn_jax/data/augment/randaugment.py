"""RandAugment (Cubuk et al. 2019): a few operations drawn from fourteen, all of one strength.

Under jit and vmap every branch of a choice is computed. So the fourteen are three: a warp, whose
matrix is chosen; a blend, whose other end is chosen; a table of levels, which is chosen.
"""

from typing import Annotated

import jax
import jax.numpy as jnp

from cnn_jax.data.augment import colour, spatial
from cnn_jax.runtime import ranges

LEVELS = 256

# At magnitude 10, AutoAugment's ranges (Cubuk et al. 2018, table 6).
STRONGEST = 10
DEGREES, SHEAR, SHIFT, FACTOR, BITS = 30.0, 0.3, 0.45, 0.9, 4

WARPS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
BLENDS = ("brightness", "contrast", "colour", "sharpness")
TABLES = ("autocontrast", "equalize", "solarize", "posterize")
OPERATIONS = ("identity", *WARPS, *BLENDS, *TABLES)


def randaugment(
    key: jax.Array,
    image: jax.Array,
    *,
    operations: Annotated[int, ranges.whole(1, high=len(OPERATIONS))] = 2,
    magnitude: Annotated[float, ranges.at_least(0, high=STRONGEST)] = 9.0,
) -> jax.Array:
    """Apply so many operations, each drawn uniformly; ``magnitude`` 10 is the strongest.

    Those that have a direction go either way with equal odds. Black comes in from outside. Solarize
    inverts levels from 256 down to 0, the stronger the lower, as AutoAugment does; torchvision goes
    from 255 on, and so inverts white at magnitude 0.
    """
    for number in range(operations):
        choice, side = jax.random.split(jax.random.fold_in(key, number))
        which = jax.random.randint(choice, (), 0, len(OPERATIONS))
        sign = jax.random.rademacher(side, (), jnp.float32)
        image = apply(image, which, magnitude / STRONGEST, sign)
    return image


def apply(
    image: jax.Array, which: jax.Array | int, strength: float, sign: jax.Array | float
) -> jax.Array:
    """Apply one of ``OPERATIONS`` to float32 ``[H, W, C]``, by its number.

    Args:
        image: levels in 0..255; the tables round them.
        which: index into ``OPERATIONS``.
        strength: 0..1.
        sign: +1 or -1.
    """
    kinds = jnp.asarray([0] + [1] * len(WARPS) + [2] * len(BLENDS) + [3] * len(TABLES))
    kind = kinds[which]
    warp = jnp.clip(which - 1, 0, len(WARPS) - 1)
    blend = jnp.clip(which - 1 - len(WARPS), 0, len(BLENDS) - 1)
    table = jnp.clip(which - 1 - len(WARPS) - len(BLENDS), 0, len(TABLES) - 1)
    changed = jnp.stack(
        [
            image,
            _warp(image, warp, sign * strength),
            _blend(image, blend, 1 + sign * strength * FACTOR),
            _table(image, table, strength),
        ]
    )
    return changed[kind]


def _warp(image: jax.Array, which: jax.Array, amount: jax.Array | float) -> jax.Array:
    height, width, _ = image.shape
    one, none = jnp.eye(2), jnp.zeros(2)
    # Acting on (row, column): shearing along x moves columns by rows.
    along_x = jnp.asarray([[0.0, 0.0], [1.0, 0.0]])
    matrices = jnp.stack(
        [
            spatial.turning(amount * DEGREES),
            one + amount * SHEAR * along_x,
            one + amount * SHEAR * along_x.T,
            one,
            one,
        ]
    )
    step = amount * SHIFT
    move_x, move_y = jnp.asarray([0.0, width]), jnp.asarray([height, 0.0])
    shifts = jnp.stack([none, none, none, step * move_x, step * move_y])
    return spatial.warp(image, matrices[which], shifts[which])


def _blend(image: jax.Array, which: jax.Array, factor: jax.Array | float) -> jax.Array:
    luma = colour.grey(image)
    ends = [
        jnp.zeros_like(image),
        jnp.full_like(image, jnp.mean(luma)),
        jnp.broadcast_to(luma, image.shape),
        colour.smooth(image),
    ]
    return colour.blend(jnp.stack(ends)[which], image, factor)


def _table(image: jax.Array, which: jax.Array, strength: float) -> jax.Array:
    levels = jnp.round(image).astype(jnp.int32)
    all_levels = jnp.arange(LEVELS)
    threshold = LEVELS - int(LEVELS * strength)
    turned = jnp.where(all_levels < threshold, all_levels, 255 - all_levels)
    kept = 8 - round(BITS * strength)
    coarse = all_levels & ~(2 ** (8 - kept) - 1)

    def channel(plane: jax.Array) -> jax.Array:
        tables = jnp.stack([autocontrast(plane), equalize(plane), turned, coarse])
        return tables[which][plane]

    return jax.vmap(channel, in_axes=2, out_axes=2)(levels).astype(image.dtype)


def autocontrast(plane: jax.Array) -> jax.Array:
    """Return the table that spreads the levels of int32 ``[H, W]`` over 0..255, int32 ``[256]``."""
    least, largest = jnp.min(plane), jnp.max(plane)
    spread = largest - least
    levels = jnp.arange(LEVELS)
    # Whole numbers: rounded divisions would fall on the wrong side of a level.
    table = jnp.clip((levels - least) * 255 // jnp.maximum(spread, 1), 0, 255)
    return jnp.where(spread == 0, levels, table)


def equalize(plane: jax.Array) -> jax.Array:
    """Return the table that makes the levels of int32 ``[H, W]`` equally frequent."""
    counts = jnp.zeros(LEVELS, jnp.int32).at[plane.ravel()].add(1)
    last = counts[jnp.max(plane)]
    step = (plane.size - last) // 255
    below = jnp.cumsum(counts) - counts
    table = jnp.clip((step // 2 + below) // jnp.maximum(step, 1), 0, 255)
    return jnp.where(step == 0, jnp.arange(LEVELS), table)
