"""Choosing on validation data: equal candidates for all arms, and the test set stays shut."""

import dataclasses
from pathlib import Path

import pytest

from cnn_jax.ablation import account, cells, tuning
from cnn_jax.ablation.plan import Plan, cell_config, work_out
from cnn_jax.data.dataset import TEST, Dataset
from cnn_jax.runs import experiment
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.logging import read_metrics
from tests.ablation import tiny

RATES = (1e-9, 0.05)  # the first learns nothing


class Shut:
    """A test set that must not be touched."""

    def __getattribute__(self, name: str):
        raise AssertionError(f"the test set's {name} was read")

    def __len__(self) -> int:
        raise AssertionError("the test set was counted")


def tuned() -> tiny.Study:
    study = tiny.study("smoke")
    study.base.train.steps = study.base.checkpoint.every = study.base.eval.every = 20
    return dataclasses.replace(study, tune={"optim.learning_rate": RATES})


def here(folder: Path, plan: Plan) -> None:
    """Run the cells in this process."""
    for cell in plan.cells:
        cells.run([cells.request(folder, plan, cell)])


@pytest.mark.slow
def test_each_arm_takes_its_best_on_validation_data_and_none_reads_the_test_set(
    tmp_path, monkeypatch
):
    study = tuned()
    plan = work_out(study, tmp_path, preset="smoke", command="")
    load = experiment.sources.load

    def shut(*args, **kwargs) -> Dataset:
        source = load(*args, **kwargs)  # which checks all labels: from here on nothing reads them
        object.__setattr__(source, "test", Shut())
        return source

    with monkeypatch.context() as patch:
        patch.setattr(experiment.sources, "load", shut)
        found = tuning.choose(study, plan, tmp_path, here)
    assert [(each.arm, each.fields["optim.learning_rate"]) for each in found] == [
        *[("narrow", rate) for rate in RATES],
        *[("wide", rate) for rate in RATES],
    ]
    assert [each.chosen for each in found] == [False, True] * 2
    asked = Plan.read(tmp_path / tuning.FOLDER)
    for cell, each in zip(asked.cells, found, strict=True):
        place = cells.folder_of(tmp_path / tuning.FOLDER, cell)
        lines = read_metrics(place / "metrics.jsonl")
        assert not [line for line in lines if line["split"] == TEST]
        (last,) = [x for x in lines if x["split"] == "validation" and x["step"] == 20]
        assert each.error == pytest.approx(1 - last["accuracy"])
    chosen = work_out(study, tmp_path, preset="smoke", command="", tuning=found)
    assert [cell_config(chosen, c).optim.learning_rate for c in chosen.cells] == [0.05] * 4
    chosen.write(tmp_path)
    assert Plan.read(tmp_path).tuning == chosen.tuning
    assert "| wide | `optim.learning_rate` 0.05 |" in account.tuning(chosen)
    assert "tried the same 2 candidates on seed 0" in account.tuning(chosen)


def test_without_validation_data_nothing_is_chosen(tmp_path):
    study = tuned()
    study.base.data.validation = 0.0
    plan = work_out(study, tmp_path, preset="smoke", command="")
    with pytest.raises(BadInputError, match=r"data\.validation is 0; tuning chooses by"):
        tuning.choose(study, plan, tmp_path, here)
    with pytest.raises(BadInputError, match=r"tune has 'model\.hidden'; it takes fields of optim"):
        dataclasses.replace(study, tune={"model.hidden": ((16,), (32,))})
