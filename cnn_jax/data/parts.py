"""What a source hands out: parts of a data set, in memory or read image by image."""

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnn_jax.data import decode
from cnn_jax.data.decode import Box, View
from cnn_jax.data.labels import UNLABELLED, check_labels
from cnn_jax.runtime.errors import BadInputError


@dataclasses.dataclass(frozen=True)
class Part:
    """Images uint8 ``[N, H, W, C]`` with their labels int32 ``[N]``.

    Raises:
        BadInputError: they are not that, or a label is negative.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        check_labels(self.labels, None, "a part of the data")
        images = self.images
        if images.ndim != 4 or images.dtype != np.uint8 or len(images) != len(self.labels):
            raise BadInputError(
                f"images of the type {images.dtype} and the shape {list(images.shape)} with "
                f"{len(self.labels)} labels; uint8 [N, H, W, C] with N labels are a part of the "
                "data"
            )

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

    Raises:
        BadInputError: a label that is none, or not one a record.
    """

    records: Sequence[Any]
    rows: np.ndarray
    labels: np.ndarray
    view: View
    source: str = "the data"

    def __post_init__(self):
        check_labels(self.labels, None, "a part of the data")
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


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set: its parts, and the classes' names.

    ``validation`` is what the set itself has to validate on, beside its test part. ``skipped`` are
    the files that were left out, a line each or by reason; ``notes`` all that its user should be
    told of the set, these included.
    ``size`` is what the images were resized to, (height, width), before any subsampling.
    ``mean`` and ``std`` are the constants to normalise by, a channel each, of pixels in 0..1;
    None where neither this project nor the prepared set knows them.

    Raises:
        BadInputError: a part without examples or with a label that is no class, or less than two
            classes.
    """

    train: Part | Stream
    test: Part | Stream
    classes: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    validation: Part | Stream | None = None

    def __post_init__(self):
        if len(self.classes) < 2:
            which = f"one class, {self.classes[0]!r}" if self.classes else "no classes"
            raise BadInputError(f"the data have {which}; telling classes apart takes two")
        for name, part in self._parts().items():
            if not len(part):
                raise BadInputError(f"the {name} part of the data has no examples")
            check_labels(part.labels, len(self.classes), f"the {name} part of the data")

    def _parts(self) -> dict[str, Part | Stream]:
        held = {"train": self.train, "test": self.test}
        return held if self.validation is None else held | {"validation": self.validation}

    def only(self, names: Sequence[str]) -> "Source":
        """Return the set with these of its classes alone, labelled in this order.

        Raises:
            BadInputError: a name that is no class of the set, or comes twice; or no example of a
                part is of these classes.
        """
        for name in names:
            if name not in self.classes:
                near = difflib.get_close_matches(name, self.classes, n=1) or self.classes
                raise BadInputError(f"data.only: no class is called {name!r}; {', '.join(near)} is")
        if len(set(names)) < len(names):
            raise BadInputError(f"data.only: {', '.join(names)} names a class twice")
        relabelled = np.full(len(self.classes), UNLABELLED, np.int32)
        relabelled[[self.classes.index(name) for name in names]] = np.arange(len(names))

        def kept(part: Part | Stream, of: str) -> Part | Stream:
            found = relabelled[part.labels]
            rows = np.flatnonzero(found != UNLABELLED)
            if not len(rows):
                raise BadInputError(
                    f"data.only: no example of the {of} part is of {', '.join(names)}"
                )
            return dataclasses.replace(part[rows], labels=found[rows])

        parts: Any = {name: kept(part, name) for name, part in self._parts().items()}
        return dataclasses.replace(self, classes=tuple(names), **parts)
