"""``models``."""

import argparse
import fnmatch
import json
from collections.abc import Sequence
from typing import Any

from cnn_jax.commands import flags, table
from cnn_jax.runtime.errors import BadInputError

HELP = "the networks that there are: parameters, MACs, paper"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    flags.add_pattern(parser, "resnet*")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace, rest: list[str]) -> int:
    """Print a line a network."""
    flags.no_more(rest)
    from cnn_jax import registry
    from cnn_jax.models import MODELS
    from cnn_jax.runs.counts import counts

    registry.load_installed()
    found = counts(matching(arguments.pattern, sorted(MODELS, key=flags.by_number), "model"))
    if arguments.json:
        for row in found:
            print(json.dumps(row._asdict()), flush=True)
        return 0
    rows = [_cells(row) for row in found]
    table.show(["model", "images", "classes", ">parameters", ">MACs", "paper"], rows)
    return 0


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


def _cells(row: Any) -> list[str]:
    size = "x".join(map(str, row.input_shape))
    return [row.name, size, f"{row.classes:,}", f"{row.params:,}", f"{row.macs:,}", row.paper]
