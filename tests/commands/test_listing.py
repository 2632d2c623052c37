"""What there is: `models`, `configs`, `config`, `doctor`, `--version`."""

import json

import pytest

from cnn_jax import models
from cnn_jax.analysis import summarize
from cnn_jax.commands import flags, main
from cnn_jax.models.papers import paper
from cnn_jax.runtime.provenance import versions
from tests.commands.test_main import fails
from tests.fixtures import SMALL


def printed(capsys, *arguments: str) -> str:
    assert main.main(arguments) == 0
    return capsys.readouterr().out


def test_models_are_counted_once_and_kept(capsys, cache, monkeypatch):
    lines = printed(capsys, "models", "lenet*", "--json").splitlines()
    rows = {row["name"]: row for row in map(json.loads, lines)}
    assert list(rows) == ["lenet1", "lenet5", "lenet5_classic"]
    summary = summarize(models.create("lenet5", num_classes=10), (32, 32, 1))
    assert (rows["lenet5"]["params"], rows["lenet5"]["macs"]) == (summary.params, summary.macs)
    assert (rows["lenet1"]["params"], rows["lenet1"]["macs"]) == (3246, 136_320)
    assert list(cache.glob("counts-*.json"))
    monkeypatch.setattr("cnn_jax.runs.counts.summarize", None)  # a second time nothing is counted
    assert printed(capsys, "models", "lenet*", "--json").splitlines() == lines
    table = printed(capsys, "models", "lenet5")
    assert "61,706" in table
    assert "LeCun et al. 1998" in table


def test_every_network_names_its_paper():
    found = {name: paper(name) for name in models.MODELS}
    assert all(found.values()), found
    assert found["vgg16_bn"] == "Simonyan and Zisserman 2014"
    assert found["alexnet"] == "Krizhevsky 2014"
    assert found["googlenet"] == "Szegedy et al. 2014"
    assert found["zfnet"] == "Zeiler and Fergus 2013"
    assert found["plain20"] == found["resnet152"] == "He et al. 2015"


def test_numbers_in_names_are_sorted_as_numbers():
    names = ["resnet110", "resnet20", "alexnet", "resnet1202"]
    assert sorted(names, key=flags.by_number) == ["alexnet", "resnet20", "resnet110", "resnet1202"]


@pytest.mark.parametrize(
    ("command", "known"), [("models", "resnet20"), ("configs", "lenet5_digits")]
)
def test_a_pattern_that_nothing_fits(capsys, command, known):
    line = fails(capsys, command, known + "s")
    assert f"fits '{known}s'; did you mean {known}" in line


def test_configs_have_paper_data_and_results(capsys):
    (line,) = printed(capsys, "configs", "digits", "--json").splitlines()
    row = json.loads(line)
    assert row["config"] == "lenet5_digits"
    assert row["paper"] == "LeCun et al. 1998, section II.B."
    assert row["result"].startswith("99.44 % of 359 test images")
    assert "resnet20_cifar10" in printed(capsys, "configs")


def test_a_config_is_printed_with_every_fields_comment(capsys):
    text = printed(capsys, "config", *SMALL, "--config.optim.learning_rate", "0.5")
    assert "optim.learning_rate=0.5" in text
    assert "# the highest of the schedule" in text
    assert "model.hidden=(16,)" in text
    held = json.loads(printed(capsys, "config", *SMALL, "--json"))
    assert held["config"]["model"]["hidden"] == [16]
    assert "dry_run" not in held


def test_a_dry_run_compiles_and_trains_without_data(capsys, tmp_path):
    flags = [*SMALL, "--config.data.name=folder", f"--config.data.dir={tmp_path / 'no folder'}"]
    found = json.loads(printed(capsys, "config", *flags, "--steps=2", "--json"))["dry_run"]
    assert found["steps"] == 2
    assert found["image_shape"] == [8, 8, 1]
    assert (found["classes"], found["batch_size"]) == (10, 64)
    assert found["params"] == 64 * 16 + 16 + 16 * 10 + 10
    assert 0 < found["loss"] < 20
    assert list(tmp_path.iterdir()) == []
    text = printed(capsys, "config", *flags, "--steps=1")
    assert "# 1 steps on synthetic images 8x8x1 in 10 classes, 64 a step: loss" in text
    line = fails(capsys, "config", *flags, "--config.data.classes=None", "--steps=1", "--json")
    assert "set --config.data.classes=N" in line


def test_an_official_sets_classes_are_known_without_it(capsys):
    flags = [
        "--config.model.name=mlp",
        "--config.model.hidden=4,",
        "--config.data.name=fashion_mnist",
    ]
    flags += ["--config.data.batch_size=8", "--config.train.steps=3", "--config.train.epochs=None"]
    flags += ["--config.data.mean=None", "--config.data.std=None", "--config.data.classes=None"]
    held = json.loads(printed(capsys, "config", SMALL[0], *flags, "--steps=1", "--json"))
    assert held["dry_run"]["classes"] == 10
    assert held["dry_run"]["image_shape"] == [32, 32, 1]


def test_the_doctor_says_what_is_here(capsys, cache):
    (cache / "compiled").mkdir(exist_ok=True)
    (cache / "compiled/one").write_bytes(bytes(2048))
    found = json.loads(printed(capsys, "doctor", "--json"))
    assert found["versions"] == versions()
    assert len(found["devices"]) == 8
    assert "ops/cpu/dense.py" in found["operators"]["1x1"]
    assert found["operators"]["3x3"].startswith("XLA's own")
    assert found["caches"]["folder"] == str(cache)
    assert "in " in found["caches"]["compiled"]
    text = printed(capsys, "doctor")
    for subject in found:
        assert f"\n{subject}\n" in text
    assert text.startswith(f"cnn-jax {versions()['cnn-jax']} (Python ")


def test_the_version_needs_no_command(capsys):
    assert main.main(["--version"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("cnn-jax ")
    assert f"jax {versions()['jax']}" in line


def test_a_value_may_stand_apart_from_its_field():
    assert flags.separate(["train", "--config.a.b", "3", "--x", "--config.c=-1"]) == (
        ["--config.a.b=3", "--config.c=-1"],
        ["train", "--x"],
    )


@pytest.mark.parametrize("rest", [[], ["--workdir=x"]])
def test_a_field_without_a_value(capsys, rest):
    line = fails(capsys, "train", SMALL[0], "--config.train.steps", *rest)
    assert "--config.train.steps takes a value: --config.train.steps=VALUE" in line
