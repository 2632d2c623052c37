"""What a source hands out: parts of a data set, in memory or read image by image."""

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnn_jax.data import decode
from cnn_jax.data.decode import Box, View
from cnn_jax.errors import BadInputError


@dataclasses.dataclass(frozen=True)
class Part:
    """Images uint8 ``[N, H, W, C]`` with their labels int32 ``[N]``."""

    images: np.ndarray
    labels: np.ndarray

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
    of this part and ``labels`` int32 ``[N]`` theirs; ``view`` says what becomes of an image,
    ``source`` where the records are, for messages.
    """

    records: Sequence[Any]
    rows: np.ndarray
    labels: np.ndarray
    view: View
    source: str = "the data"

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


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set: training and test part, the classes' names, files left out as unreadable.

    ``size`` is what the images were resized to, (height, width), before any subsampling.
    ``mean`` and ``std`` are the constants to normalise by, a channel each, of pixels in 0..1;
    None where neither this project nor the prepared set knows them.
    """

    train: Part | Stream
    test: Part | Stream
    classes: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    skipped: tuple[str, ...] = ()

    def only(self, names: Sequence[str]) -> "Source":
        """Return the set with these of its classes alone, labelled in this order.

        Raises:
            BadInputError: a name that is no class of the set.
        """
        for name in names:
            if name not in self.classes:
                near = difflib.get_close_matches(name, self.classes, n=1) or self.classes
                raise BadInputError(f"data.only: no class is called {name!r}; {', '.join(near)} is")
        relabelled = np.full(len(self.classes), -1, np.int32)
        relabelled[[self.classes.index(name) for name in names]] = np.arange(len(names))

        def kept(part: Part | Stream) -> Part | Stream:
            labels = relabelled[part.labels]
            rows = np.flatnonzero(labels >= 0)
            return dataclasses.replace(part[rows], labels=labels[rows])

        parts = {"train": kept(self.train), "test": kept(self.test)}
        return dataclasses.replace(self, classes=tuple(names), **parts)
