"""Weights of PyTorch as a run's folder, and the summary of models."""

import json
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import cnn_jax
from cnn_jax.commands import main
from cnn_jax.runs.evaluate import evaluate_run
from tests.fixtures import torch_tensors, write_images


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "resnet20.safetensors"
    safetensors.numpy.save_file(torch_tensors("resnet20", 2), file)
    return file


def test_imported_weights_make_a_run_that_is_evaluated(weights, tmp_path, capsys):
    folder = tmp_path / "run"
    assert (
        main.main(
            ["import-weights", "--model=resnet20", f"--from={weights}", f"--workdir={folder}"]
        )
        == 0
    )
    made = json.loads(capsys.readouterr().out)
    assert (made["classes"], made["channels"]) == (2, 3)
    module, variables, config = cnn_jax.load_run(folder)
    assert config.model.shortcut == "A"
    kernel = safetensors.numpy.load_file(weights)["layer2.0.conv1.weight"]
    ours = variables["params"]["stage2_block1"]["conv1"]["kernel"]
    np.testing.assert_array_equal(ours, kernel.transpose(2, 3, 1, 0))
    logits: Any = module.apply(variables, np.zeros((1, 32, 32, 3)), train=False)
    assert logits.shape == (1, 2)

    write_images(tmp_path / "images/train", side=32)
    rgb = ["--config.data.name=folder", f"--config.data.dir={tmp_path / 'images'}"]
    with pytest.raises(ValueError, match=r"data.mean has 3 numbers; images have 1 channels"):
        evaluate_run(folder, overrides=rgb)

    assert (
        main.main(
            ["import-weights", "--model=resnet20", f"--from={weights}", f"--workdir={folder}"]
        )
        == 2
    )
    assert "holds a run; choose another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--model=resnet21", "--from=x.safetensors"], "unknown model 'resnet21'; did you mean"),
        (["--model=resnet20", "--from=x.safetensors"], "x.safetensors: no such file"),
        (["--model=resnet32", "--from={}"], "has no tensor 'layer1.3"),
        (["--model=lenet5", "--from={}"], "no PyTorch layout is known for 'lenet5'"),
        (["--model=resnet20", "--from={}", "--bogus"], "unknown argument '--bogus'"),
    ],
)
def test_weights_that_do_not_fit_leave_nothing(weights, tmp_path, capsys, flags, line):
    arguments = [flag.format(weights) for flag in flags]
    assert main.main(["import-weights", *arguments, f"--workdir={tmp_path / 'run'}"]) == 2
    printed = capsys.readouterr()
    assert line in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_summary_as_a_table_and_as_json(capsys):
    assert main.main(["summary", "--model=lenet5"]) == 0
    table = capsys.readouterr().out
    assert "61,706" in table
    assert "416,520" in table
    assert main.main(["summary", "--model=resnet50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["params"], round(found["macs"] / 1e9, 3)) == (25_557_032, 4.089)
    assert main.main(["summary", "--model=resnet20", "--classes=100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["params"] == 269_722 + 90 * 65


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--model=resnet5"], "unknown model 'resnet5'; did you mean"),
        (["--model=lenet5", "--input=32x32"], "--input is H,W,C"),
        (["--model=lenet5", "--input=32,32"], "input is H,W,C"),
        (["--model=lenet5", "--input=8,8,1"], "at least"),
        (["--model=lenet5", "--classes=0"], "--classes"),
        (["--model=lenet5", "--inputs=1"], "unknown argument"),
    ],
)
def test_summary_of_nothing_sensible(capsys, flags, line):
    assert main.main(["summary", *flags]) == 2
    printed = capsys.readouterr()
    assert line in printed.err
    assert len(printed.err.splitlines()) == 1
