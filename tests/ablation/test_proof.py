"""Only what is declared may differ; what should start equal does."""

import dataclasses
import itertools

import flax.core.scope
import jax
import pytest

from cnn_jax.ablation import Arm, Study, counting, proof
from cnn_jax.config import base_config
from cnn_jax.runtime.errors import BadInputError

DATA = counting.Data((16, 16, 1), 10, 900, "")
STRIDE = Arm("stride", {"model.downsample": "stride"}, "conv", ["model.downsample"])


def declare(*arms: Arm, **fields) -> Study:
    base = base_config()
    base.model.name, base.data.name, base.train.steps = "allcnn_c", "digits", 100
    base.model.widths = (4, 8)
    return Study("test", "", "", base, [Arm("conv"), *arms], **fields)


@pytest.fixture(scope="module")
def described():
    """The networks of both arms, drawn once."""
    study = declare(STRIDE)
    return {arm.name: counting.describe(study.config(arm), DATA) for arm in study.arms}


def proven(study: Study, described: dict) -> proof.Proof:
    made = {arm.name: study.config(arm) for arm in study.arms}
    return proof.prove(study, study.arms[-1], made, described, dict.fromkeys(made, DATA))


def test_what_differs_is_shown_and_the_rest_starts_equal(described):
    shown = proven(declare(STRIDE), described)
    assert shown.fields == {"model.downsample": ("conv", "stride")}
    assert shown.kinds == {"Conv": (9, 7)}
    assert shown.only_control == [
        f"params/{name}" for name in ("down1/bias", "down1/kernel", "down2/bias", "down2/kernel")
    ]
    assert (shown.only_arm, shown.reshaped, shown.different) == ([], [], [])
    assert (shown.identical, shown.drawn) == (14, 7)


@pytest.mark.parametrize(
    "second",
    [
        {"optim.learning_rate": 0.05},
        {"model.dropout": 0.25},
        {"data.batch_size": 64},
        {"data.augment": {"flip": {}}},
        {"train.steps": 200},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_second_field_stops_the_study_with_its_name(second):
    arm = dataclasses.replace(STRIDE, fields={**STRIDE.fields, **second})
    name = next(iter(second))
    with pytest.raises(BadInputError, match=rf"'stride' differs from 'conv' in {name}"):
        proven(declare(arm), {})


def test_weights_drawn_in_order_of_creation_are_found_out(monkeypatch):
    """Break the derivation of keys: number the draws, as many frameworks do."""
    drawn = itertools.count()

    def counted(self):
        return jax.random.fold_in(self.rng, next(drawn))

    study = declare(STRIDE)
    broken = {}
    monkeypatch.setattr(flax.core.scope.LazyRng, "as_jax_rng", counted)
    for arm in study.arms:
        drawn = itertools.count()
        broken[arm.name] = counting.describe(study.config(arm), DATA)
    monkeypatch.undo()
    with pytest.raises(BadInputError, match=r"initial weights of 'conv': params/.* other values"):
        proven(study, broken)


def test_budgets_that_are_held_equal_are_checked(described):
    held = declare(STRIDE, equal=("params", "macs"))
    with pytest.raises(BadInputError, match=r"params of .conv.: 1,814, not 2,546"):
        proven(held, described)


def test_another_seed_gives_other_weights(described):
    study = declare(STRIDE)
    first, second = described["conv"], counting.describe(study.config(study.arms[0], 1), DATA)
    drawn = [path for path, tensor in first.initial.items() if not tensor.constant]
    assert len(drawn) == 9
    assert all(first.initial[path] != second.initial[path] for path in drawn)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"seeds": 1}, "seeds is 1"),
        ({"endpoint": "tset"}, "endpoint is 'tset'"),
        ({"smallest": 0}, "smallest is 0"),
        ({"equal": ("luck",)}, "equal names 'luck'"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(fields, line):
    with pytest.raises(BadInputError, match=line):
        declare(STRIDE, **fields)


def test_arms_are_compared_with_arms_before_them():
    with pytest.raises(
        BadInputError, match="'stride' is against 'pool', which is no arm before it"
    ):
        declare(dataclasses.replace(STRIDE, against="pool"))
    study = declare(dataclasses.replace(STRIDE, fields={"model.downsampel": "stride"}))
    with pytest.raises(BadInputError, match=r"config field 'model\.downsampel' does not exist"):
        study.config(study.arms[-1])


def test_further_controls_have_factors_of_their_own():
    rate = {"optim.learning_rate": 0.05}
    slow = Arm("slow", rate, "conv", ["optim.learning_rate"])
    both = dataclasses.replace(
        STRIDE, fields={**STRIDE.fields, **rate}, against="slow", also={"conv": ["optim"]}
    )
    study = declare(slow, both)
    first, second = both.comparisons()
    assert (first.against, second.against) == ("slow", "conv")
    made = {arm.name: study.config(arm) for arm in study.arms}
    shown = proof.declared_differences(study, first, made["slow"], made["stride"])
    assert set(shown) == {"model.downsample"}
    with pytest.raises(BadInputError, match=r"'stride' differs from 'conv' in model\.downsample"):
        proof.declared_differences(study, second, made["conv"], made["stride"])
