"""``models``."""

import argparse
from typing import Any

from cnn_jax.commands import flags, listing

HELP = "the networks that there are: parameters, MACs, paper"
COLUMNS = ("model", "images", "classes", ">parameters", ">MACs", "paper")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    listing.add_flags(parser, "resnet*")


def run(arguments: argparse.Namespace, rest: list[str]) -> int:
    """Print a line a network."""
    flags.no_more(rest)
    from cnn_jax import registry
    from cnn_jax.models import MODELS
    from cnn_jax.runs.counts import counts

    registry.load_installed()
    names = listing.matching(arguments.pattern, sorted(MODELS, key=flags.by_number), "model")
    found = (row._asdict() for row in counts(names))
    listing.show(found, COLUMNS, _cells, as_json=arguments.json)
    return 0


def _cells(row: dict[str, Any]) -> list[str]:
    size = "x".join(map(str, row["input_shape"]))
    numbers = [f"{row[name]:,}" for name in ("classes", "params", "macs")]
    return [row["name"], size, *numbers, row["paper"]]
