"""Simulated studies with a known truth, to choose and to check the statistics by.

A network of an arm gets example i right with the probability that a probit model gives: the
example's difficulty, what the arm makes of it, the luck of the seed, and noise of its own for
every seed and example. Hence the true difference of the arms' errors, over all seeds and examples
that could be drawn, has a closed form. Studies whose seeds have one number each are in
``rehearsals``.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats
from scipy.special import ndtr, ndtri

from cnn_jax.ablation.decisions import (
    BETTER,
    EQUIVALENT,
    NOT_WORSE,
    WORSE,
    Measured,
    decide,
    measured,
)
from cnn_jax.ablation.looks import planned
from cnn_jax.ablation.stats import Difference, paired, trimmed_mean

FINE = 1e-6  # a smallest difference that matters so small that nothing is called equivalent
AT_ONCE = 3e6  # pairs of outcomes that are drawn together


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
        arm_luck: the arm's, where it is another than the control's.
        pairing: correlation of the two arms' luck with the same seed.
    """

    level: float = 3.0
    effect: float = 0.0
    difficulty: float = 2.0
    taste: float = 0.0
    luck: float = 0.15
    arm_luck: float | None = None
    pairing: float = 0.0

    @property
    def control_error(self) -> float:
        """Return the true error of the control."""
        return float(ndtr(-self.level / self._control))

    @property
    def difference(self) -> float:
        """Return the true error of the arm minus that of the control."""
        return float(ndtr(-(self.level + self.effect) / self._arm)) - self.control_error

    @property
    def _control(self) -> float:
        return math.sqrt(1 + self.difficulty**2 + self.luck**2)

    @property
    def _arm(self) -> float:
        own = self.luck if self.arm_luck is None else self.arm_luck
        return math.sqrt(1 + self.difficulty**2 + self.taste**2 + own**2)

    def differing_by(self, difference: float) -> "Truth":
        """Return the truth whose effect gives the arms this difference of errors."""
        level = -float(ndtri(self.control_error + difference)) * self._arm
        return dataclasses.replace(self, effect=level - self.level)

    def draw_arms(
        self, studies: int, seeds: int, examples: int, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return int8 errors ``[studies, seeds, examples]`` of the arm and of the control."""
        rng = np.random.default_rng(seed)

        def normal(spread: float, *shape: int) -> np.ndarray:
            return spread * rng.standard_normal(shape, np.float32)

        difficulty = normal(self.difficulty, studies, 1, examples)
        taste = normal(self.taste, studies, 1, examples)

        def wrong(shift: np.ndarray, luck: np.ndarray) -> np.ndarray:
            own = luck + normal(1.0, studies, seeds, examples)
            return (difficulty + shift + own <= 0).astype(np.int8)

        of_control = normal(1.0, studies, seeds, 1)
        control = wrong(np.asarray(self.level, np.float32), self.luck * of_control)
        alone = math.sqrt(1 - self.pairing**2)
        of_arm = self.pairing * of_control + normal(alone, studies, seeds, 1)
        own = self.luck if self.arm_luck is None else self.arm_luck
        return wrong(self.level + self.effect + taste, own * of_arm), control

    def draw(self, studies: int, seeds: int, examples: int, seed: int = 0) -> np.ndarray:
        """Return int8 ``[studies, seeds, examples]``, the arm's error minus the control's."""
        arm, control = self.draw_arms(studies, seeds, examples, seed)
        return arm - control


# Either noise dominant, both, small and usual test sets.
REGIMES = {
    "identical arms, seeds matter": (Truth(luck=0.3), 359),
    "identical arms, seeds hardly matter": (Truth(luck=0.02), 359),
    "arms differ by example, seeds matter": (Truth(luck=0.3, taste=1.0), 359),
    "arms differ by example, seeds hardly matter": (Truth(luck=0.05, taste=1.0, effect=0.3), 359),
    "the usual case": (Truth(luck=0.15, taste=0.5, effect=0.2), 1000),
}

# Two arms, and the test examples of a study: what may tempt a test that pairs seeds and examples.
ARMS = {
    "the same arm twice": (Truth(), 359),
    "arms differ by example": (Truth(taste=1.0), 359),
    "three times the luck in one arm": (Truth(luck=0.1, arm_luck=0.3), 359),
    "seeds paired, correlation +0.8": (Truth(luck=0.3, pairing=0.8), 359),
    "seeds paired, correlation -0.5": (Truth(luck=0.3, pairing=-0.5), 359),
    "errors of 20 %": (Truth(level=1.9), 359),
    "errors of 5 %": (Truth(level=3.7), 359),
    "errors of 0.5 %": (Truth(level=5.8), 1000),
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


def _chunks(studies: int, pairs: int) -> Iterator[tuple[int, int]]:
    """Yield (seed, studies) of parts that fit into memory; a study draws so many ``pairs``."""
    most = max(1, int(AT_ONCE / pairs))
    for part, start in enumerate(range(0, studies, most)):
        yield part, min(most, studies - start)


def told_apart(
    truth: Truth, examples: int, seeds: int, statements: Sequence[int], *, studies: int = 10_000
) -> tuple[list[float], float]:
    """Return how often arms are called better or worse, and how often the interval holds the truth.

    The arms have the same error in truth. The former is told of each number of ``statements`` in
    the study, for all of them together (that number times the share of one); the latter at 95 %.
    """
    truth = truth.differing_by(0.0)
    alphas = [planned((seeds,), count)[0].alpha for count in statements]
    false, held = np.zeros(len(alphas)), 0
    for seed, count in _chunks(studies, seeds * examples):
        drawn = truth.draw(count, seeds, examples, seed)
        found = paired(drawn)
        given = measured(found, drawn.mean(axis=-1, dtype=np.float64), FINE)
        false += [np.isin(decide(given, alpha), (BETTER, WORSE)).sum() for alpha in alphas]
        low, high = found.interval()
        held += int(((low <= truth.difference) & (truth.difference <= high)).sum())
    return list(np.asarray(statements) * false / studies), held / studies


def relative(arm: np.ndarray, control: np.ndarray, share: float) -> Measured:
    """Return a statement about errors ``[studies, S, N]`` with margins of a share of the control's.

    What is tested is the arm's error minus (1 + share) of the control's, so that the noise of the
    control's error counts too.
    """
    arm, control = arm.astype(np.float64), control.astype(np.float64)
    three = [arm - factor * control for factor in (1.0, 1 + share, 1 - share)]
    middles = [trimmed_mean(each.mean(axis=-1)) for each in three]
    found, worse, better = (paired(each) for each in three)
    return Measured(found, worse, better, (middles[0], middles[1], middles[2]))


def called_harmless(
    truth: Truth,
    examples: int,
    seeds: int,
    smallest: float,
    *,
    is_relative: bool = False,
    studies: int = 10_000,
) -> tuple[float, float]:
    """Return how often the arm is called equivalent, and no worse by what matters in any words.

    The latter by a hypothesis that asks whether it is *not worse*.

    Args:
        truth: of both arms.
        examples: of the test set.
        seeds: of a study.
        smallest: what matters, a share of the control's error where ``is_relative``.
        is_relative: whether the margins are.
        studies: how many.
    """
    (look,) = planned((seeds,), 1)
    equivalent = harmless = 0
    for seed, count in _chunks(studies, seeds * examples * (3 if is_relative else 1)):
        arm, control = truth.draw_arms(count, seeds, examples, seed)
        if is_relative:
            given = relative(arm, control, smallest)
        else:
            drawn = arm - control
            given = measured(paired(drawn), drawn.mean(axis=-1, dtype=np.float64), smallest)
        said = decide(given, look.alpha, not_worse=True)
        equivalent += int((said == EQUIVALENT).sum())
        harmless += int(np.isin(said, (EQUIVALENT, NOT_WORSE, BETTER)).sum())
    return equivalent / studies, harmless / studies
