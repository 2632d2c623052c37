"""Evaluating on data that have some of a network's classes: told by their names."""

import json

import numpy as np
import pytest
from PIL import Image

from cnn_jax.commands import main
from cnn_jax.runs.evaluate import evaluate_run
from cnn_jax.runtime.errors import BadInputError
from tests.fixtures import write_images, write_run

CLASSES = ("black", "dark", "light", "white")
LEVELS = {"black": 0.0, "dark": 1 / 3, "light": 2 / 3, "white": 1.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a network that tells four levels apart: the nearest one has the largest output."""
    levels = np.array(list(LEVELS.values()), np.float32)
    # -(x - level)^2 without x^2, of the mean of 64 pixels that are normalised by (x - .3) / .2.
    kernel = np.broadcast_to(2 * levels * 0.2 / 64, (64, 4)).astype(np.float32)
    bias = 2 * levels * 0.3 - levels**2
    folder = tmp_path_factory.mktemp("subset") / "run"
    variables = {"params": {"head": {"kernel": kernel * 50, "bias": bias * 50}}}
    write_run(folder, "mlp", image_shape=(8, 8, 1), classes=CLASSES, variables=variables, hidden=())
    return folder


def folder_of(root, levels: dict[str, list[int]]):
    for part in ("train", "test"):
        for name, values in levels.items():
            (root / part / name).mkdir(parents=True)
            for index, value in enumerate(values * 3):
                pixels = np.full((8, 8), value, np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{index}.png")
    return ["--config.data.name=folder", f"--config.data.dir={root}", "--config.data.validation=0"]


def test_labels_are_the_networks_own_whatever_the_order(run, tmp_path):
    # Sorted by name, the set's first class is the network's last but one.
    data = folder_of(tmp_path / "images", {"light": [170], "white": [255, 150]})
    found = evaluate_run(run, overrides=data)
    assert found["examples"] == 9
    assert found["accuracy"] == pytest.approx(6 / 9)  # 150 is nearer to light
    assert found["classes"] == 2


def test_a_choice_among_the_classes_that_are_there(run, tmp_path):
    # 100 is dark to the network, which is not asked about here; of the two, it is nearer to light.
    data = folder_of(tmp_path / "images", {"light": [100, 170], "white": [255]})
    found = evaluate_run(run, overrides=data)
    assert found["accuracy"] == pytest.approx(6 / 9)
    assert found["accuracy_among"] == 1


def test_only_some_classes_of_the_same_data(run, tmp_path):
    data = folder_of(
        tmp_path / "images", {"black": [0], "dark": [85], "light": [170], "white": [0]}
    )
    whole = evaluate_run(run, overrides=data)
    assert whole["accuracy"] == pytest.approx(3 / 4)
    assert "classes" not in whole
    some = evaluate_run(run, overrides=[*data, "--config.data.only=white,dark"])
    assert (some["examples"], some["accuracy"], some["classes"]) == (6, 0.5, 2)


def test_a_class_that_the_network_does_not_have(run, tmp_path):
    data = folder_of(tmp_path / "images", {"light": [170], "pink": [255], "dark": [85]})
    with pytest.raises(BadInputError, match="'pink' of the data is none of the network's 4; leave"):
        evaluate_run(run, overrides=data)
    assert evaluate_run(run, overrides=[*data, "--config.data.only=dark,light"])["accuracy"] == 1


def test_names_come_from_a_file_where_the_run_knows_none(tmp_path, capsys):
    write_run(
        tmp_path / "run", "mlp", image_shape=(8, 8, 1), classes=CLASSES, named=False, hidden=()
    )
    write_images(tmp_path / "images/train", classes=["light", "white"])
    write_images(tmp_path / "images/test", classes=["light", "white"])
    flags = ["evaluate", f"--workdir={tmp_path / 'run'}"]
    assert main.main(flags) == 2
    assert "names no data; give --config.data.name=folder" in capsys.readouterr().err
    flags += ["--config.data.name=folder", f"--config.data.dir={tmp_path / 'images'}"]
    assert main.main(flags) == 2
    printed = capsys.readouterr().err
    assert "data.classes is 4; 'folder' has 2 classes; --names=FILE" in printed
    (tmp_path / "names").write_text("\n".join(CLASSES))
    assert main.main([*flags, f"--names={tmp_path / 'names'}"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == 2
