"""Statistics of paired differences: intervals, tests, corrections, power. Arrays in, numbers out.

A comparison has D[s, i] = error of the arm minus error of its control, for seed s and test example
i: -1, 0 or 1. Both are samples: another seed gives another network, another test set other
examples. With D = mu + seed_s + example_i + rest_si (a crossed two-way layout without repeats), the
mean over everything has the variance

    Var = seeds / S + examples / N + rest / (S N).

The variance of the S row means estimates ``seeds + rest / N`` and so already holds the interaction
with a test set of N examples. What it cannot hold, since all seeds share the examples, is
``examples / N``: that comes from the column means, less the rest that is in them. A t-interval over
seeds alone leaves it out and covers as little as 79 % (10 seeds, arms that differ by example).

Each part has its own quantile, Student's with S - 1 degrees of freedom for the seeds and the
normal one for the examples; the interval takes their mean, weighted by the variances (Cochran &
Cox 1957, section 4.14, for two variances that differ). It was chosen by simulation with 3, 5 and
10 seeds and either noise dominant: it covers 95.0 to 96.3 %, where Satterthwaite's degrees of
freedom give 92.3 to 95.5 %, S - 1 of them for the sum 95.6 to 99.7 %, and the percentile
bootstrap over seeds 67 to 90 % (``experiments/calibration.py``, with its table in ``results``).
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import ndtr

ALPHA = 0.05
POWER = 0.8
MOST_SEEDS = 1000  # beyond it, more seeds are no answer

# Of the integrals over the seeds' estimated variance: Gauss and Legendre's rule on pieces that end
# at quantiles of the distribution and where the integrand falls.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
OUTER = np.array([1e-12, 1e-9, 1e-6, 1e-4, 1e-3])
TINY = 1e-300


@dataclasses.dataclass(frozen=True)
class Difference:
    """A mean difference and the variances behind it; numbers, or arrays over many studies.

    ``ValueError`` for a mean or a variance that is not finite, and for no variance at all: every
    comparison with NaN is false, so that it would pass for the opposite of what is asked.

    Attributes:
        mean: over seeds and examples, a share (0.01 is one percentage point).
        seed_variance: of one seed's difference, interaction with the test set included.
        example_variance: what the choice of test examples adds to the mean's variance, whatever
            the number of seeds; 0 where examples are not a sample.
        seeds: how many.
    """

    mean: Any
    seed_variance: Any
    example_variance: Any
    seeds: int

    def __post_init__(self):
        if self.seeds < 2:
            raise ValueError(f"a variance over seeds takes at least 2 of them, not {self.seeds}")
        if not np.all(np.isfinite(self.mean) & np.isfinite(self.variance) & (self.variance > 0)):
            raise ValueError("a difference has a finite mean and a finite variance above 0")

    @property
    def variance(self) -> Any:
        """Return the variance of the mean."""
        return self.seed_variance / self.seeds + self.example_variance

    def critical(self, tail: Any) -> Any:
        """Return how many standard errors leave the probability ``tail`` above them."""
        own = self.seed_variance / self.seeds
        student, normal = stats.t.isf(tail, self.seeds - 1), stats.norm.isf(tail)
        return (own * student + self.example_variance * normal) / self.variance

    def interval(self, confidence: float = 1 - ALPHA) -> tuple[Any, Any]:
        """Return the lower and the upper end of the two-sided interval."""
        half = self.critical((1 - confidence) / 2) * np.sqrt(self.variance)
        return self.mean - half, self.mean + half

    def p_different(self) -> Any:
        """Return the two-sided p-value of 'no difference'."""
        return np.minimum(2 * self._tail(np.abs(self.mean)), 1.0)

    def p_equivalent(self, smallest: float) -> Any:
        """Return the p-value of 'at least ``smallest`` apart': two one-sided tests (TOST)."""
        return self._tail(smallest - np.abs(self.mean))

    def _tail(self, distance: Any) -> Any:
        """Return the probability of landing ``distance`` or more above the truth."""
        # The weighted quantile has no closed inverse; it falls with the tail, so halve.
        errors = np.asarray(distance / np.sqrt(self.variance))
        low, high = np.zeros_like(errors), np.full_like(errors, 0.5)
        for _ in range(50):
            middle = (low + high) / 2
            beyond = self.critical(middle) > errors
            low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
        return np.where(errors <= 0, 1.0, high)[()]


def paired(differences: np.ndarray) -> Difference:
    """Return the difference of ``[..., S, N]`` paired outcomes, seeds by test examples."""
    d = np.asarray(differences, np.float32)
    *_, s, n = d.shape
    if s < 2 or n < 2:
        raise ValueError(f"a variance takes at least 2 seeds and examples, not {s} and {n}")
    rows = d.mean(axis=-1, dtype=np.float64)
    columns = d.mean(axis=-2, dtype=np.float64)
    mean = rows.mean(axis=-1)
    squares = (d * d).sum(axis=(-2, -1), dtype=np.float64)
    rest = squares - n * (rows**2).sum(-1) - s * (columns**2).sum(-1) + s * n * mean**2
    rest = np.maximum(rest, 0) / ((s - 1) * (n - 1))
    examples = np.maximum(columns.var(axis=-1, ddof=1) - rest / s, 0) / n
    return Difference(mean, _no_finer_than_counts(rows.var(axis=-1, ddof=1), n), examples, s)


def paired_means(differences: Sequence[float] | np.ndarray, examples: int) -> Difference:
    """Return the difference of one number a seed, ``[..., S]``: examples are not a sample.

    So it is for training error, a statement about the training set at hand, and for validation
    error, where each seed has a cut of its own and the rows hold that noise already. ``examples``
    are those that each number counts.
    """
    d = np.asarray(differences, np.float64)
    if d.shape[-1] < 2:
        raise ValueError(f"a variance over seeds takes at least 2 of them, not {d.shape[-1]}")
    variance = _no_finer_than_counts(d.var(axis=-1, ddof=1), examples)
    return Difference(d.mean(axis=-1), variance, np.zeros_like(variance), d.shape[-1])


def _no_finer_than_counts(variance: Any, examples: int) -> Any:
    # Errors are counts: seeds that agree by chance do not make a difference exact.
    return np.maximum(variance, 1 / (12 * examples**2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979): at most 1, order kept."""
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = np.empty(len(p_values)), 0.0
    if np.isnan(p_values).any():
        raise ValueError("a p-value is NaN, which no comparison rejects")
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted.tolist()


