"""The README's commands, in their order, in a clean copy: small data, few steps, nothing else."""

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from cnn_jax.data.prepare.builders import Arrays, Builder
from cnn_jax.data.prepare.recipe import Recipe, prepare
from cnn_jax.data.sources import official
from tests.copies import ROOT, copy_of_repository
from tests.fixtures import environment, torch_tensors

README = (ROOT / "README.md").read_text()
PREFIX = ".venv/bin/"
# What makes a command small. A study's cells are run by the tests of ablation.
SMALL = {"train": ["--config.train.steps=2"], "experiments": ["--plan_only"]}


def commands() -> list[list[str]]:
    """Return the commands of the README's blocks as words, but for those that leave words out."""
    blocks = re.findall(rf"^    {re.escape(PREFIX)}(.*)$", README, re.MULTILINE)
    words = [shlex.split(line, comments=True) for line in blocks]
    return [command for command in words if "..." not in command]


def images(folder: Path) -> None:
    """Write MNIST's layout with twenty images of each class to train on, two to test on."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 2)):
        for digit in range(10):
            (folder / part / str(digit)).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (28, 28), np.uint8)
                Image.fromarray(pixels).save(folder / part / str(digit) / f"{index}.png")


def cifar10(cache: Path) -> None:
    """Prepare a set of CIFAR-10's name, kind and place, so that nothing is downloaded."""
    rng = np.random.default_rng(0)

    def part(name: str, count: int) -> Arrays:
        pixels = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
        return Arrays(f"cifar10 {name}", pixels, np.arange(count) % 10)

    def build(work: Path, scratch: Path) -> Builder:
        del scratch
        parts: Any = {"train": part("train", 200), "test": part("test", 20)}
        return Builder(work, "cifar10", official.SETS["cifar10"].classes, parts)

    prepare(Recipe("cifar10", cache, build))


@pytest.mark.slow
def test_every_command_runs_as_it_stands(tmp_path):
    copy = copy_of_repository(tmp_path / "copy", without=("experiments/results/",))
    (copy / ".venv").symlink_to(ROOT / ".venv")
    images(copy / "MNIST")
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(copy / "IMAGE.png")
    cifar10(tmp_path / "cache")
    safetensors.numpy.save_file(torch_tensors("resnet50", 1000), copy / "resnet50.safetensors")
    env = environment(
        CNN_JAX_CACHE=str(tmp_path / "cache"),
        PYTHONPATH=str(copy),
    )
    done = []
    for command in commands():
        if command[1] == "plan" and importlib.util.find_spec("libtpu") is None:
            continue
        words = [f"{PREFIX}{command[0]}", *command[1:], *SMALL.get(command[1].split("/")[0], [])]
        ran = subprocess.run(words, cwd=copy, env=env, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{shlex.join(words)}\n{ran.stderr}"
        assert "Traceback" not in ran.stderr
        if command[1] == "plan":
            assert ran.stderr == ""  # nothing of the compiler's
        done.append(command[1])
    assert {"train", "evaluate", "predict", "export", "inspect", "search-images", "plan"} <= {*done}
    assert (copy / "runs/mnist/result.json").exists()
    assert (copy / "lenet5.zip").stat().st_size > 100_000
    assert (copy / "near.png").exists()


@pytest.mark.slow
def test_what_a_typo_is_said_to_get_is_what_it_gets(tmp_path):
    found = re.findall(
        rf"^    \$ {re.escape(PREFIX)}(.*)\n    (cnn-jax: .*)$", README, re.MULTILINE
    )
    assert found
    for command, line in found:
        words = [str(ROOT / PREFIX / command.split()[0]), *shlex.split(command)[1:]]
        env = environment(PYTHONPATH=str(ROOT))
        how: Any = {"cwd": tmp_path, "env": env, "capture_output": True, "text": True}
        ran = subprocess.run(words, **how, check=False)
        assert ran.returncode == 2
        assert ran.stderr.splitlines()[-1] == line
