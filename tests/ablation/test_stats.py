"""The statistics against SciPy's, against known answers, and against simulated studies."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from cnn_jax.ablation import simulate, stats
from cnn_jax.ablation.verdicts import BETTER, EQUIVALENT, INCONCLUSIVE, WORSE, decide

SEEDS = (3, 5, 10)


def verdicts_of(found: stats.Difference, smallest: float) -> list[str]:
    """Return the verdict of each of many studies with one comparison."""
    p, q = found.p_different(), found.p_equivalent(smallest)
    return [decide(*each) for each in zip(found.mean, p, q, strict=True)]


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("regime", simulate.REGIMES)
def test_intervals_cover_the_truth(seeds, regime):
    truth, examples = simulate.REGIMES[regime]
    covered = []
    for seed in range(18 // seeds):
        low, high = stats.paired(truth.draw(2000, seeds, examples, seed)).interval()
        covered += list((low <= truth.difference) & (truth.difference <= high))
    assert 0.93 <= np.mean(covered) <= 0.97


def test_what_was_not_chosen_covers_too_little():
    """The reasons for the method: what a t-interval or a bootstrap over seeds alone would do."""
    at_three, at_ten = simulate.compare_methods(3), simulate.compare_methods(10)
    assert all(table["bootstrap over seeds"] < 0.85 for table in at_three.values())
    assert at_ten["arms differ by example, seeds hardly matter"]["seeds alone"] < 0.85
    assert min(table["sum, Satterthwaite's degrees"] for table in at_three.values()) < 0.93


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("luck", [0.02, 0.15, 0.5])
def test_identical_arms_are_rarely_told_apart(seeds, luck):
    found = stats.paired(simulate.Truth(luck=luck).draw(1000, seeds, 359, seed=seeds))
    said = verdicts_of(found, 1e-4)
    assert sum(verdict in (BETTER, WORSE) for verdict in said) <= 68


def test_the_announced_power_is_what_simulated_studies_have():
    seeds, examples, studies = 5, 1000, 2000
    # The standard deviation of one seed's difference, of arms that do not differ ...
    still = stats.paired(simulate.Truth(luck=0.3).draw(studies, seeds, examples, seed=1))
    deviation = math.sqrt(np.mean(still.seed_variance))
    # ... and an effect that is twice that.
    effects = np.linspace(0, 5, 400)
    differences = [simulate.Truth(luck=0.3, effect=x).difference for x in effects]
    effect = float(np.interp(2 * deviation, -np.array(differences), effects))
    truth = simulate.Truth(luck=0.3, effect=effect)
    assert truth.difference == pytest.approx(-2 * deviation, rel=0.01)
    found = stats.paired(truth.draw(studies, seeds, examples, seed=2))
    said = verdicts_of(found, 1e-4)
    noise = stats.Difference(0.0, np.mean(found.seed_variance), 0.0, seeds)
    announced = stats.power(truth.difference, noise)
    assert 0.85 < announced < 0.999
    assert np.mean([verdict == BETTER for verdict in said]) == pytest.approx(announced, abs=0.05)


def test_the_true_difference_is_the_one_simulated():
    truth = simulate.Truth(luck=0.3, taste=1.0, effect=0.5)
    mean = truth.draw(300, 10, 2000, seed=3).mean()
    assert mean == pytest.approx(truth.difference, abs=1e-3)
    assert simulate.Truth(luck=0.3).difference == 0


def test_the_variances_are_those_of_the_crossed_layout():
    rng = np.random.default_rng(0)
    seeds, examples = 4, 7
    d = rng.integers(-1, 2, (seeds, examples)).astype(float)
    rows, columns, mean = d.mean(1), d.mean(0), d.mean()
    rest = sum(
        (d[s, i] - rows[s] - columns[i] + mean) ** 2 for s in range(seeds) for i in range(examples)
    ) / ((seeds - 1) * (examples - 1))
    found = stats.paired(d)
    assert found.mean == pytest.approx(mean)
    assert found.seed_variance == pytest.approx(np.var(rows, ddof=1))
    expected = max(np.var(columns, ddof=1) - rest / seeds, 0) / examples
    assert found.example_variance == pytest.approx(expected)


def test_without_noise_of_examples_it_is_the_paired_t_test():
    points = np.array([0.011, 0.004, 0.019, -0.002, 0.008])
    found = stats.paired_means(points, 10_000)
    theirs: Any = scipy_stats.ttest_1samp(points, 0)
    assert found.p_different() == pytest.approx(theirs.pvalue, rel=1e-9)
    interval = theirs.confidence_interval()
    assert found.interval() == pytest.approx((interval.low, interval.high))
    below: Any = scipy_stats.ttest_1samp(points, 0.02, alternative="less")
    above: Any = scipy_stats.ttest_1samp(points, -0.02, alternative="greater")
    assert found.p_equivalent(0.02) == pytest.approx(max(below.pvalue, above.pvalue), rel=1e-9)


def test_seeds_that_agree_by_chance_do_not_make_a_difference_exact():
    found = stats.paired_means([0.01, 0.01, 0.01], 100)
    low, high = found.interval()
    assert low < 0.01 < high
    assert found.seed_variance == pytest.approx(1 / 120_000)


def test_holm_on_a_known_case():
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.6, 0.9]) == [1.0, 1.0]


def test_power_is_that_of_simulated_t_tests():
    rng = np.random.default_rng(5)
    points = rng.normal(1.2, 1.0, (20_000, 4))
    tests: Any = scipy_stats.ttest_1samp(points, 0, axis=1)
    simulated = np.mean(tests.pvalue < 0.05)
    announced = stats.power(1.2, stats.Difference(0.0, 1.0, 0.0, 4))
    assert announced == pytest.approx(simulated, abs=0.01)
    noise = stats.Difference(0.0, 0.01, 0.0, 4)
    finest = stats.detectable(noise)
    assert finest is not None
    assert stats.power(finest, noise) == pytest.approx(0.8, abs=1e-3)
    assert stats.detectable(stats.Difference(0.0, 1.0, 0.0, 4)) is None  # above 100 points


def test_the_seeds_that_are_asked_for_decide_and_one_less_does_not():
    found = stats.Difference(0.012, 0.02**2, 0.0, 3)
    needed = stats.seeds_needed(found, 0.001)
    assert needed is not None

    def power(seeds: int) -> float:
        return stats.power(0.012, stats.Difference(0.012, 0.02**2, 0.0, seeds))

    assert power(needed) >= 0.8 > power(needed - 1)


def test_no_number_of_seeds_beats_a_test_set_that_is_too_small():
    assert stats.seeds_needed(stats.Difference(0.01, 0.02**2, 0.01**2, 3), 0.011) is None


def test_verdicts_by_their_p_values():
    assert decide(-0.02, 0.01, 0.9) == BETTER
    assert decide(0.02, 0.01, 0.9) == WORSE
    assert decide(0.001, 0.4, 0.01) == EQUIVALENT
    assert decide(0.001, 0.01, 0.01) == EQUIVALENT
    assert decide(0.02, 0.2, 0.3) == INCONCLUSIVE


def test_one_seed_has_no_variance():
    with pytest.raises(ValueError, match="at least 2"):
        stats.paired(np.zeros((1, 10)))
