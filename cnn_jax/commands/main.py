"""The command line: which command, and with which exit status it ends. No logic."""

import argparse
import re
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from cnn_jax.commands import COMMANDS, completion, flags
from cnn_jax.registry import IMPORT, import_plugins, nearest
from cnn_jax.runtime import exit_status, provenance
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.malloc import tune_malloc


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, the process's own where ``argv`` is None; return the exit status."""
    tune_malloc()  # before jax is imported: it takes effect for what is allocated from then on
    running: list[ModuleType] = []

    def run() -> int:
        parser, usages = _parser()
        completion.offer(parser)
        overrides, others = flags.separate(sys.argv[1:] if argv is None else argv)
        known, rest = parser.parse_known_args(others)
        _refuse_flags(rest, usages[known.command])
        import_plugins(known.imports)
        running.append(COMMANDS[known.command])
        return running[0].run(known, rest + flags.with_file(known, overrides))

    def says(name: str) -> str | None:
        return getattr(running[0], name, None) if running else None

    return exit_status.guarded(
        "cnn-jax",
        run,
        kept=lambda: says("KEPT"),
        memory=lambda: says("LESS_MEMORY"),
        owned=argv is None,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInputError(f"{message} (see {self.prog} --help)")


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str):
        super().__init__(option_strings, dest, nargs=0, help="print the versions in use, and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(provenance.version_line())
        parser.exit()


class _Completion(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str):
        about = "print what makes a shell complete commands, flags and fields, and exit"
        super().__init__(option_strings, dest, choices=completion.SHELLS, help=about)

    def __call__(self, parser: argparse.ArgumentParser, _: Any, shell: Any, *__: Any) -> None:
        print(completion.code(parser.prog, shell))
        parser.exit()


def _parser() -> tuple[argparse.ArgumentParser, dict[str, str]]:
    """Return the parser of all commands, and each one's usage."""
    # Abbreviations are off: --config.a.b flags must not be taken for --config.
    about = (sys.modules["cnn_jax"].__doc__ or "").strip().splitlines()[0]
    parser = _Parser(prog="cnn-jax", description=about, allow_abbrev=False)
    parser.add_argument("--version", action=_Version)
    parser.add_argument("--print-completion", action=_Completion)
    commands = parser.add_subparsers(
        title="commands", required=True, metavar="COMMAND", dest="command"
    )
    usages = {}
    for name, command in COMMANDS.items():
        own = commands.add_parser(
            name, help=command.HELP, description=command.HELP, allow_abbrev=False
        )
        command.add_flags(own)
        own.add_argument("--import", **IMPORT)
        usages[name] = own.format_usage()
    return parser, usages


def _refuse_flags(rest: Sequence[str], usage: str) -> None:
    """Raise ``BadInputError`` for a flag that the command does not have, with the nearest one."""
    for argument in rest:
        if argument.startswith("--"):
            known = re.findall(r"--[a-z_-]+", usage)
            near = nearest(argument.partition("=")[0], known)
            hint = f"; did you mean {near[0]}?" if near else " (see cnn-jax COMMAND --help)"
            raise BadInputError(f"unknown argument {argument!r}{hint}")
