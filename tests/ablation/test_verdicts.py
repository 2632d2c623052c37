"""What is said of a study whose numbers are known: one rate, looks, failures, margins."""

import dataclasses

import numpy as np
import pytest
from scipy import stats as scipy_stats

from cnn_jax.ablation import Contrast, Endpoint, announced, announcements, judgements, stats
from cnn_jax.ablation.decisions import (
    BETTER,
    DOES_NOT,
    EQUIVALENT,
    INCONCLUSIVE,
    MATTERS,
    NOT_WORSE,
    WORSE,
)
from cnn_jax.ablation.statements import counted, statements
from cnn_jax.ablation.stored import Candidate, Plan
from cnn_jax.ablation.trained import DESCRIBED, MORE, compare_failures, failed_runs
from cnn_jax.ablation.verdicts import UNTRAINED, judge, needed, planned
from tests.ablation import made

NEW = ("new", "old")
STEADY = [0.200, 0.202, 0.198, 0.201, 0.199]


def moved(by: float, errors: list[float] = STEADY) -> list[float]:
    return [error + by for error in errors]


def train_error(*pairs: tuple[str, str], **fields) -> Plan:
    """Return a plan whose examples are no sample: the interval is Student's over seeds."""
    return made.plan(*pairs, endpoint="train", **fields)


def trained(**errors: list[float]) -> dict:
    return {
        arm: {seed: made.outcome(0.1, train=error) for seed, error in enumerate(own)}
        for arm, own in errors.items()
    }


def test_both_intervals_are_simultaneous():
    plan = train_error(NEW, ("other", "old"))
    points = np.array([0.011, 0.004, 0.019, -0.002, 0.008])
    measured = trained(old=STEADY, new=list(STEADY + points), other=STEADY)
    first, _ = judge(plan, measured)
    for share, ends in ((0.05 / 2, first.different), (2 * 0.05 / 2, first.within)):
        half = scipy_stats.t.isf(share / 2, 4) * points.std(ddof=1) / 5**0.5
        assert ends == pytest.approx((points.mean() - half, points.mean() + half))


def test_the_rate_is_shared_by_all_statements():
    contrast = Contrast("more", {"new": 1, "other": -1})
    plan = made.plan(NEW, ("other", "old"), contrasts=(contrast,))
    assert [each.name for each in statements(plan)] == [
        *("new against old", "other against old", "more"),
    ]
    assert counted(plan) == 3
    several = (Endpoint(), Endpoint("log_loss", smallest=0.1))
    assert counted(dataclasses.replace(plan, endpoints=several)) == 6
    assert counted(dataclasses.replace(plan, endpoints=several, at_chance=0.9)) == 8
    assert planned(plan)[0].alpha == pytest.approx(0.05 / 3)


@pytest.mark.parametrize(
    ("by", "not_worse", "verdict", "matters"),
    [
        (-0.05, False, BETTER, MATTERS),
        (0.05, False, WORSE, MATTERS),
        (0.0, False, EQUIVALENT, DOES_NOT),
        (-0.005, False, EQUIVALENT, "better, by too little to matter"),
        (0.005, False, EQUIVALENT, "worse, by too little to matter"),
    ],
)
def test_a_verdict_says_whether_the_difference_matters(by, not_worse, verdict, matters):
    noise = [0.001, -0.001, 0.0005, 0.0, -0.0005]
    measured = trained(old=STEADY, new=[e + by + n for e, n in zip(STEADY, noise, strict=True)])
    (found,) = judge(train_error(NEW, not_worse=not_worse), measured)
    assert (found.verdict, found.matters) == (verdict, matters)


def test_not_worse_is_said_where_the_hypothesis_says_it():
    noise = [0.012, -0.012, 0.006, 0.0, -0.006]
    measured = trained(old=STEADY, new=[e - 0.008 + n for e, n in zip(STEADY, noise, strict=True)])
    for declared, word in ((True, NOT_WORSE), (False, INCONCLUSIVE)):
        (found,) = judge(train_error(NEW, not_worse=declared), measured)
        assert found.verdict == word


