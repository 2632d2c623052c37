"""The wheel, used away from the repository: it has the library's own configs and its studies."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.copies import ROOT, copy_of_repository


def call(*arguments: str | Path, **how) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False, **how
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel of a copy of the files, so that building leaves nothing beside them."""
    copy = copy_of_repository(
        tmp_path_factory.mktemp("source"), without=("tests/", "experiments/results/")
    )
    made = tmp_path_factory.mktemp("wheel")
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir"]
    call("-m", "pip", "wheel", *flags, made, copy)
    (file,) = made.iterdir()
    return file


@pytest.fixture
def elsewhere(wheel, tmp_path):
    """Return how to run what the wheel holds, in a folder that is not the repository."""
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    call("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel)
    env = os.environ | {"PYTHONPATH": str(site)}
    where = call("-c", "import cnn_jax; print(cnn_jax.__file__)", cwd=work, env=env)
    assert Path(where.strip()).is_relative_to(site)
    return {"cwd": work, "env": env}


@pytest.mark.slow
def test_it_holds_configs_and_studies_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    configs = {f"cnn_jax/configs/{file.name}" for file in (ROOT / "configs").glob("*.py")}
    studies = {f"cnn_jax/experiments/{file.name}" for file in (ROOT / "experiments").glob("*.py")}
    assert configs
    assert studies
    assert configs | studies | {"cnn_jax/py.typed", "cnn_jax/ops/cpu/convolution.cc"} <= set(names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"cnn_jax"}


@pytest.mark.slow
def test_a_config_by_its_name_and_a_study_run_elsewhere(elsewhere):
    assert "lenet5_digits" in call("-m", "cnn_jax", "configs", **elsewhere)
    train = ["--config=lenet5_digits", "--config.train.steps=2", "--workdir=run"]
    call("-m", "cnn_jax", "train", *train, **elsewhere)
    result = json.loads((elsewhere["cwd"] / "run/result.json").read_text())
    assert result["metrics"]["test"]["examples"] == 359
    module = "cnn_jax.experiments.dropout_lenet5"
    study = ["--preset=smoke", "--seeds=2", "--jobs=2", "--workdir=study"]
    call("-m", module, *study, **elsewhere)
    assert "dropout" in (elsewhere["cwd"] / "study/report.md").read_text()
