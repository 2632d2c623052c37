"""Which values a field takes, declared beside it: ``momentum: Annotated[float, below(1, low=0)]``.

A range says whether it holds a value, and itself in words. Configs, transforms and models declare
theirs with their fields, so that a value no run could use is refused before data are read.
"""

import dataclasses
import itertools
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol

import numpy as np

from cnn_jax.runtime.errors import BadInputError


class Range(Protocol):
    """What a field takes; ``str`` of it completes the sentence "it has to be ..."."""

    def holds(self, value: Any) -> bool:
        """Return whether the field takes ``value``."""
        ...


@dataclasses.dataclass(frozen=True)
class Number:
    """Finite numbers between two bounds; ``whole``: integers alone."""

    low: float = -math.inf
    high: float = math.inf
    without_low: bool = False
    without_high: bool = False
    whole: bool = False

    def holds(self, value: Any) -> bool:
        """Return whether ``value`` is such a number; a bool is none."""
        kinds = (int, np.integer) if self.whole else (int, float, np.integer, np.floating)
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, kinds):
            return False
        try:
            number = int(value) if self.whole else float(value)
        except OverflowError:  # an integer beyond every float
            return False
        if not self.whole and not math.isfinite(number):
            return False
        after = number > self.low if self.without_low else number >= self.low
        return after and (number < self.high if self.without_high else number <= self.high)

    def __str__(self) -> str:
        words = []
        if self.low > -math.inf:
            words.append(f"{'above' if self.without_low else 'at least'} {_digits(self.low)}")
        if self.high < math.inf:
            words.append(f"{'below' if self.without_high else 'at most'} {_digits(self.high)}")
        kind = "a whole number" if self.whole else "a finite number"
        return f"{kind} {' and '.join(words)}".rstrip()


def _digits(bound: float) -> str:
    """Return a bound as it would be typed: a large integer with all its digits."""
    return str(int(bound)) if bound == int(bound) else f"{bound:g}"


def at_least(low: float, *, high: float = math.inf) -> Number:
    """Return the numbers from ``low`` on, up to ``high``, both included."""
    return Number(low, high)


def above(low: float, *, high: float = math.inf) -> Number:
    """Return the numbers above ``low``, up to ``high`` included."""
    return Number(low, high, without_low=True)


def below(high: float, *, low: float = -math.inf) -> Number:
    """Return the numbers below ``high``, from ``low`` on included."""
    return Number(low, high, without_high=True)


def inside(low: float, high: float) -> Number:
    """Return the numbers between two bounds, which are left out."""
    return Number(low, high, without_low=True, without_high=True)


def whole(low: float, *, high: float = math.inf) -> Number:
    """Return the integers from ``low`` to ``high``, both included."""
    return Number(low, high, whole=True)


@dataclasses.dataclass(frozen=True)
class OneOf:
    """Some values alone; True and 1 are two."""

    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Return whether ``value`` is one of them."""
        return any(type(value) is type(one) and value == one for one in self.values)

    def __str__(self) -> str:
        return " or ".join(repr(value) for value in self.values)


def one_of(*values: Any) -> OneOf:
    """Return the range of some values alone."""
    return OneOf(values)


@dataclasses.dataclass(frozen=True)
class Text:
    """Strings that are not empty and that a file could be named by."""

    words: str = "a name"

    def holds(self, value: Any) -> bool:
        """Return whether ``value`` is one."""
        return isinstance(value, str) and bool(value) and "\0" not in value

    def __str__(self) -> str:
        return self.words


@dataclasses.dataclass(frozen=True)
class Each:
    """Sequences of values that one range holds: ``count`` of them, any number if None.

    ``rising``: each above the one before. ``least``: how many there are at least.
    """

    of: Range
    count: int | None = None
    rising: bool = False
    least: int = 0

    def holds(self, value: Any) -> bool:
        """Return whether ``value`` is such a sequence."""
        if not isinstance(value, (tuple, list)) or not all(map(self.of.holds, value)):
            return False
        if self.count not in (None, len(value)) or len(value) < self.least:
            return False
        return not self.rising or all(a < b for a, b in itertools.pairwise(value))

    def __str__(self) -> str:
        least = f"{self.least} or more values" if self.least else "values"
        many = least if self.count is None else f"{self.count} values"
        return f"{many}, each {self.of}" + (" and above the one before" if self.rising else "")


@dataclasses.dataclass(frozen=True)
class Interval:
    """Pairs (least, largest) of values that one range holds; both may be the same."""

    of: Range

    def holds(self, value: Any) -> bool:
        """Return whether ``value`` is such a pair."""
        return Each(self.of, count=2).holds(value) and value[0] <= value[1]

    def __str__(self) -> str:
        return f"a pair (least, largest), each {self.of}"


@dataclasses.dataclass(frozen=True)
class Either:
    """What one of several ranges holds."""

    ranges: tuple[Range, ...]

    def holds(self, value: Any) -> bool:
        """Return whether one of them holds ``value``."""
        return any(one.holds(value) for one in self.ranges)

    def __str__(self) -> str:
        return ", or ".join(str(one) for one in self.ranges)


def either(*ranges: Range) -> Either:
    """Return the range of what one of several holds."""
    return Either(ranges)


@dataclasses.dataclass(frozen=True)
class Said:
    """A range in words of its own, where those of its parts say less."""

    range: Range
    words: str

    def holds(self, value: Any) -> bool:
        """Return whether the range holds ``value``."""
        return self.range.holds(value)

    def __str__(self) -> str:
        return self.words


def check(name: str, value: Any, allowed: Range, *, optional: bool = False) -> None:
    """Raise ``BadInputError``, naming the field, for a value that its range does not hold.

    ``optional``: None, the field left unset, is one more value that it takes.
    """
    if not (optional and value is None) and not allowed.holds(value):
        unset = ", or unset" if optional else ""
        raise BadInputError(f"{name} is {value!r}; it has to be {allowed}{unset}")


def check_all(
    section: str, values: Mapping[str, Any], allowed: Mapping[str, tuple[Range, bool]]
) -> None:
    """Check every value that has a range; errors call it SECTION.NAME.

    ``allowed`` is what ``declared`` returns; a value that declares none passes.
    """
    for name, value in values.items():
        if name in allowed:
            one, optional = allowed[name]
            check(f"{section}.{name}", value, one, optional=optional)


def declared(thing: Callable[..., Any]) -> Mapping[str, tuple[Range, bool]]:
    """Return what a function's parameters or a class's fields declare: name -> (range, optional).

    A parameter declares its range in its annotation, ``Annotated[float, at_least(0)]``, or by being
    a ``Literal``; it is optional where that is ``... | None``.
    """
    found = {}
    for name, hint in typing.get_type_hints(thing, include_extras=True).items():
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        options = typing.get_args(hint) if union else (hint,)
        for option in options:
            if (allowed := _range_of(option)) is not None:
                found[name] = (allowed, type(None) in options)
    return found


def _range_of(hint: Any) -> Range | None:
    if typing.get_origin(hint) is typing.Literal:
        return OneOf(typing.get_args(hint))
    if typing.get_origin(hint) is Annotated:
        return next((note for note in hint.__metadata__ if hasattr(note, "holds")), None)
    return None
