"""A study's files damaged, lost or swapped: the same report, or a line that says what is wrong."""

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.ablation import cells, finished, main, plots, progress, report
from cnn_jax.ablation.plan import Plan, work_out
from tests.ablation import tiny

CELL_FILES = (
    *("cell.json", "config.json", "result.json", "metrics.jsonl", "predictions.npz"),
    *("gradients.json", finished.FINISHED),
)
FILES = ("plan.json", "registration.json", "counted.json", *CELL_FILES)


@pytest.fixture(autouse=True)
def without_plots(monkeypatch):
    """Leave out what takes most of a report's time and reads no file."""
    monkeypatch.setattr(plots, "draw_all", lambda *args: [])


@pytest.fixture
def study(left, tmp_path) -> Path:
    """Return a copy of the finished study, its report written."""
    folder = tmp_path / "study"
    shutil.copytree(left, folder, ignore=shutil.ignore_patterns("checkpoints"))
    report.write_report(folder)
    return folder


def render(folder: Path, capsys) -> tuple[int, str, list[str]]:
    """Return (status, what was printed without the report's place, the lines on stderr)."""
    capsys.readouterr()
    status = main(tiny.brief, [f"--workdir={folder}", "--report_only"])
    shown = capsys.readouterr()
    return status, shown.out, shown.err.splitlines()


def file_of(folder: Path, name: str, index: int = 0) -> Path:
    plan = Plan.read(folder)
    own = cells.folder_of(folder, plan.cells[index])
    return own / name if name in CELL_FILES else folder / name


def flipped(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def cut(file: Path, chance: random.Random) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: chance.randrange(len(data))])


def replaced(file: Path, chance: random.Random) -> None:
    file.write_bytes(chance.choice([b"", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000]))


def lost(file: Path, chance: random.Random) -> None:
    file.unlink()


@pytest.mark.parametrize("damage", [flipped, cut, replaced, lost], ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_changes_nothing_or_is_told(name, damage: Callable, study, tmp_path, capsys):
    status, out, _ = render(study, capsys)
    results = (study / "results.csv").read_bytes()
    assert status == 0
    file = file_of(study, name)
    whole, chance = file.read_bytes(), random.Random(f"{name} {damage.__name__}")
    for _ in range(1 if damage is lost else 4):
        damage(file, chance)
        status, now, errors = render(study, capsys)
        if status:
            (line,) = errors
            assert name in line or str(study) in line
        else:
            assert (now, (study / "results.csv").read_bytes()) == (out, results)
        file.write_bytes(whole)


@pytest.mark.parametrize("name", CELL_FILES)
def test_a_file_of_another_cell_is_refused(name, study, capsys):
    first, second = file_of(study, name), file_of(study, name, 1)
    mine, theirs = first.read_bytes(), second.read_bytes()
    first.write_bytes(theirs)
    second.write_bytes(mine)
    status, out, errors = render(study, capsys)
    assert status == (0 if name == "cell.json" else 1)
    for line in errors:
        assert re.search(rf"is left out, --retry trains it anew: '.*{name}' (is of|was)", line)
    if status:
        assert "inconclusive: seed 0 missing" in out


def test_cells_that_changed_places_are_refused(study, capsys):
    plan = Plan.read(study)
    one, other = (cells.folder_of(study, cell) for cell in plan.cells[:2])
    aside = one.rename(one.with_name("aside"))
    other.rename(one)
    aside.rename(other)
    status, out, errors = render(study, capsys)
    assert (status, len(errors)) == (1, 2)
    assert all("is of another cell" in line for line in errors)
    assert "inconclusive: seed 0 missing" in out


def test_what_was_changed_is_trained_anew_on_request_and_kept_aside(study):
    plan = Plan.read(study)
    cell = plan.cells[0]
    own = cells.folder_of(study, cell)
    held = json.loads((own / "result.json").read_text())
    held["metrics"]["test"]["accuracy"] = 1.0
    (own / "result.json").write_text(json.dumps(held))
    assert progress.units_to_do(study, plan, retry=False) == []
    assert progress.units_to_do(study, plan, retry=True) == [(cell,)]
    assert [file.name for file in own.iterdir()] == ["cell.json"]
    assert (own.with_name(f"{own.name}-damaged1") / "result.json").exists()


def test_a_damaged_memory_of_counts_counts_again(study):
    plan = Plan.read(study)
    file = study / "counted.json"
    file.write_text(file.read_text().replace(str(plan.arms[0].params), "7"))
    again = work_out(tiny.brief("smoke"), study, preset="smoke", command="")
    assert again.arms == plan.arms


def test_a_study_of_an_earlier_version_renders(study, capsys):
    """Leave what earlier versions did not write: formats, digests, lists of files."""
    before = render(study, capsys)[1:]
    classes = set(study.glob("cells/*/classes.json"))
    (study / "registration.json").unlink()
    for file in {study / "plan.json", *study.glob("cells/*/*.json")} - classes:
        if file.name == finished.FINISHED:
            file.unlink()
            continue
        held = json.loads(file.read_text())
        held.pop("registered", None)
        held.pop("digest", None)
        for name in ("format", "cell", "run"):
            held.pop(name, None)
        file.write_text(json.dumps(held))
    assert render(study, capsys)[1:] == before
    right = file_of(study, "predictions.npz")
    with np.load(right) as kept:
        label, predicted = kept["label"], kept["predicted"]
    np.savez_compressed(right, label=label, predicted=np.roll(predicted, 1))
    status, _, (line,) = render(study, capsys)
    assert status == 1
    assert "predictions.npz' has other predictions than result.json counts" in line
