"""What chips send each other, read off a compiled program's text (HLO)."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

OPERATIONS = (
    *("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all"),
    *("collective-permute", "collective-broadcast"),
)

# `%name = TYPE all-gather-start(operands), ...`: the type may be a tuple, and its layouts hold
# brackets of every kind, so it is whatever stands before the operation.
_INSTRUCTION = re.compile(rf"= (?P<type>.*?) (?P<op>{'|'.join(OPERATIONS)})(?P<start>-start)?\(")
_SHAPE = re.compile(r"\b([a-z][a-z0-9]*)\[([0-9,]*)\]")


class Collective(NamedTuple):
    """One kind of operation: how often it stands in the program, and the bytes of its results."""

    count: int
    bytes: int


def collectives(hlo: str) -> dict[str, Collective]:
    """Return the collective operations of a program, by name.

    Args:
        hlo: the text of an optimized HLO module, as ``compiled.as_text()`` gives it. It is the
            program of one chip, so bytes are those that one chip holds when an operation is done.
            An operation in a loop's body counts once.
    """
    found: dict[str, Collective] = {}
    for line in hlo.splitlines():
        match = _INSTRUCTION.search(line)
        if match is None:
            continue
        sizes = list(_sizes(match["type"]))
        # An asynchronous operation's type holds operands, then results, then its own scalars; its
        # -done is no operation. An all-reduce's is that of the results alone.
        if match["start"] and match["op"] != "all-reduce":
            arrays = [size for size, scalar in sizes if not scalar] or [s for s, _ in sizes]
            sizes = [(size, False) for size in arrays[len(arrays) // 2 :]]
        before = found.get(match["op"], Collective(0, 0))
        total = sum(size for size, _ in sizes)
        found[match["op"]] = Collective(before.count + 1, before.bytes + total)
    return found


def _sizes(text: str) -> Iterator[tuple[int, bool]]:
    """Yield (bytes, whether it is a scalar) of the arrays in a type."""
    for name, dimensions in _SHAPE.findall(text):
        shape = [int(n) for n in dimensions.split(",") if n]
        yield math.ceil(math.prod(shape) * _bits(name) / 8), not shape


def _bits(dtype: str) -> int:
    """Return the bits of an element, which HLO's names of types tell: f32, bf16, f8e4m3fn, u4."""
    number = re.search(r"\d+", dtype)
    return int(number[0]) if number else 8  # pred
