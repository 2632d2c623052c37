"""An index of images: their vectors at a layer, in one file."""

import dataclasses
import json
import zlib
from pathlib import Path
from typing import NotRequired, TypedDict

import jax
import numpy as np

from cnn_jax.inspection.subject import Subject
from cnn_jax.runtime import archives, json_file
from cnn_jax.runtime.atomic_file import written
from cnn_jax.runtime.errors import BadInputError

FORMAT = 2  # 1 has no digests
WHAT = "index of images"


class About(TypedDict):
    """What an index says of itself."""

    format: int
    network: str  # a checksum of weights, layer and size
    layer: str
    source: str | None  # a folder; None is the run's test set
    classes: list[str]
    arrays: NotRequired[dict[str, str]]  # digests
    digest: NotRequired[str]


@dataclasses.dataclass(frozen=True)
class Index:
    """Images as vectors.

    Attributes:
        about: where they come from.
        vectors: float32 ``[N, D]`` of length 1.
        names: of the images, ``[N]``: paths below the source, or in the folder that the run's data
            are, or else their places in the test set.
        labels: int ``[N]``, -1 where unknown.
    """

    about: About
    vectors: np.ndarray
    names: np.ndarray
    labels: np.ndarray

    def save(self, file: Path) -> None:
        """Write the index, whole or not at all."""
        arrays = {"vectors": self.vectors, "names": self.names, "labels": self.labels}
        about = json_file.sealed(self.about | {"arrays": archives.digests(arrays)}, version=FORMAT)
        try:
            with written(file) as temporary, temporary.open("wb") as stored:
                np.savez(stored, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)
        except OSError as error:
            raise BadInputError(f"--index: {str(file)!r}: {error.strerror}") from None


def read_index(file: Path, subject: Subject, layer: str | None) -> Index:
    """Return the index in ``file``.

    Raises ``BadInputError`` for another file, or an index of another network or layer.
    """
    try:
        with archives.opened(file, WHAT) as archive:
            index = _whole(archives.arrays(archive), file)
    except BadInputError as error:
        raise BadInputError(f"--index: {error}") from None
    about = index.about
    if layer not in (None, about["layer"]):
        raise BadInputError(
            f"--index: {str(file)!r} is of the layer {about['layer']}, not {layer}; "
            "name another file to index that"
        )
    if about["network"] != fingerprint(subject, about["layer"]):
        raise BadInputError(
            f"--index: {str(file)!r} was made with another network; name another file to index anew"
        )
    size = subject.probe.layers[about["layer"]][-1]
    if index.vectors.shape[1] != size:
        raise BadInputError(
            f"--index: {str(file)!r} has vectors of {index.vectors.shape[1]} numbers; the layer "
            f"{about['layer']} puts out {size}"
        )
    return index


def _whole(held: dict[str, np.ndarray], file: Path) -> Index:
    """Return the index that a file's arrays are.

    Raises ``ValueError`` for arrays of other types or lengths, or other ones than were written.
    """
    for name in ("about", "vectors", "names", "labels"):
        if name not in held:
            raise ValueError(f"it lacks {name}")
    about = json_file.parse(
        str(held.pop("about")),
        About,
        "what an index of images says of itself",
        source=f"{file}:about",
        version=FORMAT,
        digest_since=2,
    )
    if about["format"] > 1:
        archives.check_digests(held, about.get("arrays", {}))
    vectors, names, labels = held["vectors"], held["names"], held["labels"]
    if vectors.dtype != np.float32 or vectors.ndim != 2 or not vectors.size:
        raise ValueError(f"vectors are float32 [N, D], not {vectors.dtype} {list(vectors.shape)}")
    if names.dtype.kind != "U" or labels.dtype.kind != "i":
        raise ValueError(
            f"names and labels are text and integers, not {names.dtype}, {labels.dtype}"
        )
    if names.shape != labels.shape or labels.shape != vectors.shape[:1]:
        raise ValueError(
            f"{len(vectors)} vectors have names {list(names.shape)} and labels {list(labels.shape)}"
        )
    if not np.isfinite(vectors).all() or np.abs(vectors).max() > 1.001:
        raise ValueError("its vectors are not finite, or longer than 1")
    if labels.min() < -1 or labels.max() >= len(about["classes"]):
        raise ValueError(f"its labels are not those of {len(about['classes'])} classes")
    return Index(about, vectors, names, labels)


def fingerprint(subject: Subject, layer: str) -> str:
    """Return a checksum of what decides an image's vector."""
    section = subject.config.data
    text = f"{layer} {subject.probe.image_shape} {section.mean} {section.std}"
    total = zlib.crc32(text.encode())
    for leaf in jax.tree.leaves(subject.probe.variables):
        total = zlib.crc32(np.ascontiguousarray(leaf).tobytes(), total)
    return f"{total:08x}"
