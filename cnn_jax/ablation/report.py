"""A study's report: report.md, results.csv and the plots, from the plan and the stored cells."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnn_jax import workdir
from cnn_jax.ablation import account, cells, plots, sections
from cnn_jax.ablation.cells import Outcome
from cnn_jax.ablation.plan import Plan, cells_of
from cnn_jax.ablation.verdicts import Outcomes, judge
from cnn_jax.train.logging import TEST, TRAIN, VALIDATION

REPORT, RESULTS = "report.md", "results.csv"


@dataclasses.dataclass(frozen=True)
class Written:
    """The report's file, a line for each verdict and for each failed cell."""

    file: Path
    verdicts: list[str]
    failures: list[str]


def write_report(folder: Path) -> Written:
    """Render the study in ``folder`` from what is stored there."""
    plan = Plan.read(folder)
    outcomes = read_outcomes(plan, folder)
    verdicts = judge(plan, outcomes)
    failures = []
    for cell in plan.cells:
        place = cells.place(folder, cell)
        if cells.state(place) == cells.FAILED and (kept := cells.failure(place)):
            error = kept["error"].splitlines()[0]
            tries = f"{kept['attempts']} " + ("try" if kept["attempts"] == 1 else "tries")
            failures.append(f"{cell.folder} failed ({tries}): {error}")
    drawn = plots.draw_all(plan, outcomes, verdicts, read_gradients(plan, folder), folder)
    workdir.write(folder / RESULTS, results_csv(plan, outcomes))
    file = folder / REPORT
    workdir.write(file, sections.render(plan, outcomes, verdicts, failures, drawn))
    lines = [f"{each.arm} against {each.control}: {sections.sentence(each)}" for each in verdicts]
    return Written(file, lines, failures)


def read_outcomes(plan: Plan, folder: Path) -> dict[str, dict[int, Outcome]]:
    """Return what the finished cells measured: arm -> seed -> outcome."""
    found: dict[str, dict[int, Outcome]] = {}
    for arm in plan.arms:
        found[arm.name] = {}
        for cell in cells_of(plan, arm.name):
            outcome = cells.outcome(cells.place(folder, cell))
            if outcome is not None:
                found[arm.name][cell.seed] = outcome
    return found


def read_gradients(plan: Plan, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the gradient norms that cells kept, by arm."""
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in plan.cells:
        file = cells.place(folder, cell) / cells.GRADIENTS
        if file.exists():
            found.setdefault(cell.arm, []).append(json.loads(file.read_text()))
    return found


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
        metrics = outcome.result["metrics"].get(split, {})
        for name, value in metrics.items():
            yield split, name, value
            if name == "accuracy":
                yield split, "error", round(1 - value, 12)


def describe_plan(plan: Plan) -> str:
    """Return the plan as the report's sections that need no cell."""
    unmeasured = {arm.name: {} for arm in plan.arms}
    return f"{sections.arms_table(plan, unmeasured)}\n\n{account.proofs(plan)}"
