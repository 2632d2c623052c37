"""What the arguments of transforms may be: ranges for their annotations.

Bounds beyond which a transform would leave nothing of the image, or draw what float32 has no
numbers for, are part of them.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from cnn_jax.runtime import ranges

Probability = Annotated[float, ranges.at_least(0, high=1)]
Level = Annotated[float, ranges.at_least(0, high=255)]  # of a pixel's value
Share = Annotated[float, ranges.at_least(0, high=1)]  # of a length
Strength = Annotated[float, ranges.at_least(0, high=255)]  # a factor is uniform in 1 +- it
Degrees = Annotated[float, ranges.at_least(0, high=180)]
Hue = Annotated[float, ranges.at_least(0, high=0.5)]  # of the circle
Alpha = Annotated[float, ranges.at_least(1e-6, high=1e6)]  # of Beta(alpha, alpha)
Areas = Annotated[Sequence[float], ranges.Interval(ranges.above(0, high=1))]
Factors = Annotated[Sequence[float], ranges.Interval(ranges.at_least(0.01, high=100))]


@dataclasses.dataclass(frozen=True)
class Pixels:
    """Whole numbers of pixels from ``low`` on, as many as images of a size take.

    ``most``: (rows, columns) -> the largest.
    """

    low: int
    most: Callable[[int, int], int]

    def holds(self, value: Any) -> bool:
        """Return whether images of some size take ``value``."""
        return ranges.whole(self.low).holds(value)

    def __str__(self) -> str:
        return str(ranges.whole(self.low))

    def on(self, shape: Sequence[int]) -> "PixelsOn":
        """Return the range for images ``[H, W, C]``."""
        return PixelsOn(self, shape[0], shape[1])


@dataclasses.dataclass(frozen=True)
class PixelsOn:
    """The pixels that images of one size take."""

    pixels: Pixels
    rows: int
    columns: int

    def holds(self, value: Any) -> bool:
        """Return whether images of this size take ``value``."""
        return self.pixels.holds(value) and value <= self.pixels.most(self.rows, self.columns)

    def __str__(self) -> str:
        most = self.pixels.most(self.rows, self.columns)
        return f"{self.pixels} and at most {most} on images of {self.rows}x{self.columns}"


# A window cut out of the padded image shows a row and a column of the image itself.
Padding = Annotated[int, Pixels(0, lambda rows, columns: min(rows, columns) - 1)]
# A square around a corner's pixel leaves a pixel somewhere.
Side = Annotated[int, Pixels(1, lambda rows, columns: max(2 * max(rows, columns) - 2, 1))]
