"""Parts of a data set: in memory, or read image by image."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnn_jax.data import decode
from cnn_jax.data.decode import Box, View
from cnn_jax.data.labels import check_targets
from cnn_jax.runtime.errors import BadInputError


@dataclasses.dataclass(frozen=True)
class Part:
    """Images ``[N, H, W, C]`` with their labels: classes int32 ``[N]``, or targets ``[N, ...]``.

    Images are pixels, uint8, or any numbers, float32, which no constants are applied to.

    Raises:
        BadInputError: they are not that, a number is not finite, or a label is negative.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        check_targets(self.labels, "a part of the data")
        images = self.images
        known = images.dtype in (np.uint8, np.float32)
        if images.ndim != 4 or not known or len(images) != len(self.labels):
            raise BadInputError(
                f"images of the type {images.dtype} and the shape {list(images.shape)} with "
                f"{len(self.labels)} labels; uint8 or float32 [N, H, W, C] with N labels are a "
                "part of the data"
            )
        if images.dtype == np.float32 and not np.isfinite(images).all():
            first = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))[0]
            raise BadInputError(f"image {first} has numbers that are not finite (NaN or infinite)")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: np.ndarray) -> "Part":
        return Part(self.images[rows], self.labels[rows])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return (height, width, channels)."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def read(self, row: int) -> np.ndarray:
        """Return one image, uint8 ``[H, W, C]``."""
        return self.images[row]


@dataclasses.dataclass(frozen=True)
class Stream:
    """Images that stay encoded on disk; each is decoded and resized whenever it is read.

    ``records[i]`` is a mapping with the encoded ``image``; ``rows`` int64 ``[N]`` are the records
    of this part and ``labels`` theirs, as ``Part``'s; ``view`` says what becomes of an image,
    ``source`` where the records are, for messages.

    Raises:
        BadInputError: a label that is none, or not one a record.
    """

    records: Sequence[Any]
    rows: np.ndarray
    labels: np.ndarray
    view: View
    source: str = "the data"

    def __post_init__(self):
        check_targets(self.labels, "a part of the data")
        if len(self.rows) != len(self.labels):
            raise BadInputError(
                f"{len(self.rows)} records with {len(self.labels)} labels are no part of the data"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: np.ndarray) -> "Stream":
        return dataclasses.replace(self, rows=self.rows[rows], labels=self.labels[rows])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return (height, width, channels)."""
        return self.view.shape

    def encoded(self, row: int) -> bytes:
        """Return the file of one image."""
        return self.records[int(self.rows[row])]["image"]

    def read(self, row: int) -> np.ndarray:
        """Return one image as the view shows it, uint8 ``[H, W, C]``; raises as ``shown``."""
        return self.shown(row, self.encoded(row))

    def shown(
        self, row: int, encoded: bytes, window: Callable[[int, int], Box] | None = None
    ) -> np.ndarray:
        """Return the image that a row's file holds, see ``decode.show``.

        Raises:
            BadInputError: it cannot be decoded; names the record.
        """
        try:
            return decode.show(encoded, self.view, window)
        except ValueError as error:
            record = f"record {self.rows[row]} of {self.source}"
            raise BadInputError(f"{record} {error}; prepare the set again without it") from None
