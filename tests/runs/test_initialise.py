"""Runs that start from other weights: what they take, what trains, going on without the source."""

import json
import shutil
import signal

import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util
from PIL import Image

import cnn_jax
from cnn_jax import config as configs
from cnn_jax.ablation.counting import Data, initial_tensors
from cnn_jax.commands import main
from cnn_jax.deploy.predict import predict
from cnn_jax.runs.experiment import load_config
from cnn_jax.runs.initialise import read_source
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train import trainer
from cnn_jax.train.logging import RunLog
from cnn_jax.train.stopping import StoppedError
from tests.fixtures import SMALL, torch_tensors, write_run

SHAPE = (8, 8, 1)
# Of a tuple that is set twice, ml_collections takes both.
OWN = [flag for flag in SMALL if "hidden" not in flag]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return the folder of a network of four classes, and its variables."""
    folder = tmp_path_factory.mktemp("source") / "run"
    _, variables = write_run(folder, "mlp", image_shape=SHAPE, classes="abcd", hidden=(16, 12))
    return folder, variables


def small(place, *flags: str):
    own = ["--config.model.hidden=(16,12)", "--config.train.steps=8", "--config.train.log_every=1"]
    own += [f"--config.init.source={place}", "--config.optim.weight_decay=0.1"]
    return load_config(OWN[0].removeprefix("--config="), [*OWN[1:], *own, *flags])


def flat(variables):
    return {
        "/".join(path): np.asarray(x) for path, x in traverse_util.flatten_dict(variables).items()
    }


def last(place, *flags: str):
    return small(place, "--config.init.regime=last", "--config.init.unfreeze=(5,)", *flags)


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned") / "run"
    return folder, cnn_jax.train_and_evaluate(last(source[0]), folder)


@pytest.mark.slow
def test_frozen_tensors_end_as_they_began(source, whole):
    began, ended = flat(source[1]), flat(cnn_jax.load_run(whole[0])[1])
    assert ended["params/fc1/kernel"].tobytes() == began["params/fc1/kernel"].tobytes()
    assert ended["params/fc1/bias"].tobytes() == began["params/fc1/bias"].tobytes()
    assert np.any(ended["params/fc2/kernel"] != began["params/fc2/kernel"])  # joined at step 5
    assert ended["params/head/kernel"].shape == (12, 10)


def test_what_is_taken_is_told_before_training_and_kept(source, tmp_path, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer._Run, "train", lambda *a: pytest.fail("it trains"))
        with pytest.raises(pytest.fail.Exception):
            cnn_jax.train_and_evaluate(last(source[0]), tmp_path / "run")
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("init: ")]
    assert told == [
        f"init: {source[0]}, tensors taken: fc1 (2), fc2 (2)",
        "init: starts anew: head/kernel ([12, 4] there, [12, 10] here)",
        "init: starts anew: head/bias ([4] there, [10] here)",
        "init: left out: head/bias, head/kernel",
        "init: trains 130 of 1,374 parameters: head (2); frozen: fc1 (2), fc2 (2)",
        "init: from step 5 on trains 334 of 1,374 parameters: fc2 (2), head (2); frozen: fc1 (2)",
        "init: images are normalised by another data.mean: (0.3,) there, (0.305,) here",
        "init: images are normalised by another data.std: (0.2,) there, (0.339,) here",
    ]
    kept = json.loads((tmp_path / "run/init.json").read_text())
    assert kept["taken"] == [f"params/fc{i}/{name}" for i in (1, 2) for name in ("bias", "kernel")]
    assert [phase["step"] for phase in kept["phases"]] == [0, 5]


@pytest.mark.slow
def test_a_run_goes_on_in_every_phase_without_its_source(source, whole, tmp_path):
    place = shutil.copytree(source[0], tmp_path / "source")
    config = last(place)
    write = RunLog.write

    def stop_at(at):
        def stopping(self, step, split, metrics):
            write(self, step, split, metrics)
            if step == at:
                signal.raise_signal(signal.SIGTERM)

        return stopping

    for at in (2, 6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunLog, "write", stop_at(at))
            with pytest.raises(StoppedError):
                cnn_jax.train_and_evaluate(config, tmp_path / "run")
        shutil.rmtree(place, ignore_errors=True)
    result = cnn_jax.train_and_evaluate(config, tmp_path / "run")
    assert result["metrics"] == whole[1]["metrics"]
    ours, theirs = (flat(cnn_jax.load_run(run)[1]) for run in (tmp_path / "run", whole[0]))
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)
    with pytest.raises(BadInputError, match=r"init\.regime is 'last' there and 'all' here"):
        cnn_jax.train_and_evaluate(small(place, "--config.init.regime=all"), tmp_path / "run")


@pytest.mark.slow
def test_a_tuned_run_predicts_image_files(whole, tmp_path):
    Image.fromarray(np.full((20, 30), 99, np.uint8)).save(tmp_path / "any.png")
    (answer,) = predict(whole[0], [tmp_path / "any.png"], top=3)
    assert [found["class"] in "0123456789" for found in answer["classes"]] == [True] * 3


def test_every_kind_of_source_gives_the_same_weights(source, tmp_path):
    folder, variables = source
    bundle = tmp_path / "network.zip"
    assert main.main(["export", f"--workdir={folder}", f"--to={bundle}"]) == 0
    run, exported = (read_source(small(place)) for place in (folder, bundle))
    assert run.digest() == exported.digest()
    assert flat(run.variables).keys() == flat(variables).keys()
    assert (exported.mean, exported.std) == ((0.3,), (0.2,))
    file = tmp_path / "resnet20.safetensors"
    tensors = torch_tensors("resnet20", 2)
    safetensors.numpy.save_file(tensors, file)
    config = load_config("configs/resnet20_cifar10.py", [f"--config.init.source={file}"])
    kernel = flat(read_source(config).variables)["params/stage2_block1/conv1/kernel"]
    np.testing.assert_array_equal(kernel, tensors["layer2.0.conv1.weight"].transpose(2, 3, 1, 0))


def test_a_sources_place_may_name_the_seed_and_the_home_folder(source, tmp_path, monkeypatch):
    shutil.copytree(source[0], tmp_path / "seed3")
    config = small(tmp_path / "seed{seed}", "--config.seed=3")
    assert read_source(config).name == str(tmp_path / "seed3")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_source(small("~/seed3")).name == str(tmp_path / "seed3")


def test_a_study_describes_what_its_arms_really_start_from(source):
    config = last(source[0])
    data = Data(SHAPE, 10, 100, "")
    given = initial_tensors(data.module(config), config, data)
    config.seed = 5
    other = initial_tensors(data.module(config), config, data)
    assert given["params/fc1/kernel"] == other["params/fc1/kernel"]
    assert given["params/head/kernel"] != other["params/head/kernel"]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["init.source=nowhere"], "init.source: 'nowhere' does not exist"),
        (["init.source=configs"], "init.source: 'configs' holds no run (no config.json)"),
        (["init.source=Makefile"], "init.source: 'Makefile' is no exported network"),
        (["model.hidden=(16,13)"], "does not fit: fc2/bias: [12] there, [13] here"),
        (['init.train=("fc7",)'], "init.train: 'fc7' matches no parameter"),
        (['init.freeze=("*",)'], "init.freeze leaves nothing to train of fc1, fc2, head"),
        (["init.unfreeze=(8,)", "init.regime=last"], "step 8 is not before the run's end, 8"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing_behind(source, tmp_path, capsys, flags, line):
    own = [f"--config.init.source={source[0]}", *(f"--config.{flag}" for flag in flags)]
    if "hidden" not in flags[0]:
        own.append("--config.model.hidden=(16,12)")
    own.append("--config.train.steps=8")
    assert main.main(["train", *OWN, *own, f"--workdir={tmp_path / 'run'}"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert line in told[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        (
            "init.regime=last",
            "'init.regime' is 'last' and counts only with init.source, which is unset",
        ),
        ("init.decay=0.5", "'init.decay' is 0.5 and counts only with init.source, which is unset"),
        ("init.regime=first", "'init.regime' is 'first'"),
        ("init.unfreeze=(3,2)", "growing steps"),
        ('data.only=("0",)', "names of at least 2 classes"),
    ],
)
def test_fields_that_cannot_be_are_told(flag, line):
    source = [] if "unset" in line else ["--config.init.source=x"]
    with pytest.raises(BadInputError) as caught:
        load_config("configs/lenet5_digits.py", [*source, f"--config.{flag}"])
    assert line in str(caught.value)


def test_a_regime_and_a_rule_exclude_each_other():
    flags = ["init.source=x", "init.regime=last", 'init.train=("head",)']
    with pytest.raises(BadInputError, match=r"unset where init\.train says what trains"):
        load_config("configs/lenet5_digits.py", [f"--config.{flag}" for flag in flags])


def test_a_target_of_one_class_is_refused(source, tmp_path):
    for part in ("train", "test"):
        folder = tmp_path / "images" / part / "only"
        folder.mkdir(parents=True)
        for index in range(30):
            pixels = np.full((8, 8), 8 * index, np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    flags = ["--config.data.name=folder", f"--config.data.dir={tmp_path / 'images'}"]
    flags += ["--config.data.classes=1", "--config.data.batch_size=8"]
    with pytest.raises(BadInputError, match="the data have one class, 'only'"):
        cnn_jax.train_and_evaluate(last(source[0], *flags), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["train.strategy=pmap"],
        ["train.shard_state=True"],
        ["optim.name=adam", "train.precision=bfloat16", "optim.ema=0.9", "optim.accumulate=2"],
    ],
)
def test_regimes_work_under_every_strategy(source, whole, tmp_path, flags):
    config = configs.override(last(source[0]), [f"--config.{flag}" for flag in flags])
    cnn_jax.train_and_evaluate(config, tmp_path / "run")
    began = flat(source[1])
    ended, alike = (flat(cnn_jax.load_run(run)[1]) for run in (tmp_path / "run", whole[0]))
    assert ended["params/fc1/kernel"].tobytes() == began["params/fc1/kernel"].tobytes()
    if len(flags) == 1:
        for name, value in alike.items():
            np.testing.assert_allclose(ended[name], value, rtol=1e-4, atol=1e-5)
    else:
        assert np.any(ended["params/fc2/kernel"] != began["params/fc2/kernel"])
        mean = flat(cnn_jax.load_run(tmp_path / "run", ema=True)[1])
        assert mean["params/fc1/kernel"].tobytes() == began["params/fc1/kernel"].tobytes()
