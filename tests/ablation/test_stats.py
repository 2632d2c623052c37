"""The statistics against SciPy's, against known answers, and against simulated studies."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from cnn_jax.ablation import simulate, stats
from cnn_jax.ablation.decisions import BETTER, WORSE, decide, measured
from cnn_jax.ablation.power import power

SEEDS = (3, 5, 10)


def told(drawn: np.ndarray, alpha: float = 0.05) -> np.ndarray:
    """Return the verdict of each of many studies with one comparison."""
    given = measured(stats.paired(drawn), drawn.mean(axis=-1, dtype=np.float64), simulate.FINE)
    return decide(given, alpha)


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
    at_three, at_ten = (simulate.compare_methods(seeds, studies=1000) for seeds in (3, 10))
    assert all(table["bootstrap over seeds"] < 0.85 for table in at_three.values())
    assert at_ten["arms differ by example, seeds hardly matter"]["seeds alone"] < 0.85
    assert min(table["sum, Satterthwaite's degrees"] for table in at_three.values()) < 0.93


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("luck", [0.02, 0.15, 0.5])
def test_identical_arms_are_rarely_told_apart(seeds, luck):
    said = told(simulate.Truth(luck=luck).draw(1000, seeds, 359, seed=seeds))
    assert np.isin(said, (BETTER, WORSE)).sum() <= 68


def test_power_is_what_simulated_studies_have():
    seeds, examples, studies = 5, 1000, 2000
    # Twice the standard deviation of one seed's difference, of arms that do not differ.
    still = stats.paired(simulate.Truth(luck=0.3).draw(studies, seeds, examples, seed=1))
    effect = -2 * math.sqrt(np.mean(still.seed_variance))
    truth = simulate.Truth(luck=0.3).differing_by(effect)
    assert truth.difference == pytest.approx(effect, rel=1e-9)
    drawn = truth.draw(studies, seeds, examples, seed=2)
    variance = float(np.mean(stats.paired(drawn).seed_variance))
    announced = power(effect, stats.Difference(0.0, variance, 0.0, seeds))
    assert 0.85 < announced < 0.999
    assert np.mean(told(drawn) == BETTER) == pytest.approx(announced, abs=0.05)


@pytest.mark.parametrize(
    "truth",
    [
        simulate.Truth(luck=0.3, taste=1.0, effect=0.5),
        simulate.Truth(luck=0.3, arm_luck=1.0, pairing=0.8, effect=-0.3),
        simulate.Truth(level=1.9, pairing=-0.5).differing_by(0.03),
    ],
)
def test_the_true_difference_is_the_one_simulated(truth):
    arm, control = truth.draw_arms(300, 10, 2000, seed=3)
    off = (arm - control).mean(axis=(1, 2))
    assert off.mean() == pytest.approx(truth.difference, abs=3 * off.std() / math.sqrt(300))
    errors = control.mean(axis=(1, 2))
    assert errors.mean() == pytest.approx(truth.control_error, abs=3 * errors.std() / 300**0.5)


def test_arms_alike_do_not_differ_and_seeds_pair_as_asked():
    assert simulate.Truth(luck=0.3).difference == 0
    assert simulate.Truth(luck=0.1, arm_luck=0.3).differing_by(0.0).difference == pytest.approx(0)
    spreads = [
        stats.paired(simulate.Truth(luck=0.5, pairing=rho).draw(300, 10, 359)).seed_variance.mean()
        for rho in (0.8, 0.0, -0.5)
    ]
    assert spreads[0] < 0.5 * spreads[1] < 0.4 * spreads[2]


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


def test_a_mean_that_comes_out_low_comes_with_the_variance_that_its_slope_says():
    rng = np.random.default_rng(0)
    values = rng.choice([-1, 0, 1], p=[0.02, 0.88, 0.10], size=(20_000, 1, 200))
    found = stats.paired(np.repeat(values, 2, axis=1))  # both seeds agree: examples alone vary
    ((_, covariance), (_, _)) = np.cov(found.example_variance, found.mean)
    assert np.mean(found.slope) == pytest.approx(covariance / np.var(found.mean), rel=0.05)
    one = stats.Difference(-0.02, 1e-6, 1e-4, 3, 1e-3)
    assert one.if_zero().example_variance == pytest.approx(1e-4 + 0.02 * 1e-3)
    for mean, slope in ((0.02, 1e-3), (-0.02, -1e-3), (0.0, 1e-3)):  # never less than it was
        other = stats.Difference(mean, 1e-6, 1e-4, 3, slope)
        assert other.if_zero() == other
    even = stats.paired(np.repeat([[1, -1, 0, 0]], 2, axis=0))
    assert even.slope == 0


def test_without_noise_of_examples_it_is_the_paired_t_test():
    points = np.array([0.011, 0.004, 0.019, -0.002, 0.008])
    found = stats.paired_means(points, 10_000)
    theirs: Any = scipy_stats.ttest_1samp(points, 0)
    interval = theirs.confidence_interval()
    assert found.interval() == pytest.approx((interval.low, interval.high))
    # At the p-value the interval's end is at 0; at TOST's, at 1 - 2 p, at the margin.
    assert found.interval(1 - theirs.pvalue)[0] == pytest.approx(0, abs=1e-12)
    below: Any = scipy_stats.ttest_1samp(points, 0.02, alternative="less")
    above: Any = scipy_stats.ttest_1samp(points, -0.02, alternative="greater")
    assert found.interval(1 - 2 * below.pvalue)[1] == pytest.approx(0.02, rel=1e-9)
    assert found.interval(1 - 2 * above.pvalue)[0] == pytest.approx(-0.02, rel=1e-9)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 16])
def test_examples_never_make_an_interval_narrower(seeds, alpha):
    """With 2 seeds the weighted quantile alone would, and 16 comparisons err in 6.4 %."""
    student, normal = scipy_stats.t.isf(alpha / 2, seeds - 1), scipy_stats.norm.isf(alpha / 2)
    examples = np.linspace(0, 30, 301)
    found = stats.Difference(np.zeros(301), np.full(301, float(seeds)), examples, seeds)
    high = found.interval(1 - alpha)[1]
    assert high.min() == pytest.approx(student, rel=1e-12)
    assert high[0] == pytest.approx(student, rel=1e-12)
    weighted = (student + examples * normal) / np.sqrt(1 + examples)
    assert high == pytest.approx(np.maximum(weighted, student))
    assert (weighted.min() < 0.9 * student) == (student > 2.7 * normal)


def test_seeds_that_agree_by_chance_do_not_make_a_difference_exact():
    found = stats.paired_means([0.01, 0.01, 0.01], 100)
    low, high = found.interval()
    assert low < 0.01 < high
    assert found.seed_variance == pytest.approx(1 / 120_000)
    without = stats.paired_means([0.01, 0.01, 0.01], 100, grain=0.0)
    assert 0 < without.seed_variance < 1e-15
    assert np.isfinite(stats.paired(np.zeros((3, 10))).interval()).all()


def test_the_trimmed_mean_leaves_a_fifth_out_at_either_end():
    points = np.array([[9.0, 1.0, 2.0, 3.0, -7.0], [1.0, 1.0, 1.0, 1.0, 6.0]])
    assert stats.trimmed_mean(points) == pytest.approx([2.0, 1.0])
    assert stats.trimmed_mean(np.array([1.0, 2.0, 9.0])) == pytest.approx(4.0)  # too few to trim


def test_skew_and_outliers_are_told_of():
    grubbs = [199.31, 199.53, 200.19, 200.82, 201.92, 201.95, 202.18, 245.57]  # NIST's handbook
    assert stats.oddities(grubbs)[1]
    assert stats.oddities(grubbs[:-1]) == (False, False)
    assert stats.oddities([2.0**i for i in range(12)])[0]
    assert stats.oddities([1.0, 1.0, 1.0]) == stats.oddities([0.0]) == (False, False)
    normal = np.random.default_rng(0).standard_normal((1000, 10))
    told_of = np.array([stats.oddities(each) for each in normal])
    assert (told_of.mean(axis=0) < 0.01 + 2 * math.sqrt(0.01 / 1000)).all()


def test_one_seed_has_no_variance_nor_one_example():
    for few in ((1, 10), (3, 1)):
        with pytest.raises(ValueError, match="at least 2"):
            stats.paired(np.zeros(few))
    with pytest.raises(ValueError, match="at least 2"):
        stats.paired_means([0.1], 10)


@pytest.mark.parametrize(
    "numbers",
    [(np.nan, 1.0, 0.0, 3), (0.0, np.nan, 0.0, 3), (0.0, 0.0, 0.0, 3), (0.0, 1.0, 0.0, 1)],
)
def test_a_difference_without_numbers_is_none(numbers):
    with pytest.raises(ValueError, match=r"finite mean|at least 2"):
        stats.Difference(*numbers)
