"""``configs``."""

import argparse
import json

from cnn_jax.commands import flags, table
from cnn_jax.commands.models import matching

HELP = "the library's own configs: paper, data, published and own result"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    flags.add_pattern(parser, "*_cifar10")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace, rest: list[str]) -> int:
    """Print a line a config."""
    flags.no_more(rest)
    from cnn_jax.config import library

    own = library.configs()
    notes = {
        name: library.note(own[name]) for name in matching(arguments.pattern, [*own], "config")
    }
    if arguments.json:
        for name, note in notes.items():
            print(json.dumps({"config": name} | note._asdict()))
        return 0
    rows = [[name, *note[1:]] for name, note in notes.items()]
    table.show(["config", "paper", "data", "published", "result"], rows)
    return 0
