"""The sections of report.md, as text."""

import json
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

from cnn_jax.ablation import account, recipe, series, stats
from cnn_jax.ablation.cells import Outcome
from cnn_jax.ablation.left import Stored
from cnn_jax.ablation.markdown import bullets, table
from cnn_jax.ablation.stored import ArmPlan, Plan
from cnn_jax.ablation.verdicts import (
    INCONCLUSIVE,
    Outcomes,
    Verdict,
    error,
    errors,
    in_points,
)
from cnn_jax.data.dataset import TEST, TRAIN, VALIDATION

METHOD = """\
Differences are of errors, arm minus control, in percentage points; below zero the arm is better.
Seeds pair the arms{pairing}. {samples} The interval is a 95 % one for each comparison by itself;
p-values are adjusted for {comparisons} (Holm). *better* or *worse*: adjusted p below 0.05.
*equivalent*: two one-sided tests (TOST, adjusted likewise) put the difference below {smallest},
the smallest that was declared to matter, whichever sign it has. *inconclusive*: neither, or a
seed is missing. *diverged*: the loss of a network stopped being finite, so that it has no error.
What so many seeds find, they find with a probability of 80 %, and the seeds that would decide an
inconclusive comparison do so with that probability; both take the estimated noise and difference
for the truth, which few seeds know badly. How the interval was chosen, and how often it covers:
`cnn_jax/ablation/stats.py`."""
BOTH = """\
The interval counts two sources of noise, the seeds and the choice of test examples (from each
example's outcome in every cell), so it speaks of new seeds and of new examples."""
NAMES = {"macs": "MACs", "params": "parameters", "step_time": "a step time"}
SEEDS = """\
The interval counts the seeds' noise: {split} error is a statement about the {split} images at
hand."""

CROSSINGS = """\
Between two measured numbers each seed's and test example's difference is taken to change linearly
(in the logarithm where the axis is one); the interval holds the places around the crossing where
'no difference' is not excluded at 5 %."""


