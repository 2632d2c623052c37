"""The order of a study's work: registered, then tuned and trained look by look."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

from cnn_jax.ablation import registration, tuning
from cnn_jax.ablation.identity import with_tuning
from cnn_jax.ablation.left import read_cells
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.verdicts import judge, needed, planned

Run = Callable[[Path, Plan], None]  # trains the cells of a plan in a folder


def train(plan: Plan, folder: Path, run: Run, work_out: Callable[..., Plan]) -> None:
    """Train what a study's verdicts take; an arm with nothing open gets no more seeds.

    Args:
        plan: nothing chosen yet.
        folder: of the study.
        run: trains the cells of a plan that are not finished.
        work_out: returns the plan again, with ``tuning``, which was done once for all seeds.
    """
    plan = registration.fix(folder, plan)
    if plan.grid and plan.tune_once:
        every = [(arm.name, None) for arm in plan.arms]
        chosen = work_out(tuning=tuning.choose(plan, folder, every, run))
        plan = dataclasses.replace(chosen, registered=True)
    asked: set[str] = set()  # once each, also those that are tried again
    for look in planned(plan):
        stored = read_cells(plan, folder)
        wanted = needed(plan, judge(plan, stored.outcomes, stored.diverged))
        if plan.grid and not plan.tune_once:
            plan = _tuned(plan, folder, wanted, run)
        plan.write(folder)
        wanting = [cell for cell in plan.cells if cell.seed < wanted[cell.arm]]
        due = tuple(cell for cell in wanting if cell.folder not in asked)
        asked |= {cell.folder for cell in due}
        if len(plan.looks) > 1:
            print(f"looking after {look.seeds} seeds", file=sys.stderr)
        run(folder, dataclasses.replace(plan, cells=due))


def _tuned(plan: Plan, folder: Path, wanted: dict[str, int], run: Run) -> Plan:
    """Return a plan in which all seeds that are wanted, arm -> how many, have tuned."""
    done = {(each.arm, each.seed) for each in plan.tuning}
    new = [
        (cell.arm, cell.seed)
        for cell in plan.cells
        if cell.seed < wanted[cell.arm] and (cell.arm, cell.seed) not in done
    ]
    if new:
        print(f"tuning {len(new)} times", file=sys.stderr)
    more = tuning.choose(plan, folder, new, run) if new else ()
    return with_tuning(plan, [*plan.tuning, *more])
