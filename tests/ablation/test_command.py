"""Studies as programs: complete, resumable, honest about what is missing."""

import contextlib
import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cnn_jax.ablation import Arm, cells, main
from cnn_jax.ablation.plan import Plan
from tests.ablation import tiny
from tests.fixtures import environment

PROGRAM = [sys.executable, tiny.__file__]
ROOT = str(Path(__file__).parents[2])


def start(folder: Path, *flags: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*PROGRAM, f"--workdir={folder}", "--jobs=1", *flags],
        env=environment(PYTHONPATH=ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder: Path, *flags: str) -> tuple[int, str, str]:
    process = start(folder, *flags)
    out, errors = process.communicate(timeout=300)
    return process.returncode, out, errors


def errors_of(folder: Path) -> dict[tuple[str, str], float]:
    """Return the test error by arm and seed."""
    with (folder / "results.csv").open() as file:
        return {
            (row["arm"], row["seed"]): float(row["value"])
            for row in csv.DictReader(file)
            if (row["split"], row["metric"]) == ("test", "error")
        }


def written(folder: Path) -> dict[str, int]:
    """Return when each file of the cells was last written."""
    return {str(file): file.stat().st_mtime_ns for file in folder.glob("cells/*/*")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "whole"
    status, out, errors = finish(folder)
    assert status == 0, errors
    assert "wide against narrow: " in out
    return folder


def test_the_report_is_complete(whole):
    report = (whole / "report.md").read_text()
    for text in ("**Question.**", "4 of 4 cells are finished", "`model.hidden` `[16]` → `[32]`"):
        assert text in report
    assert "The test set was opened 4 times by 4 cells" in report
    for plot in ("curves", "endpoint", "differences", "cost"):
        assert f"]({plot}.png)" in report
        assert all((whole / f"{plot}.{kind}").stat().st_size > 5000 for kind in ("png", "svg"))
    with (whole / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["arm"] for row in rows} == {"narrow", "wide"}
    errors = errors_of(whole)
    assert len(errors) == 4
    # The verdict's difference is that of the table's numbers.
    mean = sum(errors["wide", s] - errors["narrow", s] for s in "01") / 2
    assert f"{100 * mean:+.2f}" in report


def test_asked_again_it_trains_nothing_and_renders_the_same(whole, capsys):
    before, results = written(whole), (whole / "results.csv").read_bytes()
    assert main(tiny.study, [f"--workdir={whole}", "--jobs=1"]) == 0
    assert main(tiny.study, [f"--workdir={whole}", "--report_only"]) == 0
    assert written(whole) == before
    assert (whole / "results.csv").read_bytes() == results
    assert "cells" not in capsys.readouterr().err


def test_what_a_study_draws_of_its_networks_is_drawn_with_each_report(whole, capsys):
    seen = []

    def draw(folder, runs):
        seen.append(runs)
        return [folder / "own.png"]

    assert main(tiny.study, [f"--workdir={whole}", "--report_only"], finish=draw) == 0
    assert f"picture {whole / 'own.png'}" in capsys.readouterr().out
    assert sorted(seen[0]) == [(arm, seed) for arm in ("narrow", "wide") for seed in (0, 1)]
    assert all((run / "result.json").exists() for run in seen[0].values())


def test_the_predictions_are_those_of_the_accuracy(whole):
    plan = Plan.read(whole)
    for cell in plan.cells:
        outcome = cells.outcome(cells.folder_of(whole, cell))
        assert outcome is not None
        test = outcome.result["metrics"]["test"]
        assert len(outcome.right) == test["examples"]
        assert outcome.right.sum() == round(test["accuracy"] * test["examples"])


def test_a_cell_that_vanished_makes_the_comparison_inconclusive(whole, tmp_path, capsys):
    folder = tmp_path / "study"
    subprocess.run(["cp", "-r", str(whole), str(folder)], check=True)
    plan = Plan.read(folder)
    place = cells.folder_of(folder, plan.cells[0])
    (place / "result.json").unlink()
    cells.note_failure(place, "DivergedError: the loss is not finite")
    assert main(tiny.study, [f"--workdir={folder}", "--report_only"]) == 1
    shown = capsys.readouterr()
    assert "wide against narrow: inconclusive: seed 0 missing" in shown.out
    assert "failed (1 try): DivergedError" in shown.err
    assert "3 of 4 cells are finished" in (folder / "report.md").read_text()


@pytest.mark.slow
def test_failures_are_kept_and_retried_on_request(tmp_path, capsys):
    def study(preset):
        declared = tiny.study(preset)
        rate = {"optim.learning_rate": 1e30}
        wild = Arm("wild", rate, "narrow", ["optim.learning_rate"])
        declared.base.train.steps = 2
        return dataclasses.replace(declared, arms=[declared.arms[0], wild])

    flags = [f"--workdir={tmp_path}", "--jobs=1"]
    assert main(study, flags) == 0  # a network that diverged is an outcome
    shown = capsys.readouterr()
    assert "wild against narrow: did not train: wild failed with seed 0 and 1" in shown.out
    assert "retry" not in (tmp_path / "report.md").read_text()
    plan = Plan.read(tmp_path)
    failed = [cell for cell in plan.cells if cell.arm == "wild"]
    before = written(tmp_path)
    assert main(study, flags) == 0  # not tried again
    assert written(tmp_path) == before
    assert main(study, [*flags, "--retry"]) == 0
    for cell in failed:
        kept = cells.failure(cells.folder_of(tmp_path, cell))
        assert kept is not None
        assert kept["attempts"] == 2
        assert "not finite" in kept["error"]


def test_a_declaration_that_is_none_is_one_line(tmp_path, capsys):
    def nothing(preset) -> Any:
        return None

    def misspelt(preset):
        keywords = {"name": "x", "at_chances": 0.9}
        return dataclasses.replace(tiny.study(preset), **keywords)

    for study, line in (
        (misspelt, "the study's declaration: Study.__init__() got an unexpected keyword argument"),
        (nothing, "study('smoke') returned None; it returns a Study"),
    ):
        assert main(study, [f"--workdir={tmp_path}", "--plan_only"]) == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert line in error


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ([], "--workdir"),
        (["--workdir=x", "--preset=big"], "--preset"),
        (["--workdir=x", "--sedes=3"], "--sedes=3"),
        (["--workdir=x", "--seeds=1"], "seeds is 1"),
        (["--workdir=x", "--jobs=0"], "--jobs=0"),
        (["--workdir=x", "--data=nothing"], "data.name: 'nothing'"),
        (["--workdir=x", "--report_only"], "holds no study"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_status_2(flags, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(tiny.study, flags) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert line in errors[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "flags"),
    [(signal.SIGKILL, ()), (signal.SIGTERM, ()), (signal.SIGKILL, ("--lanes=2",))],
    ids=["SIGKILL", "SIGTERM", "SIGKILL in lanes"],
)
def test_killed_half_way_it_ends_with_the_same_results(whole, tmp_path, signum, flags):
    folder = tmp_path / "study"
    for done in (0,) if flags else (0, 2):  # in the first cell, then with two finished
        process = start(folder, *flags)
        while process.poll() is None:
            lines = list(folder.glob("cells/*/metrics.jsonl"))
            if len(list(folder.glob("cells/*/result.json"))) >= done and len(lines) > done:
                break
            time.sleep(0.01)
        os.kill(process.pid, signum)
        process.communicate()
        assert process.returncode == (-signum if signum == signal.SIGKILL else 128 + signum)
    status, _, errors = finish(folder, *flags)
    assert status == 0, errors
    expected = whole
    if flags:
        expected = tmp_path / "at once"
        assert finish(expected, *flags)[0] == 0
        assert "seeds 0, 1 of an arm trained in lanes" in (folder / "report.md").read_text()
        measured = [errors_of(each) for each in (expected, whole)]
        assert measured[0] == pytest.approx(measured[1], abs=2 / 359)  # as alone, to rounding
    assert (folder / "results.csv").read_bytes() == (expected / "results.csv").read_bytes()


@pytest.mark.slow
def test_cells_as_jobs(whole, tmp_path):
    """submitit's local executor stands in for SLURM: processes of their own, polled."""
    pytest.importorskip("submitit")
    folder = tmp_path / "study"
    process = start(folder, "--slurm=cluster=local")
    victim = None
    while process.poll() is None and victim is None:
        victim = next(iter(jobs_of(folder)), None)
        time.sleep(0.01)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert "failed (1 try): job" in errors  # the one that died; the others are done
    assert "3 of 4 cells are finished" in (folder / "report.md").read_text()
    before = written(folder)
    assert finish(folder, "--slurm=cluster=local")[0] == 1  # not tried again
    assert written(folder) == before
    status, _, errors = finish(folder, "--slurm=cluster=local", "--retry")
    assert status == 0, errors
    assert "1/1 cells" in errors
    assert (folder / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


def jobs_of(folder: Path) -> list[int]:
    """Return the processes that work in the jobs of a study."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            words = file.read_bytes().decode().split("\0")
            if "submitit.core._submit" in words and any(str(folder) in word for word in words):
                found.append(int(file.parent.name))
    return found


def test_without_slurm_it_says_so(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "study"
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert main(tiny.study, [f"--workdir={folder}", "--slurm"]) == 2
    line = "--slurm: submitit is not installed; pip install 'cnn-jax[slurm]'"
    assert capsys.readouterr().err.splitlines()[-1].endswith(line)
    assert not folder.exists()
