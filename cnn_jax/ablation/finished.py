"""What a finished cell's files are bound by: its id, and a digest of each of them.

A cell's numbers are in several files, which a copy, a disk or an editor may mix or change one by
one. finished.json is written last and names the cell and what each file held.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from cnn_jax.runtime import json_file
from cnn_jax.runtime.json_file import UnreadableFileError

FINISHED = "finished.json"


class Finished(TypedDict):
    """``cell``: the id of the cell; ``files``: name -> sha256 of its bytes, in hex."""

    cell: str
    files: dict[str, str]


def write(folder: Path, cell: str, names: Sequence[str]) -> None:
    """Note what the files of a cell hold that has just ended."""
    files = {name: _digest(folder / name) for name in names if (folder / name).exists()}
    json_file.write(folder / FINISHED, {"cell": cell, "files": files})


def check(folder: Path, cell: str) -> None:
    """Check that a folder holds what a cell, named by its id, left there when it ended.

    Raises:
        UnreadableFileError: a file of it is missing, was changed since or is another cell's.
    """
    held = json_file.read(folder / FINISHED, Finished, "a finished cell's list of its files")
    if held["cell"] != cell:
        raise UnreadableFileError(
            folder / FINISHED, f"is of another cell, {held['cell']!r}, not of {cell!r}"
        )
    for name, digest in held["files"].items():
        file = folder / name
        if not file.exists():
            raise UnreadableFileError(file, "is missing; the cell had it when it was finished")
        if _digest(file) != digest:
            raise UnreadableFileError(file, "was changed or damaged since the cell was finished")


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UnreadableFileError(file, f"cannot be read: {error.strerror}") from None
