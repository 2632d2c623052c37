"""Completion in shells, by argcomplete: commands, flags, names, files, fields of configs.

``eval "$(cnn-jax --print-completion bash)"`` in the shell's start-up file switches it on (zsh
likewise; ``cnn-jax --print-completion fish | source`` for fish). The shell then asks this program
what could stand at the cursor, by the environment variable that ``offer`` looks at.
"""

import argparse
import os
from collections.abc import Callable, Iterable
from typing import Any

SHELLS = ("bash", "zsh", "fish")
_ASKED, _LINE = "_ARGCOMPLETE", "COMP_LINE"


def code(program: str, shell: str) -> str:
    """Return what the shell has to execute once."""
    from argcomplete.shell_integration import shellcode

    return shellcode([program], shell=shell)


def offer(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks, and end the process; do nothing in any other."""
    if _ASKED not in os.environ:
        return
    import argcomplete

    if "--config." in os.environ.get(_LINE, "").rpartition(" ")[2]:
        _add_fields(parser)
    argcomplete.autocomplete(parser)


def complete(action: argparse.Action, choices: Callable[[], Iterable[str]]) -> None:
    """Let a flag's value be completed to one of ``choices()``, or else to a file."""

    def completer(prefix: str, **_: Any) -> list[str]:
        from argcomplete.completers import FilesCompleter

        found = [choice for choice in choices() if choice.startswith(prefix)]
        return found or list(FilesCompleter()(prefix))

    setattr(action, "completer", completer)  # noqa: B010 - where argcomplete looks for it


def configs() -> list[str]:
    """Return the names of the library's own configs."""
    from cnn_jax.config import library

    return list(library.configs())


def models() -> list[str]:
    """Return the names of the models."""
    from cnn_jax.models import MODELS

    return list(MODELS)


def _add_fields(parser: argparse.ArgumentParser) -> None:
    """Add every field of a config as a flag of the commands that take them."""
    from cnn_jax.config import declared

    fields = dict(declared())
    for action in parser._actions:
        for command in action.choices.values() if isinstance(action.choices, dict) else ():
            if "--overrides" in command._option_string_actions:
                for name, field in fields.items():
                    command.add_argument(f"--config.{name}", help=field.comment)
