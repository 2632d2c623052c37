"""Every verdict and what is said of its importance, on hand-made differences."""

import numpy as np
import pytest

from cnn_jax.ablation import simulate
from cnn_jax.ablation.decisions import (
    BETTER,
    DOES_NOT,
    EQUIVALENT,
    INCONCLUSIVE,
    MATTERS,
    NOT_WORSE,
    OPEN,
    TOO_LITTLE,
    WORSE,
    Measured,
    decide,
    importance,
    measured,
)
from cnn_jax.ablation.stats import paired_means, trimmed_mean

ALPHA = 0.05


def of(mean: float, half: float, smallest: float = 1.0) -> Measured:
    """Return five seeds' statement whose 95 % interval is ``mean`` and ``half`` to either side."""
    shape = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    width = paired_means(shape, 1, grain=0.0).interval()[1]
    points = mean + shape * half / width
    found = paired_means(points, 1, grain=0.0)
    assert found.interval() == pytest.approx((mean - half, mean + half))
    return measured(found, points, smallest)


# (mean, half the 95 % interval; what matters is 1) -> verdict, what of its importance. The 90 %
# interval, which decides equivalence, has 0.77 of the half.
CASES = {
    (-3.0, 1.0): (BETTER, MATTERS),
    (-1.5, 1.0): (BETTER, OPEN),
    (3.0, 1.0): (WORSE, MATTERS),
    (1.5, 1.0): (WORSE, OPEN),
    (0.0, 0.5): (EQUIVALENT, DOES_NOT),
    (-0.5, 0.3): (EQUIVALENT, f"better, {TOO_LITTLE}"),
    (0.5, 0.3): (EQUIVALENT, f"worse, {TOO_LITTLE}"),
    (0.0, 1.25): (EQUIVALENT, DOES_NOT),
    (0.0, 1.35): (INCONCLUSIVE, ""),
    (-0.5, 1.0): (INCONCLUSIVE, ""),
    (0.5, 1.0): (INCONCLUSIVE, ""),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_verdicts_and_importance(case):
    given = of(*case)
    verdict = str(decide(given, ALPHA))
    assert (verdict, importance(given, verdict, ALPHA)) == CASES[case]


def test_not_worse_is_said_only_to_who_asks():
    given = of(-0.5, 1.0)
    assert str(decide(given, ALPHA)) == INCONCLUSIVE
    assert str(decide(given, ALPHA, not_worse=True)) == NOT_WORSE
    assert importance(given, NOT_WORSE, ALPHA) == f"if worse, {TOO_LITTLE}"
    # A stronger verdict stays, and what may be worse by what matters is open.
    assert str(decide(of(-3.0, 1.0), ALPHA, not_worse=True)) == BETTER
    assert str(decide(of(0.0, 0.5), ALPHA, not_worse=True)) == EQUIVALENT
    assert str(decide(of(0.5, 1.0), ALPHA, not_worse=True)) == INCONCLUSIVE


def test_a_stricter_rate_says_less():
    given = of(-1.5, 1.0)
    assert [str(decide(given, alpha)) for alpha in (0.05, 0.05 / 16)] == [BETTER, INCONCLUSIVE]


def test_a_failure_in_one_arm_alone_withholds_what_is_harmless():
    equal, slightly = of(0.0, 0.5), of(-0.5, 1.0)
    assert str(decide(equal, ALPHA, failed_alone=True)) == INCONCLUSIVE
    assert str(decide(slightly, ALPHA, not_worse=True, failed_alone=True)) == INCONCLUSIVE
    # A difference that is found is told all the same, one too small to matter too.
    assert str(decide(of(-3.0, 1.0), ALPHA, failed_alone=True)) == BETTER
    assert str(decide(of(0.5, 0.3), ALPHA, failed_alone=True)) == WORSE


def test_a_fifth_of_the_seeds_decides_nothing():
    """Four seeds of 20 put 0 out of the interval; the others are all on the other side."""
    points = np.array([1.0] * 4 + [-0.001] * 16)
    given = measured(paired_means(points, 1, grain=0.0), points, 1e-6)
    assert given.found.interval()[0] > 0 > trimmed_mean(points)
    assert str(decide(given, ALPHA)) == INCONCLUSIVE
    flipped = measured(paired_means(-points, 1, grain=0.0), -points, 1e-6)
    assert flipped.found.interval()[1] < 0
    assert str(decide(flipped, ALPHA)) == INCONCLUSIVE
    # With 5 of 20 the trimmed mean has one of them, and says the same.
    more = np.array([1.0] * 5 + [-0.001] * 15)
    assert str(decide(measured(paired_means(more, 1, grain=0.0), more, 1e-6), ALPHA)) == WORSE


def test_a_fifth_of_the_seeds_makes_nothing_harmless():
    points = 1.001 - np.array([5.0] * 4 + [0.0] * 16)
    found = paired_means(points, 1, grain=0.0)
    given = measured(found, points, 1.0)
    assert given.worse.interval(1 - 2 * ALPHA)[1] < 0 < given.trimmed[1]
    assert str(decide(given, ALPHA, not_worse=True)) == INCONCLUSIVE
    # By the interval alone it would be.
    spread_out = measured(found, np.full(20, found.mean), 1.0)
    assert str(decide(spread_out, ALPHA, not_worse=True)) in (EQUIVALENT, NOT_WORSE)


def test_many_studies_at_once():
    points = np.stack([np.linspace(-1, 1, 5) * 0.1 + mean for mean in (-3, 0, 3)])
    given = measured(paired_means(points, 1, grain=0.0), points, 1.0)
    assert decide(given, ALPHA).tolist() == [BETTER, EQUIVALENT, WORSE]
    said = decide(given, ALPHA, failed_alone=np.array([True, True, False]))
    assert said.tolist() == [BETTER, INCONCLUSIVE, WORSE]


def test_relative_margins_are_of_the_controls_error():
    arm, control = simulate.Truth(effect=-0.2).draw_arms(20, 5, 200)
    given = simulate.relative(arm, control, 0.5)
    errors = control.mean(axis=(1, 2))
    assert given.found.mean == pytest.approx(arm.mean(axis=(1, 2)) - errors)
    assert given.worse.mean == pytest.approx(given.found.mean - 0.5 * errors)
    assert given.better.mean == pytest.approx(given.found.mean + 0.5 * errors)
    # The control's noise counts, so that the margin is not taken for exact.
    assert (given.worse.seed_variance != given.found.seed_variance).all()
