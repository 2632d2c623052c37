"""Power where the noise is known and all seeds are looked at once: one integral, no simulation."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from scipy.special import ndtr

from cnn_jax.ablation.stats import ALPHA, Difference

# Of the integrals over the seeds' estimated variance: Gauss and Legendre's rule on pieces that end
# at quantiles of the distribution and where the integrand falls.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
OUTER = np.array([1e-12, 1e-9, 1e-6, 1e-4, 1e-3])
TINY = 1e-300


def power(effect: float, noise: Difference, *, alpha: float = ALPHA) -> float:
    """Return the probability of finding a true ``effect`` with ``noise``'s variances and seeds.

    Found is what the two-sided interval at 1 - ``alpha`` calls different, in either direction.
    Where examples add no variance it is the power of Student's t test (a noncentral t
    distribution).
    """
    deviation = np.sqrt(noise.variance)
    shift = abs(effect) / deviation

    def found(limit: np.ndarray) -> np.ndarray:
        return ndtr(shift - limit) + ndtr(-shift - limit)

    return _over_seeds(found, noise, alpha / 2, (shift,))


def power_of_equivalence(
    effect: float, noise: Difference, smallest: float, *, alpha: float = ALPHA
) -> float:
    """Return the probability that the interval at 1 - 2 ``alpha`` lies within ``smallest``.

    These are two one-sided tests at ``alpha`` (TOST); ``effect`` is the true difference.
    """
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
    limit that the mean is held against, (a s^2 t + b z) / sqrt(a s^2 + b) in standard errors or
    sqrt(a) s t if that is more, with the shares a and b of seeds and examples in the variance and
    their quantiles t and z: see ``Difference.critical``. Given s the mean is normal, so that one
    integral over s is left. SciPy's noncentral t distribution would do without examples' variance,
    but is NaN at scattered points (1.17: 12.7 at 1 degree of freedom, shift 8, and many more).

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
        weighted = (own * student + examples * normal) / np.sqrt(own + examples)
        return np.maximum(weighted, student * np.sqrt(own))

    def reached(x: np.ndarray) -> np.ndarray:
        """Return the s at which the limit is x, which grows with s: a quadratic in its root."""
        root = (x + np.sqrt(x**2 + 4 * student * examples * (student - normal))) / (2 * student)
        weighted = np.sqrt(np.maximum(root**2 - examples, 0) / max(seeds, TINY))
        return np.minimum(weighted, x / (student * np.sqrt(max(seeds, TINY))))

    quantiles = np.concatenate([OUTER, np.linspace(0.02, 0.98, 13), 1 - OUTER[::-1]])
    ends = stats.chi.ppf(quantiles, freedom) / np.sqrt(freedom)
    around = reached(np.maximum(np.add.outer(steps, np.linspace(-8, 8, 9)).ravel(), 0))
    excess = max(student * (student - 2 * normal), TINY)
    kink = normal * np.sqrt(examples / max(seeds * excess, TINY))  # where the two limits meet
    cuts = np.unique(np.concatenate([ends, np.clip([*around, kink], ends[0], ends[-1])]))
    middle, half = (cuts[1:] + cuts[:-1]) / 2, (cuts[1:] - cuts[:-1]) / 2
    s = middle[:, None] + half[:, None] * NODES
    density = stats.chi.pdf(s * np.sqrt(freedom), freedom) * np.sqrt(freedom)
    return float(np.sum(half[:, None] * WEIGHTS * density * decided(limit(s))))
