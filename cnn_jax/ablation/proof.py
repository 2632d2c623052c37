"""The one-factor proof: what differs between an arm and its control, and nothing else does.

Three views: the config, field by field; the parameter tree, with which initial tensors are equal
to the bit; the layers and operations counted from the traced program. A difference that the study
does not declare raises ``BadInputError`` before anything runs.
"""

import dataclasses
from typing import Any

from cnn_jax import config as configs
from cnn_jax.ablation.arms import Arm
from cnn_jax.ablation.counting import Data, Described
from cnn_jax.ablation.study import Study
from cnn_jax.config import Config
from cnn_jax.runtime.errors import BadInputError


@dataclasses.dataclass(frozen=True)
class Proof:
    """What differs between ``arm`` and ``control``.

    Attributes:
        arm: its name.
        control: the name of its control.
        fields: config field -> (control's, arm's value).
        kinds: kind of layer -> (in the control, in the arm), where the numbers differ.
        only_control: paths of tensors that the arm lacks.
        only_arm: paths of tensors that the control lacks.
        reshaped: paths of tensors in both, of different shapes.
        identical: tensors in both that start from the same bits, constants included.
        drawn: those among them that are drawn at random, which is what makes it a finding.
        different: paths of tensors of one shape that start from different bits.
        steps: optimizer updates of the control and of the arm.
        held: what the study holds equal between the two; None in plans that did not keep it.
        not_worse: whether the hypothesis calls the arm *not worse*.
    """

    arm: str
    control: str
    fields: dict[str, tuple[Any, Any]]
    kinds: dict[str, tuple[int, int]]
    only_control: list[str]
    only_arm: list[str]
    reshaped: list[str]
    identical: int
    drawn: int
    different: list[str]
    steps: tuple[int, int]
    held: tuple[str, ...] | None = None
    not_worse: bool = False


def prove(
    study: Study,
    arm: Arm,
    configs_of: dict[str, Config],
    described: dict[str, Described],
    data: dict[str, Data],
) -> Proof:
    """Return the differences of an arm from its control; dicts are by the arms' names.

    Raises:
        BadInputError: a difference that the study does not declare; the line names it.
    """
    control = arm.against
    assert control is not None
    fields = declared_differences(study, arm, configs_of[control], configs_of[arm.name])
    own, other = described[arm.name], described[control]
    shared = own.initial.keys() & other.initial.keys()
    alike = {path for path in shared if own.initial[path].shape == other.initial[path].shape}
    identical = {path for path in alike if own.initial[path] == other.initial[path]}
    kinds = sorted(own.kinds.keys() | other.kinds.keys())
    counts = {kind: (other.kinds.get(kind, 0), own.kinds.get(kind, 0)) for kind in kinds}
    proof = Proof(
        arm.name,
        control,
        fields,
        {kind: pair for kind, pair in counts.items() if pair[0] != pair[1]},
        sorted(other.initial.keys() - shared),
        sorted(own.initial.keys() - shared),
        sorted(shared - alike),
        len(identical),
        sum(not own.initial[path].constant for path in identical),
        sorted(alike - identical),
        (
            data[control].steps(configs_of[control]),
            data[arm.name].steps(configs_of[arm.name]),
        ),
        tuple(study.held(arm)),
        control in arm.not_worse,
    )
    _check_held(study, arm, proof, own, other)
    return proof


def declared_differences(
    study: Study, arm: Arm, control: Config, own: Config
) -> dict[str, tuple[Any, Any]]:
    """Return the config fields that differ, field -> (control's, arm's); all have to be declared.

    Fields that the study tunes may differ.

    A field that only one of the two configs has differs as well.
    """
    before, after = dict(configs.leaves(control)), dict(configs.leaves(own))
    names = [*before, *(name for name in after if name not in before)]
    different = {
        name: (before.get(name), after.get(name))
        for name in names
        if name not in before or name not in after or before[name] != after[name]
    }
    if list(configs.ordered(control.data.augment)) != list(configs.ordered(own.data.augment)):
        orders = [", ".join(configs.ordered(each.data.augment)) for each in (control, own)]
        different.setdefault("data.augment", (orders[0], orders[1]))
    declared = {*arm.factor, *study.tune, *([arm.match.by] if arm.match else [])}
    for name, (old, new) in different.items():
        if name not in declared and not name.startswith(tuple(f"{x}." for x in declared)):
            raise BadInputError(
                f"arm {arm.name!r} differs from {arm.against!r} in {name} ({old!r} there, {new!r} "
                "here), which the study does not declare; remove it, or add it to the arm's factor"
            )
    return different


def _check_held(study: Study, arm: Arm, proof: Proof, own: Described, other: Described) -> None:
    held = set(study.held(arm))

    def stop(what: str, right: str) -> None:
        raise BadInputError(
            f"arm {arm.name!r} is to have the {what} of {arm.against!r}: {right}; "
            "match it, or leave it out of what is held equal"
        )

    tolerance = arm.match.tolerance if arm.match else 0.0
    for what, mine, theirs in (
        ("params", own.params, other.params),
        ("macs", own.macs, other.macs),
    ):
        allowed = tolerance if arm.match and arm.match.budget == what else 0.0
        if what in held and abs(mine - theirs) > allowed * theirs:
            stop(what, f"{mine:,}, not {theirs:,}")
    if "steps" in held and proof.steps[0] != proof.steps[1]:
        stop("steps", f"{proof.steps[1]}, not {proof.steps[0]}")
    orders = [name for name in proof.fields if name.startswith("data.") or name == "seed"]
    if "order" in held and orders:
        stop("order of the data", f"{orders[0]} differs")
    if "initial" in held and proof.different:
        stop("initial weights", f"{proof.different[0]} has the same shape and other values")
