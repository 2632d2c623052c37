"""Flags that several commands have, and what flags take."""

import argparse
import os
import re
from collections.abc import Callable, Sequence

from cnn_jax.commands import completion
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


SPEC = "NAME|FILE.py[:ARG]"
ANY_FIELD = "--config.a.b=VALUE, or --config.a.b VALUE, sets a field of the config; None unsets one"


def add_config(parser: argparse.ArgumentParser, about: str = "", *, required: bool = True) -> None:
    """Add ``--config``, whose fields ``--config.a.b=VALUE`` sets; ``about`` ends its help."""
    text = f"one of the library's own (see cnn-jax configs), or a file{about}"
    action = parser.add_argument("--config", required=required, type=path, metavar=SPEC, help=text)
    completion.complete(action, completion.configs)


def add_overrides(parser: argparse.ArgumentParser, what: str) -> None:
    """Say in help what ``--config.FIELD=VALUE`` does, and add ``--overrides``, a file of them."""
    parser.add_argument(
        "--overrides",
        type=path,
        metavar="FILE",
        help="a text file of overrides, FIELD=VALUE a line; the command line's count more",
    )
    parser.epilog = what


def separate(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return (overrides, the other arguments); ``--config.a VALUE`` becomes ``--config.a=VALUE``.

    argparse would take an argument with a space in it, {"flip": {}}, for the name of an image.
    """
    overrides, others, left = [], [], iter(arguments)
    for argument in left:
        if not argument.startswith("--config."):
            others.append(argument)
            continue
        if "=" not in argument:
            value = next(left, None)
            if value is None or value.startswith("--"):
                raise BadInputError(f"{argument} takes a value: {argument}=VALUE")
            argument = f"{argument}={value}"
        overrides.append(argument)
    return overrides, others


def with_file(arguments: argparse.Namespace, overrides: Sequence[str]) -> list[str]:
    """Return the overrides of ``--overrides``' file, where one is named, and the command line's."""
    if getattr(arguments, "overrides", None) is None:
        return list(overrides)
    from cnn_jax.config.override_file import merged, read

    return merged(read(arguments.overrides), overrides)


def by_number(name: str) -> list[str | int]:
    """Return what sorts names with numbers in them as people do: resnet20 before resnet110."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``."""
    about = "a model of the zoo (see cnn-jax models)"
    action = parser.add_argument("--model", required=True, metavar="NAME", help=about)
    completion.complete(action, completion.models)


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


def add_names(parser: argparse.ArgumentParser) -> None:
    """Add ``--names``."""
    about = "the names of the network's classes, one a line; those that the run knows if unset"
    parser.add_argument("--names", type=path, metavar="FILE", help=about)


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
