"""Ways in which a file is damaged."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator


def damage(rng: Rng, file: Path, others: Sequence[Path], twin: Path | None) -> str:
    """Damage a file in one random way; return which.

    Args:
        rng: decides.
        file: to damage.
        others: that lie beside it, one of which may take its place.
        twin: the file of the same name elsewhere, which may take its place, if there is one.
    """
    ways: list[Callable[[], str | None]] = [
        lambda: _flip(rng, file),
        lambda: _flip(rng, file),
        lambda: _cut(rng, file),
        lambda: _append(rng, file),
        lambda: _garble(rng, file),
        lambda: _empty(file),
        lambda: _remove(file),
        lambda: _replace(file, twin, "that of another one"),
        lambda: _replace(file, _alike(rng, file, others), "another file of it"),
    ]
    if file.suffix in (".json", ".jsonl"):
        ways += [lambda: _change_field(rng, file)] * 4
    while True:
        how = ways[int(rng.integers(len(ways)))]()
        if how is not None:
            return how


def _flip(rng: Rng, file: Path) -> str | None:
    data = bytearray(file.read_bytes())
    if not data:
        return None
    place, bit = int(rng.integers(len(data))), int(rng.integers(8))
    data[place] ^= 1 << bit
    file.write_bytes(data)
    return f"bit {bit} of byte {place} flipped"


def _cut(rng: Rng, file: Path) -> str | None:
    data = file.read_bytes()
    if not data:
        return None
    length = int(rng.integers(len(data)))
    file.write_bytes(data[:length])
    return f"cut to {length} of {len(data)} bytes"


def _append(rng: Rng, file: Path) -> str:
    data = file.read_bytes()
    tail = data[-int(rng.integers(1, 200)) :] or b"\0"
    file.write_bytes(data + tail)
    return f"its last {len(tail)} bytes doubled"


def _garble(rng: Rng, file: Path) -> str | None:
    data = bytearray(file.read_bytes())
    if not data:
        return None
    place, count = int(rng.integers(len(data))), int(rng.integers(1, 64))
    new = rng.integers(0, 256, count, np.uint8).tobytes()[: len(data) - place]
    data[place : place + len(new)] = new
    file.write_bytes(data)
    return f"{len(new)} random bytes at {place}"


def _empty(file: Path) -> str:
    file.write_bytes(b"")
    return "emptied"


def _remove(file: Path) -> str:
    file.unlink()
    return "removed"


def _replace(file: Path, other: Path | None, what: str) -> str | None:
    if other is None or other.read_bytes() == file.read_bytes():
        return None
    shutil.copyfile(other, file)
    return f"replaced by {what}"


def _alike(rng: Rng, file: Path, others: Sequence[Path]) -> Path | None:
    alike = [other for other in others if other.suffix == file.suffix]
    return alike[int(rng.integers(len(alike)))] if alike else None


def _change_field(rng: Rng, file: Path) -> str | None:
    """Change a value somewhere in JSON, or leave it out."""
    lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
    if not lines:
        return None
    row = int(rng.integers(len(lines)))
    try:
        tree = json.loads(lines[row])
    except ValueError:
        return None
    paths = [path for path in _paths(tree) if path]
    if not paths:
        return None
    *way, last = paths[int(rng.integers(len(paths)))]
    holder = tree
    for step in way:
        holder = holder[step]
    name, old = ".".join(map(str, (*way, last))), holder[last]
    if rng.random() < 0.25:
        del holder[last]
        said = f"{name} left out"
    else:
        new = _other_value(rng, old)
        holder[last] = new
        said = f"{name} changed from {old!r:.60} to {new!r:.60}"
    lines[row] = json.dumps(tree)
    file.write_text("\n".join(lines) + "\n")
    return said


def _paths(tree: Any) -> list[tuple[Any, ...]]:
    items = list(tree.items()) if isinstance(tree, dict) else []
    items = list(enumerate(tree)) if isinstance(tree, list) else items
    return [(), *((key, *path) for key, value in items for path in _paths(value))]


def _other_value(rng: Rng, old: Any) -> Any:
    values: list[Any] = [None, -1, 0, 1, 10**20, 0.5, "", "x", "1", True, [], [1], {}, {"a": 1}]
    if isinstance(old, (int, float)) and not isinstance(old, bool):
        values += [old + 1, old * 2, -old, str(old), [old]] * 2
    if isinstance(old, str):
        values += [old + "x", old[1:], old[::-1]] * 2
    fresh = [value for value in values if value != old or type(value) is not type(old)]
    return fresh[int(rng.integers(len(fresh)))]
