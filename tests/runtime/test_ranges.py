"""Ranges: which values they hold, how they say so, where they are declared."""

from typing import Annotated, Literal

import flax.linen as nn
import numpy as np
import pytest

from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("allowed", "good", "bad"),
    [
        (ranges.at_least(0), (0, 0.5, 7, np.float32(1)), (-1e-9, NAN, INF, True, "1", None)),
        (ranges.above(0, high=1), (1e-9, 1), (0, 1.1, NAN)),
        (ranges.below(1, low=0), (0, 0.99), (1, -0.1)),
        (ranges.inside(0, 1), (0.5,), (0, 1)),
        (ranges.whole(1, high=8), (1, 8, np.int64(3)), (0, 9, 1.0, True, NAN)),
        (ranges.one_of("a", 1), ("a", 1), ("b", True, 1.0)),
        (ranges.Each(ranges.whole(1), rising=True), ((), (1, 2), [3]), ((2, 1), (1, 1), 1, (0.5,))),
        (ranges.Each(ranges.at_least(0), count=2), ((0, 1),), ((0,), (0, 1, 2), "ab")),
        (ranges.Each(ranges.whole(1), least=1), ((1,), (2, 1)), ((), (0,))),
        (ranges.Said(ranges.whole(1), "a size"), (1,), (0,)),
        (ranges.at_least(0), (10**300,), (10**400,)),
        (ranges.whole(0), (10**400,), (-(10**400),)),
        (
            ranges.Interval(ranges.above(0, high=1)),
            ((0.1, 1), [0.5, 0.5]),
            ((1, 0.1), (0, 1), (0.5,), (0.1, NAN), 0.5, "ab"),
        ),
        (ranges.either(ranges.whole(1), ranges.Text()), (1, "a"), (0, "", "a\0", 1.5)),
    ],
)
def test_what_a_range_holds(allowed, good, bad):
    assert all(allowed.holds(value) for value in good)
    assert not any(allowed.holds(value) for value in bad)


def test_the_message_names_the_field_the_value_and_what_would_be_right():
    with pytest.raises(BadInputError) as told:
        ranges.check("optim.momentum", -1, ranges.below(1, low=0))
    line = "optim.momentum is -1; it has to be a finite number at least 0 and below 1"
    assert str(told.value) == line
    ranges.check("optim.clip", None, ranges.above(0), optional=True)
    with pytest.raises(BadInputError, match="or unset"):
        ranges.check("optim.clip", 0, ranges.above(0), optional=True)


def test_a_large_bound_is_said_in_full():
    assert str(ranges.whole(1, high=2**31 - 1)).endswith("at least 1 and at most 2147483647")
    assert str(ranges.above(0.01)) == "a finite number above 0.01"


def test_many_values_are_checked_against_what_is_declared():
    def fit(
        *,
        rate: Annotated[float, ranges.above(0)],
        clip: Annotated[int, ranges.whole(1)] | None = None,
    ):
        return rate, clip

    declared = ranges.declared(fit)
    ranges.check_all("optim", {"rate": 0.1, "clip": None, "undeclared": "x"}, declared)
    with pytest.raises(BadInputError, match=r"^optim\.clip is 0; .* or unset$"):
        ranges.check_all("optim", {"rate": 0.1, "clip": 0}, declared)


def test_functions_and_modules_declare_ranges_in_their_annotations():
    def flip(key, *, probability: Annotated[float, ranges.at_least(0, high=1)] = 0.5):
        return key, probability

    class Net(nn.Module):
        width: Annotated[int, ranges.whole(1)] = 4
        head: Annotated[int, ranges.whole(1)] | None = None
        name_of_it: str = "x"
        kind: Literal["a", "b"] = "a"
        shortcut: Literal["A", "B"] | None = "B"

    assert ranges.declared(flip) == {"probability": (ranges.at_least(0, high=1), False)}
    found = dict(ranges.declared(Net))
    assert found["width"] == (ranges.whole(1), False)
    assert found["head"] == (ranges.whole(1), True)
    assert "name_of_it" not in found
    assert found["kind"] == (ranges.one_of("a", "b"), False)
    assert found["shortcut"] == (ranges.one_of("A", "B"), True)
