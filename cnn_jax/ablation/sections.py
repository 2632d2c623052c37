"""The sections of report.md, as text."""

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from cnn_jax.ablation import account, announcements, judgements, recipe, series
from cnn_jax.ablation.endpoints import Endpoint, value
from cnn_jax.ablation.left import Stored
from cnn_jax.ablation.markdown import bullets, table
from cnn_jax.ablation.outcomes import Outcome, Outcomes
from cnn_jax.ablation.registration import Registration
from cnn_jax.ablation.stored import ArmPlan, Plan
from cnn_jax.ablation.trained import Failed, Failing
from cnn_jax.ablation.verdicts import Verdict
from cnn_jax.data.dataset import TEST, TRAIN, VALIDATION

NAMES = {"macs": "MACs", "params": "parameters", "step_time": "a step time"}
CROSSINGS = """\
Between two measured numbers the difference and half its interval are taken to change linearly (in
the logarithm where the axis is one), so that nowhere less is known than beside it; the interval
holds the places around the crossing where that of the verdicts holds 0."""


def render(
    plan: Plan,
    stored: Stored,
    judged: Sequence[Verdict],
    failed: Failed,
    failing: Sequence[Failing],
    drawn: Sequence[str],
    registered: Registration | None = None,
) -> str:
    """Return report.md."""
    outcomes, failures = stored.outcomes, stored.failures
    state = judgements.state(plan, stored, judged)
    parts = [
        judgements.title(plan),
        f"**Question.** {plan.question}",
        f"**Hypothesis.** {plan.hypothesis}",
        account.registration(plan, registered),
        "## Verdicts",
        f"{state} Data: {plan.data}. Seeds: {judgements.seeds(plan, judged)}.",
        judgements.declared(plan),
        judgements.verdict_table(judged),
        judgements.failing_table(plan, failing),
        *(_picture(drawn, "series", f"error by {plan.series.label}" if plan.series else "")),
        crossings(plan, judged),
        *(_picture(drawn, "differences", "differences with their intervals")),
        announcements.power_table(plan, judged),
        judgements.method(plan),
        "## Arms",
        arms_table(plan, outcomes),
        *(_picture(drawn, "endpoint", "the endpoint of every seed")),
        results_table(plan, outcomes, failed),
        *(_picture(drawn, "curves", "learning curves, bands from the least to the largest seed")),
        *(_picture(drawn, "cost", "cost against quality")),
        *(_picture(drawn, "gradients", "gradient norms by block")),
        *(["## What was chosen for each arm", account.tuning(plan)] if plan.tuning else []),
        "## Recipe",
        recipe.describe(plan),
        "## What differs between the arms, and nothing else",
        account.proofs(plan),
        "## Threats",
        account.threats(plan, outcomes, judged),
        "## How to run it again",
        account.provenance(plan, outcomes, stored.earlier),
    ]
    if failures:
        told = ["**Cells that are not in it** (`--retry` tries again):", bullets(failures)]
        parts[parts.index("## Verdicts") + 2 : parts.index("## Verdicts") + 2] = told
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def crossings(plan: Plan, judged: Sequence[Verdict]) -> str:
    """Return where lines of arms change places, for a study whose arms lie along a number."""
    rows, endpoint = [], plan.endpoints[0]
    for each in series.compared(plan, judged):
        found = each.crossings()
        if not found:
            ends = [endpoint.shown(float(each.mean[i])) for i in (0, -1)]
            row = ["does not cross", f"from {ends[0]} to {ends[1]} {endpoint.unit}".rstrip(), ""]
            rows.append([each.line, each.control, *row])
        for place, low, high in found:
            first, last = (series.shown(end) for end in (low, high))
            beyond = [f"below {series.shown(each.numbers[0])}" if low is None else first]
            beyond += [f"above {series.shown(each.numbers[-1])}" if high is None else last]
            row = [series.shown(place), f"{beyond[0]} … {beyond[1]}"]
            sign = -1 if endpoint.higher_is_better else 1
            which = "better" if sign * each.mean[-1] < 0 else "worse"
            rows.append([each.line, each.control, *row, f"{which} at the end"])
    if not rows or plan.series is None:
        return ""
    head = ["line", "against", f"crosses at ({plan.series.label})", "interval", ""]
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


def results_table(plan: Plan, outcomes: Outcomes, failed: Failed) -> str:
    """Return errors by arm and split: mean, standard deviation, every seed of the endpoints."""
    splits = [split for split in (TRAIN, VALIDATION, TEST) if _has(outcomes, split)]
    rows = []
    for arm in plan.arms:
        own, lost = outcomes[arm.name], failed[arm.name]
        cells = [own[seed] for seed in sorted(own) if seed not in lost]
        row = [arm.name]
        for split in splits:
            row.append(_mean_and_deviation([100 * value for value in _errors(cells, split)]))
        rows.append([*row, *(_every(own, lost, each) for each in plan.endpoints)])
    named = [
        f"{each.label}{' (%)' if each.is_error else ''}, every seed" for each in plan.endpoints
    ]
    head = ["arm", *(f"{split} error (%)" for split in splits), *named]
    left_out = any(failed[arm.name] for arm in plan.arms)
    note = ' of runs that trained; the others are in brackets, "-" if they diverged' * left_out
    return f"Mean ± standard deviation over seeds{note}:\n\n" + table(head, rows)


def _every(own: Mapping[int, Outcome], lost: frozenset[int], endpoint: Endpoint) -> str:
    """Return the endpoint of every seed, in brackets of one that did not train."""

    def shown(seed: int) -> str:
        if seed not in own:
            return "(-)"
        text = endpoint.shown(value(own[seed], endpoint), signed=False)
        return f"({text})" if seed in lost else text

    return ", ".join(shown(seed) for seed in sorted({*own, *lost})) or "-"


def _errors(cells: Sequence[Outcome], split: str) -> list[float]:
    """Return the errors of the cells that have a finite one on a split."""
    found = [each.measured(split) for each in cells]
    return [1 - accuracy for accuracy in found if accuracy is not None]


def _has(outcomes: Outcomes, split: str) -> bool:
    return any(split in o.result["metrics"] for each in outcomes.values() for o in each.values())


def _mean_and_deviation(values: Sequence[float]) -> str:
    if not values:
        return "-"
    deviation = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{deviation}"


def _picture(drawn: Sequence[str], name: str, text: str) -> list[str]:
    return [f"![{text}]({name}.png)"] if name in drawn else []
