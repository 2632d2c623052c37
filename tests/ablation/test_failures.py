"""Runs that did not train: exact intervals and tests against known figures."""

import numpy as np
import pytest
from scipy import stats

from cnn_jax.ablation import failures

# (failed, runs) -> Clopper and Pearson's 95 % interval, by the quantiles of beta distributions.
KNOWN = {
    (0, 5): (0.0, 0.5218),
    (5, 5): (0.4782, 1.0),
    (1, 10): (0.0025, 0.4450),
    (2, 20): (0.0123, 0.3170),
    (10, 100): (0.0490, 0.1762),
}


@pytest.mark.parametrize("case", KNOWN, ids=str)
def test_intervals_are_exact(case):
    found = failures.share(*case)
    assert (found.failed, found.runs) == case
    assert (found.low, found.high) == pytest.approx(KNOWN[case], abs=5e-5)


@pytest.mark.parametrize("runs", [3, 5, 20])
def test_they_hold_any_share_in_95_per_cent(runs):
    intervals = [failures.share(failed, runs) for failed in range(runs + 1)]
    for share in np.linspace(0, 1, 41):
        chances = stats.binom.pmf(np.arange(runs + 1), runs, share)
        held = [each.low <= share <= each.high for each in intervals]
        assert np.sum(chances[held]) >= 0.95


def test_a_stricter_interval_is_wider():
    usual, strict = failures.share(1, 10), failures.share(1, 10, alpha=0.01)
    assert strict.low < usual.low < 0.1 < usual.high < strict.high


@pytest.mark.parametrize(
    ("arm", "control", "p"),
    [((5, 5), (0, 5), 2 / 252), ((0, 5), (0, 5), 1.0), ((3, 5), (0, 5), 20 / 120 * 20 / 70 * 3.5)],
)
def test_fishers_exact_test(arm, control, p):
    found = failures.p_different(failures.share(*arm), failures.share(*control))
    assert found == pytest.approx(p, abs=1e-12)


def test_a_seed_that_failed_in_one_arm_alone():
    assert failures.in_one_alone([[3], []])
    assert failures.in_one_alone([[3], [4]])
    assert failures.in_one_alone([[1, 2], [2, 1], [1]])
    assert not failures.in_one_alone([[], []])
    assert not failures.in_one_alone([[3, 1], (1, 3)])


@pytest.mark.parametrize("counts", [(6, 5), (-1, 5), (0, 0)])
def test_counts_that_cannot_be(counts):
    with pytest.raises(ValueError, match="cannot have failed"):
        failures.share(*counts)
