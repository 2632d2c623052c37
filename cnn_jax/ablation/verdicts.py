"""The verdict of each statement of a study, from what the cells measured, look by look."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np

from cnn_jax.ablation import announced, decisions, failures, looks, stats
from cnn_jax.ablation.announced import Noise
from cnn_jax.ablation.decisions import (
    BETTER,
    EQUIVALENT,
    INCONCLUSIVE,
    NOT_WORSE,
    WORSE,
    Measured,
)
from cnn_jax.ablation.endpoints import value
from cnn_jax.ablation.looks import Look
from cnn_jax.ablation.outcomes import Outcomes
from cnn_jax.ablation.statements import Statement, counted, measure, points, statements
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.trained import Failed, failed_runs

UNTRAINED = "did not train"  # too many runs of one arm: there is no mean to compare


@dataclasses.dataclass(frozen=True)
class Power:
    """What is announced; None: nothing, since nothing that is known well enough would do.

    Attributes:
        detectable: the true difference that such a study finds with a probability of 80 %.
        to_find: the seeds of a new study that finds the smallest difference that matters.
        for_equivalence: the seeds of a new study that tells equal arms to be equivalent.
    """

    detectable: float | None = None
    to_find: int | None = None
    for_equivalence: int | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is said of a statement; numbers are differences of its endpoint as it is measured.

    Attributes:
        statement: what is judged.
        verdict: better, worse, equivalent, not worse, inconclusive, or that one of the arms did not
            train, so that there is no mean to compare.
        look: at which it fell, or which it waits for.
        points: seed -> difference, of seeds whose runs all trained.
        missing: the seeds that one of the arms lacks at this look; any leaves it inconclusive.
        failed: arm -> seeds that did not train, up to this look.
        mean: None with seeds missing.
        different: the interval at 1 - alpha, which tells better and worse.
        within: the interval at 1 - 2 alpha, which tells equivalent and not worse.
        margins: for a relative margin, the upper end of arm - (1 + r) control and the lower end
            of arm - (1 - r) control, in that interval.
        seeds_share: of the variance, what seeds add.
        trimmed: the mean without a fifth of the seeds at either end.
        matters: whether the difference matters, in words.
        conditions: under which the verdict holds, in words.
        warnings: what the seeds look like, in words.
        power: what is announced.
    """

    statement: Statement
    verdict: str
    look: Look
    points: dict[int, float] = dataclasses.field(default_factory=dict)
    missing: tuple[int, ...] = ()
    failed: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    mean: float | None = None
    different: tuple[float, float] = (-np.inf, np.inf)
    within: tuple[float, float] = (-np.inf, np.inf)
    margins: tuple[float, float] | None = None
    seeds_share: float = 0.0
    trimmed: float = 0.0
    matters: str = ""
    conditions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    power: Power = Power()

    @property
    def open(self) -> bool:
        """Whether more seeds may still decide it."""
        return self.verdict in (INCONCLUSIVE, UNTRAINED)

    @property
    def name(self) -> str:
        """The statement's name."""
        return self.statement.name

    @property
    def word(self) -> str:
        """The verdict as it is written: a contrast is above or below zero, not better or worse."""
        if self.statement.comparison or self.verdict not in (BETTER, WORSE):
            return self.verdict
        up = self.statement.endpoint.higher_is_better
        return "above zero" if (self.verdict == BETTER) == up else "below zero"


def planned(plan: Plan) -> tuple[Look, ...]:
    """Return the looks at each statement of a study."""
    return looks.planned(plan.looks or (len(plan.seeds),), counted(plan))


def judge(
    plan: Plan, outcomes: Outcomes, diverged: Mapping[str, Sequence[int]] | None = None
) -> list[Verdict]:
    """Return the verdicts of a study's statements, each final at the first look that decides it."""
    failed = failed_runs(plan, outcomes, diverged or {})
    every = planned(plan)
    return [_judged(plan, each, outcomes, failed, every) for each in statements(plan)]


def needed(plan: Plan, verdicts: Sequence[Verdict]) -> dict[str, int]:
    """Return arm -> how many seeds it takes: an arm with nothing open gets no more of them."""
    found = dict.fromkeys((arm.name for arm in plan.arms), planned(plan)[0].seeds)
    for verdict in verdicts:
        for arm in verdict.statement.arms:
            found[arm] = max(found[arm], verdict.look.seeds)
    return found


def _judged(
    plan: Plan, statement: Statement, outcomes: Outcomes, failed: Failed, every: Sequence[Look]
) -> Verdict:
    verdict = None
    for look in every:
        seeds = plan.seeds[: look.seeds]
        lost = {arm: tuple(s for s in seeds if s in failed[arm]) for arm in statement.arms}
        lost = {arm: own for arm, own in lost.items() if own}
        gone = {seed for own in lost.values() for seed in own}
        have = [outcomes.get(arm, {}) for arm in statement.arms]
        pairs = [s for s in seeds if s not in gone and all(s in own for own in have)]
        missing = tuple(s for s in seeds if s not in gone and s not in pairs)
        own = points(statement, outcomes, pairs)
        if missing or len(pairs) < 2:
            word = INCONCLUSIVE if missing else UNTRAINED
            verdict = Verdict(statement, word, look, own, missing, lost)
        else:
            verdict = _decided(plan, statement, outcomes, own, lost, look)
        if missing or not verdict.open:
            break
    assert verdict is not None
    return verdict


