"""The examples of the trainer, as programs: killed half way, they end with the same bits."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

import cnn_jax
from cnn_jax import models
from cnn_jax.runtime import python_file
from cnn_jax.train.logging import read_metrics
from tests.fixtures import environment

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "experiments" / "examples"
# Name -> further arguments, and the steps that it takes.
PROGRAMS = {"digits_from_arrays": ([], 500), "gan": (["500"], 500)}


def start(name: str, folder: Path) -> subprocess.Popen:
    extra, _ = PROGRAMS[name]
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / f"{name}.py"), str(folder), *extra],
        env=environment(PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(name: str, folder: Path) -> tuple[str, str]:
    """Return what the program printed."""
    process = start(name, folder)
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return printed, errors


def kill_half_way(name: str, folder: Path, steps: int) -> None:
    """Kill the program once a line of the log and a checkpoint are from its middle."""
    process = start(name, folder)
    try:
        while process.poll() is None:
            lines = read_metrics(folder / "metrics.jsonl")
            if lines and lines[-1]["step"] >= steps // 2:
                break
            time.sleep(0.002)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "result.json").exists()


def checksums(folder: Path, steps: int) -> dict:
    """Return the crc32 of every array of the last checkpoint."""
    notes = folder / "checkpoints" / str(steps) / "notes" / "metadata"
    return json.loads(notes.read_text())["crc32"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_that_was_killed_ends_with_the_same_bits(name, tmp_path):
    _, steps = PROGRAMS[name]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    printed, _ = finish(name, whole)
    kill_half_way(name, killed, steps)
    again, errors = finish(name, killed)
    assert "continuing at step" in errors
    assert "continuing at step 0 " not in errors
    assert again == printed
    sums = checksums(killed, steps)
    assert sums == checksums(whole, steps)
    assert sum(map(len, sums.values())) > 4  # weights and what the optimizers keep of them
    lines = "metrics.jsonl"
    assert read_metrics(killed / lines) == read_metrics(whole / lines)


@pytest.mark.slow
def test_a_network_of_the_examples_learns_digits(tmp_path):
    finish("digits_from_arrays", tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["metrics"]["test"]["accuracy"] > 0.9
    assert result["metrics"]["test"]["examples"] == 359


def code(file: Path) -> list[str]:
    """Return the lines that are neither empty nor of the docstring."""
    _, _, rest = file.read_text().split('"""', 2)
    return [line for line in rest.splitlines() if line.strip()]


def test_the_examples_are_short():
    assert len(code(EXAMPLES / "digits_from_arrays.py")) <= 12
    assert len((EXAMPLES / "gan.py").read_text().splitlines()) <= 80
    for name in ("distillation", "two_views"):
        assert len(code(EXAMPLES / f"{name}.py")) <= 40


def test_a_student_learns_the_teachers_answers():
    made = python_file.load(EXAMPLES / "distillation.py")
    images, labels = digits(128)

    def teacher(x):
        return 9.0 * jax.nn.one_hot(jnp.zeros(len(x), jnp.int32), 10)  # says 0 of everything

    task = made.Distillation(10, teacher=teacher)
    module = models.create("mlp", num_classes=10)
    trainer = cnn_jax.Trainer(module, optimizer=optax.adam(3e-3), task=task)
    run = trainer.fit((images, labels), steps=60, batch_size=64)
    assert np.mean(trainer.predict(run.state, images) == 0) > 0.9


def test_two_views_use_images_without_labels():
    made = python_file.load(EXAMPLES / "two_views.py")
    images, labels = digits(128)
    labels[32:] = made.UNKNOWN
    module = models.create("mlp", num_classes=10)
    trainer = cnn_jax.Trainer(module, optimizer=optax.adam(3e-3), task=made.TwoViews(10))
    run = trainer.fit((images, labels), steps=60, batch_size=64)
    found = trainer.evaluate(run.state, (images[:32], labels[:32]))
    assert found["accuracy"] > 0.9


def digits(count):
    pixels, labels = load_digits(return_X_y=True)
    return (pixels[:count] / 8 - 1).reshape(-1, 8, 8, 1).astype(np.float32), labels[:count]
