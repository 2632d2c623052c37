"""A prepared set: the folder that tensorflow-datasets wrote, opened without TensorFlow.

Everything in it is looked over before it is used. What this project prepared is sealed, see
``seal``; of a set that was prepared elsewhere, the files have to agree with one another.
"""

import contextlib
import dataclasses
import io
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import tensorflow_datasets as tfds

from cnn_jax.data.prepare import seal
from cnn_jax.data.prepare.shards import IMAGE, LABEL, Records
from cnn_jax.runtime import json_file
from cnn_jax.runtime.errors import BadInputError, first_line

INFO, FEATURES, NOTES, NAMES = (
    "dataset_info.json",
    "features.json",
    "metadata.json",
    f"{LABEL}.labels.txt",
)
ARRAY_RECORD = "array_record"
OURS = "cnn_jax."  # modules of this project, one of which prepared its sets


class Info(TypedDict):
    """What this module reads of ``dataset_info.json``."""

    name: str
    fileFormat: NotRequired[str]
    alternativeFileFormats: NotRequired[list[str]]
    moduleName: NotRequired[str]


class Notes(TypedDict):
    """What ``builders.Builder`` saw of the images, in ``metadata.json``."""

    sizes: list[tuple[int, int]]
    grey: bool
    skipped: list[str]
    left_out: NotRequired[list[str]]
    notes: NotRequired[list[str]]
    mean: NotRequired[list[float]]
    std: NotRequired[list[float]]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A prepared set.

    ``splits`` are tensorflow-datasets' own, ``files`` the shards of each, in order. ``classes`` are
    the names of its classes, None where labels are mere integers. ``sizes`` are up
    to two of the sizes (height, width) that occur, none if nobody noted them; ``grey`` is whether
    all images are. ``mean``, ``std``, ``skipped`` (files that cannot be decoded), ``left_out``
    (others, counted by reason) and ``notes`` are what was noted when it was prepared.
    """

    folder: Path
    splits: Any
    files: dict[str, list[Path]]
    features: tfds.features.FeaturesDict
    classes: tuple[str, ...] | None
    sizes: list[tuple[int, int]]
    grey: bool
    mean: list[float] | None
    std: list[float] | None
    skipped: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    sealed: seal.Seal | None

    def examples(self) -> dict[str, int]:
        """Return how many examples each split has."""
        return {name: split.num_examples for name, split in self.splits.items()}

    def records(self, split: str) -> Records:
        """Return the examples of a split.

        Raises:
            BadInputError: a file of it is missing or damaged.
        """
        files = self.files[split]
        if self.sealed is not None:
            seal.check(self.folder, self.sealed, (file.name for file in files))
        return Records(self.features, files, self.splits[split].shard_lengths)


def open_set(folder: Path, name: str) -> Prepared:
    """Return the set that was prepared in ``folder``; ``name`` is the source's, for messages.

    Raises:
        BadInputError: a file of it is missing or damaged, it is stored in a format that takes
            TensorFlow, or it has no images with a label each.
    """
    sealed = seal.find(folder)
    info = json_file.read(folder / INFO, Info, "the description of a prepared set")
    _check_format(folder, info)
    # Only that they are JSON: what they have to hold is tensorflow-datasets' to say.
    json_file.read(folder / FEATURES, dict, "the features of a prepared set")
    ours = info.get("moduleName", "").startswith(OURS)
    _check_names(folder / NAMES, needed=ours and sealed is None)
    with _blamed(folder / FEATURES):
        declared: Any = tfds.features.FeatureConnector.from_config(str(folder))
    with _blamed(folder / INFO):
        builder: Any = tfds.builder_from_directory(str(folder))
        if info.get("fileFormat") != ARRAY_RECORD:
            builder.info.set_file_format(ARRAY_RECORD, override=True, override_if_initialized=True)
        splits = builder.info.splits
        files = {name: list(map(Path, split.filepaths)) for name, split in splits.items()}
        if any(count < 0 for split in splits.values() for count in split.shard_lengths):
            raise ValueError("a shard has fewer than no examples")
    image, label = _chosen(declared, name)
    names = tuple(label.names) if isinstance(label, tfds.features.ClassLabel) else None
    if names is not None and sealed is not None:
        names = tuple(sealed["classes"])
    height, width, channels = (*image.shape, 1)[:3]
    notes: Any = {"sizes": [(height, width)] if height and width else [], "grey": channels == 1}
    if ours:
        notes = json_file.read(folder / NOTES, Notes, "the notes on a prepared set's images")
    return Prepared(
        folder,
        splits,
        files,
        tfds.features.FeaturesDict({IMAGE: image, LABEL: label}),
        names,
        [(int(height), int(width)) for height, width in notes["sizes"]],
        notes["grey"],
        notes.get("mean"),
        notes.get("std"),
        tuple(notes.get("skipped", ())),
        tuple(notes.get("left_out", ())),
        tuple(notes.get("notes", ())),
        sealed,
    )


def _check_format(folder: Path, info: Info) -> None:
    stored = info.get("fileFormat", "tfrecord")  # what a set has that does not say
    if ARRAY_RECORD in (stored, *info.get("alternativeFileFormats", ())):
        return
    raise BadInputError(
        f"{str(folder)!r} holds {stored} files, which take TensorFlow to read; convert them where "
        "it is installed, with the command: tfds convert_format "
        f"--dataset_version_dir={shlex.quote(str(folder))} --out_file_format={ARRAY_RECORD}"
    )


def _check_names(file: Path, *, needed: bool) -> None:
    """Check the classes' names, a line each, as tensorflow-datasets reads them."""
    if not needed and not file.exists():
        return  # classes that have a number only
    with _blamed(file):
        names = [line.strip() for line in file.read_text("utf-8").split("\n") if line.strip()]
        if not names:
            raise ValueError("no class has a name")
        if len(set(names)) < len(names):
            raise ValueError("two classes have the same name")


