"""The verdict of each comparison, from what the cells measured."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from cnn_jax.ablation import stats
from cnn_jax.ablation.cells import Outcome
from cnn_jax.ablation.stats import ALPHA, Difference
from cnn_jax.ablation.stored import Plan
from cnn_jax.data.dataset import TEST
from cnn_jax.runtime.errors import BadInputError

BETTER, WORSE, EQUIVALENT, INCONCLUSIVE = "better", "worse", "equivalent", "inconclusive"
DIVERGED = "diverged"

Outcomes = Mapping[str, Mapping[int, Outcome]]  # arm -> seed -> what it measured
Diverged = Mapping[str, Sequence[int]]  # arm -> seeds whose loss stopped being finite


@dataclasses.dataclass(frozen=True)
class Verdict:
    """An arm against its control; differences are of errors, arm minus control.

    Attributes:
        arm: its name.
        control: the name of its control.
        verdict: better, worse, equivalent, inconclusive, or diverged: a network of one of the two
            has no finite loss, so that there is no error to compare.
        points: seed -> difference, of the seeds that both have.
        missing: the seeds that one of them lacks; any makes the verdict inconclusive.
        found: mean and variances, None with seeds missing.
        p_different: of 'no difference', adjusted for all comparisons of the study.
        p_equivalent: of 'a difference that matters', adjusted likewise.
        detectable: the true difference that this many seeds find with a probability of 80 %; None
            where errors cannot differ as much.
        seeds_needed: for an inconclusive one, the seeds that would decide it; None: no number.
        diverged: which of the two diverged, with which seeds; these are not missing.
    """

    arm: str
    control: str
    verdict: str
    points: dict[int, float]
    missing: tuple[int, ...]
    found: Difference | None
    p_different: float
    p_equivalent: float
    detectable: float | None
    seeds_needed: int | None
    diverged: Diverged = dataclasses.field(default_factory=dict)


def error(outcome: Outcome, split: str) -> float:
    """Return the share of a split that a cell got wrong."""
    if split not in outcome.result["metrics"]:
        raise BadInputError(f"the cells have no {split} part; data.validation is 0")
    accuracy = outcome.measured(split)
    if accuracy is None:
        raise BadInputError(f"a cell has no finite {split} accuracy")
    return 1 - accuracy


def errors(cells: Sequence[Outcome], split: str) -> list[float]:
    """Return the errors of the cells that have a finite one on a split."""
    found = [each.measured(split) for each in cells]
    return [1 - accuracy for accuracy in found if accuracy is not None]


def in_points(found: Difference) -> tuple[float, float]:
    """Return the ends of the 95 % interval in points, of which no difference has more than 100."""
    low, high = (100 * float(end) for end in found.interval())
    return max(low, -100.0), min(high, 100.0)


def decide(mean: float, p_different: float, p_equivalent: float) -> str:
    """Return the verdict of a difference in error, by its adjusted p-values.

    A difference that is found, and found to be too small to matter, is an equivalence.
    """
    if p_equivalent < ALPHA:
        return EQUIVALENT
    if p_different < ALPHA:
        return BETTER if mean < 0 else WORSE
    return INCONCLUSIVE


def judge(plan: Plan, outcomes: Outcomes, diverged: Diverged | None = None) -> list[Verdict]:
    """Return the verdicts of a study's comparisons, in the order of their proofs."""
    diverged = diverged or {}
    pairs = [(proof.arm, proof.control) for proof in plan.proofs]
    drawn = [_difference(plan, outcomes, *pair) for pair in pairs]
    # Comparisons that lack seeds count among those that the p-values are adjusted for.
    different = stats.holm([1.0 if d is None else float(d.p_different()) for d in drawn])
    equivalent = stats.holm(
        [1.0 if d is None else float(d.p_equivalent(plan.smallest)) for d in drawn]
    )
    alpha = ALPHA / max(len(pairs), 1)
    verdicts = []
    for (arm, control), found, p, q in zip(pairs, drawn, different, equivalent, strict=True):
        both = outcomes[arm].keys() & outcomes[control].keys()
        points = {
            seed: error(outcomes[arm][seed], plan.endpoint)
            - error(outcomes[control][seed], plan.endpoint)
            for seed in plan.seeds
            if seed in both
        }
        lost = {name: diverged[name] for name in (arm, control) if diverged.get(name)}
        gone = {seed for seeds in lost.values() for seed in seeds}
        missing = tuple(seed for seed in plan.seeds if seed not in both | gone)
        needed = finest = None
        if found is None:
            verdict = DIVERGED if lost else INCONCLUSIVE
        else:
            verdict = decide(float(found.mean), p, q)
            finest = stats.detectable(found, alpha=alpha)
            if verdict == INCONCLUSIVE:
                needed = stats.seeds_needed(found, plan.smallest, alpha=alpha)
        verdicts.append(
            Verdict(arm, control, verdict, points, missing, found, p, q, finest, needed, lost)
        )
    return verdicts


def _difference(plan: Plan, outcomes: Outcomes, arm: str, control: str) -> Difference | None:
    """Return the paired difference; None where a seed is missing in either arm."""
    if any(seed not in outcomes[name] for name in (arm, control) for seed in plan.seeds):
        return None
    pairs = [(outcomes[arm][seed], outcomes[control][seed]) for seed in plan.seeds]
    try:
        return compare(pairs, plan.endpoint)
    except BadInputError as error:
        raise BadInputError(f"arms {arm!r} and {control!r}: {error}") from None


def compare(pairs: Sequence[tuple[Outcome, Outcome]], endpoint: str) -> Difference:
    """Return the difference in error of (arm, control) pairs of cells.

    Raises:
        BadInputError: they were not all tested on the same examples, or on fewer than two.
    """
    if endpoint == TEST:
        return stats.paired(paired_errors(pairs))
    examples = min(arm.result["metrics"][endpoint]["examples"] for arm, _ in pairs)
    means = [error(arm, endpoint) - error(control, endpoint) for arm, control in pairs]
    return stats.paired_means(means, examples)


def paired_errors(pairs: Sequence[tuple[Outcome, Outcome]]) -> np.ndarray:
    """Return int8 ``[S, N]``: the arm's error minus its control's on each test example."""
    every = [outcome for pair in pairs for outcome in pair]
    counts = sorted({len(each.right) for each in every})
    if len(counts) != 1 or counts[0] < 2:
        raise BadInputError(
            f"their cells were tested on {' and '.join(map(str, counts))} examples; a comparison "
            "pairs at least 2, the same ones"
        )
    first = every[0].labels
    if first is not None:
        for each in every[1:]:
            if each.labels is not None and not np.array_equal(each.labels, first):
                raise BadInputError("their cells were tested on examples of other labels")
    return np.stack([control.right.astype(np.int8) - arm.right for arm, control in pairs])
