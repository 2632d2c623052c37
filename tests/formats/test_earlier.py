"""Folders that an earlier version wrote: they load, evaluate, render and go on, or are refused.

``first`` was written by the version before formats were numbered: a finished run with a running
mean (a ResNet of three blocks on 8x8 digits, 40 steps), the same killed at step 21 with and
without the running mean (of 120 steps), a study of four cells, a prepared set of 27 images. The
pictures of results, and the cells' checkpoints, are left out.
"""

import json
import tarfile
import zlib
from pathlib import Path

import pytest

import cnn_jax
from cnn_jax.ablation import main
from cnn_jax.data import sources
from cnn_jax.data.parts import Part
from cnn_jax.data.reading import Wanted
from cnn_jax.runs import workdir
from cnn_jax.runs.evaluate import evaluate_run
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.logging import read_metrics
from tests.formats.learning_rate import study

FIRST = Path(__file__).parent / "first"


@pytest.fixture
def unpacked(tmp_path):
    """Return what unpacks an archive and names the folder in it."""

    def unpack(name: str) -> Path:
        with tarfile.open(FIRST / f"{name}.tar.xz") as archive:
            archive.extractall(tmp_path, filter="data")
        return tmp_path / name

    return unpack


def config_of(folder: Path):
    config = workdir.read_config(folder)
    assert config is not None
    return config


def test_a_finished_run_evaluates_to_what_it_was_and_is_still_finished(unpacked, capsys):
    folder = unpacked("finished")
    lines = (folder / "metrics.jsonl").read_text()
    measured = evaluate_run(folder)
    assert measured["loss"] == pytest.approx(1.0693794824, abs=1e-4)
    assert (measured["step"], measured["examples"]) == (40, 359)
    assert measured["accuracy"] == pytest.approx(216 / 359, abs=1 / 359)
    result = cnn_jax.train_and_evaluate(config_of(folder), folder)
    assert "finished" in capsys.readouterr().err
    assert result["metrics"]["test"]["accuracy"] == 216 / 359
    assert (folder / "metrics.jsonl").read_text() == lines


def test_the_running_mean_of_an_earlier_run_lacks_its_statistics_and_says_so(unpacked):
    folder = unpacked("finished")
    with pytest.raises(BadInputError, match=r"statistics"):
        cnn_jax.load_run(folder, ema=True)


def test_a_killed_run_goes_on_where_nothing_that_it_computes_has_changed(unpacked):
    folder = unpacked("interrupted")
    before = read_metrics(folder / "metrics.jsonl")
    result = cnn_jax.train_and_evaluate(config_of(folder), folder)
    after = read_metrics(folder / "metrics.jsonl")
    assert after[: len(before)] == before
    assert [line["step"] for line in after if line["split"] == "train"] == [*range(10, 121, 10)]
    # In one go it was 325 of 359; other versions of the libraries round otherwise.
    assert result["metrics"]["test"]["accuracy"] == pytest.approx(325 / 359, abs=0.05)


def test_a_killed_run_whose_arithmetic_has_changed_is_refused_by_name(unpacked):
    folder = unpacked("interrupted_ema")
    files = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    with pytest.raises(BadInputError, match=r"optim\.ema"):
        cnn_jax.train_and_evaluate(config_of(folder), folder)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == files
    assert evaluate_run(folder)["step"] == 21  # what it has can be looked at


def test_a_study_renders_with_the_same_rows(unpacked, capsys):
    folder = unpacked("study")
    rows = (folder / "results.csv").read_text()
    assert main(study, [f"--workdir={folder}", "--report_only"]) == 0
    assert (folder / "results.csv").read_text() == rows
    assert "slow against fast: " in capsys.readouterr().out
    assert "+22.70" in (folder / "report.md").read_text()


def test_a_prepared_set_is_read_pixel_by_pixel(unpacked):
    source = sources.load("folder", str(unpacked("prepared")), Wanted(image_size=8))
    assert source.classes == ("cat", "dog", "eel")
    sums = {}
    for name, part in (("train", source.train), ("test", source.test)):
        assert isinstance(part, Part)
        sums[name] = [zlib.crc32(part.images.tobytes()), part.labels.tolist()]
    assert sums == json.loads((FIRST / "prepared.json").read_text())
