"""Flags that several commands have."""

import argparse
from collections.abc import Sequence

from cnn_jax.errors import BadInputError


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``, whose fields ``--config.a.b=VALUE`` sets."""
    parser.add_argument("--config", required=True, metavar="FILE.py[:ARG]", help="the experiment")
    parser.epilog = "--config.a.b=VALUE overrides a field of the config"


def add_workdir(parser: argparse.ArgumentParser) -> None:
    """Add ``--workdir``."""
    parser.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")


def add_step(parser: argparse.ArgumentParser) -> None:
    """Add ``--step``, which chooses a checkpoint."""
    parser.add_argument("--step", type=int, metavar="N", help="of the checkpoint; the newest")


def no_more(rest: Sequence[str]) -> None:
    """Raise ``BadInputError`` if arguments are left."""
    if rest:
        raise BadInputError(f"unknown argument {rest[0]!r} (see cnn-jax COMMAND --help)")
