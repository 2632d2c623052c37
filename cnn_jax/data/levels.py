"""Pixels of other than eight bits: brought to levels of 0..255 by the range that they are in.

- Unsigned integers of up to 16 bits, 12 of them included: the upper eight bits.
- Unsigned ones of 32 bits, and signed ones, are rarely used up to their limit. Their range is the
  smallest of 8, 16 and 32 bits that holds all of the image (the sign's bit left out), and the upper
  eight of these bits count: 0..255 stays as it is.
- Floats in 0..1 are multiplied by 255; an image of whole numbers up to 65535 counts as integers.
- White is the lowest level where the file says so.

Anything else has no known scale and is refused: negative levels, NaN, floats such as 0.5..30.
"""

import dataclasses

import numpy as np
from PIL import Image

# How far floats may lie outside of 0..1, from resampling or rounding: half a level.
SLACK = 0.5 / 255
BITS_PER_SAMPLE, PHOTOMETRIC, PLANES, SAMPLE_FORMAT = 258, 262, 284, 339  # tags of TIFF
WHITE_IS_ZERO, SEPARATE, SIGNED = 0, 2, 2  # values of the last three


@dataclasses.dataclass(frozen=True)
class Samples:
    """How a file stores its levels: bits, whether they are signed, whether white is the lowest."""

    bits: int
    signed: bool
    inverted: bool


def of(image: Image.Image) -> np.ndarray | None:
    """Return the levels of an opened file, uint8 ``[H, W]``; None if Pillow's are right.

    Raises:
        ValueError: their scale is not known.
    """
    stored = _stored(image)
    deep = image.mode == "F" or image.mode.startswith("I")
    if not deep and not (image.mode == "L" and stored.signed):
        return None
    values = np.asarray(image)
    if image.mode == "F":
        levels = floats(values)
    else:
        kind = "i" if stored.signed else "u"
        levels = integers(values.view(f"{values.dtype.byteorder}{kind}{values.itemsize}"), stored)
    return 255 - levels if stored.inverted else levels


def _stored(image: Image.Image) -> Samples:
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        # FITS has no unsigned integers of 16 bits; PGM's are scaled to 16 as it is read.
        sixteen = image.mode.startswith("I;16") or image.format == "PPM"
        signed = image.format == "FITS" or (image.mode == "I" and not sixteen)
        return Samples(16 if sixteen else 32, signed and image.mode != "L", False)
    bits = np.ravel(tags.get(BITS_PER_SAMPLE, 1))
    if tags.get(PLANES) == SEPARATE and len(bits) > 1 and bits[0] != 8:
        raise ValueError(f"is a TIFF of {bits[0]} bits whose colours are stored apart")
    signed = np.ravel(tags.get(SAMPLE_FORMAT, 1))[0] == SIGNED
    inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    return Samples(int(bits[0]), bool(signed), inverted)


def integers(values: np.ndarray, stored: Samples) -> np.ndarray:
    """Return integers as levels, uint8, see this module's rule.

    Raises:
        ValueError: some are negative, or do not fit into the bits.
    """
    low, high = int(values.min()), int(values.max())
    if low < 0:
        raise ValueError(f"has levels from {low} to {high}; negative ones have no known scale")
    whole = stored.bits - stored.signed
    ranges = (8, min(16, whole), whole) if stored.signed or whole > 16 else (whole,)
    for bits in ranges:
        if high < 1 << bits:
            return (values >> max(bits - 8, 0)).astype(np.uint8)
    raise ValueError(f"has levels up to {high}, more than {stored.bits} bits hold")


def floats(values: np.ndarray) -> np.ndarray:
    """Return floats as levels, uint8, see this module's rule.

    Raises:
        ValueError: NaN or infinity, or a range of unknown scale.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("has levels that are NaN or infinite")
    if low >= -SLACK and high <= 1 + SLACK:
        return np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    if low >= 0 and high < 1 << 16 and not (values % 1).any():
        return integers(values.astype(np.uint16), Samples(8 if high < 256 else 16, False, False))
    raise ValueError(
        f"has floats from {low:.4g} to {high:.4g}; the scale is known of 0..1, and of whole "
        "numbers up to 65535"
    )