def render(plan: Plan, stored: Stored, verdicts: Sequence[Verdict], drawn: Sequence[str]) -> str:
    """Return report.md."""
    outcomes, failures = stored.outcomes, stored.failures
    done = sum(len(each) for each in outcomes.values())
    lost = sum(len(each) for each in stored.diverged.values())
    state = f"{done} of {len(plan.cells)} cells are finished"
    state += f", {lost} diverged." if lost else "."
    parts = [
        f"# {plan.name}, preset {plan.preset}",
        f"**Question.** {plan.question}",
        f"**Hypothesis.** {plan.hypothesis}",
        "## Verdicts",
        f"{state} Endpoint: {plan.endpoint} error. Data: {plan.data}. "
        f"Seeds: {', '.join(map(str, plan.seeds))}.",
        verdict_table(verdicts),
        *(_picture(drawn, "series", f"error by {plan.series.label}" if plan.series else "")),
        crossings(plan, outcomes),
        *(_picture(drawn, "differences", "differences with their intervals")),
        _method(plan, len(verdicts)),
        "## Arms",
        arms_table(plan, outcomes),
        *(_picture(drawn, "endpoint", "the endpoint of every seed")),
        results_table(plan, outcomes),
        *(_picture(drawn, "curves", "learning curves, bands from the least to the largest seed")),
        *(_picture(drawn, "cost", "cost against quality")),
        *(_picture(drawn, "gradients", "gradient norms by block")),
        *(["## What was chosen for each arm", account.tuning(plan)] if plan.tuning else []),
        "## Recipe",
        recipe.describe(plan),
        "## What differs between the arms, and nothing else",
        account.proofs(plan),
        "## Threats",
        account.threats(plan, outcomes, verdicts),
        "## How to run it again",
        account.provenance(plan, outcomes, stored.earlier),
    ]
    if failures:
        parts[5:5] = ["**Cells that are not in it** (`--retry` tries again):", bullets(failures)]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def sentence(verdict: Verdict) -> str:
    """Return a verdict in one line."""
    if verdict.found is None:
        return f"{verdict.verdict}: {_lacking(verdict)}"
    low, high = in_points(verdict.found)
    text = f"{verdict.verdict}, {100 * float(verdict.found.mean):+.2f} points"
    return f"{text} (95 % interval {low:+.2f} to {high:+.2f})"


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Return the comparisons with difference, interval, p-values and verdict."""
    rows = []
    for each in verdicts:
        if each.found is None:
            rows.append([each.arm, each.control, "-", "-", "-", "-", "-", f"**{each.verdict}**"])
            rows[-1].append(_lacking(each))
            continue
        low, high = in_points(each.found)
        seeds_share = each.found.seed_variance / each.found.seeds / each.found.variance
        rows.append(
            [
                each.arm,
                each.control,
                f"{100 * float(each.found.mean):+.2f}",
                f"{low:+.2f} … {high:+.2f}",
                f"{float(seeds_share):.0%}",
                _p(each.p_different),
                _p(each.p_equivalent),
                f"**{each.verdict}**",
                _outlook(each),
            ]
        )
    head = [
        *("arm", "control", "difference", "95 % interval", "variance from seeds"),
        *("p, different", "p, equivalent", "verdict", "outlook"),
    ]
    return table(head, rows)


def _outlook(verdict: Verdict) -> str:
    assert verdict.found is not None
    finest, seeds = verdict.detectable, f"{verdict.found.seeds} seeds"
    text = f"{seeds} find {100 * (finest or 0):.1f} points"
    if finest is None:
        text = f"{seeds} find no difference at all"
    if verdict.verdict != INCONCLUSIVE:
        return text
    if verdict.seeds_needed is None:
        return f"{text}; no number of seeds up to {stats.MOST_SEEDS:,} would decide"
    return f"{text}; {verdict.seeds_needed} would decide"


def crossings(plan: Plan, outcomes: Outcomes) -> str:
    """Return where lines of arms change places, for a study whose arms lie along a number."""
    rows = []
    for each in series.compared(plan, outcomes):
        found = each.crossings()
        if not found:
            ends = [f"{100 * float(each.mean[i]):+.2f}" for i in (0, -1)]
            row = ["does not cross", f"from {ends[0]} to {ends[1]} points", ""]
            rows.append([each.line, each.control, *row])
        for place, low, high in found:
            first, last = (series.shown(end) for end in (low, high))
            beyond = [f"below {series.shown(each.numbers[0])}" if low is None else first]
            beyond += [f"above {series.shown(each.numbers[-1])}" if high is None else last]
            row = [series.shown(place), f"{beyond[0]} … {beyond[1]}"]
            which = "better" if each.mean[-1] < 0 else "worse"
            rows.append([each.line, each.control, *row, f"{which} at the end"])
    if not rows or plan.series is None:
        return ""
    head = ["line", "against", f"crosses at ({plan.series.label})", "95 % interval", ""]
    return f"{table(head, rows)}\n\n{CROSSINGS}"


def arms_table(plan: Plan, outcomes: Outcomes) -> str:
    """Return the arms with their sizes and measured speed."""
    rows = []
    for arm in plan.arms:
        rows.append(
            [
                arm.name,
                arm.against or "(a control)",
                arm.model,
                f"{arm.params:,}",
                f"{arm.macs:,}",
                f"{arm.steps:,}",
                _step_time(arm, outcomes[arm.name].values()),
            ]
        )
    head = ["arm", "against", "model", "parameters", "MACs", "steps", "ms a step"]
    note = "MACs: multiply-adds of one image's inference; ms a step: median over the cells"
    in_lanes = any(cell.lanes for cell in plan.cells)
    note += ", of lanes each one's share." if in_lanes else "."
    return f"{table(head, rows)}\n\n{note}\n\n{_budgets(plan.arms)}".rstrip()


def _step_time(arm: ArmPlan, outcomes: Iterable[Outcome]) -> str:
    batch_size = json.loads(arm.config)["data"]["batch_size"]
    times = [
        1000 * batch_size / each.result["images_per_second"] / each.result.get("lanes", 1)
        for each in outcomes
        if each.result.get("images_per_second")
    ]
    return f"{np.median(times):.1f}" if times else "-"


def _budgets(arms: Sequence[ArmPlan]) -> str:
    lines = []
    for arm in arms:
        if arm.matched is not None:
            found = arm.matched
            left = ", ".join(
                f"{NAMES.get(name, name)} {share:+.2%}" for name, share in found.residual.items()
            )
            lines.append(
                f"`{arm.name}`: `{found.by}` from {found.before} to {found.value} for "
                f"{NAMES[found.budget]} equal to those of `{arm.against}` within "
                f"{found.tolerance:.1%}. What is left: {left}."
            )
    return "Matched budgets (arm against control):\n\n" + bullets(lines) if lines else ""


def results_table(plan: Plan, outcomes: Outcomes) -> str:
    """Return errors by arm and split: mean, standard deviation, every seed of the endpoint."""
    splits = [split for split in (TRAIN, VALIDATION, TEST) if _has(outcomes, split)]
    rows = []
    for arm in plan.arms:
        cells = [outcomes[arm.name][seed] for seed in sorted(outcomes[arm.name])]
        row = [arm.name]
        for split in splits:
            row.append(_mean_and_deviation([100 * value for value in errors(cells, split)]))
        points = [f"{100 * error(each, plan.endpoint):.2f}" for each in cells]
        rows.append([*row, ", ".join(points) or "-"])
    head = ["arm", *(f"{split} error (%)" for split in splits), f"{plan.endpoint}, every seed"]
    return "Mean ± standard deviation over seeds:\n\n" + table(head, rows)


def _method(plan: Plan, comparisons: int) -> str:
    samples = BOTH if plan.endpoint == TEST else SEEDS.format(split=plan.endpoint)
    many = "the one comparison" if comparisons == 1 else f"all {comparisons} comparisons"
    smallest = f"{100 * plan.smallest:g} point{'s' * (plan.smallest != 0.01)}"
    text = METHOD.format(
        samples=samples, comparisons=many, smallest=smallest, pairing=_pairing(plan)
    )
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _pairing(plan: Plan) -> str:
    """Return what a seed gives both arms, as far as every comparison holds it equal."""
    held = [set(proof.held or ()) for proof in plan.proofs]
    shared = {
        "order": "the same order of the data",
        "initial": "the same initial weights where path and shape agree",
    }
    words = [text for name, text in shared.items() if held and all(name in each for each in held)]
    return f": a seed gives both {' and '.join(words)}" if words else ""


def _has(outcomes: Outcomes, split: str) -> bool:
    return any(split in o.result["metrics"] for each in outcomes.values() for o in each.values())


def _mean_and_deviation(values: Sequence[float]) -> str:
    if not values:
        return "-"
    deviation = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{deviation}"


def _lacking(verdict: Verdict) -> str:
    """Return why a comparison has no numbers."""

    def listed(seeds: Sequence[int]) -> str:
        return f"seed {', '.join(map(str, seeds))}"

    lines = [f"{arm} diverged with {listed(seeds)}" for arm, seeds in verdict.diverged.items()]
    lines += [f"{listed(verdict.missing)} missing"] if verdict.missing else []
    return "; ".join(lines)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _picture(drawn: Sequence[str], name: str, text: str) -> list[str]:
    return [f"![{text}]({name}.png)"] if name in drawn else []
