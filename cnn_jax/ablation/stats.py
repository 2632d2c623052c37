"""Statistics of paired differences: means, variances, intervals. Arrays in, numbers out.

A comparison has D[s, i] = value of the arm minus value of its control, for seed s and test example
i; of an error it is -1, 0 or 1, and a contrast weighs more than two arms. Both are samples: another
seed gives another network, another test set other examples. With D = mu + seed_s + example_i +
rest_si (a crossed two-way layout without repeats), the mean over everything has the variance

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

It is never narrower than the t-interval over seeds alone. Where Student's quantile is more than
twice the normal one (2 seeds, or 3 in a family of 16) the weights would let examples' variance, an
estimate that is above 0 by chance where there is none, narrow it: 6 % of studies would err, not 5.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

ALPHA = 0.05
TRIMMED = 0.2  # of either end, in the trimmed mean
SUSPECT = 0.01  # a p-value below which seeds are called skewed, or one of them an outlier
FINEST = 1e-9  # what differs by less differs by rounding


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
        slope: by how much the variance grows with the mean, since examples' values are skewed: of
            errors one that comes out low comes with too small a variance. It is their third moment
            over the second, divided by their number.
    """

    mean: Any
    seed_variance: Any
    example_variance: Any
    seeds: int
    slope: Any = 0.0

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
        weighted = (own * student + self.example_variance * normal) / self.variance
        return np.maximum(weighted, student * np.sqrt(own / self.variance))

    def if_zero(self) -> "Difference":
        """Return the difference with the variance that it has if it is truly 0, or its own if more.

        A test of a null that is far from the mean takes the variance under it, as score tests of
        proportions do (Tango 1998), here to first order in the skew of any values.
        """
        more = np.maximum(self.slope * -self.mean, 0)
        return dataclasses.replace(self, example_variance=self.example_variance + more)

    def interval(self, confidence: float = 1 - ALPHA) -> tuple[Any, Any]:
        """Return the lower and the upper end of the two-sided interval."""
        half = self.critical((1 - confidence) / 2) * np.sqrt(self.variance)
        return self.mean - half, self.mean + half


def paired(differences: np.ndarray, grain: float = 1.0) -> Difference:
    """Return the difference of ``[..., S, N]`` paired outcomes, seeds by test examples.

    ``grain`` is the least step of one example's value: 1 for an error; 0 where there is none.
    """
    d = np.asarray(differences)
    d = d if d.dtype == np.float64 else d.astype(np.float32)
    *_, s, n = d.shape
    if s < 2 or n < 2:
        raise ValueError(f"a variance takes at least 2 seeds and examples, not {s} and {n}")
    rows = d.mean(axis=-1, dtype=np.float64)
    columns = d.mean(axis=-2, dtype=np.float64)
    mean = rows.mean(axis=-1)
    squares = (d * d).sum(axis=(-2, -1), dtype=np.float64)
    rest = squares - n * (rows**2).sum(-1) - s * (columns**2).sum(-1) + s * n * mean**2
    rest = np.maximum(rest, 0) / ((s - 1) * (n - 1))
    spread = columns.var(axis=-1, ddof=1)
    examples = np.maximum(spread - rest / s, 0) / n
    third = ((columns - mean[..., None]) ** 3).mean(axis=-1)
    slope = third / np.maximum(spread, FINEST**2) / n
    seeds = _no_finer(rows.var(axis=-1, ddof=1), n, grain)
    return Difference(mean, seeds, examples, s, slope)


def paired_means(
    differences: Sequence[float] | np.ndarray, examples: int, grain: float = 1.0
) -> Difference:
    """Return the difference of one number a seed, ``[..., S]``: examples are not a sample.

    So it is for training error, a statement about the training set at hand, and for validation
    error, where each seed has a cut of its own and the rows hold that noise already. ``examples``
    are those that each number counts; ``grain`` as for ``paired``.
    """
    d = np.asarray(differences, np.float64)
    if d.shape[-1] < 2:
        raise ValueError(f"a variance over seeds takes at least 2 of them, not {d.shape[-1]}")
    variance = _no_finer(d.var(axis=-1, ddof=1), examples, grain)
    return Difference(d.mean(axis=-1), variance, np.zeros_like(variance), d.shape[-1])


def _no_finer(variance: Any, examples: int, grain: float) -> Any:
    # Errors are counts: seeds that agree by chance do not make a difference exact.
    return np.maximum(variance, max(grain / examples, FINEST) ** 2 / 12)


def trimmed_mean(points: np.ndarray) -> Any:
    """Return the mean of seeds' differences ``[..., S]`` without a fifth of them at either end."""
    return stats.trim_mean(points, TRIMMED, axis=-1)


def oddities(points: Sequence[float]) -> tuple[bool, bool]:
    """Return whether seeds' differences are skewed, and whether one of them is an outlier.

    Skew by D'Agostino's test (1970), of at least 8 seeds; an outlier by Grubbs' (1969), of at least
    3: both at 1 %, so that of a hundred studies of normal noise one is told of either.
    """
    x, s = np.asarray(points, np.float64), len(points)
    spread = x.std(ddof=1) if s > 1 else 0.0
    if s < 3 or spread == 0:
        return False, False
    skewed = s >= 8 and bool(stats.skewtest(x).pvalue < SUSPECT)
    t = stats.t.isf(SUSPECT / (2 * s), s - 2)
    limit = (s - 1) / np.sqrt(s) * np.sqrt(t**2 / (s - 2 + t**2))
    return skewed, bool(np.abs(x - x.mean()).max() / spread > limit)
