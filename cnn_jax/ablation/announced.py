"""The power that a report announces: simulated, by the rules that verdicts are given by.

Two things leave no formula: several looks, and noise that is itself an estimate. A few seeds know
their noise badly (the variance of 3 seeds may be a fortieth of the truth), so that a power that
takes the estimate for the truth is wrong in nearly every study. Here the true variance is drawn as
the estimate leaves it, f s^2 / chi^2 of f degrees of freedom, and the power is the mean over what
was drawn: over studies, what is announced to be found in 80 % of them is found in 80 % of them.

That holds where nearly all studies announce something. Where the answer of most is out of bounds,
those that announce are those that underestimate their noise: of 2 seeds in a family of 16 a fifth
would, and find in 26 %. So estimates that are too poor for it, whatever they are, announce nothing.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from cnn_jax.ablation import power
from cnn_jax.ablation.looks import Look
from cnn_jax.ablation.stats import Difference

POWER = 0.8
DRAWS = 20_000  # the power's Monte Carlo error is 0.3 points
MOST_SEEDS = 1000  # beyond it, more seeds are no answer
ALL = 1.0  # no two errors differ by more
FARTHEST = 15.0  # estimated deviations of a seed's difference; farther off nothing is announced
# Of what examples add the variance is known well, so that the noise of a mean is known better than
# that of its seeds: by this power of its share. Without it up to 87 % find what 80 % are to (3 or 4
# seeds beside as much noise of examples), with it 76 to 82 %; by simulation.
EASED = 1 / 3
LEAST_FREEDOM = 2  # of an estimate that a number of seeds is announced by


@dataclasses.dataclass(frozen=True)
class Noise:
    """What seeds and examples add to a difference.

    Attributes:
        seed_variance: of one seed's difference.
        example_variance: of the mean, whatever the seeds.
        freedom: degrees of freedom behind ``seed_variance``; None: it is known.
    """

    seed_variance: float
    example_variance: float = 0.0
    freedom: int | None = None

    @classmethod
    def of(cls, found: Difference) -> "Noise":
        """Return the noise as a study has estimated it."""
        seeds, examples = float(found.seed_variance), float(found.example_variance)
        return cls(seeds, examples, found.seeds - 1)


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """Simulated studies at one look: deviation of the mean, half the width of both intervals."""

    off: np.ndarray
    different: np.ndarray
    within: np.ndarray


def _draw(noise: Noise, looks: Sequence[Look], draws: int = DRAWS) -> list[_Drawn]:
    """Return simulated studies, look by look; a study's seeds stay those of the looks before."""
    rng = np.random.default_rng(0)
    truth = np.full(draws, noise.seed_variance)
    if noise.freedom is not None:
        own = noise.seed_variance / looks[-1].seeds
        freedom = noise.freedom * ((own + noise.example_variance) / own) ** EASED
        truth = truth * freedom / rng.chisquare(freedom, draws)
    examples = math.sqrt(noise.example_variance) * rng.standard_normal(draws)
    count, mean, squares = 0, np.zeros(draws), np.zeros(draws)
    found = []
    for look in looks:
        more = look.seeds - count
        own = rng.standard_normal(draws) / math.sqrt(more)
        apart = own - mean
        squares = squares + apart**2 * count * more / look.seeds
        squares = squares + (rng.chisquare(more - 1, draws) if more > 1 else 0.0)
        mean, count = mean + apart * more / look.seeds, look.seeds
        variance = truth * squares / (count - 1)
        own = Difference(0.0, variance, np.full(draws, noise.example_variance), count)
        deviation = np.sqrt(own.variance)
        halves = (own.critical(tail) * deviation for tail in (look.alpha / 2, look.alpha))
        found.append(_Drawn(np.sqrt(truth) * mean + examples, *halves))
    return found


def _decided(drawn: Sequence[_Drawn], effect: float, smallest: float = 0.0) -> tuple[float, float]:
    """Return the shares of studies that end different, and equivalent, at a true ``effect``."""
    still = np.ones(len(drawn[0].off), bool)
    different = equivalent = 0
    for look in drawn:
        away = np.abs(look.off + effect)
        small = still & (away + look.within < smallest)
        apart = still & ~small & (away > look.different)
        equivalent, different = equivalent + int(small.sum()), different + int(apart.sum())
        still &= ~small & ~apart
    return different / len(still), equivalent / len(still)


def finds(noise: Noise, looks: Sequence[Look], effect: float) -> float:
    """Return the probability that a study calls arms different whose true difference is given."""
    if noise.freedom is None and len(looks) == 1:
        known = Difference(0.0, noise.seed_variance, noise.example_variance, looks[0].seeds)
        return power.power(effect, known, alpha=looks[0].alpha)
    return _decided(_draw(noise, looks), effect)[0]


def finds_equivalent(noise: Noise, looks: Sequence[Look], smallest: float) -> float:
    """Return the probability that a study calls arms equivalent that do not differ."""
    if noise.freedom is None and len(looks) == 1:
        known = Difference(0.0, noise.seed_variance, noise.example_variance, looks[0].seeds)
        return power.power_of_equivalence(0.0, known, smallest, alpha=looks[0].alpha)
    return _decided(_draw(noise, looks), 0.0, smallest)[1]


def detectable(noise: Noise, looks: Sequence[Look], most: float = ALL) -> float | None:
    """Return the smallest true difference that is found with a probability of 80 %.

    None where it would be above ``most``, or noise is estimated too poorly for these looks.
    """
    if noise.freedom is not None and not _tells(noise.freedom, tuple(looks)):
        return None
    if noise.freedom is None and len(looks) == 1:

        def chance(effect: float) -> float:
            return finds(noise, looks, effect)
    else:
        drawn = _draw(noise, looks)

        def chance(effect: float) -> float:
            return _decided(drawn, effect)[0]

    low, high = 0.0, most
    if chance(high) < POWER:
        return None
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle) < POWER else (low, middle)
    return high


@functools.cache
def _tells(freedom: int, looks: tuple[Look, ...]) -> bool:
    """Return whether noise with these degrees of freedom tells of a power, whatever its value."""
    return _decided(_draw(Noise(1.0, 0.0, freedom), looks), FARTHEST)[0] >= POWER


def seeds_to_find(noise: Noise, effect: float, alpha: float) -> int | None:
    """Return the seeds with which a new study, looking once, finds a true ``effect`` in 80 %.

    None where it would take more than ``MOST_SEEDS``, or where only 2 seeds estimate the noise.
    """
    return _least(noise, lambda seeds: finds(noise, (Look(seeds, alpha),), effect))


def seeds_for_equivalence(noise: Noise, smallest: float, alpha: float) -> int | None:
    """Return the seeds with which a new study tells in 80 % that equal arms are equivalent.

    None as for ``seeds_to_find``.
    """
    return _least(noise, lambda seeds: finds_equivalent(noise, (Look(seeds, alpha),), smallest))


def _least(noise: Noise, chance: Callable[[int], float]) -> int | None:
    """Return the least number of seeds that gives 80 %; None: there is none up to the most."""
    if noise.freedom is not None and noise.freedom < LEAST_FREEDOM:
        return None
    low, high = 1, 2
    while chance(high) < POWER:
        if high >= MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if chance(middle) >= POWER else (middle, high)
    return high
