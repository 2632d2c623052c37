"""Endpoints beside the error: values by example kept from the one evaluation, ratios, parts."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from cnn_jax.ablation import Endpoint, cells, endpoints, kept
from cnn_jax.ablation.plan import work_out
from cnn_jax.ablation.statements import measure, statements
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.verdicts import judge
from cnn_jax.data.dataset import TEST
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.json_file import UnreadableFileError
from cnn_jax.tasks import measures
from tests.ablation import made, tiny

NAMES = ("log_loss", "rank", "accuracy_top3")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, Plan]:
    """Return the folder and the plan of a study of which one cell has run."""
    folder = tmp_path_factory.mktemp("kept")
    study = tiny.brief("smoke")
    study.base.task.measures = NAMES
    wanted = [Endpoint(x, higher_is_better=x.startswith("acc"), smallest=0.1) for x in NAMES]
    study = dataclasses.replace(study, endpoint=["test", *wanted], gradients=False)
    plan = work_out(study, folder, preset="smoke", command="")
    assert cells.run([cells.request(folder, plan, plan.cells[0])]) == [cells.DONE]
    return folder, plan


def test_a_cell_keeps_values_whose_means_are_the_metrics(run):
    folder, plan = run
    outcome = cells.outcome(cells.folder_of(folder, plan.cells[0]), plan.cells[0])
    assert outcome is not None
    assert outcome.opened == 1
    metrics = outcome.result["metrics"]["test"]
    for name in NAMES:
        assert outcome.values[name].shape == outcome.right.shape
        assert outcome.values[name].mean() == pytest.approx(metrics[name], rel=1e-5)
        assert endpoints.value(outcome, Endpoint(name)) == outcome.values[name].mean()
    np.testing.assert_array_equal(outcome.values["rank"] == 0, outcome.right)
    error = endpoints.value(outcome, Endpoint())
    assert error == pytest.approx(1 - metrics["accuracy"])


def test_cells_that_keep_other_values_are_other_cells(run, tmp_path):
    _, plan = run
    study = tiny.brief("smoke")
    study.base.task.measures = NAMES
    plain = work_out(study, tmp_path, preset="smoke", command="")
    assert {cell.id for cell in plain.cells}.isdisjoint(cell.id for cell in plan.cells)


@pytest.mark.parametrize("damage", ["lost", "cut", "other"])
def test_values_that_are_not_what_the_cell_left_are_told(damage, run, tmp_path):
    folder, plan = run
    source = cells.folder_of(folder, plan.cells[0])
    place = tmp_path / source.name
    place.mkdir()
    for file in source.iterdir():
        if file.is_file():
            (place / file.name).write_bytes(file.read_bytes())
    file = place / kept.VALUES
    if damage == "lost":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    else:
        kept.write(place, {"log_loss": np.zeros(3)})
        cells.finished.write(place, plan.cells[0].id, cells.FILES)
    with pytest.raises(UnreadableFileError, match=r"values\.npz"):
        cells.outcome(place, plan.cells[0])


def test_a_ratio_of_sums_has_the_standard_error_of_the_delta_method():
    rng = np.random.default_rng(0)
    below = rng.gamma(4, 1, 1000)
    above = 0.5 * below + rng.normal(0, 0.5, 1000)
    one = made.outcome(0.1, values={"a": above, "b": below})
    ratio = Endpoint("a", over="b", smallest=1.0)
    assert endpoints.value(one, ratio) == pytest.approx(above.sum() / below.sum())
    influence = endpoints.by_example(one, ratio)
    drawn = []
    for _ in range(4000):
        rows = rng.integers(1000, size=1000)
        drawn.append(above[rows].sum() / below[rows].sum())
    assert influence.std(ddof=1) / 1000**0.5 == pytest.approx(np.std(drawn), rel=0.05)
    errors = Endpoint("error", over="b", smallest=1.0)
    assert endpoints.value(one, errors) == pytest.approx(100 / below.sum())
    with pytest.raises(BadInputError, match="test b is 0"):
        endpoints.by_example(made.outcome(0.1, values={"a": above, "b": 0 * below}), ratio)


def test_statements_are_judged_by_every_endpoint_in_its_direction():
    rng = np.random.default_rng(1)
    loss = Endpoint("log_loss", smallest=0.05)
    score = Endpoint("score", "train", higher_is_better=True, smallest=0.05)
    plan = made.plan(("new", "old"), endpoints=(Endpoint(), loss, score))
    shared, taste = rng.gamma(2, 1, made.EXAMPLES), rng.normal(1, 0.5, made.EXAMPLES)

    def cell(gain: float) -> Any:
        own = shared - gain * taste + rng.normal(0, 0.1, made.EXAMPLES) + rng.normal(0, 0.003)
        return made.outcome(0.1, values={"log_loss": own}, score=0.5 - gain + rng.normal(0, 0.001))

    outcomes = {arm: {s: cell(g) for s in range(5)} for arm, g in (("old", 0.0), ("new", 0.2))}
    verdicts = judge(plan, outcomes)
    assert [each.statement.endpoint.label for each in verdicts] == [
        *("test error", "test log_loss", "train score"),
    ]
    assert [each.verdict for each in verdicts] == ["equivalent", "better", "worse"]
    assert verdicts[1].mean == pytest.approx(-0.2, abs=0.02)
    assert verdicts[2].mean == pytest.approx(-0.2, abs=0.01)
    assert verdicts[2].different[0] < -0.2 < verdicts[2].different[1]
    assert verdicts[1].seeds_share < 1  # examples are a sample
    found = measure(statements(plan)[2], outcomes, range(5)).found
    points = [0.5 - outcomes["new"][s].result["metrics"]["train"]["score"] for s in range(5)]
    points = np.array(points) - [
        0.5 - outcomes["old"][s].result["metrics"]["train"]["score"] for s in range(5)
    ]
    theirs: Any = scipy_stats.ttest_1samp(points, 0)
    interval = theirs.confidence_interval()
    assert found.interval() == pytest.approx((interval.low, interval.high))


def test_the_rank_is_the_classes_before_an_examples_own():
    outputs = np.array([[0.1, 0.9, 0.5], [0.9, 0.1, 0.5], [0.1, 0.2, 0.3]], np.float32)
    found = kept.values(("rank",), outputs, np.array([1, 1, 1]))
    assert found["rank"].tolist() == [0, 2, 1]
    with pytest.raises(BadInputError, match="'confusion' has no value for each example"):
        kept.values(("confusion",), outputs, np.array([1, 1, 1]))
    assert isinstance(measures.named(["rank"])["rank"], measures.Mean)


def test_the_request_names_the_metrics(run):
    folder, plan = run
    wanted = json.loads((cells.folder_of(folder, plan.cells[0]) / "cell.json").read_text())
    assert wanted["values"] == list(NAMES)
    assert TEST not in wanted["values"]
