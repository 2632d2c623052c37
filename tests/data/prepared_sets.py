"""Sets as tensorflow-datasets prepares them for others: any features, any labels, any splits."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

FILE = tfds.features.Image(shape=(8, 9, 3))
CLASSES = tfds.features.ClassLabel(num_classes=3)


class Theirs(tfds.core.GeneratorBasedBuilder):
    """A set of noise with ``features`` and the labels of each split."""

    VERSION = tfds.core.Version("1.0.0")
    name = "theirs"

    def __init__(self, folder: Path, features: dict[str, Any], labels: Mapping[str, Sequence[Any]]):
        self._given, self._labels = features, labels
        super().__init__(data_dir=str(folder), file_format="array_record")

    def _info(self):
        features = tfds.features.FeaturesDict(self._given)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager: Any):
        return {split: self._generate_examples(labels) for split, labels in self._labels.items()}

    def _generate_examples(self, labels):  # pyright: ignore[reportIncompatibleMethodOverride]
        first = next(iter(self._given))
        for key, label in enumerate(labels):
            pixels = noise(key, self._given[first].shape)
            image = png(pixels) if isinstance(self._given[first], tfds.features.Image) else pixels
            beside = {name: f"{name} {key}" for name in list(self._given)[2:]}
            yield key, dict(zip(self._given, (image, label), strict=False)) | beside


def noise(key: int, shape: Sequence[int | None]) -> np.ndarray:
    """Return the image of example ``key``; a side of any length gets one that varies."""
    sides = [5 + key % 3 if side is None else side for side in shape]
    return np.random.default_rng(key).integers(0, 256, sides, np.uint8)


def png(pixels: np.ndarray) -> io.BytesIO:
    """Return a PNG file of an image."""
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(file, "png")
    file.seek(0)
    return file


def prepare(
    folder: Path,
    labels: Mapping[str, Sequence[Any]],
    *,
    image: Any = FILE,
    label: Any = CLASSES,
    names: Sequence[str] = ("image", "label"),
    **beside: Any,
) -> Path:
    """Prepare a set in ``folder``; return the folder that it is in.

    Args:
        folder: empty.
        labels: those of the examples of each split.
        image: its feature.
        label: its feature.
        names: of these two.
        beside: features of further texts.
    """
    tfds.disable_progress_bar()
    features = dict(zip(names, (image, label), strict=True)) | beside
    builder = Theirs(folder, features, labels)
    builder.download_and_prepare()
    return Path(builder.data_path)
