"""The seal of a prepared set: a file that tells what lay beside it when it was prepared.

tensorflow-datasets keeps no checksums of its side files, and keeps the classes' names line by line,
without the white space around them. Sets that were prepared elsewhere, or before, have no seal.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict

from cnn_jax.runtime import json_file
from cnn_jax.runtime.json_file import UnreadableFileError

SEAL = "cnn-jax.json"
SHARD = ".array_record-"
# Shards check their own records whenever these are read. Their ends, with the index and the first
# record's checksum, tell one from another and from a part of one, without reading a large set.
END = 1 << 16  # bytes


class Content(TypedDict):
    """A file's size, and the SHA-256 of its content (of a large shard: of its two ends)."""

    bytes: int
    sha256: str


class Seal(TypedDict):
    """What ``cnn-jax.json`` holds: the classes by label, the files by name."""

    format: int
    digest: str
    classes: list[str]
    files: dict[str, Content]


def write(folder: Path, classes: Sequence[str]) -> None:
    """Seal a set that has just been prepared in ``folder``."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != SEAL)
    content = {file.name: _content(file) for file in files}
    json_file.write(folder / SEAL, {"classes": list(classes), "files": content})


def find(folder: Path) -> Seal | None:
    """Return a set's seal, if it has one, its side files checked.

    Raises:
        UnreadableFileError: a side file is not what was sealed.
    """
    seal = json_file.find(folder / SEAL, Seal, "the seal of a prepared set")
    if seal is not None:
        check(folder, seal, (name for name in seal["files"] if SHARD not in name))
    return seal


def check(folder: Path, seal: Seal, names: Iterable[str]) -> None:
    """Raise ``UnreadableFileError`` unless these files of a set are what was sealed."""
    for name in names:
        file = folder / name
        try:
            same = _content(file) == seal["files"].get(name)
            reason = "is not what was prepared there"
        except OSError as error:
            same, reason = False, f"cannot be read: {error.strerror}"
        if not same:
            raise UnreadableFileError(
                file, f"{reason}; remove {str(folder)!r} and prepare the set again"
            )


def _content(file: Path) -> Content:
    size = file.stat().st_size
    with file.open("rb") as stream:
        if SHARD in file.name and size > 2 * END:
            content = stream.read(END)
            stream.seek(-END, os.SEEK_END)
            content += stream.read()
        else:
            content = stream.read()
    return {"bytes": size, "sha256": hashlib.sha256(content).hexdigest()}
