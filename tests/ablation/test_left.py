"""What a study's folder keeps: its own plan, diverged networks as outcomes, earlier openings."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_jax.ablation import (
    Study,
    account,
    cells,
    endpoints,
    judgements,
    left,
    main,
    plots,
    recipe,
    sections,
)
from cnn_jax.ablation.outcomes import Outcome
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.verdicts import UNTRAINED, judge
from cnn_jax.runtime.errors import BadInputError
from tests.ablation import made, tiny


@pytest.fixture
def study(left, tmp_path, monkeypatch) -> Path:
    """Return a copy of the finished study; its reports have no plots, which take long."""
    monkeypatch.setattr(plots, "draw_all", lambda *args: [])
    folder = tmp_path / "study"
    shutil.copytree(left, folder, ignore=shutil.ignore_patterns("checkpoints"))
    assert main(tiny.brief, [f"--workdir={folder}", "--report_only"]) == 0
    return folder


def renamed(preset: str) -> Study:
    return dataclasses.replace(tiny.brief(preset), name="other")


@pytest.mark.parametrize(
    ("declared", "flags", "line"),
    [
        (renamed, ["--plan_only"], "holds study 'tiny', preset smoke, not 'other', preset smoke"),
        (renamed, [], "not 'other'"),
        (renamed, ["--report_only"], "not 'other'"),
        (tiny.brief, ["--plan_only", "--preset=short"], "not 'tiny', preset short"),
        (tiny.brief, ["--preset=short"], "not 'tiny', preset short"),
        (tiny.brief, ["--report_only", "--preset=short"], "not 'tiny', preset short"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_another_study_replaces_nothing(declared, flags, line, study, capsys):
    before = {file.name: file.read_bytes() for file in study.iterdir() if file.is_file()}
    capsys.readouterr()
    assert main(declared, [f"--workdir={study}", *flags]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert line in error
    assert {file.name: file.read_bytes() for file in study.iterdir() if file.is_file()} == before


def test_the_plan_of_another_design_is_shown_and_not_kept(study, capsys):
    before = (study / "plan.json").read_bytes()
    assert main(tiny.brief, [f"--workdir={study}", "--plan_only", "--seeds=3"]) == 0
    shown = capsys.readouterr()
    assert "the plan of the cells that are there is kept" in shown.err
    assert "learning_rate `0.05`" in shown.out
    assert (study / "plan.json").read_bytes() == before


def changed(place: Path, **fields: Any) -> None:
    """Write another result into a cell, as if it had been trained so."""
    held = json.loads((place / "result.json").read_text())
    for name, value in fields.items():
        held["metrics"][name] = value
    for name in ("format", "digest"):
        held.pop(name, None)
    (place / "result.json").write_text(json.dumps(held))
    wanted = json.loads((place / "cell.json").read_text())
    cells.finished.write(place, wanted["cell"], cells.FILES)


@pytest.mark.parametrize("how", ["failed", "failed with a result", "no finite loss"])
def test_a_network_that_diverged_is_an_outcome(how, study, capsys):
    plan = Plan.read(study)
    cell = next(cell for cell in plan.cells if (cell.arm, cell.seed) == ("wide", 1))
    place = cells.folder_of(study, cell)
    if how != "no finite loss":
        (place / ("result.json" if how == "failed" else "finished.json")).unlink()
        cells.note_failure(place, "DivergedError: the loss is not finite", diverged=True)
    else:
        numbers = json.loads((place / "result.json").read_text())["metrics"]["test"]
        changed(place, test=numbers | {"loss": None})
    status = main(tiny.brief, [f"--workdir={study}", "--report_only"])
    assert status == 0
    line = "wide against narrow: did not train: wide failed with seed 1"
    assert line in capsys.readouterr().out
    report = (study / "report.md").read_text()
    assert "3 of 4 cells are finished, 1 diverged." in report
    shares = "1 of 2 (1% … 99%) | 0 of 2 (0% … 84%)"
    assert "**did not train** | wide failed with seed 1 |" in report
    assert f"| wide against narrow | {shares} | 1 | 0.05 | not judged |" in report


def test_diverged_and_missing_seeds_are_told_apart():
    plan = made.plan(("a", "b"), seeds=3, endpoint="train")
    one = made.outcome(0.5)
    (found,) = judge(plan, {"a": {2: one}, "b": {0: one, 2: one}}, {"a": [0]})
    assert (found.failed, found.missing) == ({"a": (0,)}, (1,))
    line = "inconclusive: a failed with seed 0; seed 1 missing"
    assert judgements.sentence(found) == line
    (found,) = judge(plan, {"a": {2: one}, "b": {0: one, 1: one, 2: one}}, {"a": [0, 1]})
    assert found.verdict == UNTRAINED


@pytest.mark.parametrize(
    ("metrics", "diverged"),
    [
        ({"test": {"loss": 0.5, "accuracy": 0.5}}, False),
        ({"test": {"loss": None, "accuracy": 0.5}}, True),
        ({"test": {"loss": float("nan"), "accuracy": 0.5}}, True),
        ({"test": {"loss": float("inf"), "accuracy": None}}, True),
        ({"test": None}, True),
        ({"train": {"loss": None, "accuracy": None}, "test": {"accuracy": 0.1}}, False),
    ],
    ids=str,
)
def test_a_loss_that_is_no_number_is_no_result(metrics, diverged):
    outcome = Outcome({"metrics": metrics}, np.zeros(4, bool), 1, [])
    assert outcome.diverged("test") is diverged
    if diverged:
        assert outcome.measured("test", "loss") is None


def test_openings_of_the_test_set_by_earlier_designs_are_counted(study):
    plan = Plan.read(study)
    place = cells.folder_of(study, plan.cells[0])
    shutil.copytree(place, place.with_name("narrow-seed0-000000000000"))
    stored = left.read_cells(plan, study)
    assert stored.earlier == (1, 1)
    text = account.provenance(plan, stored.outcomes, stored.earlier)
    assert "The test set was opened 4 times by 4 cells, once each at its end." in text
    assert "such as cells of earlier designs, opened it too: 1 times by 1 of them" in text
    shutil.copytree(place, study / "sources" / "one")  # whatever trained it
    assert left.read_cells(plan, study).earlier == (2, 2)


def test_cells_of_other_test_sets_are_not_compared(study):
    plan = Plan.read(study)
    outcomes = left.read_cells(plan, study).outcomes
    whole = outcomes["wide"][0]
    outcomes["wide"][0] = dataclasses.replace(whole, right=whole.right[:-1])
    with pytest.raises(BadInputError, match=r"'wide' and 'narrow': .* on 358 and 359 examples"):
        judge(plan, outcomes)
    assert whole.labels is not None
    labels = np.roll(whole.labels, 1)
    outcomes["wide"][0] = dataclasses.replace(whole, labels=labels)
    with pytest.raises(BadInputError, match=r"'wide' and 'narrow': .* examples of other labels"):
        judge(plan, outcomes)


def test_the_recipe_is_whole_and_says_what_is_held(study):
    plan = Plan.read(study)
    text = recipe.describe(plan)
    for part in (
        "images: digits, 1,294 train, 359 test, 144 validation images of 8x8x1, fingerprint ",
        "name `sgd`, learning_rate `0.05`, schedule `constant`",
        "batch_size `64`",
        "train, all arms: steps `6`",
        "`narrow`: model.hidden `[16]`",
        "`wide`: model.hidden `[32]`",
    ):
        assert part in text
    assert "log_every" not in text
    report = (study / "report.md").read_text()
    assert text in report
    assert "held equal and checked: steps, order of the data, initial weights where" in report


def test_what_is_not_held_is_not_claimed(study):
    plan = Plan.read(study)

    def method(*held: tuple[str, ...] | None) -> str:
        proofs = tuple(dataclasses.replace(plan.proofs[0], held=each) for each in held)
        return " ".join(judgements.method(dataclasses.replace(plan, proofs=proofs)).split())

    both = "a seed gives both the same order of the data and the same initial weights where"
    assert both in method(("order", "initial"))
    assert "same order" in method(("order", "steps"))
    assert "initial weights" not in method(("order", "steps"))
    assert "same order" not in method(("order",), ("steps",))
    assert "Seeds pair the arms. For" in method(None)


def test_the_verdict_needs_no_metric_that_is_missing():
    none = Outcome({"metrics": {"test": {"accuracy": None}}}, np.zeros(2, bool), 1, [])
    assert sections._errors([none], "test") == []
    with pytest.raises(BadInputError, match="no finite test accuracy"):
        endpoints.error(none, "test")
