"""Where lines of arms cross, with known answers."""

import itertools
from typing import Any

import numpy as np
import pytest

from cnn_jax.ablation import Arm, Series, Study, sections, series
from cnn_jax.ablation.outcomes import Outcome
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.verdicts import Verdict, judge
from cnn_jax.runtime.errors import BadInputError
from tests.ablation import made
from tests.ablation.tiny import config

NUMBERS = (1, 10, 100)


def outcome(right: np.ndarray) -> Outcome:
    accuracy = float(right.mean())
    metrics = {name: {"accuracy": accuracy, "examples": len(right)} for name in ("test", "train")}
    return Outcome({"metrics": metrics}, right, 1, [])


def study(
    gains: tuple[float, ...], *, seeds: int = 4, noise: Any = 0.0, endpoint="test", **lacking: int
) -> tuple[Plan, list[Verdict]]:
    """Return (plan, verdicts) of a line that is ``gains`` better in accuracy at NUMBERS.

    ``noise`` is of all seeds, or of those at each number; ``lacking`` names seeds that are missing.
    """
    rng, examples = np.random.default_rng(0), 4000
    outcomes: dict[str, dict[int, Outcome]] = {}
    for number, gain, own in zip(NUMBERS, gains, np.broadcast_to(noise, 3), strict=True):
        for line, share in (("old", 0.5), ("new", 0.5 + gain)):
            outcomes[f"{line} {number}"] = {
                seed: outcome(np.arange(examples) < round(examples * (share + own * rng.normal())))
                for seed in range(seeds)
            }
    for name, seed in lacking.items():
        del outcomes[name.replace("_", " ")][seed]
    places = {f"{line} {n}": (line, n) for line in ("old", "new") for n in NUMBERS}
    pairs = [(f"new {n}", f"old {n}") for n in NUMBERS]
    plan = made.plan(*pairs, seeds=seeds, endpoint=endpoint, series=Series("images", places))
    return plan, judge(plan, outcomes)


@pytest.mark.parametrize("endpoint", ["test", "train"])
def test_a_crossing_is_where_the_difference_is_nothing(endpoint):
    # +10 points at 1, -10 at 10 and 100: nothing in the middle of the logarithms.
    plan, verdicts = study((0.1, -0.1, -0.1), endpoint=endpoint)
    (found,) = series.compared(plan, verdicts)
    assert (found.line, found.control, found.numbers) == ("new", "old", NUMBERS)
    assert found.mean[[0, -1]] == pytest.approx([-0.1, 0.1])
    ((place, low, high),) = found.crossings()
    assert place == pytest.approx(10**0.5, rel=0.01)
    assert low is not None
    assert high is not None
    assert low <= place <= high
    assert high / low < 1.6  # only the test examples are noise here


def test_seeds_that_disagree_widen_the_interval():
    widths = []
    for noise in (0.01, 0.05):
        plan, verdicts = study((0.1, -0.1, -0.1), noise=noise)
        (found,) = series.compared(plan, verdicts)
        _, low, high = found.crossings()[0]
        widths.append(np.log((high or 100) / (low or 1)))
    assert widths[1] > 1.5 * widths[0]


def test_the_band_is_nowhere_narrower_than_at_the_points_beside_it():
    plan, verdicts = study((0.1, -0.02, 0.05), noise=(0.01, 0.05, 0.01))
    (found,) = series.compared(plan, verdicts)
    widths = found.high - found.low
    measured = [each.different[1] - each.different[0] for each in verdicts]
    at = np.searchsorted(found.at, NUMBERS)
    assert widths[at] == pytest.approx(measured)
    for first, last in itertools.pairwise(at):
        assert widths[first : last + 1].min() >= min(widths[first], widths[last]) - 1e-12
    half = found.mean[at[1] // 2] - found.low[at[1] // 2]
    assert half == pytest.approx((measured[0] + measured[1]) / 4, rel=1e-6)


def test_an_interval_that_nothing_measured_ends_is_open():
    plan, verdicts = study((0.1, 0.05, -0.02), noise=0.02)
    (found,) = series.compared(plan, verdicts)
    assert found.crossings()[0][2] is None
    assert "… above 100" in sections.crossings(plan, verdicts)


def test_lines_that_do_not_cross_are_said_to():
    plan, verdicts = study((0.1, 0.1, 0.1))
    text = sections.crossings(plan, verdicts)
    assert "| new | old | does not cross | from -10.00 to -10.00 points |" in text


def test_a_line_that_lacks_cells_is_not_compared():
    plan, verdicts = study((0.1, 0.1, 0.1), new_10=0)
    assert list(series.compared(plan, verdicts)) == []
    assert sections.crossings(plan, verdicts) == ""


def test_a_series_of_unknown_arms_is_refused():
    with pytest.raises(BadInputError, match="series places 'c', which is no arm"):
        Study(
            "it",
            "?",
            "!",
            config(),
            [Arm("a"), Arm("b", against="a")],
            series=Series("n", {"c": ("x", 1)}),
        )


def test_numbers_are_shown_with_three_digits():
    assert [series.shown(x) for x in (0.1234, 3.16228, 45.678, 4500, None)] == [
        *("0.123", "3.16", "45.7", "4,500", "-"),
    ]
