"""Power: the figures of an independent integration, and what simulated studies have."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from cnn_jax.ablation import stats
from cnn_jax.ablation.stats import Difference

# (seeds, alpha, effect in standard deviations of one seed's difference) -> power, by mpmath 1.3:
# quad over s of (ncdf(d - t s) + ncdf(-d - t s)) times the density of sqrt(chi2 / freedom), 20
# digits. SciPy 1.17's nct is NaN at some of them.
EXACT = {
    (2, 0.05, 8 / 2**0.5): 0.46978167030185875514,
    (2, 0.05, 25.0): 0.99446194588139788063,
    (2, 0.01, 100.0): 0.97367274315704054837,
    (2, 0.05 / 16, 150.0): 0.70226204256068536451,
    (3, 0.01, 5.0): 0.53060015973129501384,
    (3, 0.05 / 16, 9.0): 0.53294972393046913572,
    (4, 0.05 / 16, 3.0): 0.30094143682229514337,
    (10, 0.05, 1.0): 0.80309685663272168248,
}
REGIMES = [  # seeds, alpha, variance that examples add, beside 0.01 squared of a seed
    *((2, 0.05, 0.0), (2, 0.01, 5e-6), (3, 0.05 / 5, 0.0), (3, 0.05 / 16, 5e-6)),
    *((4, 0.05 / 5, 25e-6), (4, 0.05 / 16, 0.0), (5, 0.05, 25e-6), (10, 0.05 / 16, 5e-6)),
]


@pytest.mark.parametrize("case", EXACT, ids=str)
def test_power_is_that_of_the_noncentral_t_distribution(case):
    seeds, alpha, effect = case
    noise = Difference(0.0, 1.0, 0.0, seeds)
    assert stats.power(effect, noise, alpha=alpha) == pytest.approx(EXACT[case], abs=1e-9)


def test_it_is_scipys_where_that_is_a_number_and_grows_everywhere():
    for seeds in (2, 3, 5, 20):
        for alpha in (0.05, 0.01, 0.05 / 16):
            limit = scipy_stats.t.isf(alpha / 2, seeds - 1)
            noise = Difference(0.0, 1.0, 0.0, seeds)
            found = [stats.power(effect, noise, alpha=alpha) for effect in np.linspace(0, 40, 41)]
            shifts = np.linspace(0, 40, 41) * np.sqrt(seeds)
            theirs = scipy_stats.nct.sf(limit, seeds - 1, shifts)
            theirs += scipy_stats.nct.cdf(-limit, seeds - 1, shifts)
            known = np.isfinite(theirs)
            assert np.asarray(found)[known] == pytest.approx(theirs[known], abs=1e-9)
            assert found[0] == pytest.approx(alpha, abs=1e-11)
            assert np.all(np.diff(found) >= -1e-12)
            assert max(found) <= 1 + 1e-12


def decided(effect: float, noise: Difference, alpha: float, smallest: float | None = None) -> float:
    """Return how often simulated studies with a true ``effect`` call it different, or small."""
    rng, studies, freedom = np.random.default_rng(0), 40_000, noise.seeds - 1
    own = noise.seed_variance * rng.chisquare(freedom, studies) / freedom
    mean = effect + np.sqrt(noise.variance) * rng.standard_normal(studies)
    drawn = Difference(mean, own, np.full(studies, noise.example_variance), noise.seeds)
    if smallest is None:
        return float(np.mean(drawn.p_different() < alpha))
    return float(np.mean(drawn.p_equivalent(smallest) < alpha))


@pytest.mark.parametrize(("seeds", "alpha", "examples"), REGIMES)
def test_what_is_announced_is_found_in_four_studies_of_five(seeds, alpha, examples):
    noise = Difference(0.0, 0.01**2, examples, seeds)
    finest = stats.detectable(noise, alpha=alpha)
    assert finest is not None
    assert decided(finest, noise, alpha) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(("mean", "smallest"), [(0.0, 0.01), (0.004, 0.02), (0.03, 0.01)])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 5])
def test_the_seeds_that_are_announced_decide_four_studies_of_five(mean, smallest, alpha):
    found = Difference(mean, 0.02**2, 1e-6, 2)
    seeds = stats.seeds_needed(found, smallest, alpha=alpha)
    assert seeds is not None
    now, before = (Difference(0.0, 0.02**2, 1e-6, count) for count in (seeds, seeds - 1))
    small = smallest if mean < smallest else None
    assert decided(mean, now, alpha, small) >= 0.79
    assert decided(mean, before, alpha, small) < 0.81


def test_what_two_seeds_found_in_the_committed_studies():
    """The figures that NaN had made 6.9, 4.6 and 40.6 points (experiments/results)."""
    shown = [
        stats.detectable(Difference(0.0, (half / t) ** 2 * 2, 0.0, 2), alpha=alpha)
        for t in [scipy_stats.t.isf(0.025, 1)]
        for half, alpha in ((0.0393, 0.05 / 5), (0.0531, 0.05 / 5), (0.6725, 0.05 / 3))
    ]
    assert shown[:2] == pytest.approx([0.252, 0.341], abs=5e-4)
    assert shown[2] is None


def test_ties_have_a_p_value_of_one():
    found = stats.paired(np.zeros((3, 10)))
    assert found.p_different() == 1.0
    assert stats.paired_means([0.01, -0.01], 100).p_different() == 1.0


@pytest.mark.parametrize(
    "numbers",
    [(np.nan, 1.0, 0.0, 3), (0.0, np.nan, 0.0, 3), (0.0, 0.0, 0.0, 3), (0.0, 1.0, 0.0, 1)],
)
def test_a_difference_without_numbers_is_none(numbers):
    with pytest.raises(ValueError, match=r"finite mean|at least 2"):
        Difference(*numbers)


def test_nan_is_no_p_value_and_one_example_no_sample():
    with pytest.raises(ValueError, match="NaN"):
        stats.holm([0.01, np.nan])
    with pytest.raises(ValueError, match="at least 2 seeds and examples, not 3 and 1"):
        stats.paired(np.ones((3, 1)))
