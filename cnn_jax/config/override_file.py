"""Files of overrides: a field and its value a line, as ``cnn-jax config`` prints them."""

import re
from collections.abc import Sequence
from pathlib import Path

from cnn_jax.config.overrides import LENGTHS
from cnn_jax.runtime.errors import BadInputError

FLAG = "--config."
# What stands before a comment: quoted text, or anything that is no # after a space.
_CONTENT = re.compile(r"""(?:'[^']*'|"[^"]*"|(?<=\S)#|[^#'"]|['"])*""")


def read(file: str | Path) -> list[str]:
    """Return the overrides of a file as ``--config.FIELD=VALUE`` flags, in their order.

    A line is ``FIELD=VALUE``, with ``--config.`` before it or without; what follows a ``#`` at a
    line's beginning or after a space is a comment.

    Raises:
        BadInputError: no such file, no text, or a line that is something else.
    """
    try:
        lines = Path(file).read_text("utf-8").splitlines()
    except OSError as error:
        raise BadInputError(f"--overrides: {str(file)!r}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInputError(f"--overrides: {str(file)!r} is no text in UTF-8 ({error})") from None
    flags = []
    for number, line in enumerate(lines, 1):
        content = _content(line)
        if not content:
            continue
        name, equals, value = content.removeprefix(FLAG).partition("=")
        if not equals or not re.fullmatch(r"[\w.-]+", name.strip()):
            raise BadInputError(
                f"--overrides: line {number} of {str(file)!r} is {content!r}; it has to be "
                "FIELD=VALUE, such as optim.learning_rate=0.1"
            )
        flags.append(f"{FLAG}{name.strip()}={value.strip()}")
    return flags


def _content(line: str) -> str:
    """Return a line without its comment and the spaces around it."""
    found = _CONTENT.match(line)
    return found[0].strip() if found else ""


def merged(filed: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return a file's overrides and those of the command line, which count more.

    A length of the run on the command line replaces the file's, whichever of the two that sets.
    """
    names = {_name(flag) for flag in given}
    if names & set(LENGTHS):
        names |= set(LENGTHS)
    return [*(flag for flag in filed if _name(flag) not in names), *given]


def _name(flag: str) -> str:
    return flag.removeprefix(FLAG).partition("=")[0]
