"""Power: the figures of an independent integration, and what simulated studies have."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from cnn_jax.ablation import announced
from cnn_jax.ablation.announced import Noise
from cnn_jax.ablation.decisions import EQUIVALENT
from cnn_jax.ablation.looks import Look, planned
from cnn_jax.ablation.power import power, power_of_equivalence
from cnn_jax.ablation.rehearsals import Source
from cnn_jax.ablation.stats import Difference, paired_means

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
REGIMES = [  # seeds, statements, variance that examples add, beside 0.01 squared of a seed
    *((2, 1, 0.0), (2, 5, 5e-6), (3, 5, 0.0), (3, 16, 5e-6)),
    *((4, 5, 25e-6), (4, 16, 0.0), (5, 1, 25e-6), (10, 16, 5e-6)),
]


@pytest.mark.parametrize("case", EXACT, ids=str)
def test_power_is_that_of_the_noncentral_t_distribution(case):
    seeds, alpha, effect = case
    noise = Difference(0.0, 1.0, 0.0, seeds)
    assert power(effect, noise, alpha=alpha) == pytest.approx(EXACT[case], abs=1e-9)


def test_it_is_scipys_where_that_is_a_number_and_grows_everywhere():
    for seeds in (2, 3, 5, 20):
        for alpha in (0.05, 0.01, 0.05 / 16):
            limit = scipy_stats.t.isf(alpha / 2, seeds - 1)
            noise = Difference(0.0, 1.0, 0.0, seeds)
            found = [power(effect, noise, alpha=alpha) for effect in np.linspace(0, 40, 41)]
            shifts = np.linspace(0, 40, 41) * np.sqrt(seeds)
            theirs = scipy_stats.nct.sf(limit, seeds - 1, shifts)
            theirs += scipy_stats.nct.cdf(-limit, seeds - 1, shifts)
            known = np.isfinite(theirs)
            assert np.asarray(found)[known] == pytest.approx(theirs[known], abs=1e-9)
            assert found[0] == pytest.approx(alpha, abs=1e-11)
            assert np.all(np.diff(found) >= -1e-12)
            assert max(found) <= 1 + 1e-12


@pytest.mark.parametrize("seeds", [2, 3, 10])
@pytest.mark.parametrize("examples", [1e-3, 1.0, 30.0])
def test_with_noise_of_examples_it_is_the_mean_over_estimated_variances(seeds, examples):
    """At 200,000 quantiles of the seeds' estimate, where the integral has pieces and nodes."""
    freedom, alpha, effect, count = seeds - 1, 0.05 / 5, 4.0, 200_000
    spread = scipy_stats.chi2.ppf((np.arange(count) + 0.5) / count, freedom) / freedom
    known = Difference(0.0, 1.0, examples, seeds)
    estimated = Difference(np.zeros(count), spread, np.full(count, examples), seeds)
    high = estimated.interval(1 - alpha)[1] / np.sqrt(known.variance)
    shift = effect / np.sqrt(known.variance)
    expected = np.mean(scipy_stats.norm.sf(high - shift) + scipy_stats.norm.sf(high + shift))
    assert power(effect, known, alpha=alpha) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("seeds", "statements", "examples"), REGIMES)
def test_what_is_announced_is_found_in_four_studies_of_five(seeds, statements, examples):
    source, looks = Source(0.01, examples), planned((seeds,), statements)
    finest = announced.detectable(source.known, looks)
    assert finest is not None
    assert announced.finds(source.known, looks, finest) == pytest.approx(0.8, abs=1e-6)
    found = source.power(looks, [finest], studies=20_000)[0]
    assert found == pytest.approx(0.8, abs=2 * math.sqrt(0.16 / 20_000))


@pytest.mark.parametrize("smallest", [0.01, 0.02])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 5])
def test_the_seeds_that_are_announced_decide_and_one_less_does_not(smallest, alpha):
    noise = Noise(0.02**2, 1e-6)

    def chances(seeds: int) -> tuple[float, float]:
        known = Difference(0.0, noise.seed_variance, noise.example_variance, seeds)
        of_equivalence = power_of_equivalence(0.0, known, smallest, alpha=alpha)
        return power(smallest, known, alpha=alpha), of_equivalence

    for index, needed in enumerate(
        (
            announced.seeds_to_find(noise, smallest, alpha),
            announced.seeds_for_equivalence(noise, smallest, alpha),
        )
    ):
        assert needed is not None
        assert chances(needed)[index] >= 0.8 > chances(needed - 1)[index]


def test_power_of_equivalence_is_what_studies_have():
    looks, source = planned((6,), 5), Source(0.01, 4e-6)
    for smallest in (0.012, 0.02, 0.03):
        studied = source.power(looks, [0.0], smallest, said=(EQUIVALENT,), studies=20_000)[0]
        expected = announced.finds_equivalent(source.known, looks, smallest)
        spread = 2 * math.sqrt(expected * (1 - expected) / 20_000)
        assert studied == pytest.approx(expected, abs=spread)


def test_no_number_of_seeds_beats_a_test_set_that_is_too_small():
    for freedom in (None, 2):
        assert announced.seeds_to_find(Noise(0.02**2, 0.01**2, freedom), 0.011, 0.05) is None


def test_no_difference_is_announced_that_errors_cannot_have():
    assert announced.detectable(Noise(1.0), planned((4,), 1)) is None  # above 100 points
    finer = announced.detectable(Noise(1e-4), planned((4,), 1))
    assert finer is not None
    assert announced.detectable(Noise(1.0), planned((4,), 1), most=3.0) == pytest.approx(
        100 * finer
    )


def test_two_seeds_announce_nothing_by_their_own_noise():
    found = paired_means(np.array([0.010, 0.012]), 10_000)
    assert announced.detectable(Noise.of(found), planned((2,), 5)) is None
    assert announced.seeds_to_find(Noise.of(found), 0.01, 0.05) is None
    assert announced.seeds_for_equivalence(Noise.of(found), 0.01, 0.05) is None
    # But what they would find of noise that is known, and three by their own, is announced.
    assert announced.detectable(Noise(1e-6), planned((2,), 5)) is not None
    three = paired_means(np.array([0.010, 0.012, 0.011]), 10_000)
    finest = announced.detectable(Noise.of(three), planned((3,), 5))
    assert finest == pytest.approx(0.0114, abs=2e-4)  # its noise may be far more than it looks
    assert announced.detectable(Noise.of(three), planned((3,), 16)) is None


def test_what_two_seeds_found_in_the_committed_studies():
    """The figures that NaN had made 6.9, 4.6 and 40.6 points (experiments/results)."""
    shown = [
        announced.detectable(Noise((half / t) ** 2 * 2), (Look(2, alpha),))
        for t in [float(scipy_stats.t.isf(0.025, 1))]
        for half, alpha in ((0.0393, 0.05 / 5), (0.0531, 0.05 / 5), (0.6725, 0.05 / 3))
    ]
    assert shown[:2] == pytest.approx([0.252, 0.341], abs=5e-4)
    assert shown[2] is None
