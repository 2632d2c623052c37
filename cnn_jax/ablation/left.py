"""What the cells of a study have left: outcomes, failures, earlier designs."""

import dataclasses
from pathlib import Path

from cnn_jax.ablation import cells
from cnn_jax.ablation.outcomes import Outcome
from cnn_jax.ablation.stored import Plan
from cnn_jax.runs import workdir
from cnn_jax.runtime.json_file import UnreadableFileError


@dataclasses.dataclass(frozen=True)
class Stored:
    """What a study's cells have left.

    Attributes:
        outcomes: arm -> seed -> what a finished cell measured.
        diverged: arm -> the seeds whose loss stopped being finite, which is an outcome.
        gradients: arm -> the gradient norms of its cells.
        failures: a line for each cell that failed, or whose files are not what it left.
        earlier: (runs, openings of the test set) in the folder that are no part of the plan, such
            as cells of earlier designs.
    """

    outcomes: dict[str, dict[int, Outcome]]
    diverged: dict[str, list[int]]
    gradients: dict[str, list[cells.Norms]]
    failures: list[str]
    earlier: tuple[int, int]


def read_cells(plan: Plan, folder: Path) -> Stored:
    """Return what the cells of a study have left; what is damaged is told, not taken."""
    outcomes: dict[str, dict[int, Outcome]] = {arm.name: {} for arm in plan.arms}
    diverged: dict[str, list[int]] = {arm.name: [] for arm in plan.arms}
    gradients: dict[str, list[cells.Norms]] = {}
    failures, splits = [], {each.split for each in plan.endpoints}
    for cell in plan.cells:
        place = cells.folder_of(folder, cell)
        try:
            # One that diverged in its last step may have a result; it failed all the same.
            failed = cells.failure(place) if cells.state(place) == cells.FAILED else None
            outcome = None if failed is not None else cells.outcome(place, cell)
            norms = cells.gradient_norms(place)
        except UnreadableFileError as error:
            failures.append(f"{cell.folder} is left out, --retry trains it anew: {error}")
            continue
        if outcome is None:
            if failed is not None and failed.get("diverged"):
                diverged[cell.arm].append(cell.seed)
            elif failed is not None:
                error = (failed["error"].splitlines() or [""])[0]
                tries = f"{failed['attempts']} " + ("try" if failed["attempts"] == 1 else "tries")
                failures.append(f"{cell.folder} failed ({tries}): {error}")
        elif any(outcome.diverged(split) for split in splits):
            diverged[cell.arm].append(cell.seed)
        else:
            outcomes[cell.arm][cell.seed] = outcome
            if norms is not None:
                gradients.setdefault(cell.arm, []).append(norms)
    return Stored(outcomes, diverged, gradients, failures, _earlier(plan, folder))


def _earlier(plan: Plan, folder: Path) -> tuple[int, int]:
    """Return (runs, openings of the test set) of whatever else the folder holds a log of."""
    own = {cells.folder_of(folder, cell) for cell in plan.cells}
    logs = sorted(folder.rglob(workdir.METRICS))
    opened = [cells.openings(log.parent) for log in logs if log.parent not in own]
    return sum(times > 0 for times in opened), sum(opened)
