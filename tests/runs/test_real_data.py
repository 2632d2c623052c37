"""Runs on real data, taken from the folder that CNN_JAX_TEST_DATA names."""

import json
import os
from pathlib import Path

import pytest

from tests.fixtures import run

DATA = os.environ.get("CNN_JAX_TEST_DATA")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DATA is None, reason="CNN_JAX_TEST_DATA names no folder"),
]


def test_lenet5_reaches_99_percent_on_mnist(tmp_path):
    flags = ["--config.data.name=folder", f"--config.data.dir={Path(str(DATA)) / 'mnist'}"]
    workdir = f"--workdir={tmp_path / 'run'}"
    done = run("train", "--config=configs/lenet5_mnist.py", *flags, workdir)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run/result.json").read_text())
    print(done.stdout, result["seconds"], "s", result["images_per_second"], "images/s")
    assert result["epochs"] <= 10.01  # the last batch is shared with the eleventh
    assert result["metrics"]["test"]["accuracy"] >= 0.99
    evaluated = run("evaluate", workdir)
    assert evaluated.returncode == 0, evaluated.stderr
    measured = json.loads(evaluated.stdout)
    assert measured["examples"] == 10_000
    assert measured["accuracy"] == result["metrics"]["test"]["accuracy"]
