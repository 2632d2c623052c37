"""The solver, on a table of cases, and what it says where it cannot."""

import dataclasses

import pytest

from cnn_jax.ablation import Arm, Match, Study, budget, counting
from cnn_jax.ablation.budget import search
from cnn_jax.ablation.study import set_field
from cnn_jax.config import Config, base_config
from cnn_jax.runtime.errors import BadInputError

DATA = counting.Data((32, 32, 3), 10, 900, "")
RESNET = {"model.name": "resnet20", "model.widths": (16, 32, 64)}
BOTTLENECK = RESNET | {"model.bottleneck": True, "model.shortcut": "B"}
PLAIN = RESNET | {"model.name": "plain20"}
INCEPTION = {"model.name": "inception_v1", "model.aux": False, "model.width": 0.25}
INCEPTION |= {"model.modules": ("3a",)}
SMALL = {"model.stages": (1, 1, 1), "model.widths": (8, 16, 32)}
slow = pytest.mark.slow  # counting deep networks takes seconds
CASES = [
    pytest.param(
        {"model.name": "allcnn_c"},
        {"model.name": "allcnn_c", "model.downsample": "stride"},
        Match("macs", "model.widths"),
        id="All-CNN, strided to its MACs",
    ),
    pytest.param(
        RESNET | SMALL,
        BOTTLENECK | SMALL,
        Match("params", "model.widths"),
        id="small basic, bottleneck to its parameters",
    ),
    pytest.param(
        INCEPTION,
        INCEPTION | {"model.reduce": False},
        Match("macs", "model.width", tolerance=0.03),
        id="inception, naive to its MACs",
    ),
    pytest.param(
        *(RESNET, BOTTLENECK, Match("params", "model.widths")),
        id="basic, bottleneck to its parameters",
        marks=slow,
    ),
    pytest.param(
        *(PLAIN, BOTTLENECK, Match("params", "model.widths")),
        id="plain, bottleneck to its parameters",
        marks=slow,
    ),
    pytest.param(
        *(BOTTLENECK, RESNET, Match("params", "model.widths")),
        id="bottleneck, basic to its parameters",
        marks=slow,
    ),
    pytest.param(
        *(RESNET, BOTTLENECK, Match("macs", "model.widths")),
        id="basic, bottleneck to its MACs",
        marks=slow,
    ),
    pytest.param(
        *(PLAIN, PLAIN | {"model.stages": (5, 5, 5)}, Match("params", "model.widths")),
        id="plain-20, plain-32 to its parameters",
        marks=slow,
    ),
    pytest.param(
        RESNET | {"model.widths": (24, 48, 96)},
        RESNET,
        Match("macs", "model.stages", tolerance=0.03),
        id="ResNet, depth for width",
        marks=slow,
    ),
]


def made(fields: dict) -> Config:
    base = base_config()
    base.model.name, base.data.name, base.train.steps = "resnet20", "digits", 100
    arms = [Arm("control"), Arm("arm", against="control")]
    return Study("test", "", "", base, arms).config(Arm("x", fields))


@pytest.mark.parametrize(("control", "arm", "match"), CASES)
def test_budgets_come_within_the_tolerance(control, arm, match):
    control, arm = made(control), made(arm)
    found = budget.solve(arm, control, match, DATA)
    set_field(arm, match.by, found.value)
    mine, theirs = (
        dict(zip(("params", "macs"), counting.count(c, DATA), strict=True)) for c in (arm, control)
    )
    assert abs(mine[match.budget] / theirs[match.budget] - 1) <= match.tolerance
    for other in ("params", "macs"):  # the mismatch that is left is the true one
        assert found.residual[other] == pytest.approx(mine[other] / theirs[other] - 1)


def test_steps_make_the_training_cost_equal():
    control, arm = made(RESNET | SMALL), made(RESNET | SMALL | {"model.stages": (3, 3, 3)})
    found = budget.solve(arm, control, Match("macs", "train.steps"), DATA)
    assert found.value == round(
        100 * counting.count(control, DATA)[1] / counting.count(arm, DATA)[1]
    )
    assert abs(found.residual["training MACs"]) <= 0.01
    assert found.residual["macs"] > 0.5


def test_out_of_reach_is_told_with_the_nearest():
    match = Match("params", "model.width", tolerance=1e-4)
    narrow = RESNET | {"model.widths": (), "model.width": 8, "model.stages": (1, 1, 1)}
    with pytest.raises(BadInputError, match=r"model.width: the nearest to equal params is \d+"):
        budget.solve(made(narrow | {"model.stages": (2, 2, 2)}), made(narrow), match, DATA)


def test_a_field_that_is_no_number_is_refused():
    with pytest.raises(BadInputError, match="not 'A'"):
        budget.solve(made(RESNET), made(PLAIN), Match("params", "model.shortcut"), DATA)


def test_a_measured_cost_is_brought_to_one():
    control, arm = made(PLAIN | SMALL), made(PLAIN | SMALL | {"model.stages": (2, 2, 2)})
    unit = counting.count(control, DATA)[1]
    found = budget.solve(
        arm,
        control,
        Match("step_time", "model.widths", tolerance=0.05),
        DATA,
        cost=lambda config: counting.count(config, DATA)[1] / unit,
    )
    assert abs(found.residual["step time"]) <= 0.05
    assert dataclasses.asdict(found)["before"] == (8, 16, 32)


def test_tuples_stay_as_close_to_proportional_as_the_tolerance_allows():
    found = search(lambda w: 9.0 * w[0] * w[1] + w[1] ** 2, (8, 16), 9 * 21 * 42 + 42**2, 0.01)
    assert found == (21, 42)


def test_a_layer_that_is_not_there_stays_away():
    def priced(w) -> float:
        assert w[1] == 0
        return 9.0 * w[0] * w[2] + w[2] ** 2

    assert search(priced, (8, 0, 16), 9 * 21 * 42 + 42**2, 0.01) == (21, 0, 42)


@pytest.mark.parametrize(
    "start", [(), (0, 0), (8, -4), (8, 1.5), (8, True), -8, 0, True, "8", None]
)
def test_what_cannot_be_scaled_is_refused(start):
    with pytest.raises(BadInputError, match="a number above 0, or a tuple of whole ones, not"):
        search(lambda value: 1.0, start, 2.0, 0.01)


@pytest.mark.parametrize("costs", [(1.0, float("nan")), (float("nan"), 1.0)])
def test_a_measured_cost_that_is_no_number_matches_nothing(costs):
    control, arm = made(PLAIN | SMALL), made(PLAIN | SMALL)
    match = Match("step_time", "model.widths")
    with pytest.raises(BadInputError, match=r"nan% away|no step_time"):
        budget.solve(*(arm, control, match, DATA), cost=lambda x: costs[x is not control])
