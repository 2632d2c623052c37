"""A study worked out: every arm's config, the proofs, the cells."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnn_jax import config as configs
from cnn_jax import models
from cnn_jax.ablation import budget, counting
from cnn_jax.ablation.budget import Matched
from cnn_jax.ablation.checks import (
    check_differs,
    check_factor,
    check_networks,
    check_test_sets,
    check_validation,
)
from cnn_jax.ablation.counting import Data, Described, Memo, Tensor
from cnn_jax.ablation.proof import Proof, declared_differences, prove
from cnn_jax.ablation.stored import ArmPlan, Candidate, Cell, Plan
from cnn_jax.ablation.study import Arm, Study, set_field
from cnn_jax.ablation.timing import step_time_ratio
from cnn_jax.config import Config
from cnn_jax.runs import workdir
from cnn_jax.runs.initialise import source_digest, source_path
from cnn_jax.runs.run import versions
from cnn_jax.runtime.errors import BadInputError

MEMORY = "counted.json"


def work_out(
    study: Study,
    folder: Path,
    *,
    preset: str,
    command: str,
    lanes: int = 1,
    threads: int | None = None,
    tuning: Sequence[Candidate] = (),
) -> Plan:
    """Match budgets, prove one factor, name the cells; nothing is trained.

    Args:
        study: what is declared.
        folder: of the study.
        preset: its name, for the report.
        command: how it was started, for the report.
        lanes: how many seeds of an arm one program trains.
        threads: of the processor, for a cell; None if nobody knows.
        tuning: what arms tried, those chosen marked; empty before.

    Raises:
        BadInputError: a config no run could use, an undeclared difference, a budget out of reach;
            before anything but remembered counts is written.
    """
    arms = {arm.name: arm for arm in study.arms}
    made = {name: study.config(arm) for name, arm in arms.items()}
    compared = [each for arm in arms.values() for each in arm.comparisons()]
    data = _checked(study, made, compared)
    memo, code = _memo(folder), counting.code_version(threads)
    matched = _adjust(made, arms, data, memo, code, tuning)
    described = {name: _describe(name, made[name], data[name], memo, code) for name in arms}
    proofs = [prove(study, arm, made, described, data) for arm in compared]
    for arm, proof in zip(compared, proofs, strict=True):
        _check_arm(arm, proof, made, data)
    plans = tuple(
        _arm_plan(arm, made[n], data[n], described[n], matched.get(n)) for n, arm in arms.items()
    )
    section = study.base.data
    return Plan(
        study.name,
        study.question,
        study.hypothesis,
        preset,
        section.name + (f" ({Path(section.dir).name})" if section.dir else ""),
        study.endpoint,
        study.smallest,
        tuple(study.threats),
        study.gradients,
        tuple(range(study.seeds)),
        plans,
        tuple(proofs),
        _cells(plans, made, data, code, seeds=study.seeds, lanes=lanes),
        code,
        {name: each.fingerprint for name, each in data.items()},
        command,
        study.series,
        tuple(tuning),
    )


def _check_arm(arm: Arm, proof: Proof, made: dict[str, Config], data: dict[str, Data]) -> None:
    """Raise ``BadInputError`` for an arm that is its control."""
    check_differs(arm, proof.fields)
    own, control = (data[name].module(made[name]) for name in (arm.name, arm.against or ""))
    check_networks(arm, proof.fields, own, control)


def _memo(folder: Path) -> Memo:
    """Return what is remembered in a study's folder, which is made."""
    workdir.check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return Memo(folder / MEMORY)


def _adjust(
    made: dict[str, Config],
    arms: dict[str, Arm],
    data: dict[str, Data],
    memo: Memo,
    code: str,
    tuning: Sequence[Candidate],
) -> dict[str, Matched]:
    """Set in each arm's config what matches its budget, and what was tuned; return the matches."""
    matched = {}
    for name, arm in arms.items():
        if arm.match is not None:
            found = _match(arm, made[name], made[arm.against or ""], data[name], memo, code)
            set_field(made[name], arm.match.by, found.value)
            matched[name] = found
    for each in tuning:
        for name, value in each.fields.items() if each.chosen else ():
            set_field(made[each.arm], name, value)
    return matched


def _arm_plan(
    arm: Arm, config: Config, data: Data, described: Described, matched: Matched | None
) -> ArmPlan:
    return ArmPlan(
        arm.name,
        arm.against,
        config.model.name,
        described.params,
        described.macs,
        data.steps(config),
        matched,
        configs.to_json(config),
        tuple(data.image_shape),
        {part: len(labels) for part, labels in data.labels.items()},
    )


