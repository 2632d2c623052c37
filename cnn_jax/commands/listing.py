"""Lists of what there is, by a pattern of names: as a table, or as JSON lines."""

import argparse
import fnmatch
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cnn_jax.runtime.errors import BadInputError

WIDE = 160  # where nobody says how wide


def add_flags(parser: argparse.ArgumentParser, such_as: str) -> None:
    """Add ``PATTERN``, which all names fit unless it is given, and ``--json``."""
    about = f"a part of the names, or with * and ?, such as '{such_as}'; all if left out"
    parser.add_argument("pattern", nargs="?", default="", metavar="PATTERN", help=about)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def matching(pattern: str, names: Sequence[str], what: str) -> list[str]:
    """Return the names that a pattern fits, as a part of them or with * and ?.

    Raises ``BadInputError`` where there is none.
    """
    found = [name for name in names if pattern in name or fnmatch.fnmatchcase(name, pattern)]
    if not found:
        from cnn_jax.registry import suggestion

        meant = suggestion(pattern, names, count=3)
        raise BadInputError(f"no {what} fits {pattern!r}; did you mean {meant}?")
    return found


def show(
    records: Iterable[dict[str, Any]],
    columns: Sequence[str],
    cells: Callable[[dict[str, Any]], Sequence[str]],
    *,
    as_json: bool,
) -> None:
    """Print records: JSON lines as they come, or a table as wide as a terminal.

    Args:
        records: what there is, an object each.
        columns: of the table; > before a name aligns it to the right.
        cells: record -> what a row has.
        as_json: print lines, not a table.
    """
    if as_json:
        for record in records:
            print(json.dumps(record), flush=True)
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        right = name.startswith(">")
        made.add_column(name.removeprefix(">"), justify="right" if right else "left")
    for record in records:
        made.add_row(*cells(record))
    width = None if sys.stdout.isatty() else WIDE
    Console(width=width, highlight=False, markup=False).print(made)
