"""A process that is really killed, at several moments, and what its run ends as."""

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import cnn_jax
from cnn_jax.train.logging import read_metrics
from tests.fixtures import SMALL, command, environment

STEPS = 400
FLAGS = [
    *SMALL,
    f"--config.train.steps={STEPS}",
    "--config.train.log_every=5",
    "--config.eval.every=50",
    "--config.checkpoint.every=10",  # often, so that some kills fall into a save
    "--config.optim.accumulate=2",
    "--config.optim.ema=0.9",
]


def start(folder: Path) -> subprocess.Popen:
    arguments = command("train", *FLAGS, f"--workdir={folder}")
    return subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_step(process: subprocess.Popen, folder: Path, step: int) -> None:
    """Return once the run has logged ``step``."""
    while process.poll() is None:
        lines = read_metrics(folder / "metrics.jsonl")
        if lines and lines[-1]["step"] >= step:
            return
        time.sleep(0.002)
    raise AssertionError(f"ended before step {step}: {process.stderr and process.stderr.read()}")


def finish(folder: Path) -> None:
    process = start(folder)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def bits(folder: Path) -> tuple[bytes, dict]:
    """Return the parameters' bits, and the crc32 of every array of the last checkpoint."""
    _, variables, _ = cnn_jax.load_run(folder, step=STEPS)
    notes = folder / "checkpoints" / str(STEPS) / "notes" / "metadata"
    sums = json.loads(notes.read_text())["crc32"]
    assert sums.keys() == {"network", "ema", "training"}
    assert any("opt_state" in path for path in sums["training"])
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(variables)), sums


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kill") / "whole"
    finish(folder)
    return folder


def kill(folder: Path, step: int, delay: float) -> None:
    process = start(folder)
    try:
        wait_for_step(process, folder, step)
        time.sleep(delay)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def assert_same(folder: Path, whole: Path) -> None:
    assert bits(folder) == bits(whole)
    lines = "metrics.jsonl"
    assert read_metrics(folder / lines) == read_metrics(whole / lines)


def test_sigkill_in_the_middle_of_a_run(whole, tmp_path):
    folder = tmp_path / "run"
    kill(folder, 120, 0.003)
    finish(folder)
    assert_same(folder, whole)


@pytest.mark.slow
def test_sigkill_at_random_moments(whole, tmp_path):
    chance = random.Random(7)
    folder = tmp_path / "run"
    for step in sorted(chance.sample(range(STEPS - 30), 25)):
        kill(folder, step, chance.uniform(0, 0.05))
    finish(folder)
    assert_same(folder, whole)


@pytest.mark.parametrize(
    ("signum", "status"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),  # 20 s of fast tests' time
    ],
)
def test_a_signal_saves_and_exits(whole, tmp_path, signum, status):
    folder = tmp_path / "run"
    process = start(folder)
    wait_for_step(process, folder, 100)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "the state is saved" in errors
    assert "Traceback" not in errors
    finish(folder)
    assert_same(folder, whole)
