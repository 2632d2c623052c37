"""Builders: what converts images once into array_record files, without TensorFlow."""

import errno
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from cnn_jax.data import decode, threads
from cnn_jax.data.progress import meter
from cnn_jax.data.split import stratified
from cnn_jax.runtime.errors import BadInputError

# A file that reads as follows is not prepared again; another meaning of the stored values is
# another version.
VERSION = "1.1.0"

# The share of training images that serves as test set where a source has none. The cut does not
# depend on the run's seed: all runs on a source are measured on the same images.
TEST_SHARE = 0.1
CUT_SEED = 0

# Images that one thread checks in one go: small ones would drown in the threads' bookkeeping.
CHUNK = 64


# Pixels that are counted in one go: NumPy makes eight bytes of each.
COUNTED = 1 << 20

# Errors that say nothing about the file that was to be read.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Entries(Sequence[tuple[str, int, bytes]]):
    """The images of a part in a fixed order: (name for messages, label, encoded image).

    One that cannot be read raises a ``ValueError`` that names it.
    """


class Arrays(Entries):
    """Images that are arrays already, uint8 ``[N, H, W]`` or ``[N, H, W, 3]``."""

    def __init__(self, name: str, images: np.ndarray, labels: np.ndarray):
        self._name, self._images, self._labels = name, images, labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: Any) -> Any:
        encoded = io.BytesIO()
        # The least compression: these sets are small, and time counts.
        Image.fromarray(self._images[index]).save(encoded, "png", compress_level=1)
        return f"{self._name} {index}", int(self._labels[index]), encoded.getvalue()


class Files(Entries):
    """Image files with their labels."""

    def __init__(self, files: Sequence[tuple[Path, int]]):
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: Any) -> Any:
        path, label = self._files[index]
        name = str(path) if str(path).isprintable() else repr(str(path))[1:-1]  # in one line
        try:
            return name, label, path.read_bytes()
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise
            raise ValueError(f"{name} cannot be read: {error.strerror}") from None


class Builder(tfds.core.GeneratorBasedBuilder):
    """A builder outside any registry, whose data set is ``name``/``VERSION`` under ``data_dir``.

    Args:
        data_dir: where the set goes.
        name: of the source.
        classes: their names, by label.
        parts: train, and those of validation and test that there are.
        on_error: 'raise' or 'skip', what a broken image does.
        told: what is kept with the set for those who read it: lines by subject.
    """

    VERSION = tfds.core.Version(VERSION)
    name = "images"

    def __init__(
        self,
        data_dir: Path,
        name: str,
        classes: Sequence[str],
        parts: dict[str, Entries],
        on_error: str = "raise",
        told: Mapping[str, Sequence[str]] | None = None,
    ):
        setattr(self, "name", name)  # noqa: B010 - declared as the class's, needed a set each
        self.classes, self._parts, self._on_error = tuple(classes), parts, on_error
        self._told = dict(told or {})
        super().__init__(data_dir=str(data_dir), file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=[_line(name) for name in self.classes]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(self._told),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {part: self._generate_examples(part) for part in self._parts}

    def _generate_examples(self, part: str) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Check each image by decoding it; note what reading the set will have to know."""
        entries = self._parts[part]
        sizes, grey, skipped = set(), True, []
        levels = np.zeros((3, 256), np.int64)
        with meter(f"{self.name}, {part} images", len(entries)) as advance:
            # The number is the key, not the path: the key decides where the example is stored,
            # and a folder that moves has to keep its order.
            for key, checked in enumerate(_checked(entries)):
                advance(1)
                if checked.error is not None:
                    if self._on_error == "raise":
                        raise BadInputError(
                            f"{checked.error}; mend or remove it, or set data.on_error=skip"
                        )
                    skipped.append(checked.error)
                    continue
                sizes.add(checked.size)
                grey &= len(checked.levels) == 1
                levels += checked.levels
                yield key, {"image": io.BytesIO(checked.encoded), "label": checked.label}
        if not sizes:
            raise BadInputError(f"data.dir: no image of the {part} part can be decoded")
        seen: Any = self.info.metadata
        seen["sizes"] = sorted({*map(tuple, seen.get("sizes", ())), *sizes})[:2]
        seen["grey"] = bool(seen.get("grey", True) and grey)
        seen["skipped"] = [*seen.get("skipped", ()), *skipped]
        if part == "train":
            mean, std = moments(levels)
            seen["mean"], seen["std"] = mean.tolist(), std.tolist()


def _line(name: str) -> str:
    """Return a class's name as tensorflow-datasets can keep it: in a line, without outer spaces.

    Names that it would change are quoted and escaped as in JSON; see ``seal`` for the true ones.
    """
    plain = name.isprintable() and name == name.strip() and name and name[0] != '"'
    return name if plain else json.dumps(name)


class _Checked:
    """An entry, decoded once: its size and how often each level occurs, or what is wrong."""

    error: str | None = None
    size: tuple[int, int]
    levels: np.ndarray

    def __init__(self, entries: Entries, place: int):
        try:
            name, self.label, self.encoded = entries[place]
        except ValueError as error:
            self.error = str(error)
            return
        try:
            image = decode.pixels(self.encoded)
        except ValueError as error:
            self.error = f"{name} {error}"
            return
        self.size = image.shape[:2]
        self.levels = histogram(image)


def _checked(entries: Entries) -> Iterator[_Checked]:
    """Read and decode entries in threads, in their order."""

    def check(places: range) -> list[_Checked]:
        return [_Checked(entries, place) for place in places]

    for checked in threads.chunks(len(entries), CHUNK, check):
        yield from checked


def histogram(image: np.ndarray) -> np.ndarray:
    """Return how often each level occurs by channel, int64 ``[C, 256]``, of uint8 ``[..., C]``."""
    levels = image.reshape(-1, image.shape[-1])
    counts = np.zeros((image.shape[-1], 256), np.int64)
    for start in range(0, len(levels), COUNTED):
        for channel, values in enumerate(levels[start : start + COUNTED].T):
            counts[channel] += np.bincount(values, minlength=256)
    return counts


def moments(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation by channel, of pixels in 0..1, of ``histogram``'s counts.

    Every pixel counts alike, those of larger images therefore more often. Six digits, so that
    what is noted is what is used; a constant channel is left unscaled.
    """
    values = np.arange(256) / 255
    shares = levels / levels.sum(1, keepdims=True)
    mean = shares @ values
    std = np.sqrt(np.sum(shares * (values - mean[:, None]) ** 2, axis=1))
    std = np.round(std, 6)
    return np.round(mean, 6), np.where(std == 0, 1.0, std)


def digits() -> tuple[tuple[str, ...], dict[str, Entries]]:
    """Return scikit-learn's 1,797 real handwritten digits, 8x8, 17 greys (Alpaydin 1998)."""
    from sklearn.datasets import load_digits  # a second's import, needed once

    bunch: Any = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    train, test = stratified(bunch.target, 0.2, CUT_SEED)
    parts = {"train": train, "test": test}
    return tuple("0123456789"), {
        part: Arrays("digit", images[rows], bunch.target[rows]) for part, rows in parts.items()
    }
