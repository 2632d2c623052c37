"""A run's small files: of which run they are, and what damage to them says."""

import json
import shutil

import numpy as np
import pytest

import cnn_jax
from cnn_jax import config as configs
from cnn_jax.runs import workdir
from cnn_jax.runtime import json_file
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.json_file import UnreadableFileError
from cnn_jax.train.logging import read_metrics
from cnn_jax.train.stopping import DivergedError
from tests.runs.test_run import small

FLAGS = ["--config.train.steps=4", "--config.checkpoint.every=2", "--config.train.log_every=1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workdir") / "run"
    config = small(*FLAGS)
    return config, folder, cnn_jax.train_and_evaluate(config, folder)


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run[1], tmp_path / "copy")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A run of another seed."""
    folder = tmp_path_factory.mktemp("workdir") / "other"
    cnn_jax.train_and_evaluate(small(*FLAGS, "--config.seed=9"), folder)
    return folder


READERS = {
    workdir.RESULT: workdir.read_result,
    workdir.CLASSES: workdir.read_classes,
    workdir.PREDICTIONS: workdir.read_predictions,
}


@pytest.mark.parametrize("name", READERS)
def test_a_torn_file_is_named(copy, name):
    whole = (copy / name).read_bytes()
    for end in range(1, len(whole) - 1, max(1, len(whole) // 20)):
        (copy / name).write_bytes(whole[:end])
        with pytest.raises(UnreadableFileError) as caught:
            READERS[name](copy)
        assert str(copy / name) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", READERS)
def test_a_flipped_bit_is_never_another_value(copy, name):
    whole = bytearray((copy / name).read_bytes())
    right = READERS[name](copy)
    rng = np.random.default_rng(0)
    for at in rng.choice(len(whole), 40, replace=False):
        damaged = whole.copy()
        damaged[at] ^= 1 << int(rng.integers(8))
        (copy / name).write_bytes(damaged)
        try:
            found = READERS[name](copy)
        except UnreadableFileError:
            continue
        np.testing.assert_equal(found, right)


@pytest.mark.parametrize("name", READERS)
def test_a_file_of_another_run_is_told(copy, other, name):
    shutil.copy(other / name, copy / name)
    with pytest.raises(UnreadableFileError, match="is another run's"):
        READERS[name](copy)


def test_a_damaged_result_ends_the_command_with_its_name(run, copy):
    (copy / workdir.RESULT).write_text('{"metrics": {}')
    with pytest.raises(BadInputError, match=r"result\.json' is damaged"):
        cnn_jax.train_and_evaluate(run[0], copy)


def test_files_of_earlier_versions_are_read(run, copy):
    """They had no format, no digest and no run; the classes were a list."""
    held = json.loads((copy / workdir.RESULT).read_text())
    old = {name: held[name] for name in held if name not in ("format", "digest", "run")}
    (copy / workdir.RESULT).write_text(json.dumps(old))
    (copy / workdir.CLASSES).write_text(json.dumps(list("0123456789")))
    label, predicted = workdir.read_predictions(copy)
    with (copy / workdir.PREDICTIONS).open("wb") as file:
        np.savez_compressed(file, label=label, predicted=predicted)
    assert cnn_jax.train_and_evaluate(run[0], copy) == old
    assert workdir.read_classes(copy) == list("0123456789")
    np.testing.assert_array_equal(workdir.read_predictions(copy), [label, predicted])


def test_classes_that_are_not_as_many_as_the_runs_are_refused(copy):
    (copy / workdir.CLASSES).write_text(json.dumps(["a", "b"]))
    with pytest.raises(UnreadableFileError, match="names 2 classes; the run has 10"):
        workdir.read_classes(copy)


@pytest.mark.parametrize(
    "name", [workdir.CHECKPOINTS, workdir.METRICS, workdir.RESULT, workdir.PREDICTIONS]
)
def test_files_of_a_run_without_its_config_are_refused(run, tmp_path, name):
    source = run[1] / name
    (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInputError, match=rf"holds {name} of a run but no config\.json"):
        cnn_jax.train_and_evaluate(small(*FLAGS, "--config.seed=9"), tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_config_alone_starts_afresh(run, tmp_path):
    shutil.copy(run[1] / workdir.CONFIG, tmp_path / workdir.CONFIG)
    assert cnn_jax.train_and_evaluate(run[0], tmp_path)["metrics"] == run[2]["metrics"]


def test_checkpoints_of_another_run_are_refused(run, copy, other):
    (copy / workdir.RESULT).unlink()
    shutil.rmtree(copy / workdir.CHECKPOINTS)
    shutil.copytree(other / workdir.CHECKPOINTS, copy / workdir.CHECKPOINTS)
    with pytest.raises(BadInputError, match="holds checkpoints of another run"):
        cnn_jax.train_and_evaluate(run[0], copy)


def test_what_a_run_is_known_by_is_what_decides_it(run):
    config = run[0]
    known = workdir.identity(config)
    for same in ("--config.data.dir=/elsewhere", "--config.checkpoint.keep=7"):
        assert workdir.identity(configs.override(config, [same])) == known
    for another in ("--config.seed=1", "--config.optim.momentum=0.8", "--config.data.augment={}"):
        assert workdir.identity(configs.override(config, [another])) != known


def test_a_finished_run_on_a_disk_that_cannot_be_written(run, copy, monkeypatch, capsys):
    """As root no permission stands in the way, so the check's answer is given."""
    monkeypatch.setattr(workdir.os, "access", lambda *_: False)
    unset = configs.override(run[0], [])
    unset.data.image_size = None  # the data say it: they are read, and nothing is written
    for config in (run[0], unset):
        assert cnn_jax.train_and_evaluate(config, copy)["metrics"] == run[2]["metrics"]
    assert capsys.readouterr().err.count("holds this run, finished") == 2
    (copy / workdir.RESULT).unlink()
    with pytest.raises(BadInputError, match="is not writable"):
        cnn_jax.train_and_evaluate(run[0], copy)


