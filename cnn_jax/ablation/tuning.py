"""Choosing fields for each arm on validation data, before the cells that use them run.

Every arm gets the same candidates and takes the one with the lowest validation error. A seed tunes
for itself: its candidates are trained with a seed of their own, which has a validation cut of its
own, and the cell that is tested is trained anew with the study's. What is compared is then the
whole procedure, *tune over this grid, then train*, and its noise is in the seeds' (Bouthillier et
al. 2021, "Accounting for Variance in Machine Learning Benchmarks"). One tuning for all seeds is
cheaper; its luck is shared by all of them, so that no interval holds it. The runs are sealed: they
have no test set, so nothing can be chosen by it.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cnn_jax import config as configs
from cnn_jax.ablation import cells
from cnn_jax.ablation.identity import identity, read_config, with_fields
from cnn_jax.ablation.stored import TUNING, ArmPlan, Candidate, Cell, Plan
from cnn_jax.data.dataset import VALIDATION
from cnn_jax.runtime.errors import BadInputError

# Added to a study's seed, of which there are fewer: no cell that is tested was tuned with its own.
APART = 10_000


def choose(
    plan: Plan,
    folder: Path,
    wanted: Sequence[tuple[str, int | None]],
    run: Callable[[Path, Plan], None],
) -> tuple[Candidate, ...]:
    """Train the candidates of arms and seeds and return them, those chosen marked.

    Args:
        plan: of the study, nothing chosen yet for those wanted.
        folder: of the study.
        wanted: (arm, the study's seed, or None for all of them).
        run: trains the cells of a plan in a folder.

    Raises:
        BadInputError: an arm keeps no validation data, or none of its candidates finished with a
            finite error.
    """
    check(plan)
    own, grid = folder / TUNING, candidates(plan)
    asked = _plan(plan, grid, wanted)
    own.mkdir(parents=True, exist_ok=True)
    asked.write(own)
    run(own, asked)
    found: list[Candidate] = []
    for index, (arm, seed) in enumerate(wanted):
        its = asked.cells[index * len(grid) : (index + 1) * len(grid)]
        outcomes = [cells.outcome(cells.folder_of(own, cell), cell) for cell in its]
        measured = [
            None
            if each is None or each.diverged(VALIDATION)
            else each.result["metrics"][VALIDATION]
            for each in outcomes
        ]
        ranked = [
            (1 - m["accuracy"], m["loss"], i) for i, m in enumerate(measured) if m is not None
        ]
        if not ranked:
            raise BadInputError(
                f"arm {arm!r}: none of its {len(grid)} candidates finished; their logs are in "
                f"{str(own)!r}"
            )
        best = min(ranked)[2]
        errors = {i: error for error, _, i in ranked}
        found += [
            Candidate(arm, fields, errors.get(i), i == best, seed) for i, fields in enumerate(grid)
        ]
    return tuple(found)


def check(plan: Plan) -> None:
    """Check what is to be tuned, before anything is trained.

    Raises:
        BadInputError: an arm keeps no validation data to choose by, or no run could use a value.
    """
    for arm in plan.arms:
        config = read_config(arm.config)
        if not config.data.validation:
            raise BadInputError(
                f"arm {arm.name!r}: data.validation is 0; tuning chooses by validation error"
            )
        for fields in candidates(plan):
            try:
                with_fields(config, fields)
            except BadInputError as error:
                raise BadInputError(f"tune: {error}") from None


def candidates(plan: Plan) -> list[dict[str, Any]]:
    """Return the grid: every combination of the values of all fields."""
    return [
        dict(zip(plan.grid, values, strict=True))
        for values in itertools.product(*plan.grid.values())
    ]


def at_edge(plan: Plan) -> dict[tuple[str, str, Any], int]:
    """Return (arm, field, value) -> how many tunings chose that end of a field's numbers."""
    found: dict[tuple[str, str, Any], int] = {}
    for each in plan.tuning:
        for name, value in each.fields.items() if each.chosen else ():
            tried = plan.grid.get(name, ())
            numbers = [x for x in tried if isinstance(x, (int, float)) and not isinstance(x, bool)]
            if len(numbers) == len(tried) > 1 and value in (min(numbers), max(numbers)):
                key = each.arm, name, value
                found[key] = found.get(key, 0) + 1
    return found


def runs(plan: Plan, seeds: int) -> int:
    """Return how many runs so many seeds take in all, the candidates' included."""
    each = len(candidates(plan)) if plan.grid else 0
    tunings = 1 if plan.tune_once else seeds
    return len(plan.arms) * (seeds + tunings * each)


def _plan(
    plan: Plan, grid: Sequence[dict[str, Any]], wanted: Sequence[tuple[str, int | None]]
) -> Plan:
    """Return the plan of the candidates: an arm each, the test set sealed."""
    arms: dict[str, ArmPlan] = {}
    made: list[Cell] = []
    known = {arm.name: arm for arm in plan.arms}
    for name, study_seed in wanted:
        seed = APART + (study_seed or 0)
        for fields in grid:
            config = with_fields(read_config(known[name].config), fields)
            text = ", ".join(f"{field.split('.')[-1]} {value}" for field, value in fields.items())
            own = dataclasses.replace(
                *(known[name],),
                name=f"{name}, {text}",
                against=None,
                config=configs.to_json(config),
            )
            arms[own.name] = own
            key = identity(config, seed, plan.fingerprints[name], plan.code)
            made.append(Cell(own.name, seed, key, own.steps))
    return dataclasses.replace(
        plan,
        arms=tuple(arms.values()),
        proofs=(),
        contrasts=(),
        cells=tuple(made),
        seeds=tuple(sorted({cell.seed for cell in made})),
        looks=(),
        series=None,
        tuning=(),
        grid={},
        gradients=False,
        sealed=True,
        fingerprints={},
    )
