"""Whole runs on streamed images: the same as resident ones, stopped, cut and evaluated."""

import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import cnn_jax
from cnn_jax.runs.evaluate import evaluate_run
from cnn_jax.runs.experiment import assemble, load_config
from cnn_jax.train.logging import RunLog, read_metrics
from cnn_jax.train.stopping import StoppedError
from tests.fixtures import write_images


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streaming")
    write_images(folder / "train", per_class=30)
    write_images(folder / "test", per_class=7)
    return folder


def config(images: Path, *flags: str):
    return load_config(
        "configs/lenet5_digits.py",
        [
            "--config.model.name=mlp",
            "--config.model.hidden=(8,)",
            "--config.data.name=folder",
            f"--config.data.dir={images}",
            "--config.data.image_size=8",
            "--config.data.classes=2",
            "--config.data.batch_size=16",
            '--config.data.augment={"pad_crop": {"padding": 1}, "mixup": {"alpha": 1.0}}',
            "--config.train.steps=9",
            "--config.train.flow_every=4",
            "--config.train.precision=float64",
            *flags,
        ],
    )


def weights(folder: Path) -> np.ndarray:
    leaves = jax.tree.leaves(cnn_jax.load_run(folder)[1])
    return np.concatenate([np.asarray(leaf).ravel() for leaf in leaves])


@pytest.fixture(scope="module")
def resident(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "resident"
    return folder, cnn_jax.train_and_evaluate(config(images), folder)


@pytest.mark.parametrize("strategy", ["jit", pytest.param("pmap", marks=pytest.mark.slow)])
def test_a_streamed_run_is_the_resident_one(images, resident, tmp_path, strategy):
    flags = ["--config.data.stream=True", f"--config.train.strategy={strategy}"]
    result = cnn_jax.train_and_evaluate(config(images, *flags), tmp_path / "run")
    for name, measured in resident[1]["metrics"].items():
        assert result["metrics"][name] == pytest.approx(measured, rel=1e-6)
    np.testing.assert_allclose(weights(tmp_path / "run"), weights(resident[0]), atol=1e-9)
    flows = [read_metrics(folder / "flow.jsonl") for folder in (tmp_path / "run", resident[0])]
    for one, other in zip(*flows, strict=True):
        assert one["step"] == other["step"]
        assert one["gradient"] == pytest.approx(other["gradient"], rel=1e-9)
    assert [line["step"] for line in flows[0]] == [0, 4, 8]
    evaluated = evaluate_run(tmp_path / "run")
    assert evaluated["examples"] == 14
    assert evaluated["loss"] == pytest.approx(result["metrics"]["test"]["loss"])


@pytest.mark.slow
def test_mixing_under_pmap_is_that_under_jit(images, resident, tmp_path):
    flags = ["--config.train.strategy=pmap"]
    cnn_jax.train_and_evaluate(config(images, *flags), tmp_path / "run")
    np.testing.assert_allclose(weights(tmp_path / "run"), weights(resident[0]), atol=1e-9)


@pytest.mark.slow
def test_a_streamed_run_goes_on_where_it_was_stopped(images, tmp_path, monkeypatch):
    flags = ["--config.data.stream=True", "--config.train.log_every=1"]
    whole = cnn_jax.train_and_evaluate(config(images, *flags), tmp_path / "whole")
    write = RunLog.write

    def stop(self, step, split, metrics):
        write(self, step, split, metrics)
        if step == 4:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "write", stop)
        with pytest.raises(StoppedError):
            cnn_jax.train_and_evaluate(config(images, *flags), tmp_path / "run")
    # Neither the threads nor the processes that read ahead are part of what is computed.
    again = cnn_jax.train_and_evaluate(
        config(images, *flags, "--config.data.threads=1"), tmp_path / "run"
    )
    assert again["metrics"] == whole["metrics"]
    np.testing.assert_array_equal(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_photos_of_all_sizes_train_and_the_settled_config_says_so(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for label in "ab":
            folder = tmp_path / "photos" / part / label
            folder.mkdir(parents=True)
            for index in range(count):
                size = (*rng.integers(9, 30, 2), 3)
                pixels = rng.integers(0, 256, size, np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.jpg")
    crop = '--config.data.augment={"random_resized_crop": {"area": (0.5, 1.0)}, "flip": {}}'
    photos = config(tmp_path / "photos", crop, "--config.data.crop=0.875")
    photos.data.mean = photos.data.std = None
    cnn_jax.train_and_evaluate(photos, tmp_path / "run")
    settled = cnn_jax.load_run(tmp_path / "run")[2]
    assert settled.data.stream is True
    assert len(settled.data.mean) == 3
    assert assemble(settled).preprocessing.window == {"area": (0.5, 1.0)}
    photos.data.augment = {"flip": {}, "random_resized_crop": {}}
    with pytest.raises(ValueError, match="random_resized_crop has to come first"):
        assemble(photos)


@pytest.mark.slow
def test_fewer_pixels_make_another_input_that_a_run_remembers(images, tmp_path):
    flags = ["--config.data.subsample=0.25", "--config.data.augment={}"]
    cnn_jax.train_and_evaluate(config(images, *flags), tmp_path / "run")
    _, variables, settled = cnn_jax.load_run(tmp_path / "run")
    assert settled.data.image_size == 8
    assert assemble(settled).image_shape == (4, 4, 1)
    assert variables["params"]["fc1"]["kernel"].shape == (16, 8)


def test_a_few_of_each_class_are_trained_on_and_validation_stays(images):
    parts = assemble(config(images, "--config.data.validation=0.2")).parts
    few = assemble(
        config(images, "--config.data.validation=0.2", "--config.data.per_class=3")
    ).parts
    assert np.bincount(few["train"].labels).tolist() == [3, 3]
    np.testing.assert_array_equal(few["validation"].labels, parts["validation"].labels)
    assert len(few["test"]) == 14