def _chosen(declared: Any, name: str) -> tuple[Any, Any]:
    """Return the features that are the image and its label.

    Raises:
        BadInputError: there are none of these names, or they are something else.
    """
    top = isinstance(declared, tfds.features.FeaturesDict)
    found = dict(declared.items()) if top else {}
    if not {IMAGE, LABEL} <= set(found):
        what = f"the features {', '.join(sorted(found))}" if top else "no features by name"
        raise BadInputError(
            f"data.name: {name!r} has {what}; an '{IMAGE}' and its '{LABEL}' are needed"
        )
    image, label = found[IMAGE], found[LABEL]
    if not _is_image(image):
        raise BadInputError(
            f"data.name: the '{IMAGE}' of {name!r} is {_told(image)}; an image is an encoded file, "
            "or an array of uint8 with one or three channels"
        )
    single = isinstance(label, tfds.features.Tensor) and not _layout(label)[1]
    if not single or not np.issubdtype(_layout(label)[0], np.integer):
        raise BadInputError(
            f"data.name: the '{LABEL}' of {name!r} is {_told(label)}; a label is one integer"
        )
    return image, label


def _is_image(feature: Any) -> bool:
    """Return whether ``decode`` takes what a feature holds, arrays as a PPM file."""
    if isinstance(feature, tfds.features.Image):
        return _layout(feature)[0] in (np.uint8, np.uint16)
    if type(feature) is not tfds.features.Tensor:
        return False
    dtype, shape = _layout(feature)
    return dtype == np.uint8 and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)))


def _layout(feature: Any) -> tuple[np.dtype, tuple[int | None, ...]]:
    """Return an array's type and shape, None for a side of any length."""
    return np.dtype(feature.np_dtype), tuple(feature.shape)


def _told(feature: Any) -> str:
    """Return what a feature is, in words."""
    kind = f"of the kind {type(feature).__name__}"
    if not isinstance(feature, (tfds.features.Tensor, tfds.features.Image)):
        return kind
    dtype, shape = _layout(feature)
    return f"{kind}, {dtype.name} [{', '.join(str(side or '?') for side in shape)}]"


@contextlib.contextmanager
def _blamed(file: Path) -> Iterator[None]:
    """Turn whatever a library makes of a damaged file into a line that names it."""
    try:
        # An unknown feature is looked for in TensorFlow, whose absence is explained at length.
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    except Exception as error:
        raise BadInputError(
            f"{str(file)!r} is damaged, or does not belong to this set: {first_line(error)}"
        ) from None
