"""Declarations that no study can mean: one line each, before anything is counted or trained."""

import dataclasses
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_jax.ablation import Arm, Contrast, Endpoint, Match, Study, checks, main, plan
from cnn_jax.ablation.counting import Data
from cnn_jax.runs.experiment import complete
from cnn_jax.runtime.errors import BadInputError
from tests.ablation import tiny

NARROW, WIDE = tiny.study("smoke").arms
HIDDEN = ["model.hidden"]
TEXT: Any = {"wide": "1", "narrow": -1}  # what a weight is not
PROGRAMS = [
    program
    for program in sorted((Path(__file__).parents[2] / "experiments").glob("*.py"))
    if "\ndef study(" in program.read_text()
]


def declare(*arms: Any, **fields: Any) -> Study:
    return dataclasses.replace(tiny.study("smoke"), arms=[NARROW, *arms], **fields)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"seeds": [0, 1, 2]}, r"seeds is \[0, 1, 2\]; a whole number at least 2"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": True}, "seeds is True"),
        ({"seeds": 2.0}, "seeds is 2.0"),
        ({"smallest": float("nan")}, "smallest is nan"),
        ({"smallest": "1%"}, "smallest is '1%'"),
        ({"equal": "params"}, "equal is 'params'; a list of params, macs"),
        ({"threats": "none"}, "threats is 'none'"),
        ({"looks": 5}, "looks is 5; a list of numbers of seeds"),
        ({"looks": (5, 3), "seeds": 3}, r"looks is \[5, 3\]; numbers that grow"),
        ({"looks": (1, 5), "seeds": 5}, "looks has 1; a whole number at least 2"),
        (
            {"looks": (3, 5), "seeds": 6},
            "the last of looks is 5 and seeds is 6; it is at all seeds",
        ),
        ({"relative": 0.1}, "relative is 0.1; True or False"),
        ({"at_chance": 90}, "at_chance is 90; a finite number above 0 and below 1, or None"),
        ({"spread": 0.0}, "spread is 0.0; a finite number above 0"),
        ({"spread": 5}, "spread is 5; a finite number above 0 and below 1"),
        ({"tune": {"optim.learning_rate": (0.1, 0.1)}}, r"tune has \[0.1\] twice"),
        (
            {"tune": {"model.hidden": ((8,), (16,))}},
            "tune has 'model.hidden'; it takes fields of optim",
        ),
        ({"tune_once": True}, "tune_once is set, and tune is empty"),
        ({"endpoint": 5}, "endpoint is 5; a split, an Endpoint or a list of them"),
        ({"endpoint": []}, "endpoint is an empty list"),
        ({"endpoint": "tset"}, "endpoint is 'tset'; test, validation or train"),
        ({"endpoint": ["test", "test"]}, "an endpoint is given twice"),
        ({"endpoint": Endpoint("log_loss")}, "endpoint 'test log_loss': smallest is unset"),
        ({"endpoint": Endpoint("lgo_loss", smallest=1.0)}, "endpoint .* unknown metric 'lgo_loss'"),
        (
            {"endpoint": Endpoint("confusion", smallest=1.0)},
            "confusion has no value for each example",
        ),
        ({"endpoint": Endpoint(higher_is_better=True)}, "endpoint 'test error': of error less is"),
        (
            {"endpoint": Endpoint("log_loss", higher_is_better=True, smallest=0.1)},
            "endpoint 'test log_loss': of log_loss less is better",
        ),
        (
            {"endpoint": Endpoint("accuracy_top3", smallest=0.1)},
            "endpoint 'test accuracy_top3': of an accuracy more is better; set higher_is_better",
        ),
        ({"endpoint": Endpoint("accuracy", smallest=0.1)}, "endpoint 'test accuracy': take the"),
        ({"endpoint": Endpoint(smallest=5)}, "endpoint 'test error': smallest is 5; .* below 1"),
        ({"contrasts": {"a": 1}}, "contrasts is"),
        ({"contrasts": [("a", {})]}, "contrasts holds"),
        ({"contrasts": [Contrast("c", {"wide": 1})]}, "contrast 'c': the weights sum to 1"),
        (
            {"contrasts": [Contrast("c", {"wide": 1, "x": -1})]},
            "contrast 'c' weighs 'x', which is no",
        ),
        ({"contrasts": [Contrast("c", TEXT)]}, "contrast 'c' weighs 'wide' by '1'"),
        (
            {"contrasts": [Contrast("c", {"wide": 1, "narrow": -1})], "relative": True},
            "contrast 'c': smallest is unset, and the study's is relative",
        ),
        ({"tune": {"optim.learning_rate": 0.1}}, "tune has 0.1 for 'optim.learning_rate'"),
        ({"tune": ["optim.learning_rate"]}, "tune is"),
        ({"series": ("n", {})}, "series is"),
        ({"base": {}}, "base is {}"),
        ({"name": ""}, "a study has a name"),
        (
            {"endpoint": "validation", "tune": {"optim.learning_rate": (0.1, 0.2)}},
            "tune chooses by validation error, which then cannot be the endpoint",
        ),
    ],
    ids=str,
)
def test_fields_of_another_kind(fields, line):
    with pytest.raises(BadInputError, match=f"^study '.*': {line}"):
        declare(WIDE, **fields)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"factor": "model.hidden"}, "factor is 'model.hidden'; a list of names"),
        ({"factor": [1]}, r"factor is \[1\]"),
        ({"equal": "steps"}, "equal is 'steps'"),
        ({"match": ("macs", "model.hidden")}, r"match is \('macs', 'model.hidden'\); Match"),
        ({"match": Match("macs", "model.hidden", -0.1)}, "tolerance is -0.1"),
        ({"match": Match("macs", "model.hidden", float("nan"))}, "tolerance is nan"),
        ({"fields": [("model.hidden", (8,))]}, "fields is"),
        ({"fields": {"seed": 5, "model.hidden": (8,)}}, "sets seed; all arms share"),
        ({"also": {"narrow": "model"}}, r"also\['narrow'\] is 'model'"),
        ({"not_worse": "narrow"}, "not_worse is 'narrow'; a list of names"),
        ({"not_worse": ["other"]}, "'wide' is not_worse than 'other', which is no control of it"),
        ({"name": "a\nb"}, "an arm is called"),
        ({"name": "x" * 101}, "an arm is called"),
        ({"name": 5}, "an arm is called 5"),
    ],
    ids=str,
)
def test_fields_of_an_arm_of_another_kind(fields, line):
    with pytest.raises(BadInputError, match=line):
        declare(dataclasses.replace(WIDE, **fields))


