"""The one exception for input that the user can put right, and what other exceptions say."""

import re
import textwrap


class BadInputError(ValueError):
    """Bad input: its message is one line that names the culprit and what would be right.

    The command line prints the line and exits with status 2; from Python it is a ``ValueError``.
    """


# What terminals take for colours and the like, ECMA-48's control sequences; some libraries put them
# into their messages.
_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def without_colours(text: str) -> str:
    """Return a text without the codes that colour it on a terminal."""
    return _CONTROL.sub("", text)


def first_line(error: BaseException, most: int | None = None) -> str:
    """Return the first line of an error's message that is not empty; its type without one.

    It has at most ``most`` characters, cut between words, and no colours.
    """
    lines = (line.strip() for line in without_colours(str(error)).splitlines())
    line = next(filter(None, lines), type(error).__name__)
    return line if most is None else textwrap.shorten(line, most, placeholder=" ...")
