"""What is read from a prepared set at every start, kept ready: labels, decoded images.

Files in ``decoded`` in the cache folder, each named after what it was made of. They can be
removed at any time: they are made again.
"""

import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data import decode, threads
from cnn_jax.data.decode import View
from cnn_jax.data.parts import Part
from cnn_jax.data.progress import meter
from cnn_jax.data.shuffle import shuffled
from cnn_jax.errors import BadInputError

# Decoding that gives other pixels is another version.
VERSION = 3
CHUNK = 128


def cache_dir() -> Path:
    """Return where prepared data sets are kept unless a folder is given."""
    base = os.environ.get("CNN_JAX_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnn-jax"


def labels(prepared: Path, split: str, records: Sequence[Any]) -> np.ndarray:
    """Return a split's labels, int32 ``[N]``; the first time all its records are read."""

    def make() -> Iterator[np.ndarray]:
        with meter(f"reading labels of {split}", len(records)) as advance:
            for chunk in threads.chunks(len(records), CHUNK, lambda rows: _fetch(records, rows)):
                advance(len(chunk))
                yield np.array([record["label"] for record in chunk], np.int32)

    return _kept(prepared, f"{split}-labels", (len(records),), np.int32, make)


def decoded(prepared: Path, split: str, records: Sequence[Any], view: View) -> Part:
    """Return a split as a view shows it, its images mapped from a file unless they are shuffled."""
    if view.shuffle is not None:  # made in a moment, not worth a file for each seed
        part = decoded(prepared, split, records, dataclasses.replace(view, shuffle=None))
        return Part(shuffled(part.images, view.shuffle), part.labels)
    shape = (len(records), *view.shape)

    def make() -> Iterator[np.ndarray]:
        def show(rows: range) -> list[np.ndarray]:
            return [decode.show(record["image"], view) for record in _fetch(records, rows)]

        with meter(f"decoding {split}", len(records)) as advance:
            for chunk in threads.chunks(len(records), CHUNK, show):
                advance(len(chunk))
                yield np.stack(chunk)

    how = "" if view.crop is None else f"-crop{view.crop}"
    if view.subsample is not None:
        how += f"-{view.subsample.reading}{view.subsample.share}"
    name = f"{split}-{'x'.join(map(str, view.size))}x{shape[3]}{how}-v{VERSION}"
    images = _kept(prepared, name, shape, np.uint8, make)
    return Part(images, labels(prepared, split, records))


def _fetch(records: Any, rows: range) -> list[Any]:
    return records.__getitems__(rows)  # many at once is several times faster than one by one


def _kept(
    prepared: Path,
    name: str,
    shape: tuple[int, ...],
    dtype: Any,
    make: Callable[[], Iterator[np.ndarray]],
) -> np.ndarray:
    """Return the array in a file of the cache, made of ``make``'s pieces where it is missing."""
    info = prepared / "dataset_info.json"
    of = f"{prepared.resolve()} {info.stat().st_mtime_ns} ".encode() + info.read_bytes()
    file = cache_dir() / "decoded" / hashlib.sha256(of).hexdigest()[:16] / f"{name}.npy"
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            _write(file, shape, dtype, make())
        except OSError as error:
            raise BadInputError(
                f"the cache cannot be written: {file}: {error.strerror}; free some space, or name "
                "another folder in CNN_JAX_CACHE"
            ) from None
    return np.load(file, mmap_mode="r")


def _write(file: Path, shape: tuple[int, ...], dtype: Any, pieces: Iterator[np.ndarray]) -> None:
    """Write an array piece by piece, whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=file.parent)
    try:
        # Written, not mapped: a disk that fills up is an error here and a dead process there.
        with open(handle, "wb") as out:
            header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(out, header)
            for piece in pieces:
                out.write(piece.tobytes())
        os.replace(temporary, file)
    finally:
        Path(temporary).unlink(missing_ok=True)
