"""What the networks of the zoo cost, kept in the cache folder: counting the deepest takes long."""

import hashlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import cnn_jax
from cnn_jax import models, registry
from cnn_jax.analysis import summarize
from cnn_jax.data.prepare.cache import cache_dir
from cnn_jax.models.papers import paper
from cnn_jax.runtime import json_file
from cnn_jax.runtime.provenance import versions

# What decides the counts; another line in one of these files counts anew.
_ROOMS = ("analysis", "models", "nn", "ops")


class Count(NamedTuple):
    """One network on the images that it was published for, with as many classes as those have.

    ``input_shape`` is (H, W, C); ``params`` and ``macs`` are as ``summarize`` has them.
    """

    name: str
    input_shape: tuple[int, ...]
    classes: int
    params: int
    macs: int
    paper: str


class _Kept(TypedDict):
    counts: dict[str, list[int]]


def default_classes(shape: tuple[int, ...]) -> int:
    """Return as many classes as images of ``shape`` (H, W, C) usually have: ImageNet's or ten."""
    return 1000 if min(shape[:2], default=0) > 32 else 10


def counts(names: Iterable[str]) -> Iterator[Count]:
    """Yield what each network costs; raises ``BadInputError`` for an unknown one."""
    file = cache_dir() / f"counts-{_digest()}.json"
    held = _read(file)
    before = dict(held)
    for name in names:
        shape = models.image_shape(name)
        classes = default_classes(shape)
        if name not in held or registry.origin("model", name) is not None:
            summary = summarize(models.create(name, num_classes=classes), shape)
            held[name] = [summary.params, summary.macs]
        params, macs = held[name]
        yield Count(name, shape, classes, params, macs, paper(name))
    own = {name: x for name, x in held.items() if registry.origin("model", name) is None}
    if own != before:
        _write(file, own)


def _read(file: Path) -> dict[str, list[int]]:
    try:
        held: Any = json_file.find(file, _Kept, "counted networks")
    except json_file.UnreadableFileError:
        return {}
    return {} if held is None else held["counts"]


def _write(file: Path, held: dict[str, list[int]]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write(file, {"counts": held})
    except OSError as error:
        print(f"counts are not kept in {str(file.parent)!r}: {error.strerror}", file=sys.stderr)


def _digest() -> str:
    root = Path(cnn_jax.__file__).parent
    files = sorted(file for room in _ROOMS for file in (root / room).rglob("*.py"))
    digest = hashlib.sha256(repr(sorted(versions().items())).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
