"""``configs``."""

import argparse

from cnn_jax.commands import flags, listing

HELP = "the library's own configs: paper, data, published and own result"
COLUMNS = ("config", "paper", "data", "published", "result")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    listing.add_flags(parser, "*_cifar10")


def run(arguments: argparse.Namespace, rest: list[str]) -> int:
    """Print a line a config."""
    flags.no_more(rest)
    from cnn_jax.config import library

    own = library.configs()
    names = listing.matching(arguments.pattern, list(own), "config")
    notes = ({"config": name} | library.note(own[name])._asdict() for name in names)
    listing.show(notes, COLUMNS, lambda note: [note[x] for x in COLUMNS], as_json=arguments.json)
    return 0