def power(effect: float, noise: Difference, *, alpha: float = ALPHA) -> float:
    """Return the probability of finding a true ``effect`` with ``noise``'s variances and seeds.

    Found is what the two-sided test at ``alpha`` calls different, in either direction. Where
    examples add no variance it is the power of Student's t test (a noncentral t distribution).
    """
    deviation = np.sqrt(noise.variance)
    shift = abs(effect) / deviation

    def found(limit: np.ndarray) -> np.ndarray:
        return ndtr(shift - limit) + ndtr(-shift - limit)

    return _over_seeds(found, noise, alpha / 2, (shift,))


def power_of_equivalence(
    effect: float, noise: Difference, smallest: float, *, alpha: float = ALPHA
) -> float:
    """Return the probability that TOST at ``alpha`` finds a true ``effect`` below ``smallest``."""
    deviation = np.sqrt(noise.variance)
    shift, room = abs(effect) / deviation, smallest / deviation

    def found(limit: np.ndarray) -> np.ndarray:
        return np.maximum(ndtr(room - limit - shift) - ndtr(limit - room - shift), 0)

    return _over_seeds(found, noise, alpha, (room - shift, room + shift, room))


def _over_seeds(
    decided: Callable[[np.ndarray], np.ndarray],
    noise: Difference,
    tail: float,
    steps: Sequence[float],
) -> float:
    """Return the mean of ``decided(limit)`` over what the seeds' variance may be estimated as.

    The estimate is the truth times s^2, chi-square over its S - 1 degrees of freedom. It moves the
    limit that the mean is held against, (a s^2 t + b z) / sqrt(a s^2 + b) in standard errors, with
    the shares a and b of seeds and examples in the variance and their quantiles t and z: see
    ``Difference.critical``. Given s the mean is normal, so that one integral over s is left.
    SciPy's noncentral t distribution would do without examples' variance, but is NaN at scattered
    points (1.17: 12.7 at 1 degree of freedom, shift 8, and many more).

    Args:
        decided: limits in standard errors -> probability of the verdict.
        noise: the true variances, and the seeds.
        tail: of the limit's quantiles.
        steps: the limits about which ``decided`` falls, within a few standard errors.
    """
    freedom = noise.seeds - 1
    seeds = float(noise.seed_variance / noise.seeds / noise.variance)
    examples = 1 - seeds
    student, normal = float(stats.t.isf(tail, freedom)), float(stats.norm.isf(tail))

    def limit(s: np.ndarray) -> np.ndarray:
        own = seeds * s**2
        return (own * student + examples * normal) / np.sqrt(own + examples)

    def reached(x: np.ndarray) -> np.ndarray:
        """Return the s at which the limit is x, which grows with s: a quadratic in its root."""
        root = (x + np.sqrt(x**2 + 4 * student * examples * (student - normal))) / (2 * student)
        return np.sqrt(np.maximum(root**2 - examples, 0) / max(seeds, TINY))

    quantiles = np.concatenate([OUTER, np.linspace(0.02, 0.98, 13), 1 - OUTER[::-1]])
    ends = stats.chi.ppf(quantiles, freedom) / np.sqrt(freedom)
    around = reached(np.maximum(np.add.outer(steps, np.linspace(-8, 8, 9)).ravel(), 0))
    cuts = np.unique(np.concatenate([ends, np.clip(around, ends[0], ends[-1])]))
    middle, half = (cuts[1:] + cuts[:-1]) / 2, (cuts[1:] - cuts[:-1]) / 2
    s = middle[:, None] + half[:, None] * NODES
    density = stats.chi.pdf(s * np.sqrt(freedom), freedom) * np.sqrt(freedom)
    return float(np.sum(half[:, None] * WEIGHTS * density * decided(limit(s))))


def detectable(noise: Difference, *, alpha: float = ALPHA) -> float | None:
    """Return the smallest true difference that is found with a probability of 80 %.

    None where it would be above 1: no two errors differ by more.
    """
    low, high = 0.0, 1.0
    if power(high, noise, alpha=alpha) < POWER:
        return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, noise, alpha=alpha) < POWER else (low, middle)
    return high


def seeds_needed(found: Difference, smallest: float, *, alpha: float = ALPHA) -> int | None:
    """Return the seeds that would decide a comparison if what was estimated is the truth.

    The least number with a probability of 80 % of finding a difference as large as the mean, or of
    finding it smaller than ``smallest``; None where the test set's own noise stands in the way,
    whatever the number of seeds (up to 1,000).
    """

    def decides(seeds: int) -> bool:
        then = dataclasses.replace(found, seeds=seeds)
        equivalent = power_of_equivalence(found.mean, then, smallest, alpha=alpha)
        return max(equivalent, power(found.mean, then, alpha=alpha)) >= POWER

    low, high = found.seeds, found.seeds + 1
    while not decides(high):
        if high >= MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high
