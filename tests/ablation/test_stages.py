"""A study's work in its order: looks, seeds that are not needed, exploratory runs, amendments."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from cnn_jax.ablation import Arm, cells, left, main, plots, registration, runner, stages
from cnn_jax.ablation.plan import work_out
from cnn_jax.ablation.stored import Plan
from tests.ablation import tiny

RATE = "optim.learning_rate"


def here(folder: Path, plan: Plan, **_: Any) -> None:
    """Run the cells in this process."""
    for cell in plan.cells:
        place = cells.folder_of(folder, cell)
        if cells.state(place) == cells.WAITING:
            cells.run([cells.request(folder, plan, cell)])


def study(preset: str) -> tiny.Study:
    """Declare an arm that learns nothing, which two seeds tell, beside one that needs more."""
    declared = tiny.brief(preset)
    declared.base.train.steps = declared.base.train.log_every = 40
    declared.base.eval.every = declared.base.checkpoint.every = 40
    arms = [
        Arm("usual"),
        Arm("still", {RATE: 1e-9}, "usual", [RATE]),
        Arm("near", {RATE: 0.04}, "usual", [RATE]),
    ]
    return dataclasses.replace(declared, arms=arms, seeds=4, looks=(2, 4), gradients=False)


@pytest.fixture
def quick(monkeypatch) -> None:
    """Run cells in this process, and draw nothing, which takes longer than they do."""
    monkeypatch.setattr(runner, "run_cells", here)
    monkeypatch.setattr(plots, "draw_all", lambda *args: [])


def trained(folder: Path) -> set[tuple[str, int]]:
    plan = Plan.read(folder)
    return {(c.arm, c.seed) for c in plan.cells if (cells.folder_of(folder, c)).exists()}


@pytest.mark.slow
def test_arms_with_nothing_open_get_no_more_seeds(quick, tmp_path, capsys):
    assert main(study, [f"--workdir={tmp_path}", "--jobs=1"]) == 0
    assert trained(tmp_path) == {
        *(("usual", seed) for seed in range(4)),
        *(("near", seed) for seed in range(4)),
        *(("still", seed) for seed in range(2)),
    }
    assert "still against usual: worse, " in capsys.readouterr().out
    report = (tmp_path / "report.md").read_text()
    assert "10 of 12 cells are finished, 2 were not needed." in report
    assert "looks after 2 and 4 of them, verdicts after 2 and 4" in report
    assert "was fixed before the first cell and has not been changed" in report
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("cells/*/*")}
    assert main(study, [f"--workdir={tmp_path}", "--jobs=1"]) == 0  # it goes no further
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("cells/*/*")} == before


@pytest.mark.slow
def test_other_seeds_than_declared_make_it_exploratory_and_an_amendment(quick, tmp_path, capsys):
    flags = [f"--workdir={tmp_path}", "--jobs=1"]
    assert main(tiny.brief, flags) == 0
    assert main(tiny.brief, [*flags, "--seeds=3"]) == 0
    out = capsys.readouterr().out
    assert "exploratory: 3 seeds, where 2 are declared" in out
    first, *rest = (tmp_path / "report.md").read_text().splitlines()
    line = "# tiny, preset smoke: exploratory, with 3 seeds, where 2 are declared"
    assert first == line
    (amendment,) = [each for each in rest if each.startswith("- amendment 1, after 4 finished")]
    assert "seeds: [0, 1] → [0, 1, 2]" in amendment

    # A margin that is changed once the numbers are known is told, too.
    def lenient(preset: str) -> tiny.Study:
        return dataclasses.replace(tiny.brief(preset), smallest=0.3)

    kept = (tmp_path / "plan.json").read_bytes()
    assert main(lenient, [*flags, "--plan_only"]) == 0
    assert "this one was not" in capsys.readouterr().err
    assert (tmp_path / "plan.json").read_bytes() == kept
    assert main(lenient, flags) == 0
    report = (tmp_path / "report.md").read_text()
    assert "smallest: 0.02 → 0.3" in report
    assert report.splitlines()[0] == "# tiny, preset smoke"
    held = registration.read(tmp_path)
    assert held is not None
    assert len(held["amendments"]) == 2


def test_a_cell_that_failed_is_tried_once_by_a_command(tmp_path):
    declared = dataclasses.replace(tiny.brief("smoke"), seeds=4, looks=(2, 4))
    plan = work_out(declared, tmp_path, preset="smoke", command="")
    asked: list[list[tuple[str, int]]] = []

    def run(folder: Path, now: Plan) -> None:
        asked.append([(cell.arm, cell.seed) for cell in now.cells])
        for cell in now.cells:
            place = cells.request(folder, now, cell)
            cells.note_failure(place, "DivergedError: the loss is not finite", diverged=True)

    stages.train(plan, tmp_path, run, lambda **_: plan)
    # All diverged, so that nothing is decided: every seed is asked for, each once.
    assert [sorted(each) for each in asked] == [
        [(arm, seed) for arm in ("narrow", "wide") for seed in look] for look in ((0, 1), (2, 3))
    ]
    stored = left.read_cells(plan, tmp_path)
    assert stored.diverged == {"narrow": [0, 1, 2, 3], "wide": [0, 1, 2, 3]}
