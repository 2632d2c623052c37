"""``doctor``."""

import argparse
import json
from typing import Any

from cnn_jax.commands import flags

HELP = "versions, devices, what computes convolutions and why, caches, plug-ins"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")


def run(arguments: argparse.Namespace, rest: list[str]) -> int:
    """Print what there is."""
    flags.no_more(rest)
    from cnn_jax.runs.diagnosis import diagnose
    from cnn_jax.runtime.provenance import version_line

    found = diagnose()
    if arguments.json:
        print(json.dumps(found))
        return 0
    print(version_line())
    for subject, held in found.items():
        print(f"\n{subject}")
        print("\n".join(f"  {line}" for line in _lines(held)) or "  none")
    return 0


def _lines(held: Any) -> list[str]:
    if isinstance(held, list):
        return held
    width = max(map(len, held), default=0)
    return [
        f"{name.ljust(width)}  {'-' if value is None else value}" for name, value in held.items()
    ]