def _decided(
    plan: Plan,
    statement: Statement,
    outcomes: Outcomes,
    own: dict[int, float],
    lost: Mapping[str, tuple[int, ...]],
    look: Look,
) -> Verdict:
    """Return the verdict of a statement at a look that all its runs have ended for."""
    given = measure(statement, outcomes, list(own))
    alone = failures.in_one_alone([lost.get(arm, ()) for arm in statement.arms])
    word = str(
        decisions.decide(given, look.alpha, not_worse=statement.not_worse, failed_alone=alone)
    )
    sign = -1 if statement.endpoint.higher_is_better else 1

    def ends(low: float, high: float) -> tuple[float, float]:
        first, second = sorted((sign * float(low), sign * float(high)))
        limit = 1.0 if statement.endpoint.is_error and statement.comparison else np.inf
        return max(first, -limit), min(second, limit)

    margins = None
    below, above = decisions.beyond(given, look.alpha)
    within = ends(below - statement.smallest, above + statement.smallest)
    if statement.relative:
        within = ends(*given.found.interval(1 - 2 * look.alpha))
        margins = sign * float(above), sign * float(below)
    own_variance = given.found.seed_variance / given.found.seeds
    return Verdict(
        statement,
        word,
        look,
        own,
        (),
        lost,
        sign * float(given.found.mean),
        ends(*given.found.interval(1 - look.alpha)),
        within,
        margins,
        float(own_variance / given.found.variance),
        sign * float(given.trimmed[0]),
        decisions.importance(given, word, look.alpha),
        tuple(_conditions(plan, statement, word, lost, look)),
        tuple(_warnings(given, word, list(own.values()), alone, look)),
        Power() if lost else _power(plan, statement, outcomes, list(own), given, word),
    )


def _conditions(
    plan: Plan, statement: Statement, word: str, lost: Mapping[str, Sequence[int]], look: Look
) -> list[str]:
    """Return under what a verdict holds, in words."""
    found = []
    if word in (EQUIVALENT, NOT_WORSE):
        shares = [
            failures.share(len(lost.get(arm, ())), look.seeds, look.alpha) for arm in statement.arms
        ]
        most = max(each.high for each in shares)
        found.append(f"among runs that trained; failures up to {most:.0%} not excluded")
    elif lost:
        found.append("among runs that trained")
    if plan.tuning and plan.tune_once:
        found.append("given what one tuning chose for all seeds")
    if any(_one_source(plan, arm) for arm in statement.arms):
        found.append("given the one network that all seeds start from")
    return found


def _one_source(plan: Plan, arm: str) -> bool:
    """Return whether all seeds of an arm start from one network's weights."""
    config = next(json.loads(each.config) for each in plan.arms if each.name == arm)
    source = (config.get("init") or {}).get("source")
    return bool(source) and "{seed}" not in source


def _warnings(
    given: Measured, word: str, rows: Sequence[float], alone: bool, look: Look
) -> list[str]:
    """Return what a reader should know of the seeds, in words."""
    skewed, outlier = stats.oddities(rows)
    found = ["the seeds are skewed"] if skewed else []
    found += ["one seed is an outlier"] if outlier else []
    blind = dataclasses.replace(given, trimmed=(given.found.mean, -np.inf, np.inf))
    if word == INCONCLUSIVE:
        if alone and str(decisions.decide(given, look.alpha)) == EQUIVALENT:
            found.append("not called equivalent: runs of one arm alone did not train")
        elif str(decisions.decide(blind, look.alpha, failed_alone=alone)) != INCONCLUSIVE:
            found.append("withheld: the trimmed mean says otherwise")
    return found


def _power(
    plan: Plan,
    statement: Statement,
    outcomes: Outcomes,
    seeds: Sequence[int],
    given: Measured,
    word: str,
) -> Power:
    """Return what is announced of a statement whose runs all trained."""
    endpoint = statement.endpoint
    every = planned(plan)
    noise, smallest = Noise.of(given.found), statement.smallest
    if statement.relative:
        noise = Noise.of(given.worse)
        control = statement.arms[1]
        smallest *= abs(float(np.mean([value(outcomes[control][s], endpoint) for s in seeds])))
    most = announced.ALL if statement.endpoint.is_error else np.inf
    most = most if np.isfinite(most) else 100 * float(np.sqrt(noise.seed_variance)) + smallest
    finest = announced.detectable(noise, every, most)
    if word != INCONCLUSIVE:
        return Power(finest)
    alpha = looks.ALPHA / counted(plan)
    to_find = announced.seeds_to_find(noise, smallest, alpha)
    return Power(finest, to_find, announced.seeds_for_equivalence(noise, smallest, alpha))
