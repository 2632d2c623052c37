"""Simulated studies with a known truth, to choose and to check the statistics by.

A network of an arm gets example i right with the probability that a probit model gives: the
example's difficulty, what the arm makes of it, the luck of the seed, and noise of its own for
every seed and example. Hence the true difference of the arms' errors, over all seeds and examples
that could be drawn, has a closed form.
"""

import dataclasses

import numpy as np
from scipy import stats
from scipy.special import ndtr

from cnn_jax.ablation.stats import Difference, paired


@dataclasses.dataclass(frozen=True)
class Truth:
    """What studies are drawn from, in units of the latent scale (the noise of one decision is 1).

    Attributes:
        level: of the control; 3 is an error of about 9 %.
        effect: of the arm; negative makes it worse.
        difficulty: standard deviation over examples, shared by both arms.
        taste: standard deviation over examples of what the arm alone makes of them. Identical arms
            have none.
        luck: standard deviation over seeds, of each arm's own.
    """

    level: float = 3.0
    effect: float = 0.0
    difficulty: float = 2.0
    taste: float = 0.0
    luck: float = 0.15

    @property
    def difference(self) -> float:
        """Return the true error of the arm minus that of the control."""
        control = np.sqrt(1 + self.difficulty**2 + self.luck**2)
        arm = np.sqrt(control**2 + self.taste**2)
        return float(ndtr(self.level / control) - ndtr((self.level + self.effect) / arm))

    def draw(self, studies: int, seeds: int, examples: int, seed: int = 0) -> np.ndarray:
        """Return int8 ``[studies, seeds, examples]``, the arm's error minus the control's."""
        rng = np.random.default_rng(seed)

        def normal(spread: float, *shape: int) -> np.ndarray:
            return spread * rng.standard_normal(shape, np.float32)

        difficulty = normal(self.difficulty, studies, 1, examples)
        taste = normal(self.taste, studies, 1, examples)

        def right(shift: np.ndarray) -> np.ndarray:
            own = normal(self.luck, studies, seeds, 1) + normal(1.0, studies, seeds, examples)
            return (difficulty + shift + own > 0).astype(np.int8)

        return right(np.asarray(self.level, np.float32)) - right(self.level + self.effect + taste)


# Either noise dominant, both, small and usual test sets.
REGIMES = {
    "identical arms, seeds matter": (Truth(luck=0.3), 359),
    "identical arms, seeds hardly matter": (Truth(luck=0.02), 359),
    "arms differ by example, seeds matter": (Truth(luck=0.3, taste=1.0), 359),
    "arms differ by example, seeds hardly matter": (Truth(luck=0.05, taste=1.0, effect=0.3), 359),
    "the usual case": (Truth(luck=0.15, taste=0.5, effect=0.2), 1000),
}


def halves(found: Difference, confidence: float = 0.95) -> dict[str, np.ndarray]:
    """Return half the width of each method's interval, by name of the method."""
    tail = (1 - confidence) / 2
    own, total = found.seed_variance / found.seeds, found.variance
    student = stats.t.isf(tail, found.seeds - 1)
    freedom = (found.seeds - 1) * (total / own) ** 2
    return {
        "seeds alone": student * np.sqrt(own),
        "sum, S - 1 degrees of freedom": student * np.sqrt(total),
        "sum, Satterthwaite's degrees": stats.t.isf(tail, freedom) * np.sqrt(total),
        "weighted quantile (used)": found.critical(tail) * np.sqrt(total),
    }


def compare_methods(seeds: int, *, studies: int = 2000, seed: int = 0) -> dict[str, dict]:
    """Return how often each method's 95 % interval holds the truth: regime -> method -> share."""
    table: dict[str, dict] = {}
    for name, (truth, examples) in REGIMES.items():
        drawn = truth.draw(studies, seeds, examples, seed)
        found = paired(drawn)
        off = np.abs(found.mean - truth.difference)
        table[name] = {
            method: float(np.mean(off <= half)) for method, half in halves(found).items()
        }
        table[name]["bootstrap over seeds"] = _bootstrap_coverage(drawn, truth.difference, seed)
    return table


def _bootstrap_coverage(drawn: np.ndarray, truth: float, seed: int, draws: int = 400) -> float:
    """Return the coverage of the percentile bootstrap over seeds, the method to compare with."""
    rows = drawn.mean(axis=-1, dtype=np.float64)
    rng = np.random.default_rng(seed + 1)
    resampled = rng.integers(rows.shape[1], size=(draws, rows.shape[1]))
    means = rows[:, resampled].mean(axis=-1)
    low, high = np.quantile(means, (0.025, 0.975), axis=-1)
    return float(np.mean((low <= truth) & (truth <= high)))
