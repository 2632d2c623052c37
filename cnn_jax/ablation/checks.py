"""What stops a study before anything is counted or trained: arms that cannot be compared."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnn_jax import config as configs
from cnn_jax.ablation.arms import Arm
from cnn_jax.ablation.counting import Data
from cnn_jax.ablation.endpoints import ERROR
from cnn_jax.ablation.study import Study
from cnn_jax.config import Config
from cnn_jax.data.dataset import TEST, VALIDATION
from cnn_jax.runtime.errors import BadInputError


def check_factor(arm: Arm, control: Config, own: Config) -> None:
    """Check that an arm's factor names fields that one of the two configs has.

    Raises:
        BadInputError: there is no such field, or it is a whole section, which would declare any
            difference; "model" may stand for another network's fields.
    """
    known = {name for each in (control, own) for name, _ in configs.leaves(each)}
    known |= {name for each in (control, own) for name in configs.sections(each)}
    for name in arm.factor:
        if name not in known and not name.startswith("data.augment."):
            line = configs.unknown_field(name, sorted(known))
            raise BadInputError(f"arm {arm.name!r}: factor: {line}")
        another = name == "model" and control.model.name != own.model.name
        if "." not in name and not another:
            raise BadInputError(
                f"arm {arm.name!r}: factor names the whole section {name!r}; name the fields of it "
                "that may differ"
            )


def check_differs(arm: Arm, fields: Mapping[str, Any]) -> None:
    """Raise ``BadInputError`` for an arm whose config computes what its control's does."""
    if all(name.startswith(configs.NEUTRAL) and name != "data.dir" for name in fields):
        only = f" but for {', '.join(fields)}, which changes no result" if fields else ""
        raise BadInputError(
            f"arm {arm.name!r} is its control, {arm.against!r}{only}; set the field it is about"
        )


def check_networks(arm: Arm, fields: Mapping[str, Any], own: Any, control: Any) -> None:
    """Raise ``BadInputError`` for an arm whose fields of the model build its control's network.

    Another ``model.name`` alone may: fields that the base has set, such as a shortcut, stay.

    Args:
        arm: with its control.
        fields: those that differ.
        own: its network.
        control: its control's.
    """
    decisive = [name for name in fields if not name.startswith(configs.NEUTRAL)]
    if all(name.startswith("model.") for name in decisive) and own == control:
        raise BadInputError(
            f"arm {arm.name!r} has the network of its control, {arm.against!r}, though "
            f"{', '.join(decisive)} differ; set the field that it is about"
        )


def check_validation(study: Study, made: Mapping[str, Config]) -> None:
    """Check that arms keep validation data where the endpoint is their error on them."""
    decisive = any(each.split == VALIDATION for each in study.endpoints)
    for name, config in made.items():
        if decisive and not config.data.validation:
            raise BadInputError(
                f"arm {name!r}: data.validation is 0, and the endpoint is validation error; set a "
                "share, or take another endpoint"
            )


def check_endpoints(study: Study, made: Mapping[str, Config], lanes: int = 1) -> None:
    """Check that cells will have what the endpoints are made of.

    Raises:
        BadInputError: a metric of the training or validation part is not measured, or examples'
            values are to be kept where lanes or ``pmap`` train.
    """
    if study.tune and not study.tune_once and lanes > 1:
        raise BadInputError(f"--lanes={lanes}: each seed tunes for itself; take 1")
    for name, config in made.items():
        measured = (ERROR, "loss", *(config.get("task") or {}).get("measures", ()))
        for endpoint in study.endpoints:
            lacking = [each for each in endpoint.metrics if each not in measured]
            own = f"arm {name!r}: endpoint {endpoint.label!r}"
            if endpoint.split != TEST and lacking:
                raise BadInputError(
                    f"{own}: {lacking[0]} is not measured; add it to the base's task.measures"
                )
            if endpoint.kept and (lanes > 1 or config.train.strategy != "jit"):
                what = f"--lanes={lanes}" if lanes > 1 else "train.strategy"
                right = "1" if lanes > 1 else "jit"
                raise BadInputError(f"{own} keeps examples' values; {what} has to be {right}")


def check_test_sets(study: Study, arm: Arm, data: dict[str, Data]) -> None:
    """Check that an arm and its control answer the same test examples, in the same order."""
    if all(each.split != TEST for each in study.endpoints):
        return
    own, other = (data[name].labels.get(TEST) for name in (arm.name, arm.against or ""))
    both = f"arms {arm.name!r} and {arm.against!r}"
    if own is None or other is None:
        raise BadInputError(f"{both}: the endpoint is test error, and their data have no test part")
    if len(own) != len(other):
        raise BadInputError(
            f"{both} have {len(own):,} and {len(other):,} test examples; a comparison pairs them, "
            "so give both the same test set"
        )
    if not np.array_equal(own, other):
        first = int(np.flatnonzero(own != other)[0])
        raise BadInputError(
            f"{both} have other labels in their test sets (example {first}: {own[first]} and "
            f"{other[first]}); a comparison pairs them, so give both the same test set"
        )
