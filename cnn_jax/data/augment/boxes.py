"""Random windows: where random-resized-crop cuts, on the host as on the device."""

import types
from typing import Any

import numpy as np

from cnn_jax.data.augment.arguments import Areas, Factors

# Draws for one window: a window of the wanted area and shape need not fit into the image, so that
# several are drawn and the first that fits is taken.
ATTEMPTS = 10
DRAWS = (ATTEMPTS + 1, 2)

# Of the Inception networks, and of everything on ImageNet since.
CUSTOMARY = {"area": (0.08, 1.0), "ratio": (3 / 4, 4 / 3)}


def window(
    uniform: Any,
    height: int,
    width: int,
    *,
    area: Areas,
    ratio: Factors,
    xp: types.ModuleType = np,
) -> tuple[Any, Any, Any, Any]:
    """Return (top, left, height, width) of a window in whole pixels.

    Its area is uniform between two shares of the image's, the logarithm of its ratio width :
    height uniform between two bounds, its place uniform (Szegedy et al. 2014, section 6). If none
    of the attempts fits, it is the largest centred window within the bounds.

    Args:
        uniform: float ``[ATTEMPTS + 1, 2]`` in 0..1; the last row decides the place.
        height: of the image.
        width: of the image.
        area: least and largest share.
        ratio: least and largest.
        xp: numpy or jax.numpy, whose arrays ``uniform`` is of.
    """
    target = height * width * (area[0] + uniform[:-1, 0] * (area[1] - area[0]))
    low, high = np.log(ratio[0]), np.log(ratio[1])
    shape = xp.exp(low + uniform[:-1, 1] * (high - low))
    widths = xp.round(xp.sqrt(target * shape)).astype(int)
    heights = xp.round(xp.sqrt(target / shape)).astype(int)
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    # The fallback stands behind the attempts, so that there is always a first that fits.
    bounded = min(max(width / height, ratio[0]), ratio[1])
    last_width = min(width, max(1, round(height * bounded)))
    last_height = min(height, max(1, round(width / bounded)))
    first = xp.argmax(xp.append(fits, True))
    rows = xp.append(heights, last_height)[first]
    columns = xp.append(widths, last_width)[first]
    free_rows, free_columns = height - rows, width - columns
    # A share of 1 is as good as never drawn; it must not lead outside all the same.
    top = xp.minimum((uniform[-1, 0] * (free_rows + 1)).astype(int), free_rows)
    left = xp.minimum((uniform[-1, 1] * (free_columns + 1)).astype(int), free_columns)
    found = first < ATTEMPTS
    top, left = xp.where(found, top, free_rows // 2), xp.where(found, left, free_columns // 2)
    return top, left, rows, columns
