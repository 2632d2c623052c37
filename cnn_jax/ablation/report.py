"""A study's report: report.md, results.csv and the plots, from the plan and the stored cells."""

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnn_jax.ablation import (
    account,
    announcements,
    judgements,
    plots,
    recipe,
    registration,
    sections,
)
from cnn_jax.ablation.endpoints import value as value_of
from cnn_jax.ablation.left import read_cells
from cnn_jax.ablation.outcomes import Outcome, Outcomes
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.trained import FEWER, MORE, Failed, compare_failures, failed_runs
from cnn_jax.ablation.verdicts import Verdict, judge, planned
from cnn_jax.data.dataset import TEST, TRAIN, VALIDATION
from cnn_jax.runs import workdir

REPORT, RESULTS = "report.md", "results.csv"


@dataclasses.dataclass(frozen=True)
class Written:
    """The report's file, a line for each verdict and for each cell that is not in it."""

    file: Path
    verdicts: list[str]
    failures: list[str]


def write_report(folder: Path) -> Written:
    """Render the study in ``folder`` from what is stored there."""
    plan = Plan.read(folder)
    stored = read_cells(plan, folder)
    verdicts = judge(plan, stored.outcomes, stored.diverged)
    failed = failed_runs(plan, stored.outcomes, stored.diverged)
    failing = compare_failures(plan, stored.outcomes, failed, planned(plan))
    drawn = plots.draw_all(plan, stored.outcomes, verdicts, failed, stored.gradients, folder)
    workdir.write(folder / RESULTS, results_csv(plan, stored.outcomes, failed))
    file = folder / REPORT
    registered = registration.of(folder, plan)
    workdir.write(file, sections.render(plan, stored, verdicts, failed, failing, drawn, registered))
    lines = [f"exploratory: {plan.exploratory}"] if plan.exploratory else []
    lines += [f"{_called(each, plan)}: {judgements.sentence(each)}" for each in verdicts]
    lines += [
        f"{each.arm} against {each.control}: {judgements.failing_sentence(each)}"
        for each in failing
        if each.verdict in (MORE, FEWER)
    ]
    return Written(file, lines, stored.failures)


def _called(verdict: Verdict, plan: Plan) -> str:
    several = len(plan.endpoints) > 1
    return f"{verdict.name}, {verdict.statement.endpoint.label}" if several else verdict.name


def results_csv(plan: Plan, outcomes: Outcomes, failed: Failed) -> str:
    """Return the results in long form, one number a line; nothing in it depends on the clock.

    A run that did not train has a line ``trained`` of 0, and perhaps no other.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["study", "arm", "against", "seed", "params", "macs", "steps", "split", "metric", "value"]
    )
    for arm in plan.arms:
        own = (plan.name, arm.name, arm.against or "")
        counted = (arm.params, arm.macs, arm.steps)
        measured = outcomes[arm.name]
        for seed in sorted({*measured, *failed[arm.name]}):
            numbers = list(_measured(measured[seed], plan)) if seed in measured else []
            numbers += [("train", "trained", 0)] if seed in failed[arm.name] else []
            for line in numbers:
                table.writerow([*own, seed, *counted, *line])
    return text.getvalue()


def _measured(outcome: Outcome, plan: Plan) -> Iterator[tuple[str, str, Any]]:
    for split in (TRAIN, VALIDATION, TEST):
        metrics = outcome.result["metrics"].get(split) or {}
        for name, value in metrics.items():
            yield split, name, value
            if name == "accuracy" and value is not None:
                yield split, "error", round(1 - value, 12)
    for endpoint in plan.endpoints:
        if endpoint.kept:
            yield endpoint.split, endpoint.label.partition(" ")[2], value_of(outcome, endpoint)


def describe_plan(plan: Plan) -> str:
    """Return the plan as the report's sections that need no cell."""
    unmeasured = {arm.name: {} for arm in plan.arms}
    parts = [
        *(sections.arms_table(plan, unmeasured), recipe.describe(plan)),
        *(announcements.expected(plan), account.cost(plan), account.proofs(plan)),
    ]
    return "\n\n".join(part for part in parts if part)
