"""Which files the images of a run's test set are.

A folder's images are prepared once, and kept in another order and without their names. What the
network is shown of a file tells which example it is.
"""

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
    found: dict[int, str] = {}
    section = subject.config.data
    if section.name == FOLDER and section.dir is not None:
        root = Path(section.dir).expanduser()
        try:
            listed = folder.listing(root)
        except BadInputError:  # it is not there any more
            listed = folder.Listing((), {}, (), ())
        # The test set may be cut from another part: those are looked at for what is left.
        parts = sorted(listed.parts, key=lambda name: name != TEST)
        for pairs in (listed.parts[name] for name in parts):
            if len(found) < len(part):
                found |= _matched(part, subject, root, listed.classes, pairs, found)
    return [found.get(row) or place(row) for row in range(len(part))]


def _matched(
    part: Part | Stream,
    subject: Subject,
    root: Path,
    classes: Sequence[str],
    pairs: Sequence[tuple[Path, int]],
    known: dict[int, str],
) -> dict[int, str]:
    """Return the names of further rows of a part, found among files with their labels."""
    view = from_config.view(subject.data().config)
    files: dict[Any, deque[str]] = defaultdict(deque)
    for path, label in pairs:
        try:
            pixels = decode.show(path.read_bytes(), view)
        except (OSError, ValueError):  # such a file is in no prepared set
            continue
        files[classes[label], _digest(pixels)].append(str(path.relative_to(root)))
    found = {}
    for row in range(len(part)):
        if row in known:
            continue
        same = files.get((subject.names[int(part.labels[row])], _digest(part.read(row))))
        if same:
            found[row] = same.popleft()
    return found


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).digest()
