"""Which runs trained, and whether arms differ in the share that did not."""

import dataclasses
from collections.abc import Mapping, Sequence

from cnn_jax.ablation import failures
from cnn_jax.ablation.failures import Share
from cnn_jax.ablation.looks import Look
from cnn_jax.ablation.outcomes import Outcome, Outcomes
from cnn_jax.ablation.stored import Plan
from cnn_jax.data.dataset import TRAIN

MORE, FEWER, NO_DIFFERENCE = "fails more often", "fails less often", "no difference found"
DESCRIBED = "not judged"

Failed = Mapping[str, frozenset[int]]  # arm -> the seeds whose runs did not train


def failed_runs(plan: Plan, outcomes: Outcomes, diverged: Mapping[str, Sequence[int]]) -> Failed:
    """Return which runs did not train: they diverged, or ended at chance by the declared bound."""
    return {
        arm.name: frozenset(diverged.get(arm.name, ()))
        | {seed for seed, each in outcomes.get(arm.name, {}).items() if _at_chance(plan, each)}
        for arm in plan.arms
    }


def _at_chance(plan: Plan, outcome: Outcome) -> bool:
    accuracy = outcome.measured(TRAIN)
    return plan.at_chance is not None and accuracy is not None and 1 - accuracy >= plan.at_chance


@dataclasses.dataclass(frozen=True)
class Failing:
    """How often an arm's runs and its control's do not train.

    Attributes:
        arm: its name.
        control: the name of its control.
        shares: the arm's and its control's, with intervals at the level of the look.
        p: of 'the same share' (Fisher).
        alpha: below which it counts.
        verdict: fails more or less often, no difference found; *not judged* where no bound of
            chance is declared: the numbers are then only shown.
    """

    arm: str
    control: str
    shares: tuple[Share, Share]
    p: float
    alpha: float
    verdict: str


def compare_failures(
    plan: Plan, outcomes: Outcomes, failed: Failed, looks: Sequence[Look]
) -> list[Failing]:
    """Return how arms compare in runs that did not train, of those with any run that ended."""
    found = []
    for proof in plan.proofs:
        pair = proof.arm, proof.control
        ended = [outcomes.get(arm, {}).keys() | failed[arm] for arm in pair]
        result = None
        for look in looks:
            seeds = set(plan.seeds[: look.seeds])
            if not all(seeds <= each for each in ended):
                break
            result = _compared(plan, pair, failed, seeds, look)
            if result.verdict in (MORE, FEWER):
                break
        if result is not None:
            found.append(result)
    return found


def _compared(
    plan: Plan, pair: tuple[str, str], failed: Failed, seeds: set[int], look: Look
) -> Failing:
    one, other = (failures.share(len(failed[arm] & seeds), len(seeds), look.alpha) for arm in pair)
    p = failures.p_different(one, other)
    verdict = NO_DIFFERENCE if plan.at_chance is not None else DESCRIBED
    if plan.at_chance is not None and p < look.alpha:
        verdict = MORE if one.failed > other.failed else FEWER
    return Failing(*pair, (one, other), p, look.alpha, verdict)


def least_p(seeds: int) -> float:
    """Return the least p-value that so many seeds can give: all of one arm's fail, none's else."""
    return failures.p_different(failures.share(seeds, seeds), failures.share(0, seeds))