def test_a_tuned_field_is_no_factor():
    fast = Arm("fast", {"optim.learning_rate": 1.0}, "narrow", ["optim.learning_rate"])
    with pytest.raises(BadInputError, match=r"'fast' sets optim\.learning_rate, which is tuned"):
        declare(fast, tune={"optim.learning_rate": (0.1, 0.2)})


def test_arms_are_arms():
    with pytest.raises(BadInputError, match="arms holds 'wide'; a list of Arm"):
        declare("wide")


def planned(study: Study, folder, monkeypatch, **more: Any) -> None:
    """Work a study out, to be stopped before it reads data."""

    def read(made):
        raise AssertionError("the data were read")

    monkeypatch.setattr(plan, "_load", read)
    plan.work_out(study, folder, preset="smoke", command="", **more)


@pytest.mark.parametrize(
    ("arm", "line"),
    [
        (Arm("a", {"model.hidden": (8,)}, "narrow", ["model.hiden"]), "did you mean 'model.hidde"),
        (Arm("a", {"model.hidden": (8,)}, "narrow", ["model"]), "the whole section 'model'"),
        (Arm("a", {"model.hidden": (8,)}, "narrow", ["modle"]), "'modle' does not exist"),
        (Arm("a", {}, "narrow", HIDDEN), "'a' is its control, 'narrow'; set the field"),
        (Arm("a", {"model.hidden": (16,)}, "narrow", HIDDEN), "'a' is its control"),
        (
            Arm("a", {"train.log_every": 7}, "narrow", ["train.log_every"]),
            "'a' is its control, 'narrow' but for train.log_every, which changes no result",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_factors_that_are_none_and_arms_that_are_their_control(arm, line, tmp_path, monkeypatch):
    with pytest.raises(BadInputError, match=line):
        planned(declare(arm), tmp_path / "study", monkeypatch)
    assert not (tmp_path / "study").exists()


def test_another_network_may_differ_in_its_whole_section(tmp_path, monkeypatch):
    base = tiny.config()
    base.data.image_size = 32
    del base.model.hidden
    lenet = Arm("lenet", {"model.name": "lenet5"}, "narrow", ["model"])
    study = dataclasses.replace(declare(lenet), base=base)
    with pytest.raises(AssertionError, match="the data were read"):
        planned(study, tmp_path, monkeypatch)


@pytest.mark.parametrize("preset", ["smoke", "short", "paper"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_the_studies_of_this_project_are_declared_well(program, preset, tmp_path, monkeypatch):
    declared = runpy.run_path(str(program))["study"]
    with pytest.raises(AssertionError, match="the data were read"):
        planned(declared(preset), tmp_path, monkeypatch)


def test_another_name_that_builds_the_controls_network_is_refused(tmp_path):
    base = tiny.config()
    del base.model.hidden
    base.model.name, base.data.image_size = "resnet20", 8
    base = complete(base)  # which fills in resnet20's own fields, its shortcut among them
    plain = Arm("plain", {"model.name": "plain20"}, "residual", ["model.name", "model.shortcut"])
    arms = [Arm("residual"), plain]
    study = dataclasses.replace(tiny.study("smoke"), base=base, arms=arms)
    with pytest.raises(BadInputError, match=r"'plain' has the network of .* though model\.name"):
        plan.work_out(study, tmp_path, preset="smoke", command="")


def test_a_validation_endpoint_needs_validation_data(tmp_path, monkeypatch):
    study = declare(WIDE, endpoint="validation")
    study.base.data.validation = 0.0
    with pytest.raises(BadInputError, match=r"'narrow': data\.validation is 0, and the endpoint"):
        planned(study, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("fields", "lanes", "line"),
    [
        (
            {"endpoint": Endpoint("log_loss", "train", smallest=0.1)},
            1,
            r"'train log_loss': log_loss is not measured; add it to the base's task\.measures",
        ),
        ({"endpoint": Endpoint("rank", smallest=1.0)}, 2, "keeps examples' values; --lanes=2 has"),
        ({"tune": {"optim.learning_rate": (0.1, 0.2)}}, 2, "--lanes=2: each seed tunes for itself"),
    ],
)
def test_endpoints_that_no_cell_would_have_are_refused(fields, lanes, line, tmp_path, monkeypatch):
    with pytest.raises(BadInputError, match=line):
        planned(declare(WIDE, **fields), tmp_path, monkeypatch, lanes=lanes)


def test_tuning_without_validation_data_is_refused_by_the_plan(tmp_path, capsys):
    def study(preset: str) -> Study:
        tuned = declare(WIDE, tune={"optim.learning_rate": (0.1, 0.2)})
        tuned.base.data.validation = 0.0
        return tuned

    assert main(study, [f"--workdir={tmp_path}", "--plan_only"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "data.validation is 0; tuning chooses by validation error" in line


@pytest.mark.parametrize("hidden", [(-4,), (8, -1), ("8",)])
def test_a_network_that_cannot_be_built_is_one_line_with_its_arm(hidden, tmp_path):
    arm = Arm("a", {"model.hidden": hidden}, "narrow", HIDDEN)
    with pytest.raises(BadInputError, match="hidden") as stopped:
        plan.work_out(declare(arm), tmp_path, preset="smoke", command="")
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize("match", [None, Match("macs", "model.widths")])
def test_too_few_widths_are_one_line(match, tmp_path):
    base = tiny.config()
    base.model.name, base.data.image_size = "allcnn_c", 16
    arms = [
        Arm("whole", {"model.widths": (4, 8)}),
        Arm("short", {"model.widths": (4,)}, "whole", ["model.widths"], match),
    ]
    study = dataclasses.replace(tiny.study("smoke"), base=base, arms=arms)
    with pytest.raises(BadInputError, match="widths"):
        plan.work_out(study, tmp_path, preset="smoke", command="")


@pytest.mark.parametrize(
    ("own", "other", "line"),
    [
        ([0, 1, 1], [0, 1], "'wide' and 'narrow' have 3 and 2 test examples"),
        ([0, 1, 1], [0, 2, 1], r"'wide' and 'narrow' have other labels .*example 1: 1 and 2"),
        (None, [0, 1], "'wide' and 'narrow': the endpoint is test error, and .* no test part"),
    ],
    ids=str,
)
def test_arms_are_tested_on_the_same_examples(own, other, line):
    def data(labels: Any) -> Data:
        held = {} if labels is None else {"test": np.array(labels)}
        return Data((8, 8, 1), 10, 5, "", held)

    study = declare(WIDE)
    with pytest.raises(BadInputError, match=line):
        checks.check_test_sets(study, study.arms[1], {"wide": data(own), "narrow": data(other)})
    checks.check_test_sets(
        dataclasses.replace(study, endpoint="train"),
        study.arms[1],
        {"wide": data(own), "narrow": data(other)},
    )


def test_arms_whose_test_sets_differ_stop_before_anything_runs(tmp_path):
    arm = Arm("few", {"data.only": tuple("0123")}, "narrow", ["data.only"], equal=())
    with pytest.raises(BadInputError, match=r"'few' and 'narrow' have 1\d\d and 359 test examples"):
        plan.work_out(declare(arm), tmp_path / "study", preset="smoke", command="")
    assert not (tmp_path / "study").exists()
