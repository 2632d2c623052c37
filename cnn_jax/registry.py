"""Names and what they stand for: tables of objects, and what a misspelt name is close to."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from cnn_jax.runtime.errors import BadInputError

T = TypeVar("T")


def nearest(name: str, known: Iterable[str], count: int = 1) -> list[str]:
    """Return at most ``count`` of the known names that ``name`` may be meant as, the best first.

    None where no name is similar: those shown share at least 0.6 of their characters
    (``difflib.get_close_matches``).
    """
    return difflib.get_close_matches(name, known, n=count)


def suggestion(name: str, known: Iterable[str], count: int = 1) -> str:
    """Return what to name instead, for a message: the nearest names, else all, with commas."""
    known = list(known)
    return ", ".join(nearest(name, known, count) or known)


def look_up(table: Mapping[str, T], name: str, what: str, count: int = 1) -> T:
    """Return what a table has under ``name``.

    Args:
        table: name -> object.
        name: as it was given.
        what: begins the message, such as "unknown model".
        count: names that the message suggests at most, where some are near.

    Raises:
        BadInputError: the table has no such name; the line has the nearest, else all.
    """
    if name not in table:
        meant = suggestion(name, sorted(table), count)
        raise BadInputError(f"{what} {name!r}; did you mean {meant}?")
    return table[name]


def check_choice(field: str, name: str, known: Iterable[str]) -> None:
    """Raise ``BadInputError`` with the nearest name unless a field's ``name`` is a known one."""
    known = list(known)
    if name not in known:
        raise BadInputError(f"{field} is {name!r}; there is {suggestion(name, known)}")
