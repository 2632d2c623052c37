"""A study worked out: every arm's config, the proofs, the cells."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnn_jax import config as configs
from cnn_jax.ablation import budget, counting
from cnn_jax.ablation.arms import Arm
from cnn_jax.ablation.budget import Matched
from cnn_jax.ablation.checks import (
    check_differs,
    check_endpoints,
    check_factor,
    check_networks,
    check_test_sets,
    check_validation,
)
from cnn_jax.ablation.counting import Data, Described, Memo, Tensor
from cnn_jax.ablation.identity import plan_cells, read_config
from cnn_jax.ablation.proof import Proof, declared_differences, prove
from cnn_jax.ablation.stored import ArmPlan, Candidate, Plan
from cnn_jax.ablation.study import Study, set_field
from cnn_jax.ablation.timing import step_time_ratio
from cnn_jax.config import Config
from cnn_jax.runs import workdir
from cnn_jax.runs.initialise import source_digest
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
    exploratory: str = "",
) -> Plan:
    """Match budgets, prove one factor, name the cells; nothing is trained.

    Args:
        study: what is declared.
        folder: of the study.
        preset: its name, for the report.
        command: how it was started, for the report.
        lanes: how many seeds of an arm one program trains.
        threads: of the processor, for a cell; None if nobody knows.
        tuning: what arms tried for all seeds, those chosen marked; empty before, and where seeds
            tune each for itself (``identity.with_tuning``).
        exploratory: why it is not the study that was declared; empty where it is.

    Raises:
        BadInputError: a config no run could use, an undeclared difference, a budget out of reach;
            before anything but remembered counts is written.
    """
    arms = {arm.name: arm for arm in study.arms}
    made = {name: study.config(arm) for name, arm in arms.items()}
    compared = [each for arm in arms.values() for each in arm.comparisons()]
    data = _checked(study, made, compared, lanes)
    memo, code = _memo(folder), counting.code_version(threads)
    matched = _adjust(made, arms, data, memo, code, tuning)
    described = {name: _describe(name, made[name], data[name], memo, code) for name in arms}
    proofs = [prove(study, arm, made, described, data) for arm in compared]
    _check_arms(compared, proofs, made, data)
    plans = tuple(
        _arm_plan(arm, made[n], data[n], described[n], matched.get(n)) for n, arm in arms.items()
    )
    fingerprints = {name: each.fingerprint for name, each in data.items()}
    cells = plan_cells(
        *(plans, made, fingerprints, code),
        seeds=range(study.seeds),
        looks=study.looks,
        lanes=lanes,
        kept=tuple(dict.fromkeys(name for each in study.endpoints for name in each.kept)),
    )
    return Plan(
        **_declared(study),
        preset=preset,
        arms=plans,
        proofs=tuple(proofs),
        cells=cells,
        code=code,
        fingerprints=fingerprints,
        command=command,
        tuning=tuple(tuning),
        exploratory=exploratory,
    )


def _declared(study: Study) -> dict[str, Any]:
    """Return the fields of a plan that the study declares."""
    section = study.base.data
    return {
        "name": study.name,
        "question": study.question,
        "hypothesis": study.hypothesis,
        "data": section.name + (f" ({Path(section.dir).name})" if section.dir else ""),
        "endpoint": study.endpoints[0].split,
        "smallest": study.smallest,
        "threats": tuple(study.threats),
        "gradients": study.gradients,
        "seeds": tuple(range(study.seeds)),
        "series": study.series,
        "looks": tuple(study.looks),
        "endpoints": study.endpoints,
        "contrasts": tuple(study.contrasts),
        "relative": study.relative,
        "at_chance": study.at_chance,
        "grid": {name: tuple(values) for name, values in study.tune.items()},
        "tune_once": study.tune_once,
        "spread": study.spread,
    }


def _check_arms(
    compared: Sequence[Arm],
    proofs: Sequence[Proof],
    made: dict[str, Config],
    data: dict[str, Data],
) -> None:
    """Raise ``BadInputError`` for an arm that is its control."""
    for arm, proof in zip(compared, proofs, strict=True):
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


def _checked(
    study: Study, made: dict[str, Config], compared: Sequence[Arm], lanes: int
) -> dict[str, Data]:
    """Return each arm's data; wrong fields raise ``BadInputError`` before any counting.

    ``compared`` has an arm once for each control of it.
    """
    check_validation(study, made)
    check_endpoints(study, made, lanes)
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
