"""Fewer pixels: does the object survive? A property of the data, alike in training and evaluation.

Two readings of "keep a share of the pixels": a smaller image of every so-manieth row and column,
or an image of the same size in which the others are missing.
"""

import dataclasses
import math
import zlib

import numpy as np

SMALLER, MISSING = "smaller", "missing"


@dataclasses.dataclass(frozen=True)
class Subsample:
    """Keeps the share ``share`` of an image's pixels, 0 < share <= 1.

    ``smaller`` picks rows and columns at even distances, without averaging. ``missing`` keeps
    pixels drawn from a seed that is the image's own checksum, so that an image always lacks the
    same ones; the others are black.
    """

    share: float
    reading: str = SMALLER

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return (height, width) of what is left of an image of ``size``."""
        if self.reading == MISSING:
            return size
        height, width = (max(1, round(side * math.sqrt(self.share))) for side in size)
        return height, width

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return what is left of an image, uint8 ``[H, W, C]``."""
        height, width = image.shape[:2]
        if self.reading == MISSING:
            rng = np.random.default_rng(zlib.crc32(image.tobytes()))
            keeps = np.zeros(height * width, bool)
            keeps[rng.permutation(height * width)[: round(self.share * height * width)]] = True
            return image * keeps.reshape(height, width, 1)
        rows, columns = (
            ((np.arange(count) + 0.5) * side / count).astype(int)
            for count, side in zip(self.size((height, width)), (height, width), strict=True)
        )
        return image[rows][:, columns]
