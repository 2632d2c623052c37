"""Choosing fields for each arm on validation data, before the study's cells run.

Every arm gets the same candidates, trained on the first seed, and takes the one with the lowest
validation error. These runs are sealed: they have no test set, so nothing can be chosen by it.
"""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnn_jax import config as configs
from cnn_jax.ablation import cells
from cnn_jax.ablation.plan import identity, read_config
from cnn_jax.ablation.stored import ArmPlan, Candidate, Cell, Plan
from cnn_jax.ablation.study import Study, set_field
from cnn_jax.data.dataset import VALIDATION
from cnn_jax.runtime.errors import BadInputError

FOLDER = "tuning"  # beneath the study's; the candidates' cells


def choose(
    study: Study, plan: Plan, folder: Path, run: Callable[[Path, Plan], None]
) -> tuple[Candidate, ...]:
    """Train all candidates of all arms and return them, those chosen marked.

    Args:
        study: what it tunes.
        plan: its plan, nothing chosen yet.
        folder: of the study.
        run: trains the cells of a plan in a folder.

    Raises:
        BadInputError: an arm keeps no validation data, or none of its candidates finished with a
            finite error.
    """
    check(plan)
    own = folder / FOLDER
    names = list(study.tune)
    grid = [dict(zip(names, values, strict=True)) for values in _product(study)]
    asked = _plan(plan, grid)
    own.mkdir(parents=True, exist_ok=True)
    asked.write(own)
    run(own, asked)
    outcomes = [cells.outcome(cells.folder_of(own, cell), cell) for cell in asked.cells]
    measured = [
        None if each is None or each.diverged(VALIDATION) else each.result["metrics"][VALIDATION]
        for each in outcomes
    ]
    found: list[Candidate] = []
    for index, arm in enumerate(plan.arms):
        its = measured[index * len(grid) : (index + 1) * len(grid)]
        ranked = [(1 - m["accuracy"], m["loss"], i) for i, m in enumerate(its) if m is not None]
        if not ranked:
            raise BadInputError(
                f"arm {arm.name!r}: none of its {len(grid)} candidates finished; their logs are in "
                f"{str(own)!r}"
            )
        best = min(ranked)[2]
        errors = {i: error for error, _, i in ranked}
        found += [
            Candidate(arm.name, fields, errors.get(i), i == best) for i, fields in enumerate(grid)
        ]
    return tuple(found)


def check(plan: Plan) -> None:
    """Raise ``BadInputError`` for an arm that keeps no validation data to choose by."""
    for arm in plan.arms:
        if not read_config(arm.config).data.validation:
            raise BadInputError(
                f"arm {arm.name!r}: data.validation is 0; tuning chooses by validation error"
            )


def _product(study: Study) -> list[tuple[Any, ...]]:
    return list(itertools.product(*study.tune.values()))


def _plan(plan: Plan, grid: list[dict[str, Any]]) -> Plan:
    """Return the plan of the candidates: an arm each, one seed, the test set sealed."""
    arms: list[ArmPlan] = []
    made: list[Cell] = []
    seed = plan.seeds[0]
    for arm in plan.arms:
        for fields in grid:
            config = read_config(arm.config)
            for name, value in fields.items():
                set_field(config, name, value)
            configs.check(config)
            text = ", ".join(f"{name.split('.')[-1]} {value}" for name, value in fields.items())
            own = dataclasses.replace(
                arm, name=f"{arm.name}, {text}", against=None, config=configs.to_json(config)
            )
            arms.append(own)
            key = identity(config, seed, plan.fingerprints[arm.name], plan.code)
            made.append(Cell(own.name, seed, key, arm.steps))
    return dataclasses.replace(
        plan,
        arms=tuple(arms),
        proofs=(),
        cells=tuple(made),
        gradients=False,
        sealed=True,
        fingerprints={},
    )
