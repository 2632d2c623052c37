"""What a cell is: its config, and the digest of all that its numbers depend on."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from cnn_jax import config as configs
from cnn_jax import models
from cnn_jax.ablation import counting
from cnn_jax.ablation.stored import ArmPlan, Candidate, Cell, Plan
from cnn_jax.config import Config, set_field
from cnn_jax.runs.initialise import source_digest, source_path
from cnn_jax.runs.run import versions
from cnn_jax.runtime.errors import BadInputError


def plan_cells(
    plans: Sequence[ArmPlan],
    made: Mapping[str, Config],
    fingerprints: Mapping[str, str],
    code: str,
    *,
    seeds: Sequence[int],
    looks: Sequence[int] = (),
    lanes: int = 1,
    tuning: Sequence[Candidate] = (),
    kept: Sequence[str] = (),
) -> tuple[Cell, ...]:
    """Return a study's cells, seed by seed.

    Where a seed has yet to be tuned, its cell is named by the fields before tuning and waits.

    Args:
        plans: the arms.
        made: their configs, by name.
        fingerprints: of their data, by name.
        code: the version of what computes.
        seeds: of the study.
        looks: at which arms may be left, so that lanes do not reach over them.
        lanes: how many seeds of an arm one program trains.
        tuning: what seeds tried, those chosen marked.
        kept: metrics whose value of every test example is kept.
    """
    digests: dict[str, str | None] = {}
    chosen = {(each.arm, each.seed): each.fields for each in tuning if each.chosen}

    def cell(plan: ArmPlan, seed: int) -> Cell:
        config = with_fields(made[plan.name], chosen.get((plan.name, seed), {}))
        together = _together(seed, len(seeds), looks, lanes)
        fingerprint = fingerprints[plan.name]
        own = identity(config, seed, fingerprint, code, together, digests, kept)
        return Cell(plan.name, seed, own, plan.steps, together)

    return tuple(cell(plan, seed) for seed in seeds for plan in plans)


def with_tuning(plan: Plan, tuning: Sequence[Candidate]) -> Plan:
    """Return a plan whose seeds, one by one, have the fields that were chosen for them."""
    made = {arm.name: read_config(arm.config) for arm in plan.arms}
    cells = plan_cells(
        *(plan.arms, made, plan.fingerprints, plan.code),
        seeds=plan.seeds,
        looks=plan.looks,
        tuning=tuning,
        kept=plan.kept,
    )
    return dataclasses.replace(plan, tuning=tuple(tuning), cells=cells)


def _together(seed: int, seeds: int, looks: Sequence[int], lanes: int) -> tuple[int, ...]:
    """Return the seeds that train in one program with a seed; empty where it trains alone."""
    begin = max((look for look in looks if look <= seed), default=0)
    end = min((look for look in looks if look > seed), default=seeds)
    first = seed - (seed - begin) % lanes
    found = tuple(range(first, min(first + lanes, end)))
    return found if len(found) > 1 else ()


def with_fields(config: Config, fields: Mapping[str, Any]) -> Config:
    """Return a config with other values of some fields, by their dotted names."""
    if not fields:
        return config
    config = configs.override(config, ())
    for name, value in fields.items():
        set_field(config, name, tuple(value) if isinstance(value, list) else value)
    configs.check(config)
    return config


def cell_config(plan: Plan, cell: Cell) -> Config:
    """Return the config of a cell."""
    arm = next(arm for arm in plan.arms if arm.name == cell.arm)
    config = read_config(arm.config)
    for each in plan.tuning:
        if each.chosen and (each.arm, each.seed) == (cell.arm, cell.seed):
            config = with_fields(config, each.fields)
    config.seed = cell.seed
    return config


def read_config(text: str) -> Config:
    """Return the config that ``configs.to_json`` wrote, held to have lost nothing."""
    name = json.loads(text)["model"]["name"]
    config = configs.from_json(text, models.fields(name))
    if configs.to_json(config) != text:
        raise BadInputError(
            f"the config of {name!r} cannot be kept: a field set to None where the model's default "
            "is another; take the model whose default it is"
        )
    return config


def identity(
    config: Config,
    seed: int,
    fingerprint: str,
    code: str,
    lanes: Sequence[int] = (),
    digests: dict[str, str | None] | None = None,
    kept: Sequence[str] = (),
) -> str:
    """Return the digest of what a cell is trained by and with.

    Config, seed, starting weights, code, data, libraries, lanes, and which values of test examples
    it keeps. ``digests`` remembers those of weights, so that a checkpoint is not read for every
    cell.
    """
    fields = {
        name: value
        for name, value in configs.leaves(config)
        if name != "seed" and not name.startswith(configs.NEUTRAL)
    }
    order = list(configs.ordered(config.data.augment))
    own = configs.override(config, ())
    own.seed = seed
    if (weights := source_path(own)) is not None:
        digests = {} if digests is None else digests
        if weights not in digests:
            digests[weights] = source_digest(own)
        weights = digests[weights]
    more = [list(kept)] if kept else []
    return counting.digest(
        *(repr(sorted(fields.items())), order, seed, weights, fingerprint, code, versions()),
        *(list(lanes), *more),
    )