def test_a_margin_may_be_a_share_of_the_controls_error():
    """0.5 and 1.2 % error are not equivalent because both are within a point."""
    chance = np.random.default_rng(0)
    old = list(0.005 + chance.normal(0, 0.0006, 5))
    new = list(0.012 + chance.normal(0, 0.0006, 5))
    measured = trained(old=old, new=new)
    (absolute,) = judge(train_error(NEW), measured)
    (relative,) = judge(train_error(NEW, relative=True, smallest=0.5), measured)
    assert absolute.verdict == EQUIVALENT
    assert (relative.verdict, relative.matters) == (WORSE, MATTERS)
    shifted = np.array(new) - 1.5 * np.array(old)
    half = scipy_stats.t.isf(0.05, 4) * shifted.std(ddof=1) / 5**0.5
    assert relative.margins is not None
    assert relative.margins[0] == pytest.approx(shifted.mean() + half)
    more = {"endpoints": (Endpoint("score", "train", higher_is_better=True),), "relative": True}
    high = {
        arm: {seed: made.outcome(0.1, score=1 - error) for seed, error in enumerate(own)}
        for arm, own in (("old", [0.10, 0.11, 0.09, 0.10]), ("new", [0.12, 0.13, 0.11, 0.125]))
    }
    (scored,) = judge(train_error(NEW, seeds=4, smallest=0.1, **more), high)
    assert (scored.verdict, scored.matters) == (EQUIVALENT, "worse, by too little to matter")
    assert scored.mean == pytest.approx(-0.02125)


def test_a_verdict_is_final_at_the_look_that_decides_it():
    plan = train_error(NEW, ("other", "old"), seeds=10, looks=(5, 10))
    chance = np.random.default_rng(1)
    old = list(0.2 + chance.normal(0, 0.001, 10))
    new = moved(-0.05, old[:5])
    other = list(0.2 + chance.normal(0, 0.02, 10))
    early = trained(old=old[:5], new=new, other=other[:5])
    first, second = judge(plan, early)
    assert (first.verdict, first.look.seeds) == (BETTER, 5)
    assert (second.verdict, second.look.seeds, second.missing) == (
        INCONCLUSIVE,
        10,
        (5, 6, 7, 8, 9),
    )
    assert needed(plan, [first, second]) == {"old": 10, "new": 5, "other": 10}
    # Seeds that would say otherwise come too late.
    late = trained(old=old, new=[*new, *[0.5] * 5], other=other)
    assert judge(plan, late)[0] == first
    assert judge(plan, late)[1].missing == ()
    (alone,) = judge(train_error(NEW), trained(old=old[:5], new=new))
    ratio = (first.different[1] - first.different[0]) / (alone.different[1] - alone.different[0])
    quantiles = scipy_stats.t.isf([0.05 / 2 / 2 / 2, 0.05 / 2], 4)
    assert ratio == pytest.approx(quantiles[0] / quantiles[1])


def test_an_arm_with_a_missing_seed_waits_for_it_and_not_for_the_next_look():
    plan = train_error(NEW, seeds=10, looks=(5, 10))
    measured = trained(old=STEADY, new=STEADY)
    del measured["new"][3]
    (found,) = judge(plan, measured)
    assert (found.missing, found.look.seeds) == ((3,), 5)
    assert needed(plan, [found]) == {"old": 5, "new": 5}


def test_runs_that_did_not_train_are_no_part_of_the_mean():
    plan = train_error(NEW, ("same", "old"), at_chance=0.85)
    measured = trained(
        old=STEADY, new=[*STEADY[:4], 0.9], same=[*moved(0.0005, STEADY[:4]), STEADY[4]]
    )
    first, second = judge(plan, measured)
    assert (first.verdict, first.failed) == (INCONCLUSIVE, {"new": (4,)})
    assert len(first.points) == 4
    assert first.mean == pytest.approx(0)
    assert "not called equivalent: runs of one arm alone did not train" in first.warnings
    assert "among runs that trained" in first.conditions
    assert second.verdict == EQUIVALENT
    most = 1 - (0.05 / 4 / 2) ** (1 / 5)
    assert f"failures up to {most:.0%} not excluded" in second.conditions[0]
    # A seed that fails in both arms is no difference between them.
    measured["old"][4] = made.outcome(0.1, train=0.9)
    assert judge(plan, measured)[0].verdict == EQUIVALENT
    (blind,) = judge(train_error(NEW), trained(old=STEADY, new=[*STEADY[:4], 0.9]))
    assert blind.mean == pytest.approx(0.14, abs=0.001)
    assert "one seed is an outlier" in blind.warnings


def test_an_arm_that_never_trains_has_no_mean():
    plan = train_error(NEW, at_chance=0.85)
    measured = trained(old=STEADY, new=[0.9] * 5)
    diverged = {"new": []}
    (found,) = judge(plan, measured, diverged)
    assert (found.verdict, found.mean, found.open) == (UNTRAINED, None, True)
    line = "did not train: new failed with seed 0, 1, 2, 3 and 4"
    assert judgements.sentence(found) == line
    failed = failed_runs(plan, measured, diverged)
    (share,) = compare_failures(plan, measured, failed, planned(plan))
    assert (share.verdict, [x.failed for x in share.shares]) == (MORE, [5, 0])
    assert share.p == pytest.approx(2 / 252)
    line = "fails more often: 5 of 5 runs did not train, of the control's 0 of 5"
    assert judgements.failing_sentence(share) == line
    text = judgements.failing_table(plan, [share])
    assert "| new against old | 5 of 5 (" in text
    told = dataclasses.replace(plan, at_chance=None)
    (share,) = compare_failures(
        told, trained(old=STEADY), {"old": frozenset(), "new": frozenset(range(5))}, planned(told)
    )
    assert share.verdict == DESCRIBED


