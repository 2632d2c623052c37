"""`train --extend`: a longer run is the run that was that long, and whatever differs is refused."""

import json
import shutil

import jax
import numpy as np
import pytest

from cnn_jax import config as configs
from cnn_jax import load_run
from cnn_jax.commands import main
from cnn_jax.runs import extension, workdir
from cnn_jax.runs.experiment import load_config
from cnn_jax.runs.run import train_and_evaluate
from cnn_jax.runtime import json_file
from cnn_jax.runtime.errors import BadInputError
from tests.fixtures import SMALL

STEADY = [
    *SMALL,
    "--config.optim.schedule=constant",
    "--config.checkpoint.every=7",
    "--config.eval.every=7",
    "--config.train.log_every=7",
    "--config.optim.ema=0.9",
]


def config(steps: int, *flags: str):
    return load_config(
        SMALL[0].removeprefix("--config="), [*STEADY[1:], f"--config.train.steps={steps}", *flags]
    )


def leaves(folder, **which):
    return [np.asarray(x) for x in jax.tree.leaves(load_run(folder, **which)[1])]


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    folder = tmp_path_factory.mktemp("short") / "run"
    train_and_evaluate(config(9), folder)
    return folder


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long") / "run"
    train_and_evaluate(config(20), folder)
    return folder


@pytest.fixture
def run(short, tmp_path):
    return shutil.copytree(short, tmp_path / "run")


def test_it_ends_with_the_bits_of_a_run_of_that_length(run, long):
    before = workdir.read_result(run)
    assert before is not None
    result = train_and_evaluate(config(20), run, extend=True)
    whole = json.loads((long / "result.json").read_text())
    assert result["metrics"] == whole["metrics"]
    for ema in (False, True):
        for here, there in zip(leaves(run, ema=ema), leaves(long, ema=ema), strict=True):
            np.testing.assert_array_equal(here, there)
    assert result["steps"] == 20
    assert "test_openings" not in whole
    assert [each["step"] for each in result["test_openings"]] == [9, 20]
    assert result["test_openings"][0]["loss"] == before["metrics"]["test"]["loss"]
    assert result["test_openings"][1]["loss"] == whole["metrics"]["test"]["loss"]
    # Finished now, and extended once more.
    assert train_and_evaluate(config(20), run, extend=True) == result
    third = train_and_evaluate(config(23), run, extend=True)
    assert [each["step"] for each in third["test_openings"]] == [9, 20, 23]
    assert len(workdir.extends(run)) == 2


def test_an_extension_that_was_interrupted_goes_on(run, long):
    experiment_config = config(20)
    experiment_config.data.stream = False  # as the data settle it
    extension.extend(run, experiment_config)  # and then the process died
    assert not (run / "result.json").exists()
    result = train_and_evaluate(config(20), run)
    assert result["metrics"] == json.loads((long / "result.json").read_text())["metrics"]
    assert [each["step"] for each in result["test_openings"]] == [9, 20]


def test_an_interrupted_run_is_extended_as_well(run, long):
    for name in ("result.json", "predictions.npz"):
        (run / name).unlink()
    result = train_and_evaluate(config(20), run, extend=True)
    assert result["metrics"] == json.loads((long / "result.json").read_text())["metrics"]
    assert "test_openings" not in result  # nobody had looked


def test_the_test_sets_second_opening_is_said(run, capsys):
    flags = [*STEADY, "--config.train.steps=20", f"--workdir={run}"]
    assert main.main(["train", *flags]) == 2
    assert "or give --extend to go on from it" in capsys.readouterr().err
    assert main.main(["train", *flags, "--extend"]) == 0
    printed = capsys.readouterr().out
    assert "the test set was opened 2 times; before: accuracy " in printed
    assert "after 9 steps" in printed


@pytest.mark.parametrize(
    ("steps", "flags", "line"),
    [
        (20, ["--config.seed=1"], "seed is 0 there and 1 here"),
        (9, ["--config.optim.learning_rate=1"], "optim.learning_rate is 0.02 there"),
        (8, [], "the run has 9 steps, and 8 are no more"),
    ],
)
def test_what_else_differs_is_refused_and_nothing_changes(run, steps, flags, line):
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    with pytest.raises(BadInputError, match=line):
        train_and_evaluate(config(steps, *flags), run, extend=True)
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


def test_a_schedule_that_looks_at_the_end_is_refused(tmp_path):
    run = tmp_path / "run"
    ends = ["--config.optim.schedule=cosine", "--config.optim.warmup=2"]
    train_and_evaluate(config(9, *ends), run)
    with pytest.raises(BadInputError, match=r"'cosine' looks at the run's end: with 9 steps"):
        train_and_evaluate(config(20, *ends), run, extend=True)
    assert workdir.read_result(run) is not None


def test_a_rate_that_never_changes_looks_at_no_end(tmp_path):
    steady = config(3, "--config.optim.warmup=0", "--config.optim.ema=None")
    train_and_evaluate(steady, tmp_path / "run")
    steady.train.steps = 5
    assert train_and_evaluate(steady, tmp_path / "run", extend=True)["steps"] == 5


def test_a_run_that_began_with_other_arithmetic_is_not_mixed_with_todays(run):
    file = run / "config.json"
    held = json.loads(file.read_text())
    del held["digest"]
    held["numerics"] = {name: version - 1 for name, version in held["numerics"].items()}
    json_file.write(file, held, version=configs.FORMAT)
    with pytest.raises(BadInputError, match=r"--extend: .*; train anew in another folder"):
        train_and_evaluate(config(20), run, extend=True)


def test_a_folder_without_a_run_has_nothing_to_extend(tmp_path):
    with pytest.raises(BadInputError, match="holds no run; leave the flag out to begin"):
        train_and_evaluate(config(9), tmp_path / "run", extend=True)
    assert not (tmp_path / "run").exists()
