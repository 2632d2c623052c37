"""The command line: exit statuses, one line for what is wrong, results alone on stdout."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_jax.commands import main
from tests.fixtures import SMALL, run, write_images, write_run

ONE_STEP = [*SMALL, "--config.train.steps=2"]


def fails(capsys, *arguments: str) -> str:
    """Run a command that has to fail as bad input; return its line."""
    assert main.main(arguments) == 2
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

    refused = run("evaluate", f"--workdir={folder}", "--config.data.image_size=9")
    assert refused.returncode == 2
    line = "cnn-jax: the run's weights do not fit images of 9x9x1 and these classes (fc1/kernel)"
    assert refused.stderr.splitlines()[-1].startswith(line)


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


def test_flags_that_are_not_there_or_take_something_else(capsys):
    run = "--workdir=run"
    cases = [
        (
            ["evaluate", "--workdr=run", run],
            "unknown argument '--workdr=run'; did you mean --workdir?",
        ),
        (["evaluate", "--workdir="], "--workdir: is empty; it has to name a file or a folder"),
        (["evaluate", run, "--step=-1"], "--step: is '-1'; it has to be a whole number at least 0"),
        (["evaluate", run, "--step=1.5"], "--step: is '1.5'; it has to be a whole number"),
        (["train", "--config=", run], "--config: is empty"),
        (["train", "--config=:small", run], "config file '' does not exist"),
        (["inspect", run, "--out=x", "--what=all", "--seed=4294967296"], "from 0 to 2**32 - 1"),
        (["inspect", run, "--out=x", "--what=all", "--unit=-1"], "--unit: is '-1'"),
        (
            ["summary", "--model=mlp", "--classes=0"],
            "--classes: is '0'; it has to be a whole number",
        ),
        (["summary", "--model=mlp", "--input=0,0,0"], "--input=0,0,0: a size has to be"),
        (["summary", "--model=mlp", f"--input={10**19},1,1"], "at most 100000"),
        (["summary", "--model=mlp", "--input=8,8"], "--input is H,W,C"),
    ]
    for arguments, line in cases:
        assert line in fails(capsys, *arguments)


def test_a_tilde_is_the_home_folder_in_every_flag(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for arguments in (
        ["evaluate", "--workdir=~/x"],
        ["predict", "--workdir=~/x", "~/image.png"],
        ["export", "--workdir=~/x", "--to=~/x.zip"],
        ["inspect", "--workdir=~/x", "--what=all", "--out=~/out"],
        ["search-images", "--workdir=~/x", "--index=~/index"],
        ["train", "--config=~/x.py:arg", "--workdir=~/x"],
        ["import-weights", "--model=resnet20", "--from=~/x", "--workdir=~/y"],
        ["prepare", "--data=folder", "--from=~/x", "--data_dir=~/y"],
    ):
        assert str(tmp_path / "x") in fails(capsys, *arguments)
    write_run(tmp_path / "run", "mlp", image_shape=(8, 8, 1), hidden=())
    image = np.zeros((8, 8), np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    (tmp_path / "names").write_text("\n".join(map(str, range(10))) + "\n")
    assert main.main(["predict", "--workdir=~/run", "--names=~/names", "~/image.png"]) == 0
    assert json.loads(capsys.readouterr().out)["image"] == str(tmp_path / "image.png")


def test_a_platform_that_is_not_there():
    for asked in ("cuda", "nonsense"):
        done = run("summary", "--model=mlp", JAX_PLATFORMS=asked)
        assert done.returncode == 2
        (line,) = [x for x in done.stderr.splitlines() if x.startswith("cnn-jax: ")]
        assert f"JAX_PLATFORMS is '{asked}' and JAX finds no such device here" in line
        assert "Traceback" not in done.stderr


def test_a_cache_that_cannot_be_written(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "file"))
    line = fails(capsys, "train", *ONE_STEP, f"--workdir={tmp_path / 'run'}")
    assert str(tmp_path / "file") in line


def test_a_workdir_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    line = fails(capsys, "train", *ONE_STEP, f"--workdir={tmp_path / 'file/run'}")
    assert f"{str(tmp_path / 'file')!r} is a file, not a folder" in line
    # The kernel's own files refuse writing even to root.
    line = fails(capsys, "train", *ONE_STEP, "--workdir=/proc/cnn-jax-run")
    assert "--workdir: '/proc" in line


def test_a_folder_of_another_run(capsys, tmp_path):
    folder = tmp_path / "run"
    assert main.main(["train", *ONE_STEP, f"--workdir={folder}"]) == 0
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
    assert main.main(["train", *flags, "--config.data.on_error=skip", folder]) == 0
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
