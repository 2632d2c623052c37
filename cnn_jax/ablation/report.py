"""A study's report: report.md, results.csv and the plots, from the plan and the stored cells."""

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnn_jax.ablation import account, plots, recipe, sections
from cnn_jax.ablation.cells import Outcome
from cnn_jax.ablation.left import read_cells
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.verdicts import Outcomes, judge
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
    drawn = plots.draw_all(plan, stored.outcomes, verdicts, stored.gradients, folder)
    workdir.write(folder / RESULTS, results_csv(plan, stored.outcomes))
    file = folder / REPORT
    workdir.write(file, sections.render(plan, stored, verdicts, drawn))
    lines = [f"{each.arm} against {each.control}: {sections.sentence(each)}" for each in verdicts]
    return Written(file, lines, stored.failures)


def results_csv(plan: Plan, outcomes: Outcomes) -> str:
    """Return the results in long form, one number a line; nothing in it depends on the clock."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["study", "arm", "against", "seed", "params", "macs", "steps", "split", "metric", "value"]
    )
    for arm in plan.arms:
        own = (plan.name, arm.name, arm.against or "")
        counted = (arm.params, arm.macs, arm.steps)
        for seed, outcome in sorted(outcomes[arm.name].items()):
            for measured in _measured(outcome):
                table.writerow([*own, seed, *counted, *measured])
    return text.getvalue()


def _measured(outcome: Outcome) -> Iterator[tuple[str, str, Any]]:
    for split in (TRAIN, VALIDATION, TEST):
        metrics = outcome.result["metrics"].get(split) or {}
        for name, value in metrics.items():
            yield split, name, value
            if name == "accuracy" and value is not None:
                yield split, "error", round(1 - value, 12)


def describe_plan(plan: Plan) -> str:
    """Return the plan as the report's sections that need no cell."""
    unmeasured = {arm.name: {} for arm in plan.arms}
    parts = [sections.arms_table(plan, unmeasured), recipe.describe(plan), account.proofs(plan)]
    return "\n\n".join(parts)
