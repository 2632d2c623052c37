"""An installed package brings one of each kind by its entry point, without any flag."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent / "package"
FIELDS = {
    "model.name": "example_linear",
    "model.act": "softsign",
    "data.name": "stripes",
    "data.batch_size": 16,
    "data.augment.invert": {},
    "task.name": "example_squared",
    "task.measures": ("margin",),
    "optim.name": "example_sgd",
    "optim.options.momentum": 0.5,
    "optim.schedule": "half",
    "train.steps": 4,
}


@pytest.mark.slow
def test_a_package_that_is_installed_is_found(tmp_path):
    work = tmp_path / "source"
    work.mkdir()
    for file in PACKAGE.glob("*.*"):
        (work / file.name).write_text(file.read_text())
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target"]
    subprocess.run([sys.executable, *install, str(tmp_path / "site"), str(work)], check=True)
    config = tmp_path / "base.py"
    config.write_text("from cnn_jax.config import base_config as get_config\n")
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    }

    def cnn_jax(*arguments, env=environment, expect=0):
        command = [sys.executable, "-m", "cnn_jax", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == expect, done.stderr
        return done.stdout if expect == 0 else done.stderr

    overrides = [f"--config.{name}={value}" for name, value in FIELDS.items()]
    folder = tmp_path / "run"
    cnn_jax("train", f"--config={config}", f"--workdir={folder}", *overrides)
    result = json.loads((folder / "result.json").read_text())
    assert "margin" in result["metrics"]["test"]
    assert {name.partition(" ")[0] for name in result["plugins"]} == {
        *("model", "layer", "dataset", "transform", "task", "metric", "optimizer", "schedule")
    }
    assert result["plugins"]["model example_linear"] == {
        "from": "cnn-jax-example",
        "version": "1.2",
    }
    assert json.loads(cnn_jax("evaluate", f"--workdir={folder}"))["examples"] == 16
    line = cnn_jax("evaluate", f"--workdir={folder}", env=dict(os.environ), expect=2)
    assert "comes from the package cnn-jax-example: install it" in line
