"""Arrays in files that can be made again: checked when they are read, made anew if damaged.

A file is one that NumPy reads too, ``.npy``. Behind the array it says what the array is, with the
checksum of each block of what comes before: a sealed record, see ``records``, and its length.
"""

import io
import itertools
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from cnn_jax.data import threads
from cnn_jax.runtime import json_file
from cnn_jax.runtime.atomic_file import written
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.json_file import UnreadableFileError

BLOCK = 1 << 24  # bytes that share a checksum
MANY = 16  # blocks that are worth starting threads for
LENGTH = 8  # bytes of the record's length, little endian, at the very end

Shape = tuple[int | None, ...]  # None where any length will do


class Description(TypedDict):
    """The record behind an array."""

    format: int
    digest: str
    of: str
    shape: list[int]
    dtype: str
    crc32: list[int]


def kept(
    file: Path, of: str, shape: Shape, dtype: Any, make: Callable[[], Iterable[np.ndarray]]
) -> np.ndarray:
    """Return the array in ``file``, mapped; it is made if it is missing, and again if damaged.

    Args:
        file: ``NAME.npy``.
        of: tells all that the array was made of. A file of anything else is made anew.
        shape: of the array, as far as it is known.
        dtype: of the array.
        make: returns its pieces along the first axis, in order; one at least.

    Raises:
        BadInputError: the file can be neither read nor written.
    """
    try:
        if file.exists():
            try:
                return read(file, of, shape, dtype)
            except UnreadableFileError as error:
                print(f"the cache: {error}; it is made again", file=sys.stderr)
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, of, shape, dtype, iter(make()))
        return read(file, of, shape, dtype)
    except OSError as error:
        raise BadInputError(
            f"the cache cannot be written: {file}: {error.strerror or error}; free some space, or "
            "name another folder in CNN_JAX_CACHE"
        ) from None


def write(file: Path, of: str, shape: Shape, dtype: Any, pieces: Iterator[np.ndarray]) -> None:
    """Write an array piece by piece, whole or not at all."""
    first = next(pieces)
    whole = (shape[0], *first.shape[1:])
    with written(file) as temporary:
        # Written, not mapped: a disk that fills up is an error here and a dead process there.
        with open(temporary, "wb") as out:
            out.write(_header(whole, dtype))
            for piece in itertools.chain([first], pieces):
                out.write(np.ascontiguousarray(piece, dtype).data)
        checksums = _checksums(np.memmap(temporary, np.uint8, "r"))
        about = {"of": of, "shape": whole, "dtype": np.dtype(dtype).str, "crc32": checksums}
        with open(temporary, "ab") as out:
            record = json.dumps(json_file.sealed(about)).encode()
            out.write(record + len(record).to_bytes(LENGTH, "little"))


def read(file: Path, of: str, shape: Shape, dtype: Any) -> np.ndarray:
    """Return the array that was written to ``file``, mapped, after a look at every byte of it.

    Raises:
        UnreadableFileError: it is damaged, or holds another array.
        OSError: it cannot be read.
    """
    if not file.stat().st_size:
        raise UnreadableFileError(file, "is damaged: it is empty")
    content = np.memmap(file, np.uint8, "r")
    length = int.from_bytes(content[-LENGTH:].tobytes(), "little")
    end = len(content) - LENGTH - length
    if end < 0:
        raise UnreadableFileError(file, "is damaged, or of an earlier version: it has no checksum")
    record = content[end:-LENGTH].tobytes()
    about = json_file.parse(record, Description, "the record of an array", source=file)
    whole = tuple(about["shape"])
    fits = len(whole) == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, whole, strict=True)
    )
    if not fits or about["of"] != of or about["dtype"] != np.dtype(dtype).str:
        raise UnreadableFileError(file, "holds another array than its name says")
    start = len(_header(whole, dtype))
    if end != start + int(np.prod(whole)) * np.dtype(dtype).itemsize:
        raise UnreadableFileError(file, f"is damaged: {end:,} bytes are another array's")
    if _checksums(content[:end]) != about["crc32"]:
        raise UnreadableFileError(file, "is damaged: a checksum differs")
    return np.memmap(file, dtype, "r", start, whole)


def _header(shape: Shape, dtype: Any) -> bytes:
    """Return how a ``.npy`` file of such an array begins."""
    out = io.BytesIO()
    fields = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, fields)
    return out.getvalue()


def _checksums(content: np.ndarray) -> list[int]:
    """Return the CRC-32 of each block of uint8 ``[N]``."""
    blocks = [content.data[start : start + BLOCK] for start in range(0, len(content), BLOCK)]
    if len(blocks) < MANY:
        return [zlib.crc32(block) for block in blocks]
    with ThreadPoolExecutor(threads.available()) as pool:  # zlib lets go of Python's lock
        return list(pool.map(zlib.crc32, blocks))
