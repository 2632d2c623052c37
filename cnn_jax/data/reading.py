"""Reading a prepared set: in memory where that fits, else record by record."""

import dataclasses
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from cnn_jax.data import decode
from cnn_jax.data.constants import KNOWN
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.decode import View
from cnn_jax.data.labels import UNLABELLED, all_unlabelled, check_labels
from cnn_jax.data.parts import Part, Stream
from cnn_jax.data.prepare import cache, prepared
from cnn_jax.data.prepare.prepared import Prepared
from cnn_jax.data.prepare.shards import Records
from cnn_jax.data.subsample import Subsample
from cnn_jax.ops.geometry import Size, pair
from cnn_jax.runtime.errors import BadInputError

# Sets are kept on the device as uint8; larger ones leave too little room for the network.
RESIDENT_BYTES = 8 * 2**30

VALIDATION = "validation"
# Splits that serve for testing, the first that a set has.
TESTS = ("test", VALIDATION)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is asked of a data set.

    Args:
        train: the examples to train on, a split or a slice of one such as ``train[:90%]``.
        test: those to test on; if None, the split test, or validation where there is no test or
            it has no labels.
        validation: those to validate on; if None, the split validation where the set has one that
            has labels and is not tested on.
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
    validation: str | None = None
    image_size: Size | None = None
    crop: float | None = None
    subsample: Subsample | None = None
    shuffle: int | None = None
    stream: bool | None = None
    original: bool = False


def read(folder: Path, name: str, wanted: Wanted, classes: int | None = None) -> Dataset:
    """Return the data set that was prepared in ``folder``.

    Args:
        folder: of the prepared set.
        name: of the source, which may tell the constants to normalise by.
        wanted: which part of it, and how.
        classes: how many there are at least, for a set whose labels are numbers without names;
            its largest label tells of more.

    Raises:
        BadInputError: the set is damaged, has no images with labels, or does not have what is
            wanted.
    """
    held = prepared.open_set(folder, name)
    examples, opened = _Examples(held, name), held.splits
    size = _size(held.sizes, wanted.image_size)
    view = View(size, held.grey, wanted.crop, wanted.subsample, wanted.shuffle)
    train = _slice(wanted.train, opened, "data.train")
    test = _slice(wanted.test or _test(examples), opened, "data.test")
    chosen = {"data.train": train, "data.test": test}
    validated = wanted.validation or _validation(examples, {train[0], test[0]})
    if validated is not None:
        chosen["data.validate_on"] = _slice(validated, opened, "data.validate_on")
    _check_apart(chosen)
    names = held.classes or _numbers(examples, classes or 0)
    for split, rows in chosen.values():
        examples.check(split, rows, len(names))
    if held.sealed is None:
        _check_shape(held, examples.records(train[0]))
    need = sum(len(rows) for _, rows in chosen.values()) * int(np.prod(view.shape))
    stream = _streams(wanted, held, size, need)

    def part(split: str, rows: np.ndarray) -> Part | Stream:
        records, labels = examples.records(split), examples.labels(split)
        if stream:
            where = f"the split {split} in {str(folder)!r}"
            return Stream(records, rows, labels[rows], view, where)
        images = cache.decoded(folder, split, records, view)
        # Consecutive rows are a window of the mapped file; others would be copied.
        window = slice(rows[0], rows[-1] + 1) if np.all(np.diff(rows) == 1) else rows
        return Part(images[window], labels[window])

    mean, std = KNOWN.get(name.partition("/")[0], (held.mean, held.std))
    return Dataset(
        part(*train),
        part(*test),
        names,
        size,
        mean=_channels(mean, held.grey),
        std=_channels(std, held.grey),
        skipped=(*held.left_out, *held.skipped),
        notes=notes(held),
        validation=None if validated is None else part(*chosen["data.validate_on"]),
    )


def notes(held: Prepared) -> tuple[str, ...]:
    """Return what its user has to know of a prepared set, a line each."""
    lines = [*held.notes, *(f"left out {line}" for line in held.left_out)]
    if held.skipped:
        lines.append(f"left out {len(held.skipped)} files that cannot be decoded:")
        lines.extend(f"  {line}" for line in held.skipped)
    return tuple(lines)


