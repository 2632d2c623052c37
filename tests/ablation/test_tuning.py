"""Choosing on validation data: equal candidates for all arms, and the test set stays shut."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_jax.ablation import account, cells, identity, tuning
from cnn_jax.ablation.plan import work_out
from cnn_jax.ablation.stored import TUNING, Candidate, Plan
from cnn_jax.config import set_field
from cnn_jax.data.dataset import TEST, Dataset
from cnn_jax.runs import experiment
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.logging import read_metrics
from tests.ablation import tiny

RATES = (1e-9, 0.05)  # the first learns nothing
RATE = "optim.learning_rate"


class Shut:
    """A test set that must not be touched."""

    def __getattribute__(self, name: str):
        raise AssertionError(f"the test set's {name} was read")

    def __len__(self) -> int:
        raise AssertionError("the test set was counted")


def tuned(**fields: Any) -> tiny.Study:
    study = tiny.study("smoke")
    study.base.train.steps = study.base.checkpoint.every = study.base.eval.every = 20
    return dataclasses.replace(study, tune={RATE: RATES}, **fields)


def planned(study: tiny.Study, folder: Path, **more: Any) -> Plan:
    return work_out(study, folder, preset="smoke", command="", **more)


def here(folder: Path, plan: Plan) -> None:
    """Run the cells in this process."""
    for cell in plan.cells:
        cells.run([cells.request(folder, plan, cell)])


@pytest.mark.slow
@pytest.mark.parametrize("once", [False, True])
def test_each_arm_takes_its_best_on_validation_data_and_none_reads_the_test_set(
    once, tmp_path, monkeypatch
):
    study = tuned(tune_once=once)
    plan = planned(study, tmp_path)
    load = experiment.sources.load

    def shut(*args, **kwargs) -> Dataset:
        source = load(*args, **kwargs)  # which checks all labels: from here on nothing reads them
        object.__setattr__(source, "test", Shut())
        return source

    wanted = [(arm, None if once else 1) for arm in ("narrow", "wide")]
    with monkeypatch.context() as patch:
        patch.setattr(experiment.sources, "load", shut)
        found = tuning.choose(plan, tmp_path, wanted, here)
    assert [(each.arm, each.seed, each.fields[RATE]) for each in found] == [
        *[("narrow", wanted[0][1], rate) for rate in RATES],
        *[("wide", wanted[0][1], rate) for rate in RATES],
    ]
    assert [each.chosen for each in found] == [False, True] * 2
    asked = Plan.read(tmp_path / TUNING)
    assert {cell.seed for cell in asked.cells} == {10_000 if once else 10_001}
    for cell, each in zip(asked.cells, found, strict=True):
        place = cells.folder_of(tmp_path / TUNING, cell)
        lines = read_metrics(place / "metrics.jsonl")
        assert not [line for line in lines if line["split"] == TEST]
        (last,) = [x for x in lines if x["split"] == "validation" and x["step"] == 20]
        assert each.error == pytest.approx(1 - last["accuracy"])
    if once:
        chosen = planned(study, tmp_path, tuning=found)
        seeds = {0, 1}
    else:
        chosen, seeds = identity.with_tuning(plan, found), {1}
    rates = {cell: identity.cell_config(chosen, cell).optim.learning_rate for cell in chosen.cells}
    assert {rate for cell, rate in rates.items() if cell.seed in seeds} == {0.05}
    chosen.write(tmp_path)
    kept = Plan.read(tmp_path)
    assert (kept.tuning, kept.grid, kept.cells) == (chosen.tuning, chosen.grid, chosen.cells)


def test_a_seed_that_has_tuned_has_another_cell(tmp_path):
    plan = planned(tuned(), tmp_path)
    other = Candidate("wide", {RATE: 0.1}, 0.2, True, 1)
    now = identity.with_tuning(plan, [other, Candidate("wide", {RATE: 0.2}, 0.3, False, 0)])
    changed = [a for a, b in zip(now.cells, plan.cells, strict=True) if a != b]
    assert [(cell.arm, cell.seed) for cell in changed] == [("wide", 1)]
    assert identity.cell_config(now, changed[0]).optim.learning_rate == 0.1
    study = tiny.study("smoke")
    study.base.train.steps = study.base.checkpoint.every = study.base.eval.every = 20
    set_field(study.base, RATE, 0.1)
    assert changed[0] in planned(study, tmp_path / "other").cells  # the one that had it anyway


def test_what_tunes_sees_another_validation_cut():
    cuts = []
    for seed in (0, tuning.APART):
        config = tiny.config()
        config.seed = seed
        part: Any = experiment.assemble(config).dataset.validation
        assert len(part) == 144
        cuts.append(np.stack([np.asarray(part.read(row)) for row in range(144)]))
    assert not np.array_equal(*cuts)


def test_what_was_chosen_its_cost_and_the_ends_of_the_grid_are_told(tmp_path):
    plan = planned(tuned(seeds=3), tmp_path)
    assert "2 arms x 3 seeds x (2 candidates + 1) = 18 runs" in account.cost(plan)
    assert tuning.runs(plan, 3) == 18
    tried = [
        Candidate(arm, {RATE: rate}, error, rate == best, seed)
        for arm, bests in (("narrow", (0.05, 0.05, 1e-9)), ("wide", (0.05, 0.05, 0.05)))
        for seed, best in enumerate(bests)
        for rate, error in zip(RATES, (0.9, 0.1 + seed / 100), strict=True)
    ]
    text = account.tuning(identity.with_tuning(plan, tried))
    assert "| narrow | `optim.learning_rate` 0.05 | 11.00 | 2 of 3 |" in text
    assert "`narrow` took `optim.learning_rate` 1e-09, the end of what was tried, 1 time:" in text
    assert "`wide` took `optim.learning_rate` 0.05, the end of what was tried, 3 times:" in text
    once = planned(tuned(seeds=3, tune_once=True), tmp_path)
    assert "the verdicts are conditional on it. 2 arms x (3 seeds + 2 candidates) = 10 runs" in (
        account.cost(once)
    )
    wide = dataclasses.replace(once, grid={RATE: (0.01, 0.05, 0.1)})
    inner = dataclasses.replace(wide, tuning=(Candidate("wide", {RATE: 0.05}, 0.1, True),))
    assert tuning.at_edge(inner) == {}


def test_without_validation_data_nothing_is_chosen(tmp_path):
    study = tuned()
    study.base.data.validation = 0.0
    plan = planned(study, tmp_path)
    with pytest.raises(BadInputError, match=r"data\.validation is 0; tuning chooses by"):
        tuning.choose(plan, tmp_path, [("wide", 0)], here)
    with pytest.raises(BadInputError, match=r"tune has 'model\.hidden'; it takes fields of optim"):
        dataclasses.replace(study, tune={"model.hidden": ((16,), (32,))})


def test_a_value_that_no_run_could_use_stops_the_plan(tmp_path):
    plan = planned(dataclasses.replace(tuned(), tune={RATE: (0.1, -1.0)}), tmp_path)
    with pytest.raises(BadInputError, match=r"^tune: .*learning_rate.*-1\.0"):
        tuning.check(plan)
