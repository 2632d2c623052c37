"""Sources: a name or a folder becomes a prepared data set with random access.

Every source is a tensorflow-datasets builder that writes array_record files once and is read
without TensorFlow. This is the only module that imports tensorflow_datasets.
"""

import contextlib
import dataclasses
import difflib
import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from cnn_jax.data import decode
from cnn_jax.data.split import stratified
from cnn_jax.errors import BadInputError
from cnn_jax.ops.geometry import Size, pair

# A folder without test/ gets this share of train/ as its test set. The cut does not depend on
# the run's seed: all runs on a folder are measured on the same images.
TEST_SHARE = 0.1
CUT_SEED = 0

# Sets are kept on the device as uint8; larger ones leave too little room for the network.
RESIDENT_BYTES = 8 * 2**30


@dataclasses.dataclass(frozen=True)
class Part:
    """Images uint8 ``[N, H, W, C]`` with their labels int32 ``[N]``."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: np.ndarray) -> "Part":
        return Part(self.images[rows], self.labels[rows])


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set: training and test part, the classes' names, files left out as unreadable."""

    train: Part
    test: Part
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()


def cache_dir() -> Path:
    """Return where prepared data sets are kept unless a folder is given."""
    base = os.environ.get("CNN_JAX_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnn-jax"


def load(
    name: str, directory: str | None, *, image_size: Size | None = None, on_error: str = "raise"
) -> Source:
    """Prepare the source ``name`` if that was not done before, and read it into memory.

    Args:
        name: a key of ``SOURCES``.
        directory: for ``folder`` the images, else where the prepared set is kept.
        image_size: what images are resized to, (rows, columns) or an int for both; None keeps
            their own size, which all of them then have to share.
        on_error: 'raise' or 'skip', what a broken image file does.

    Raises:
        BadInputError: unknown name, or a folder or file that cannot be used.
    """
    if name not in SOURCES:
        near = difflib.get_close_matches(name, SOURCES, n=1) or sorted(SOURCES)
        raise BadInputError(f"data.name: unknown source {name!r}; there is {', '.join(near)}")
    builder = SOURCES[name](directory, on_error)
    _prepare(builder)
    return _read(builder, image_size)


class _Builder(tfds.core.GeneratorBasedBuilder):
    """A builder outside any registry, whose data set is ``name``/1.0.0 under ``data_dir``."""

    VERSION = tfds.core.Version("1.0.0")
    classes: tuple[str, ...]

    def __init__(self, data_dir: Path, on_error: str = "raise"):
        self._on_error = on_error
        super().__init__(data_dir=str(data_dir), file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=list(self.classes)),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(),
        )

    def _generate_examples(self, part: str, *args: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Check each image by decoding it; note what reading the set will have to know."""
        sizes, grey, skipped = set(), True, []
        # The number is the key, not the path: the key decides where the example is stored, and
        # a folder that moves has to keep its order.
        for key, (name, label, encoded) in enumerate(self._files(*args)):
            try:
                is_grey, size = decode.inspect(encoded)
            except ValueError as error:
                if self._on_error == "raise":
                    raise BadInputError(
                        f"{name} {error}; mend or remove it, or set data.on_error=skip"
                    ) from None
                skipped.append(f"{name} {error}")
                continue
            sizes.add(size)
            grey &= is_grey
            yield key, {"image": io.BytesIO(encoded), "label": label}
        if not sizes:
            raise BadInputError(f"data.dir: no image of the {part} part can be decoded")
        seen: Any = self.info.metadata
        seen["sizes"] = sorted({*map(tuple, seen.get("sizes", ())), *sizes})[:2]
        seen["grey"] = bool(seen.get("grey", True) and grey)
        seen["skipped"] = [*seen.get("skipped", ()), *skipped]

    def _files(self, *args: Any) -> Iterator[tuple[str, int, bytes]]:
        """Yield (name for messages, label, encoded image) of a part's images, in a fixed order."""
        raise NotImplementedError


class Digits(_Builder):
    """scikit-learn's 1,797 real handwritten digits, 8x8, 16 shades of grey (Alpaydin 1998)."""

    name = "digits"
    classes = tuple("0123456789")

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        from sklearn.datasets import load_digits  # a second's import, needed once

        bunch: Any = load_digits()
        images = np.round(bunch.images * (255 / 16)).astype(np.uint8)
        train, test = stratified(bunch.target, 0.2, CUT_SEED)
        return {
            part: self._generate_examples(part, rows, images, bunch.target)
            for part, rows in (("train", train), ("test", test))
        }

    def _files(self, rows, images, labels):
        for row in rows:
            encoded = io.BytesIO()
            Image.fromarray(images[row]).save(encoded, "png")
            yield f"digit {row}", int(labels[row]), encoded.getvalue()


class Folder(_Builder):
    """Images in ``train/CLASS/*`` and ``test/CLASS/*``; without ``test/`` a cut serves."""

    name = "folder"

    def __init__(self, directory: Path, on_error: str):
        self._parts = _list_folder(directory)
        self.classes = tuple(sorted({path.parent.name for path in self._parts["train"]}))
        # Another list of files, or other files, make another data set.
        stamp = hashlib.sha256(f"{directory.resolve()} {on_error}".encode())
        for path in (path for part in self._parts.values() for path in part):
            status = path.stat()
            stamp.update(f"{path.relative_to(directory)} {status.st_size} ".encode())
            stamp.update(f"{status.st_mtime_ns}\n".encode())
        super().__init__(cache_dir() / f"folder-{stamp.hexdigest()[:16]}", on_error)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        parts = self._parts
        if "test" not in parts:
            labels = np.array([self.classes.index(path.parent.name) for path in parts["train"]])
            train, test = stratified(labels, TEST_SHARE, CUT_SEED)
            files = parts["train"]
            parts = {"train": [files[i] for i in train], "test": [files[i] for i in test]}
        return {part: self._generate_examples(part, files) for part, files in parts.items()}

    def _files(self, files):
        labels = {name: label for label, name in enumerate(self.classes)}
        for path in files:
            yield str(path), labels[path.parent.name], path.read_bytes()


def _list_folder(directory: Path) -> dict[str, list[Path]]:
    """Return the sorted image files of train/ and, where there is one, test/."""
    if not directory.is_dir():
        raise BadInputError(
            f"data.dir: {str(directory)!r} is not a folder; give one that holds "
            "train/CLASS/ with images"
        )
    if not (directory / "train").is_dir():
        raise BadInputError(
            f"data.dir: {str(directory)!r} has no folder train/; images belong in train/CLASS/"
        )
    parts: dict[str, list[Path]] = {}
    classes: dict[str, set[str]] = {}
    for part in ("train", "test"):
        folder = directory / part
        if not folder.is_dir():
            continue
        names = sorted(entry.name for entry in os.scandir(folder) if _visible(entry, folder=True))
        files = {
            name: sorted(e.name for e in os.scandir(folder / name) if _visible(e, folder=False))
            for name in names
        }
        empty = [name for name in names if not files[name]]
        if not names or empty:
            where = folder / empty[0] if empty else folder
            raise BadInputError(f"data.dir: {str(where)!r} holds no images (CLASS/*.png or *.jpg)")
        classes[part] = set(names)
        parts[part] = [folder / name / file for name in names for file in files[name]]
    extra = sorted(classes.get("test", set()) - classes["train"])
    if extra:
        raise BadInputError(
            f"data.dir: {str(directory / 'test' / extra[0])!r} is a class that train/ lacks; "
            "add its images there, or remove it"
        )
    return parts


def _visible(entry: os.DirEntry, *, folder: bool) -> bool:
    return not entry.name.startswith(".") and (entry.is_dir() if folder else entry.is_file())


def _digits(directory: str | None, on_error: str) -> _Builder:
    del on_error  # its images are encoded here
    return Digits(Path(directory).expanduser() if directory else cache_dir())


def _folder(directory: str | None, on_error: str) -> _Builder:
    if directory is None:
        raise BadInputError("data.dir: the source 'folder' needs the folder of images")
    return Folder(Path(directory).expanduser(), on_error)


SOURCES: dict[str, Callable[[str | None, str], _Builder]] = {"digits": _digits, "folder": _folder}


def _prepare(builder: _Builder) -> None:
    """Convert the images once; a prepared set is left as it is."""
    target = Path(builder.data_path)
    if target.exists():
        return
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    print(f"preparing {builder.name} in {target}", file=sys.stderr)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # results alone go to stdout
            builder.download_and_prepare()  # writes beside its target and renames at the end
    except OSError as error:
        reason = error.strerror or error
        raise BadInputError(
            f"data.dir: cannot prepare {builder.name} in {target}: {reason}"
        ) from None
    finally:
        root = target.parent.parent
        for empty in (root / "downloads/extracted", root / "downloads", target.parent, root):
            with contextlib.suppress(OSError):  # not empty, or not there
                empty.rmdir()


def _read(builder: _Builder, image_size: Size | None) -> Source:
    reader: Any = builder  # its methods are wrapped, which hides their arguments from checkers
    seen: Any = tfds.builder_from_directory(str(builder.data_path)).info.metadata
    sizes = [tuple(size) for size in seen["sizes"]]
    if image_size is None and len(sizes) > 1:
        small, large = (f"{height}x{width}" for height, width in sizes)
        raise BadInputError(
            f"data.image_size: images have different sizes ({small}, {large}); set it to one"
        )
    size = sizes[0] if image_size is None else pair(image_size, "data.image_size")
    examples = sum(split.num_examples for split in reader.info.splits.values())
    need = examples * size[0] * size[1] * (1 if seen["grey"] else 3)
    if need > RESIDENT_BYTES:
        raise BadInputError(
            f"data.image_size: {examples} images of {size[0]}x{size[1]} take {need / 2**30:.1f} "
            f"GiB, more than the {RESIDENT_BYTES / 2**30:.0f} that are kept on the device; lower it"
        )

    def part(name: str) -> Part:
        skip = {"image": tfds.decode.SkipDecoding()}
        records: Any = reader.as_data_source(name, decoders=skip)
        count = len(records)
        labels = np.empty(count, np.int32)

        def encoded() -> Iterator[bytes]:
            for start in range(0, count, 1024):
                rows = range(start, min(start + 1024, count))
                for row, record in zip(rows, records.__getitems__(rows), strict=True):
                    labels[row] = record["label"]
                    yield record["image"]

        return Part(decode.decode_all(encoded(), count, size=size, grey=seen["grey"]), labels)

    return Source(part("train"), part("test"), builder.classes, tuple(seen["skipped"]))