class _Examples:
    """The examples of a prepared set by split, opened when they are asked for."""

    def __init__(self, held: Prepared, name: str):
        self.held, self.name = held, name
        self.counts = held.examples()
        self._records: dict[str, Records] = {}
        self._labels: dict[str, np.ndarray] = {}

    def records(self, split: str) -> Records:
        if split not in self._records:
            self._records[split] = self.held.records(split)
        return self._records[split]

    def labels(self, split: str) -> np.ndarray:
        """Return the labels of all of a split, int32 ``[N]``."""
        if split not in self._labels:
            self._labels[split] = cache.labels(self.held.folder, split, self.records(split))
        return self._labels[split]

    def check(self, split: str, rows: np.ndarray, classes: int) -> None:
        """Raise ``BadInputError`` unless these rows of a split have a label that is a class."""
        other = [name for name in TESTS if name != split and self.counts.get(name)]
        remedy = f"; set data.test={other[0]}" if split in TESTS and other else ""
        what = f"the split {split} of {self.name!r}"
        check_labels(self.labels(split)[rows], classes, what, remedy)


def _streams(wanted: Wanted, held: Prepared, size: tuple[int, int], need: int) -> bool:
    """Return whether images of ``need`` bytes in all stay on disk."""
    if wanted.stream is None:
        return need > RESIDENT_BYTES or (wanted.original and len(held.sizes) != 1)
    if not wanted.stream and need > RESIDENT_BYTES:
        raise BadInputError(
            f"data.stream: images of {size[0]}x{size[1]} take {need / 2**30:.1f} GiB, more than "
            f"the {RESIDENT_BYTES / 2**30:.0f} that are kept on the device; leave it unset"
        )
    return wanted.stream


def _check_shape(held: Prepared, records: Records) -> None:
    """Raise ``BadInputError`` if the first image is none that ``features.json`` declares."""
    try:
        height, width, channels = decode.pixels(records[0]["image"]).shape
    except ValueError as error:
        raise BadInputError(f"the first image in {str(held.folder)!r} {error}") from None
    if (len(held.sizes) == 1 and held.sizes[0] != (height, width)) or (held.grey and channels > 1):
        raise BadInputError(
            f"{str(held.folder / prepared.FEATURES)!r} does not belong to this set, whose first "
            f"image is {height}x{width} with {channels} channels"
        )


def _test(examples: _Examples) -> str:
    """Return the split to test on where none is named: the first that has labels."""
    found = [name for name in TESTS if examples.counts.get(name)]
    if not found:
        raise BadInputError(
            f"data.test: the set has the splits {', '.join(examples.counts)} and no test; set "
            "data.train and data.test to slices, such as train[:90%] and train[90%:]"
        )
    labelled = [name for name in found if not all_unlabelled(examples.labels(name))]
    if not labelled or labelled[0] == found[0]:
        return found[0]
    count = f"{examples.counts[found[0]]:,}"
    print(
        f"data.test: the split {found[0]} of {examples.name!r} has no labels ({count} of {count} "
        f"are {UNLABELLED}); {labelled[0]} is taken",
        file=sys.stderr,
    )
    return labelled[0]


def _validation(examples: _Examples, taken: set[str]) -> str | None:
    """Return the split to validate on where none is named, if there is one for nothing else."""
    if VALIDATION in taken or not examples.counts.get(VALIDATION):
        return None
    return None if all_unlabelled(examples.labels(VALIDATION)) else VALIDATION


def _check_apart(chosen: dict[str, tuple[str, np.ndarray]]) -> None:
    """Raise ``BadInputError`` if two parts share examples; fields -> (split, rows)."""
    for (one, (split, rows)), (other, (others, more)) in itertools.combinations(chosen.items(), 2):
        if split == others and np.intersect1d(rows, more).size:
            raise BadInputError(f"{other} and {one} share examples of the split {split}")


def _numbers(examples: _Examples, classes: int) -> tuple[str, ...]:
    """Return the names of classes that are mere numbers: so many, or all that labels tell."""
    splits = [split for split, count in examples.counts.items() if count]
    largest = max(int(examples.labels(split).max()) for split in splits)
    return tuple(map(str, range(max(classes, largest + 1))))


def _size(sizes: list[tuple[int, int]], wanted: Size | None) -> tuple[int, int]:
    if wanted is not None:
        return pair(wanted, "data.image_size")
    if len(sizes) == 1:
        return sizes[0]
    which = " (" + ", ".join(f"{height}x{width}" for height, width in sizes) + ")"
    raise BadInputError(
        f"data.image_size: images have different sizes{which if sizes else ''}; set it to one"
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
    held = prepared.open_set(folder, folder.parent.name)
    return {
        "examples": held.examples(),
        "classes": None if held.classes is None else len(held.classes),
    }
