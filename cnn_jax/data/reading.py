"""Reading a prepared set: in memory where that fits, else record by record."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from cnn_jax.data import cache
from cnn_jax.data.constants import KNOWN
from cnn_jax.data.decode import View
from cnn_jax.data.parts import Part, Source, Stream
from cnn_jax.data.subsample import Subsample
from cnn_jax.errors import BadInputError
from cnn_jax.ops.geometry import Size, pair

# Sets are kept on the device as uint8; larger ones leave too little room for the network.
RESIDENT_BYTES = 8 * 2**30


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is asked of a data set.

    Args:
        train: the examples to train on, a split or a slice of one such as ``train[:90%]``.
        test: those to test on; if None, the split test, or validation where there is no test.
        image_size: (rows, columns) or an int for both; None keeps the images' own size, which
            all of them then have to share.
        crop: the share of the side that is shown, see ``View``.
        subsample: which of the pixels are kept.
        shuffle: the seed of the order that pixels are brought into; None leaves them.
        stream: whether images stay on disk, encoded; None decides by the set's size, and for
            ``original``.
        original: training cuts its windows out of the original pixels, so that images of
            different sizes are best streamed.
    """

    train: str = "train"
    test: str | None = None
    image_size: Size | None = None
    crop: float | None = None
    subsample: Subsample | None = None
    shuffle: int | None = None
    stream: bool | None = None
    original: bool = False


def read(folder: Path, name: str, wanted: Wanted) -> Source:
    """Return the data set that was prepared in ``folder``.

    Args:
        folder: of the prepared set.
        name: of the source, which may tell the constants to normalise by.
        wanted: which part of it, and how.

    Raises:
        BadInputError: the set has no images with labels, or does not have what is wanted.
    """
    builder: Any = tfds.builder_from_directory(str(folder))
    features, seen = builder.info.features, builder.info.metadata or {}
    if not {"image", "label"} <= set(features) or not hasattr(features["label"], "names"):
        raise BadInputError(
            f"data.name: {name!r} has the features {', '.join(sorted(features))}; "
            "an image and its label are needed"
        )
    sizes, grey = _shapes(features["image"].shape, seen)
    size = _size(sizes, wanted.image_size)
    view = View(size, grey, wanted.crop, wanted.subsample, wanted.shuffle)
    splits = {key: split.num_examples for key, split in builder.info.splits.items()}
    train = _slice(wanted.train, builder.info.splits, "data.train")
    test = _slice(wanted.test or _test(splits), builder.info.splits, "data.test")
    if train[0] == test[0] and np.intersect1d(train[1], test[1]).size:
        raise BadInputError(
            f"data.test: {wanted.test!r} and data.train {wanted.train!r} share examples"
        )
    need = (len(train[1]) + len(test[1])) * int(np.prod(view.shape))
    stream = wanted.stream
    if stream is None:
        stream = need > RESIDENT_BYTES or (wanted.original and len(sizes) != 1)
    elif not stream and need > RESIDENT_BYTES:
        raise BadInputError(
            f"data.stream: images of {size[0]}x{size[1]} take {need / 2**30:.1f} GiB, more than "
            f"the {RESIDENT_BYTES / 2**30:.0f} that are kept on the device; leave it unset"
        )

    def part(split: str, rows: np.ndarray) -> Part | Stream:
        records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        if stream:
            labels = cache.labels(folder, split, records)
            return Stream(records, rows, labels[rows], view)
        whole = cache.decoded(folder, split, records, view)
        # Consecutive rows are a window of the mapped file; others would be copied.
        window = slice(rows[0], rows[-1] + 1) if np.all(np.diff(rows) == 1) else rows
        return Part(whole.images[window], whole.labels[window])

    mean, std = KNOWN.get(name.partition("/")[0], (seen.get("mean"), seen.get("std")))
    return Source(
        part(*train),
        part(*test),
        tuple(features["label"].names),
        size,
        mean=_channels(mean, grey),
        std=_channels(std, grey),
        skipped=tuple(seen.get("skipped", ())),
    )


def _shapes(declared: tuple, seen: Any) -> tuple[list[tuple[int, int]], bool]:
    """Return (up to two of the sizes that occur, whether all images are grey)."""
    if "sizes" in seen:
        return [(int(height), int(width)) for height, width in seen["sizes"]], bool(seen["grey"])
    height, width, channels = declared
    return ([(height, width)] if height and width else []), channels == 1


def _size(sizes: list[tuple[int, int]], wanted: Size | None) -> tuple[int, int]:
    if wanted is not None:
        return pair(wanted, "data.image_size")
    if len(sizes) == 1:
        return sizes[0]
    which = " (" + ", ".join(f"{height}x{width}" for height, width in sizes) + ")"
    raise BadInputError(
        f"data.image_size: images have different sizes{which if sizes else ''}; set it to one"
    )


def _test(splits: Sequence[str] | dict[str, int]) -> str:
    for name in ("test", "validation"):
        if name in splits:
            return name
    raise BadInputError(
        f"data.test: the set has the splits {', '.join(splits)} and no test; set data.train and "
        "data.test to slices, such as train[:90%] and train[90%:]"
    )


def _slice(spec: str, splits: Any, field: str) -> tuple[str, np.ndarray]:
    """Return (split, sorted rows int64) of a split or slices of it, ``train[:10%]+train[90%:]``."""
    try:
        pieces = tfds.core.ReadInstruction.from_spec(spec).to_absolute(splits)
    except (AssertionError, ValueError, KeyError, AttributeError):
        raise BadInputError(
            f"{field}: {spec!r} is no slice of {', '.join(splits)}; such as train[:90%]"
        ) from None
    names = {piece.splitname for piece in pieces}
    if len(names) > 1:
        raise BadInputError(f"{field}: {spec!r} mixes splits; take slices of one")
    split = names.pop()
    rows = [
        np.arange(piece.from_ or 0, splits[split].num_examples if piece.to is None else piece.to)
        for piece in pieces
    ]
    chosen = np.unique(np.concatenate(rows))
    if not len(chosen):
        raise BadInputError(f"{field}: {spec!r} holds no examples")
    return split, chosen


def _channels(values: Any, grey: bool) -> tuple[float, ...] | None:
    """Return a constant for each channel that the images have."""
    return None if values is None else tuple(values)[: 1 if grey else 3]


def contents(folder: Path) -> dict[str, Any]:
    """Return what a prepared set holds: examples by split, classes."""
    info: Any = tfds.builder_from_directory(str(folder)).info
    label = dict(info.features.items()).get("label")
    return {
        "examples": {name: split.num_examples for name, split in info.splits.items()},
        "classes": getattr(label, "num_classes", None),
    }
