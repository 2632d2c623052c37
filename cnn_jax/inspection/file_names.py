"""Which files the images of a run's test set are.

A folder's images are prepared once, and kept in another order and without their names. What the
network is shown of a file tells which example it is.
"""

import contextlib
import hashlib
from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data import decode
from cnn_jax.data.dataset import TEST
from cnn_jax.data.parts import Part, Stream
from cnn_jax.data.sources import folder
from cnn_jax.inspection.subject import Subject
from cnn_jax.runs import from_config
from cnn_jax.runtime.errors import BadInputError

FOLDER = "folder"


def place(row: int) -> str:
    """Return what stands for the name of an example that is no file: its place in the test set."""
    return f"{TEST}[{row}]"


def of_test(part: Part | Stream, subject: Subject) -> list[str]:
    """Return the name of each example of a run's test part: a path below the folder of its data.

    Of data that are no folder, or of a folder that has changed, it is the example's place.
    """
    names: list[str | None] = [None] * len(part)
    section = subject.config.data
    if section.name == FOLDER and section.dir is not None:
        root = Path(section.dir).expanduser()
        with contextlib.suppress(BadInputError):  # it is not there any more
            listed = folder.listing(root)
            # The test set may be cut from another part: those are looked at for what is left.
            for name in sorted(listed.parts, key=lambda name: name != TEST):
                if None in names:
                    files = _by_content(listed.parts[name], listed.classes, root, subject)
                    _fill(names, part, files, subject)
    return [name or place(row) for row, name in enumerate(names)]


def _by_content(
    pairs: Sequence[tuple[Path, int]], classes: Sequence[str], root: Path, subject: Subject
) -> dict[Any, deque[str]]:
    """Return (class, what the network is shown) -> the names of files below ``root``, in order."""
    view = from_config.view(subject.data().config)
    files: dict[Any, deque[str]] = defaultdict(deque)
    for path, label in pairs:
        with contextlib.suppress(OSError, ValueError):  # such a file is in no prepared set
            pixels = decode.show(path.read_bytes(), view)
            files[classes[label], _digest(pixels)].append(str(path.relative_to(root)))
    return files


def _fill(
    names: list[str | None], part: Part | Stream, files: dict[Any, deque[str]], subject: Subject
) -> None:
    """Name the rows of a part that have no name yet and whose content is a file's."""
    for row, name in enumerate(names):
        key = (subject.names[int(part.labels[row])], _digest(part.read(row)))
        if name is None and files.get(key):
            names[row] = files[key].popleft()


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).digest()
