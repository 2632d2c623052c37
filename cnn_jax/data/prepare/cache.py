"""What is read from a prepared set at every start, kept ready: labels, decoded images.

Files in ``decoded`` in the cache folder, each named after what it was made of. They can be
removed at any time: they are made again, as are damaged ones.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data import decode, threads
from cnn_jax.data.decode import View
from cnn_jax.data.prepare import arrays
from cnn_jax.data.progress import meter
from cnn_jax.data.shuffle import shuffled
from cnn_jax.runtime.errors import BadInputError

# Decoding that gives other pixels is another version.
VERSION = 3
CHUNK = 128


def cache_dir() -> Path:
    """Return where prepared data sets are kept unless a folder is given."""
    base = os.environ.get("CNN_JAX_CACHE")
    if base:
        return folder(base, "CNN_JAX_CACHE")
    return folder(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "XDG_CACHE_HOME") / "cnn-jax"


def folder(name: str, field: str) -> Path:
    """Return a folder by the name that ``field`` gives it, ``~`` and ``~user`` replaced."""
    if "\0" in name:
        raise BadInputError(f"{field}: {name!r} is no name of a folder")
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise BadInputError(f"{field}: {name!r} names the home of nobody here") from None


def labels(prepared: Path, split: str, records: Sequence[Any]) -> np.ndarray:
    """Return a split's labels, int32 ``[N]``; the first time all its records are read.

    Raises:
        BadInputError: a label that 32 bits do not hold.
    """

    def make() -> Iterator[np.ndarray]:
        with meter(f"reading labels of {split}", len(records)) as advance:
            for chunk in threads.chunks(len(records), CHUNK, lambda rows: _fetch(records, rows)):
                advance(len(chunk))
                made = np.array([record["label"] for record in chunk])
                found = made.astype(np.int32)
                if np.any(found != made):
                    raise BadInputError(
                        f"the split {split} in {str(prepared)!r} has labels that are none, such as "
                        f"{made[found != made][0]}"
                    )
                yield found

    return _kept(prepared, f"{split}-labels", (len(records),), np.int32, make)


def decoded(prepared: Path, split: str, records: Sequence[Any], view: View) -> np.ndarray:
    """Return a split's images as a view shows them, uint8 ``[N, H, W, C]``.

    They are mapped from a file unless their pixels are shuffled.
    """
    if view.shuffle is not None:  # made in a moment, not worth a file for each seed
        plain = decoded(prepared, split, records, dataclasses.replace(view, shuffle=None))
        return shuffled(plain, view.shuffle)
    shape = (len(records), *view.shape)

    def make() -> Iterator[np.ndarray]:
        def show(rows: range) -> list[np.ndarray]:
            found = zip(rows, _fetch(records, rows), strict=True)
            return [shown(row, record) for row, record in found]

        def shown(row: int, record: Any) -> np.ndarray:
            try:
                return decode.show(record["image"], view)
            except ValueError as error:
                raise BadInputError(
                    f"record {row} of the split {split} in {str(prepared)!r} {error}"
                ) from None

        with meter(f"decoding {split}", len(records)) as advance:
            for chunk in threads.chunks(len(records), CHUNK, show):
                advance(len(chunk))
                yield np.stack(chunk)

    how = "" if view.crop is None else f"-crop{view.crop}"
    if view.subsample is not None:
        how += f"-{view.subsample.reading}{view.subsample.share}"
    name = f"{split}-{'x'.join(map(str, view.size))}x{shape[3]}{how}-v{VERSION}"
    return _kept(prepared, name, shape, np.uint8, make)


def _fetch(records: Any, rows: range) -> list[Any]:
    return records.__getitems__(rows)  # many at once is several times faster than one by one


def _kept(
    prepared: Path,
    name: str,
    shape: tuple[int, ...],
    dtype: Any,
    make: Callable[[], Iterator[np.ndarray]],
) -> np.ndarray:
    """Return an array of the cache, made of ``make``'s pieces where it is missing."""
    info = prepared / "dataset_info.json"
    of = f"{prepared.resolve()} {info.stat().st_mtime_ns} ".encode() + info.read_bytes()
    digest = hashlib.sha256(of).hexdigest()[:16]
    file = cache_dir() / "decoded" / digest / f"{name}.npy"
    return arrays.kept(file, f"{digest} {name}", shape, dtype, make)