def test_a_contrast_is_the_difference_of_differences():
    weights = {"b new": 1.0, "b old": -1.0, "a new": -1.0, "a old": 1.0}
    plan = train_error(
        ("a new", "a old"), ("b new", "b old"), contrasts=(Contrast("both", weights),)
    )
    noise = np.array([0.001, -0.001, 0.0, 0.002, -0.002])
    rows = {"a old": STEADY, "a new": moved(-0.02), "b old": STEADY, "b new": moved(-0.05)}
    measured = trained(**rows)
    for seed, own in enumerate(noise):
        measured["b new"][seed] = made.outcome(0.1, train=rows["b new"][seed] + own)
    found = judge(plan, measured)[-1]
    assert (found.name, found.verdict) == ("both", BETTER)
    assert found.mean == pytest.approx(-0.03)
    half = scipy_stats.t.isf(0.05 / 3 / 2, 4) * noise.std(ddof=1) / 5**0.5
    assert found.different == pytest.approx((-0.03 - half, -0.03 + half))
    assert judgements.sentence(found).startswith("below zero, -3.00 points (simultaneous")
    text = judgements.declared(plan)
    assert "- both: `b new` - `b old` - `a new` + `a old`" in text


def test_conditions_are_part_of_the_verdict():
    measured = trained(old=STEADY, new=moved(-0.05))
    plan = train_error(NEW, source="runs/source")
    assert judge(plan, measured)[0].conditions == (
        "given the one network that all seeds start from",
    )
    assert judge(train_error(NEW, source="runs/{seed}"), measured)[0].conditions == ()
    chosen = tuple(Candidate(arm, {"optim.x": 1}, 0.1, True) for arm in NEW)
    shared = train_error(NEW, tuning=chosen, tune_once=True)
    (found,) = judge(shared, measured)
    assert found.conditions == ("given what one tuning chose for all seeds",)
    assert found.conditions[0] in judgements.sentence(found)


def test_a_verdict_that_a_few_seeds_make_is_withheld():
    seeds = [*[0.0] * 9, 0.001, 0.0015, -0.001, 0.0, 0.0, 0.0005, -0.0005, 0.0, 0.0, -0.06, -0.07]
    plan = train_error(NEW, seeds=20, smallest=0.02)
    (found,) = judge(plan, trained(old=[0.2] * 20, new=[0.2 + x for x in seeds]))
    assert found.mean == pytest.approx(np.mean(seeds))
    assert found.trimmed == pytest.approx(stats.trimmed_mean(np.array(seeds)))
    assert {"the seeds are skewed", "one seed is an outlier"} <= set(found.warnings)


def test_power_is_announced_for_the_same_looks():
    plan = train_error(NEW, seeds=10, looks=(5, 10))
    chance = np.random.default_rng(3)
    measured = trained(old=[0.2] * 10, new=list(0.205 + chance.normal(0, 0.02, 10)))
    (found,) = judge(plan, measured)
    assert found.verdict == INCONCLUSIVE
    power = found.power
    assert power.detectable is not None
    assert power.to_find is not None
    assert 0.012 < power.detectable < 0.05
    assert power.to_find > 20
    text = announcements.power_table(plan, [found])
    assert f"| new against old | {100 * power.detectable:.1f} points | {power.to_find} |" in text
    assert "a study of 5 or 10 seeds finds" in text


def test_the_first_line_says_that_a_study_is_exploratory():
    assert judgements.title(made.plan(NEW)) == "# made, preset smoke"
    plan = made.plan(NEW, exploratory="3 seeds, where 5 are declared")
    line = "# made, preset smoke: exploratory, with 3 seeds, where 5 are declared"
    assert judgements.title(plan) == line


def test_what_a_plan_announces():
    text = announcements.expected(train_error(NEW, seeds=10, looks=(5, 10), spread=0.01))
    assert "one statement has an error rate of 5 %; intervals after 5 seeds at 97.50%" in text
    finest = announced.detectable(announced.Noise(0.01**2), planned(made.plan(NEW, seeds=10)))
    assert finest is not None
    assert finest == pytest.approx(0.01, rel=0.01)  # 10 seeds find one deviation, looking once
    assert "one seed's difference of train error deviates by 1 point: the study finds 1.12" in text
    assert "to find 1 point takes 10 seeds, to exclude it between equal arms 11" in text
    relative = announcements.expected(train_error(NEW, spread=0.01, relative=True))
    assert relative.endswith("the study finds 1.68 points with a probability of 80 %")
