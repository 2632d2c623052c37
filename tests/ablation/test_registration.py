"""The plan is fixed before the first cell; what is changed later is shown."""

import dataclasses
import json
from pathlib import Path

import pytest

from cnn_jax.ablation import account, registration
from cnn_jax.ablation.stored import Candidate
from cnn_jax.runtime.json_file import UnreadableFileError
from tests.ablation import made

PLAN = made.plan(("new", "old"))


def begin(folder: Path, *, finished: bool = True) -> None:
    """Leave what a cell leaves that has begun, or ended."""
    place = folder / "cells" / "new-seed0-0"
    place.mkdir(parents=True)
    for name in ("config.json", *(["result.json"] if finished else [])):
        (place / name).write_text("{}")


def test_before_the_first_cell_a_plan_may_be_replaced(tmp_path):
    registration.fix(tmp_path, PLAN)
    other = dataclasses.replace(PLAN, smallest=0.02)
    registration.fix(tmp_path, other)
    held = registration.read(tmp_path)
    assert held is not None
    assert held["first"] == registration.digest(registration.registered_fields(other))
    text = account.registration(other, held)
    assert text.endswith("was fixed before the first cell and has not been changed.")
    assert registration.is_registered(tmp_path, other)
    assert not registration.is_registered(tmp_path, PLAN)


@pytest.mark.parametrize("finished", [True, False])
def test_afterwards_a_change_is_an_amendment(finished, tmp_path):
    registration.fix(tmp_path, PLAN)
    begin(tmp_path, finished=finished)
    registration.fix(tmp_path, PLAN)
    more = dataclasses.replace(PLAN, seeds=tuple(range(6)), exploratory="6 seeds")
    registration.fix(tmp_path, more)
    last = dataclasses.replace(more, smallest=0.02)
    registration.fix(tmp_path, last)
    held = registration.read(tmp_path)
    assert held is not None
    first, second = held["amendments"]
    assert first["finished"] == int(finished)
    assert first["changed"] == [
        *('exploratory: "" → "6 seeds"', "seeds: [0, 1, 2, 3, 4] → [0, 1, 2, 3, 4, 5]"),
    ]
    assert second["changed"] == ["smallest: 0.01 → 0.02"]
    text = account.registration(last, held)
    assert "**It was changed since:**" in text
    assert f"amendment 2, after {int(finished)} finished cells: smallest: 0.01 → 0.02" in text
    assert "another plan than the newest" in account.registration(PLAN, held)


def test_what_tuning_chose_is_no_change(tmp_path):
    config = json.loads(PLAN.arms[0].config) | {"optim": {"learning_rate": 0.1, "name": "sgd"}}

    def plan(rate: float, **fields):
        config["optim"]["learning_rate"] = rate
        arms = tuple(dataclasses.replace(a, config=json.dumps(config)) for a in PLAN.arms)
        return dataclasses.replace(PLAN, arms=arms, **fields)

    grid = {"optim.learning_rate": (0.1, 0.2)}
    before = plan(0.1, grid=grid)
    registration.fix(tmp_path, before)
    chosen = (Candidate("new", {"optim.learning_rate": 0.2}, 0.1, True),)
    assert registration.is_registered(tmp_path, plan(0.2, grid=grid, tuning=chosen))
    assert not registration.is_registered(tmp_path, plan(0.2, grid={}))
    assert not registration.is_registered(tmp_path, dataclasses.replace(before, grid={}))


def test_a_data_set_that_was_moved_is_no_change(tmp_path):
    def plan(folder: str, **fields):
        config = json.loads(PLAN.arms[0].config) | {"data": {"dir": folder, **fields}}
        arms = tuple(dataclasses.replace(a, config=json.dumps(config)) for a in PLAN.arms)
        return dataclasses.replace(PLAN, arms=arms, data=f"folder ({folder})")

    registration.fix(tmp_path, plan("here", batch_size=1))
    assert registration.is_registered(tmp_path, plan("there", batch_size=1))
    assert not registration.is_registered(tmp_path, plan("here", batch_size=2))


def test_a_study_of_an_earlier_version_is_registered_late(tmp_path):
    begin(tmp_path)
    assert "begun by an earlier version" in account.registration(PLAN, None)
    registration.fix(tmp_path, PLAN)
    held = registration.read(tmp_path)
    assert "was fixed when 1 cells had finished" in account.registration(PLAN, held)


def test_a_registration_that_was_lost_is_told(tmp_path):
    plan = registration.fix(tmp_path, PLAN)
    assert registration.of(tmp_path, plan) == registration.read(tmp_path)
    (tmp_path / registration.REGISTRATION).unlink()
    assert registration.of(tmp_path, PLAN) is None  # as an earlier version left it
    with pytest.raises(UnreadableFileError, match=r"registration\.json' is missing; the plan was"):
        registration.of(tmp_path, plan)


def test_an_edited_registration_is_told(tmp_path):
    registration.fix(tmp_path, PLAN)
    begin(tmp_path)
    file = tmp_path / registration.REGISTRATION
    file.write_text(file.read_text().replace('"smallest": 0.01', '"smallest": 0.02'))
    with pytest.raises(UnreadableFileError, match=r"registration\.json' was changed or damaged"):
        registration.fix(tmp_path, dataclasses.replace(PLAN, smallest=0.02))
