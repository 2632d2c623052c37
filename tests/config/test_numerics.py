"""Runs note the versions of their arithmetic; one whose arithmetic has changed does not go on."""

import dataclasses
import json

import pytest

from cnn_jax import config as configs
from cnn_jax.runs import workdir
from cnn_jax.runs.experiment import load_config
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.json_file import UnreadableFileError

LENET = "configs/lenet5_digits.py"
APPLYING = {
    "optim.ema": "--config.optim.ema=0.9",
    "optim.name=lars": "--config.optim.name=lars",
    "optim.name=muon": "--config.optim.name=muon",
    "data.augment.cutmix": '--config.data.augment={"cutmix": {}}',
}


def as_before_numbers(folder):
    """Make the folder's config.json what it was before formats had numbers."""
    file = folder / workdir.CONFIG
    held = json.loads(file.read_text())
    for name in ("format", "numerics", "digest"):
        del held[name]
    file.write_text(json.dumps(held, indent=2) + "\n")


def test_every_rule_has_a_config_that_follows_it():
    assert set(APPLYING) == set(configs.NUMERICS)
    assert configs.numerics_of(load_config(LENET)) == {}
    for name, flag in APPLYING.items():
        assert list(configs.numerics_of(load_config(LENET, [flag]))) == [name]


@pytest.mark.parametrize("name", APPLYING)
def test_a_run_of_before_goes_on_only_where_its_arithmetic_is_todays(tmp_path, name):
    config = load_config(LENET, [APPLYING[name]])
    workdir.create(tmp_path, config)
    assert workdir.check_same(tmp_path, config)
    as_before_numbers(tmp_path)
    with pytest.raises(BadInputError, match="cannot go on: " + name) as caught:
        workdir.check_same(tmp_path, config)
    assert configs.NUMERICS[name].change in str(caught.value)
    # What it learnt can still be read, and a finished one is only reported.
    held = workdir.read_config(tmp_path)
    assert held is not None
    assert configs.difference(held, config) is None
    (tmp_path / workdir.RESULT).write_text("{}")
    assert workdir.check_same(tmp_path, config)


def test_a_run_of_before_whose_arithmetic_is_todays_goes_on(tmp_path):
    config = load_config(LENET)
    workdir.create(tmp_path, config)
    as_before_numbers(tmp_path)
    assert workdir.check_same(tmp_path, config)


def test_a_run_of_a_newer_version_is_named(tmp_path, monkeypatch):
    config = load_config(LENET, [APPLYING["optim.ema"]])
    newer = dataclasses.replace(configs.NUMERICS["optim.ema"], version=9)
    with monkeypatch.context() as patch:
        patch.setitem(configs.NUMERICS, "optim.ema", newer)
        workdir.create(tmp_path, config)
    with pytest.raises(BadInputError, match=r"optim.ema computes as a newer version"):
        workdir.check_same(tmp_path, config)


def test_config_json_has_its_number_and_a_digest(tmp_path):
    workdir.create(tmp_path, load_config(LENET))
    file = tmp_path / workdir.CONFIG
    held = json.loads(file.read_text())
    assert (held["format"], held["numerics"]) == (configs.FORMAT, {})
    file.write_text(file.read_text().replace('"momentum": 0.9', '"momentum": 0.8'))
    with pytest.raises(BadInputError, match=r"config.json' was changed or damaged"):
        workdir.read_config(tmp_path)


def test_a_field_unset_where_the_models_default_is_another_stays_unset(tmp_path):
    config = load_config("configs/resnet20_cifar10.py")
    with config.ignore_type():
        config.model.shortcut = None  # the plain network; resnet20's own default is "A"
    workdir.create(tmp_path, config)
    held = workdir.read_config(tmp_path)
    assert held is not None
    assert held.model.shortcut is None


def in_section(section, **fields):
    return lambda held: held[section].update(fields)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda held: held.update(seed="0"), "Expected int, got str - at seed"),
        (lambda held: held.pop("optim"), "missing required field optim"),
        (lambda held: held.update(optim=3), "Expected object, got int - at optim"),
        (lambda held: held.update(speed=3), "config field 'speed' does not exist"),
        (in_section("optim", momentun=1), "did you mean 'optim.momentum'?"),
        (in_section("optim", momentum="0.9"), "'optim.momentum' takes a float, not '0.9'"),
        (in_section("optim", momentum=None), "'optim.momentum' is None"),
        (in_section("optim", momentum=-3), "'optim.momentum' is -3.0"),
        (in_section("data", mean=["a"]), "'data.mean' is ('a',)"),
        (in_section("data", image_size={"a": 1}), "did you mean 'data.image_size'?"),
        (in_section("model", name="lenet"), "unknown model 'lenet'"),
        (in_section("model", dropout=[1]), "'model.dropout' takes a float, not [1]"),
        (in_section("model", depth=1), "'model.depth' does not exist"),
        (lambda held: held.update(format=9), "format 9, newer than 2"),
    ],
)
def test_what_a_config_json_may_not_hold_is_named(tmp_path, change, line):
    workdir.create(tmp_path, load_config(LENET))
    as_before_numbers(tmp_path)
    file = tmp_path / workdir.CONFIG
    held = json.loads(file.read_text())
    change(held)
    file.write_text(json.dumps(held))
    with pytest.raises(UnreadableFileError) as told:
        workdir.read_config(tmp_path)
    assert line in str(told.value)
    assert "config.json" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_run_of_before_that_names_steps_and_epochs_took_its_steps(tmp_path):
    config = load_config(LENET, ["--config.train.steps=7"])
    workdir.create(tmp_path, config)
    as_before_numbers(tmp_path)
    file = tmp_path / workdir.CONFIG
    held = json.loads(file.read_text())
    held["train"]["epochs"] = 60.0
    file.write_text(json.dumps(held))
    assert workdir.check_same(tmp_path, config)