def _cells(
    plans: Sequence[ArmPlan],
    made: dict[str, Config],
    data: dict[str, Data],
    code: str,
    *,
    seeds: int,
    lanes: int,
) -> tuple[Cell, ...]:
    """Return the cells, seed by seed; ``made`` and ``data`` are by arm."""
    digests: dict[str, str | None] = {}

    def cell(plan: ArmPlan, seed: int) -> Cell:
        first = seed - seed % lanes
        together = tuple(range(first, min(first + lanes, seeds)))
        together = together if len(together) > 1 else ()
        fingerprint = data[plan.name].fingerprint
        own = identity(made[plan.name], seed, fingerprint, code, together, digests)
        return Cell(plan.name, seed, own, plan.steps, together)

    return tuple(cell(plan, seed) for seed in range(seeds) for plan in plans)


def cell_config(plan: Plan, cell: Cell) -> Config:
    """Return the config of a cell."""
    arm = next(arm for arm in plan.arms if arm.name == cell.arm)
    config = read_config(arm.config)
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


def _checked(study: Study, made: dict[str, Config], compared: Sequence[Arm]) -> dict[str, Data]:
    """Return each arm's data; wrong fields raise ``BadInputError`` before any counting.

    ``compared`` has an arm once for each control of it.
    """
    check_validation(study, made)
    matched = {arm.name for arm in study.arms if arm.match is not None}
    for arm in compared:
        control, own = made[arm.against or ""], made[arm.name]
        check_factor(arm, control, own)
        fields = declared_differences(study, arm, control, own)
        if arm.name not in matched:
            check_differs(arm, fields)
    data = _load(made)
    for arm in compared:
        check_test_sets(study, arm, data)
    return data


def _load(made: dict[str, Config]) -> dict[str, Data]:
    """Return each arm's data, read once where arms name the same."""
    read: dict[str, Data] = {}
    found = {}
    for name, config in made.items():
        section = json.loads(configs.to_json(config))["data"]
        key = json.dumps(section | {"batch_size": 0, "augment": {}})
        if key not in read:
            read[key] = Data.load(config)
        found[name] = read[key]
    return found


def _match(arm: Arm, config: Config, control: Config, data: Data, memo: Memo, code: str) -> Matched:
    match = arm.match
    assert match is not None
    texts = configs.to_json(config), configs.to_json(control)
    key = counting.digest("match", *texts, dataclasses.astuple(match), data.fingerprint, code)

    def compute() -> dict[str, Any]:
        cost = step_time_ratio(control, data) if match.budget == "step_time" else None
        try:
            return dataclasses.asdict(budget.solve(config, control, match, data, cost))
        except BadInputError as error:
            raise BadInputError(f"arm {arm.name!r}: {error}") from None

    found = memo.get(key, compute)
    value, before = (
        tuple(x) if isinstance(x, list) else x for x in (found["value"], found["before"])
    )
    return Matched(**found | {"value": value, "before": before})


def _describe(arm: str, config: Config, data: Data, memo: Memo, code: str) -> Described:
    read_config(configs.to_json(config))
    # What a network is depends on these fields alone, so arms may share an answer.
    model = {name: repr(config.model[name]) for name in config.model}
    shape = data.image_shape, data.classes, config.train.precision, config.seed
    start = repr(configs.ordered(config.init)), source_digest(config)
    key = counting.digest("describe", model, shape, start, code)

    def compute() -> dict[str, Any]:
        try:
            return dataclasses.asdict(counting.describe(config, data))
        except BadInputError as error:
            raise BadInputError(f"arm {arm!r}: {error}") from None

    found = memo.get(key, compute)
    tensors = {
        path: Tensor(tuple(tensor["shape"]), tensor["digest"], tensor["constant"])
        for path, tensor in found["initial"].items()
    }
    return Described(**found | {"initial": tensors})


def identity(
    config: Config,
    seed: int,
    fingerprint: str,
    code: str,
    lanes: tuple[int, ...] = (),
    digests: dict[str, str | None] | None = None,
) -> str:
    """Return the digest of what a cell is trained by and with.

    Config, seed, starting weights, code, data, libraries and lanes. ``digests`` remembers those of
    weights, so that a checkpoint is not read for every cell.
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
    return counting.digest(
        repr(sorted(fields.items())), order, seed, weights, fingerprint, code, versions(), lanes
    )
