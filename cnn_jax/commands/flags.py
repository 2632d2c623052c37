"""Flags that several commands have, and what flags take."""

import argparse
import os
from collections.abc import Callable, Sequence

from cnn_jax.runtime import figures, ranges
from cnn_jax.runtime.errors import BadInputError


def path(text: str) -> str:
    """Return a file or folder as a flag names it; ``~`` is the user's home, as in a shell."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; it has to name a file or a folder")
    return os.path.expanduser(text)


def number(allowed: ranges.Range) -> Callable[[str], int]:
    """Return what reads an integer that a range holds."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not allowed.holds(value):
            raise argparse.ArgumentTypeError(f"is {text!r}; it has to be {allowed}")
        return value

    return read


COUNT, PLACE = number(ranges.whole(1)), number(ranges.whole(0))
SEED = number(ranges.Said(ranges.whole(0, high=2**32 - 1), "a whole number from 0 to 2**32 - 1"))


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``, whose fields ``--config.a.b=VALUE`` sets."""
    about = "the experiment"
    parser.add_argument("--config", required=True, type=path, metavar="FILE.py[:ARG]", help=about)
    parser.epilog = "--config.a.b=VALUE overrides a field of the config"


def add_workdir(parser: argparse.ArgumentParser) -> None:
    """Add ``--workdir``."""
    about = "the run's folder"
    parser.add_argument("--workdir", required=True, type=path, metavar="DIR", help=about)


def add_checkpoint(parser: argparse.ArgumentParser, also: str = "") -> None:
    """Add ``--step`` and ``--ema``, which choose the weights of a run; ``also`` ends a help."""
    parser.add_argument(
        "--step",
        type=_step,
        metavar="N",
        help=f"of the checkpoint, latest (default), or best: on the validation part{also}",
    )
    parser.add_argument(
        "--ema", action="store_true", help="the averaged network, of a run with optim.ema"
    )


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add ``--format``, of the pictures that a command draws."""
    about = f"of pictures: {figures.one_of_formats()} (default: png)"
    parser.add_argument("--format", default=figures.PNG, type=_format, metavar="NAME", help=about)


def _format(text: str) -> str:
    """Return a format that pictures can have."""
    if text not in figures.FORMATS:
        raise argparse.ArgumentTypeError(f"is {text!r}; it has to be {figures.one_of_formats()}")
    return text


def _step(text: str) -> int | str:
    """Return a number, or a word that stands for one."""
    if text in ("latest", "best"):
        return text
    return PLACE(text)


def no_more(rest: Sequence[str]) -> None:
    """Raise ``BadInputError`` if arguments are left."""
    if rest:
        raise BadInputError(f"unknown argument {rest[0]!r} (see cnn-jax COMMAND --help)")
