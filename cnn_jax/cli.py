"""The command line: which command, and with which exit status it ends. No logic."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from cnn_jax.commands import COMMANDS
from cnn_jax.errors import BadInputError
from cnn_jax.memory import tune_malloc

BAD_INPUT = 2
INTERRUPTED = 130  # SIGINT outside training, as shells have it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    tune_malloc()  # before jax is imported: it takes effect for what is allocated from then on
    try:
        # argparse takes an argument with a space in it, {"flip": {}}, for the name of an image.
        given = sys.argv[1:] if argv is None else argv
        overrides = [argument for argument in given if argument.startswith("--config.")]
        known, rest = _parser().parse_known_args([a for a in given if a not in overrides])
        return COMMANDS[known.command].run(known, rest + overrides)
    except BadInputError as error:
        print(f"cnn-jax: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("cnn-jax: interrupted", file=sys.stderr)
        return INTERRUPTED


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInputError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    # Abbreviations are off: --config.a.b flags must not be taken for --config.
    about = (sys.modules["cnn_jax"].__doc__ or "").strip().splitlines()[0]
    parser = _Parser(prog="cnn-jax", description=about, allow_abbrev=False)
    commands = parser.add_subparsers(
        title="commands", required=True, metavar="COMMAND", dest="command"
    )
    for name, command in COMMANDS.items():
        own = commands.add_parser(
            name, help=command.HELP, description=command.HELP, allow_abbrev=False
        )
        command.add_flags(own)
    return parser
