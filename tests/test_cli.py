"""The command line: exit statuses, one line for what is wrong, results alone on stdout."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_jax import cli
from tests.fixtures import SMALL, run, write_images

ONE_STEP = [*SMALL, "--config.train.steps=2"]


def fails(capsys, *arguments: str) -> str:
    """Run a command that has to fail as bad input; return its line."""
    assert cli.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if line.startswith("cnn-jax: ")]
    assert len(lines) == 1
    assert printed.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in printed.err
    return lines[0]


def test_training_and_evaluating_from_the_command_line(tmp_path):
    folder = tmp_path / "run"
    done = run("train", *SMALL, "--config.train.epochs=3", f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "result.json").read_text())
    accuracy = result["metrics"]["test"]["accuracy"]
    first, *paths = done.stdout.splitlines()
    assert first == f"test accuracy {accuracy:.2%} ({round(accuracy * 359)} of 359)"
    assert paths == [f"result {folder / 'result.json'}", f"curves {folder / 'curves.png'}"]

    again = run("train", *SMALL, "--config.train.epochs=3", f"--workdir={folder}")
    assert again.returncode == 0
    assert again.stdout == done.stdout
    assert "finished" in again.stderr

    evaluated = run("evaluate", f"--workdir={folder}")
    assert evaluated.returncode == 0, evaluated.stderr
    measured = json.loads(evaluated.stdout)
    assert measured["accuracy"] == accuracy
    assert measured["examples"] == 359
    assert measured["step"] == result["steps"]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--config.optim.learning_rat=3"], "did you mean 'optim.learning_rate'?"),
        (["--config.data.batch_size=many"], "'data.batch_size' takes an int, not 'many'"),
        (["--config.data.batch_size=8192"], "more than the 1294 training examples"),
        (["--config.data.name=folder"], "data.dir: the source 'folder' needs the folder"),
        (["--config.data.name=folder", "--config.data.dir=nowhere"], "'nowhere' is not a folder"),
        (["--bogus=3"], "unknown argument '--bogus=3'"),
    ],
)
def test_bad_flags(capsys, tmp_path, flags, line):
    assert line in fails(capsys, "train", *ONE_STEP, *flags, f"--workdir={tmp_path / 'run'}")
    assert list(tmp_path.iterdir()) == []


def test_bad_commands(capsys, tmp_path):
    assert "choose from" in fails(capsys, "trian")
    assert "--workdir" in fails(capsys, "train", *ONE_STEP)
    line = fails(capsys, "train", "--config=configs/lenet5_digit.py", f"--workdir={tmp_path}")
    assert "did you mean 'configs/lenet5_digits.py'?" in line
    assert "holds no run" in fails(capsys, "evaluate", f"--workdir={tmp_path}")


def test_a_workdir_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    line = fails(capsys, "train", *ONE_STEP, f"--workdir={tmp_path / 'file/run'}")
    assert f"{str(tmp_path / 'file')!r} is a file, not a folder" in line
    # The kernel's own files refuse writing even to root.
    line = fails(capsys, "train", *ONE_STEP, "--workdir=/proc/cnn-jax-run")
    assert "--workdir: '/proc" in line


def test_a_folder_of_another_run(capsys, tmp_path):
    folder = tmp_path / "run"
    assert cli.main(["train", *ONE_STEP, f"--workdir={folder}"]) == 0
    capsys.readouterr()
    line = fails(capsys, "train", *ONE_STEP, "--config.seed=1", f"--workdir={folder}")
    assert "seed is 0 there and 1 here" in line


def images(tmp_path: Path) -> list[str]:
    write_images(tmp_path / "images/train", per_class=10)
    write_images(tmp_path / "images/test", per_class=2)
    return [
        *ONE_STEP,
        "--config.data.name=folder",
        f"--config.data.dir={tmp_path / 'images'}",
        "--config.data.classes=2",
        "--config.data.batch_size=16",
    ]


def test_broken_images_are_named_or_skipped(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "cache"))
    flags = images(tmp_path)
    (tmp_path / "images/train/a/text.png").write_text("no image")
    folder = f"--workdir={tmp_path / 'run'}"
    assert "train/a/text.png is not an image file" in fails(capsys, "train", *flags, folder)
    assert not (tmp_path / "run").exists()
    assert cli.main(["train", *flags, "--config.data.on_error=skip", folder]) == 0
    assert "left out 1 files that cannot be decoded" in capsys.readouterr().err


def test_a_class_that_training_lacks(capsys, tmp_path):
    flags = images(tmp_path)
    (tmp_path / "images/test/c").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "images/test/c/0.png")
    line = fails(capsys, "train", *flags, f"--workdir={tmp_path / 'run'}")
    assert "test/c' is a class that train/ lacks" in line


def test_a_diverging_rate_exits_with_its_line(capsys, tmp_path):
    flags = [*SMALL, "--config.train.steps=20", "--config.optim.learning_rate=1e20"]
    line = fails(capsys, "train", *flags, f"--workdir={tmp_path / 'run'}")
    assert "the loss is not finite at step" in line
    assert "no checkpoint was made yet" in line
