"""Files that a run appends lines to, metrics.jsonl and flow.jsonl, and what a resumed run keeps.

A checkpoint notes how long such a file was when it was saved, and at the checkpoints before, each
with the checksum of that part: a run that goes on from it keeps exactly these bytes. Where they are
not there any more, it keeps as many lines as an earlier checkpoint vouches for, sets the file aside
and says so.
"""

import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

from cnn_jax.runtime import json_file
from cnn_jax.runtime.atomic_file import written


class Metrics(TypedDict):
    """A line of metrics.jsonl; a loss that is not finite is None."""

    step: int
    split: str
    loss: NotRequired[float | None]
    accuracy: NotRequired[float]
    accuracy_top5: NotRequired[float]
    examples: NotRequired[int]
    learning_rate: NotRequired[float]


class Flow(TypedDict):
    """A line of flow.jsonl: norms and ratios by block."""

    step: int
    gradient: dict[str, float | None]
    update_to_weight: dict[str, float | None]
    branch_to_skip: dict[str, float | None]


class Mark(NamedTuple):
    """The beginning of a file."""

    length: int  # bytes
    crc32: int

    def begins(self, content: bytes) -> bool:
        """Return whether ``content`` begins with it, as far as its checksum tells."""
        return len(content) >= self.length and zlib.crc32(content[: self.length]) == self.crc32

    def longer(self, more: bytes) -> "Mark":
        """Return the mark with ``more`` behind it."""
        return Mark(self.length + len(more), zlib.crc32(more, self.crc32))


def mark(file: Path) -> Mark:
    """Return the whole file's mark."""
    return Mark(0, 0).longer(file.read_bytes() if file.exists() else b"")


def read(file: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl, or flow.jsonl, that are whole; the others are left out."""
    content = file.read_bytes() if file.exists() else b""
    return [line for _, line in _lines(content) if line is not None]


def marks(noted: Any) -> list[Mark]:
    """Return the marks in a checkpoint's notes of a file; earlier versions noted one alone."""
    if noted and isinstance(noted[0], int):
        noted = [noted]
    return [Mark(*each) for each in noted or ()]


def cut_back(
    file: Path, keep: Callable[[dict[str, Any]], bool], noted: Sequence[Mark] = ()
) -> str | None:
    """Drop the lines that a resumed run will write again.

    Args:
        file: metrics.jsonl or flow.jsonl.
        keep: whether a line stays, where no checkpoint noted what does.
        noted: the file at the checkpoints, as the last of them noted it; that one's comes last.

    Returns:
        What is wrong with the part that should stay, as a line, or None.
    """
    content = file.read_bytes() if file.exists() else b""
    if noted and noted[-1].begins(content):
        if len(content) > noted[-1].length:
            _write(file, content[: noted[-1].length])
        return None
    mended, lost = _mended(content, keep)
    if not noted:
        if content:
            _write(file, mended)
        return f"{lost} of its lines are damaged or doubled, and left out" if lost else None
    stays = next((mark for mark in reversed(noted) if mark.begins(mended)), Mark(0, 0))
    mended, aside = mended[: stays.length], ""
    if content:
        aside = f"; {_set_aside(file, content).name} has what it was"
        _write(file, mended)
    count = mended.count(b"\n")
    return f"it is not what it was at the checkpoint; its first {count} lines are kept{aside}"


def _mended(content: bytes, keep: Callable[[dict[str, Any]], bool]) -> tuple[bytes, int]:
    """Return the lines that are whole, each once and in order, and how many are not."""
    kept: list[bytes] = []
    seen: set[Any] = set()
    last, lost = 0, 0
    for raw, line in _lines(content):
        if line is None:
            # A kill cuts the last line short; the run writes that one again.
            lost += not content.endswith(raw)
        elif keep(line):
            key = line["step"], line.get("split")
            if key in seen or line["step"] < last:
                lost += 1
            else:
                kept.append(raw)
                seen.add(key)
                last = line["step"]
    return b"".join(raw + b"\n" for raw in kept), lost


def _set_aside(file: Path, content: bytes) -> Path:
    """Keep what a damaged file holds under another name; return it."""
    names = (f"{file.name}.damaged-{number}" for number in itertools.count(1))
    aside = next(file.with_name(name) for name in names if not file.with_name(name).exists())
    _write(aside, content)
    return aside


def _lines(content: bytes) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Yield the lines of a file as they are, and what they say; None for a damaged one."""
    for raw in content.split(b"\n"):
        if raw.strip():
            yield raw, _parsed(raw)


def _parsed(raw: bytes) -> dict[str, Any] | None:
    for kind in (Metrics, Flow):
        try:
            return dict(json_file.parse(raw, kind, "a line of a log", source="line"))
        except json_file.UnreadableFileError:
            continue
    return None


def _write(file: Path, content: bytes) -> None:
    with written(file) as temporary:
        temporary.write_bytes(content)