def test_damage_to_the_log_before_a_resume_is_said(run, copy, capsys):
    for name in (workdir.RESULT, workdir.PREDICTIONS):
        (copy / name).unlink()
    shutil.rmtree(copy / workdir.CHECKPOINTS / "4")
    lines = (copy / workdir.METRICS).read_bytes().splitlines()
    (copy / workdir.METRICS).write_bytes(b"\n".join([lines[0], lines[0], *lines[1:]]) + b"\n")
    assert cnn_jax.train_and_evaluate(run[0], copy)["metrics"] == run[2]["metrics"]
    assert "metrics.jsonl' was damaged" in capsys.readouterr().err
    assert read_metrics(copy / workdir.METRICS) == read_metrics(run[1] / workdir.METRICS)


def test_a_run_whose_network_computes_no_numbers_says_that_it_diverged(tmp_path):
    config = small("--config.train.steps=1", "--config.optim.learning_rate=1e38")
    for _ in range(2):  # and again, of the finished one
        with pytest.raises(DivergedError, match=r"has diverged: .* the train loss is not finite"):
            cnn_jax.train_and_evaluate(config, tmp_path / "run")

    def refuse(name):
        raise AssertionError(name)

    for file in (workdir.RESULT, workdir.METRICS):
        for text in (tmp_path / "run" / file).read_text().split("\n{"):
            json.loads(text if text.startswith("{") else "{" + text, parse_constant=refuse)
    held = workdir.read_result(tmp_path / "run")
    assert held is not None
    assert held["metrics"]["test"]["loss"] is None
    label, predicted = workdir.read_predictions(tmp_path / "run")
    assert held["metrics"]["test"]["accuracy"] == (label == predicted).mean()
    assert json_file.sealed({"loss": float("nan")})["loss"] is None


def test_what_a_run_started_from_is_read_back_and_damage_told(copy):
    report = {"source": "x", "taken": ["params/a"], "anew": {}, "left_out": [], "notes": []}
    settled = workdir.read_config(copy)
    workdir.write_init(copy, settled, report | {"weights": "0123", "stages": {}})
    assert workdir.read_init(copy) == report | {"weights": "0123"}
    file = copy / workdir.INIT
    file.write_text(file.read_text().replace("params/a", "params/b"))
    with pytest.raises(UnreadableFileError, match="its digest differs"):
        workdir.read_init(copy)
    # Earlier versions called the weights' digest ``digest``, and had no other.
    file.write_text(json.dumps(report | {"digest": "0123456789abcdef"}))
    assert workdir.read_init(copy) == report
    file.write_text(json.dumps(report | {"taken": [1]}))
    with pytest.raises(UnreadableFileError, match=r"init\.json' is not what a run started from"):
        workdir.read_init(copy)
