"""Zip archives that hold arrays and programs, read with nothing in them taken on trust.

What a member says of its own size is held against what is there before memory is taken for it: a
member may be as large as ``RATIO`` times what it takes in the archive, and an array as large as its
member. So an archive of 3 MB takes 300 MB at the most, whatever it declares.
"""

import contextlib
import hashlib
import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from cnn_jax.runtime.errors import BadInputError, first_line
from cnn_jax.runtime.failures import failure
from cnn_jax.runtime.json_file import UnreadableFileError

RATIO, SMALL = 100, 1 << 20  # members of up to a MiB may be compressed as well as they can be


@contextlib.contextmanager
def opened(file: str | Path, what: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive; as ``reading`` for what is raised."""
    with reading(file, what), zipfile.ZipFile(file) as archive:
        yield archive


@contextlib.contextmanager
def reading(file: str | Path, what: str) -> Iterator[None]:
    """Turn whatever is raised while a file is read into one line.

    ``what`` it is, for messages: "exported network".

    Raises:
        UnreadableFileError: the file cannot be read, or is damaged, or something else.
    """
    try:
        yield
    except BadInputError:
        raise
    except FileNotFoundError:
        raise UnreadableFileError(file, "cannot be read: no such file") from None
    except OSError as error:
        if error.strerror is None:
            raise UnreadableFileError(file, f"is no {what} ({error})") from None
        raise UnreadableFileError(file, f"cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged file raises whatever its reader meets
        if failure(error) is not None:
            raise
        raise UnreadableFileError(file, f"is no {what} ({first_line(error)})") from None


def read(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return what a member holds; its checksum is verified.

    Raises ``ValueError`` if there is none, or if it is larger than such a member can be.
    """
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise ValueError(f"it lacks {name}") from None
    _check_size(member)
    return archive.read(member)


def arrays(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Return the arrays of an archive that ``numpy.savez`` wrote, by name.

    Raises ``ValueError`` for Python objects, and for an array that is not as large as it says.
    """
    members = archive.infolist()
    assert archive.fp is not None
    if sum(member.compress_size for member in members) > archive.fp.seek(0, io.SEEK_END):
        raise ValueError("its members overlap")  # to give the same bytes again and again
    held = {}
    for member in members:
        _check_size(member)
        name = member.filename.removesuffix(".npy")
        held[name] = _array(archive.read(member), name)
    return held


def digests(members: Mapping[str, bytes | np.ndarray]) -> dict[str, str]:
    """Return SHA-256 digests of what members hold, and of arrays' values, types and shapes."""
    return {name: f"sha256:{_hash(value)}" for name, value in members.items()}


def check_digests(found: Mapping[str, bytes | np.ndarray], noted: Mapping[str, str]) -> None:
    """Raise ``ValueError`` for members that are not those of which digests were noted."""
    for name, digest in digests(found).items():
        if noted.get(name) != digest:
            raise ValueError(f"{name} is not what was written with it")


def _check_size(member: zipfile.ZipInfo) -> None:
    if member.file_size > SMALL + RATIO * member.compress_size:
        raise ValueError(
            f"{member.filename} says that it holds {member.file_size:,} bytes in "
            f"{member.compress_size:,}"
        )


def _array(data: bytes, name: str) -> np.ndarray:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in headers:
        raise ValueError(f"{name} is an array of an unknown format")
    shape, columns_first, dtype = headers[version](stream)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    if math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise ValueError(f"{name} is not as large as its shape {list(shape)} says")
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if columns_first else "C")


def _hash(value: bytes | np.ndarray) -> str:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    whole = hashlib.sha256(f"{value.dtype.str} {value.shape}".encode())
    whole.update(np.ascontiguousarray(value).data)
    return whole.hexdigest()
