"""Whole runs: results, exactness of evaluation, continuing, refusing."""

import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnn_jax
from cnn_jax import config as configs
from cnn_jax.data import sources
from cnn_jax.data.parts import Part
from cnn_jax.data.split import stratified
from cnn_jax.runs import workdir
from cnn_jax.runs.evaluate import evaluate_run
from cnn_jax.runs.experiment import load_config
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.logging import RunLog, read_metrics
from cnn_jax.train.stopping import DivergedError, StoppedError
from tests.fixtures import ABANDONED, SMALL, write_images


def small(*flags: str):
    return load_config(SMALL[0].removeprefix("--config="), [*SMALL[1:], *flags])


def parameters(folder, step=None) -> bytes:
    _, variables, _ = cnn_jax.load_run(folder, step=step)
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(variables))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "finished"
    config = small("--config.train.epochs=4", "--config.checkpoint.keep=2")
    return config, folder, cnn_jax.train_and_evaluate(config, folder)


def test_a_result_says_what_was_done(finished):
    config, folder, result = finished
    assert result == json.loads((folder / "result.json").read_text())
    assert result["params"] == 64 * 16 + 16 + 16 * 10 + 10
    assert result["macs"] == 64 * 16 + 16 * 10
    examples = {name: part["examples"] for name, part in result["metrics"].items()}
    assert examples == {"train": 1294, "validation": 144, "test": 359}
    assert result["steps"] == -(-4 * 1294 // config.data.batch_size)
    assert len(result["devices"]) == jax.device_count() == 8
    assert result["images_per_second"] > 0
    assert set(result) >= {"epochs", "seconds", "seed", "versions", "git"}
    assert workdir.read_classes(folder) == list("0123456789")
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    lines = read_metrics(folder / "metrics.jsonl")
    assert [line["step"] for line in lines if line["split"] == "test"] == [result["steps"]]
    assert all("learning_rate" in line for line in lines if line["split"] == "train")
    logged = sum(line["examples"] for line in lines if line["split"] == "train")
    assert logged == result["steps"] * config.data.batch_size


def test_a_run_without_a_running_mean_says_so(finished):
    with pytest.raises(BadInputError, match="kept no running mean"):
        cnn_jax.load_run(finished[1], ema=True)


def test_the_accuracy_is_that_of_every_example_evaluated_alone(finished):
    config, folder, result = finished
    module, variables, settled = cnn_jax.load_run(folder)
    source = sources.load("digits", None)
    rest, cut = stratified(source.train.labels, config.data.validation, config.seed)
    parts = {"train": source.train[rest], "validation": source.train[cut], "test": source.test}
    for name, part in parts.items():
        assert isinstance(part, Part)
        pixels = (part.images / 255 - settled.data.mean[0]) / settled.data.std[0]
        logits = module.apply(variables, jnp.asarray(pixels, jnp.float32), train=False)
        right = int(np.sum(np.argmax(np.asarray(logits), 1) == part.labels))
        assert result["metrics"][name]["accuracy"] == right / len(part)
        assert evaluate_run(folder, split=name)["accuracy"] == right / len(part)


def test_evaluating_takes_other_data_and_other_steps(finished, tmp_path):
    _, folder, _ = finished
    write_images(tmp_path / "train", classes="0123456789", per_class=2)
    write_images(tmp_path / "test", classes="0123456789", per_class=1)
    flags = ["--config.data.name=folder", f"--config.data.dir={tmp_path}"]
    assert evaluate_run(folder, overrides=flags)["examples"] == 10
    with pytest.raises(BadInputError, match=r"only --config\.data\.FIELD can be set"):
        evaluate_run(folder, overrides=["--config.seed=2"])
    with pytest.raises(BadInputError, match="no such part, only train, test, validation"):
        evaluate_run(folder, split="dev")
    with pytest.raises(BadInputError, match=r"--step=1: there is no such checkpoint"):
        evaluate_run(folder, step=1)
    with pytest.raises(BadInputError, match="holds no run"):
        evaluate_run(tmp_path)


def test_a_finished_run_is_not_run_again(finished):
    config, folder, result = finished
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    assert cnn_jax.train_and_evaluate(config, folder) == result
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("--config.optim.momentum=0.5", "optim.momentum is 0.9 there and 0.5 here"),
        ("--config.data.std=(0.5,)", "data.std is (0.339,) there and (0.5,) here"),
        ("--config.data.augment={}", "data.augment"),
        ("--config.model.hidden=(17,)", "model.hidden is (16,) there and (17,) here"),
    ],
)
def test_another_configs_folder_is_refused(finished, flag, line):
    config, folder, _ = finished
    with pytest.raises(BadInputError) as caught:
        cnn_jax.train_and_evaluate(configs.override(config, [flag]), folder)
    assert line in str(caught.value)


def test_unset_constants_are_settled_by_the_data_and_compared(tmp_path):
    write_images(tmp_path / "images/train", per_class=20)
    flags = ["--config.data.name=folder", f"--config.data.dir={tmp_path / 'images'}"]
    flags += ["--config.data.batch_size=8", "--config.train.steps=3"]
    config = small(*flags)
    for field in ("image_size", "mean", "std", "classes"):
        config.data[field] = None
    result = cnn_jax.train_and_evaluate(config, tmp_path / "run")
    settled = cnn_jax.load_run(tmp_path / "run")[2]
    part = sources.load("folder", str(tmp_path / "images")).train
    assert isinstance(part, Part)
    images = part.images / 255
    assert settled.data.image_size == 8
    assert settled.data.classes == 2
    assert settled.data.mean == pytest.approx((images.mean(),), abs=1e-6)
    assert settled.data.std == pytest.approx((images.std(),), abs=1e-6)
    assert cnn_jax.train_and_evaluate(config, tmp_path / "run") == result
    config.data.mean = (0.123,)
    with pytest.raises(BadInputError, match=r"data.mean is .* there and \(0.123,\) here"):
        cnn_jax.train_and_evaluate(config, tmp_path / "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    flags = ["--config.checkpoint.every=20", "--config.train.log_every=1"]
    config = small("--config.train.epochs=4", "--config.train.flow_every=9", *flags)
    folder = tmp_path_factory.mktemp("run") / "whole"
    return config, folder, cnn_jax.train_and_evaluate(config, folder)


def test_how_often_is_logged_measured_and_saved_changes_no_bit(whole, finished):
    assert parameters(whole[1]) == parameters(finished[1])
    assert whole[2]["metrics"] == finished[2]["metrics"]
    assert not (finished[1] / "flow.jsonl").exists()
    flows = read_metrics(whole[1] / "flow.jsonl")
    assert [line["step"] for line in flows] == [*range(0, 81, 9)]
    assert all(set(line["gradient"]) == {"fc1", "head"} for line in flows)


@ABANDONED
@pytest.mark.parametrize(("at", "damage"), [(1, False), (27, False), (27, True), (40, False)])
def test_a_run_stopped_anywhere_ends_like_one_that_was_not(
    whole, tmp_path, monkeypatch, capsys, at, damage
):
    config, folder, result = whole
    write = RunLog.write

    def stop(self, step, split, metrics):
        write(self, step, split, metrics)
        if step == at:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "write", stop)
        with pytest.raises(StoppedError):
            cnn_jax.train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run/result.json").exists()
    if damage:
        # The signal comes while step 27 is logged, so that step 28 is the last.
        arrays = sorted((tmp_path / f"run/checkpoints/{at + 1}").rglob("d/*"))
        arrays[0].write_bytes(arrays[0].read_bytes()[:-9])
    again = cnn_jax.train_and_evaluate(config, tmp_path / "run")
    assert (f"checkpoint {at + 1} is damaged" in capsys.readouterr().err) == damage
    assert again["metrics"] == result["metrics"]
    assert parameters(tmp_path / "run") == parameters(folder)
    for lines in ("metrics.jsonl", "flow.jsonl"):
        assert read_metrics(tmp_path / "run" / lines) == read_metrics(folder / lines)


def test_several_steps_a_dispatch_compute_the_same(finished, tmp_path):
    config, folder, result = finished
    flags = ["--config.train.steps_per_call=7", "--config.train.log_every=30"]
    other = cnn_jax.train_and_evaluate(configs.override(config, flags), tmp_path / "seven")
    # Another program, so rounding may differ; the same examples, keys and updates.
    assert other["steps"] == result["steps"]
    one, seven = cnn_jax.load_run(folder)[1], cnn_jax.load_run(tmp_path / "seven")[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), one, seven)


@pytest.mark.parametrize(("precision", "kept"), [("bfloat16", "float32"), ("float64", "float64")])
def test_a_precision_is_that_of_the_whole_run(tmp_path, precision, kept):
    config = small("--config.train.steps=3", f"--config.train.precision={precision}")
    result = cnn_jax.train_and_evaluate(config, tmp_path / "run")
    variables = cnn_jax.load_run(tmp_path / "run")[1]
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(variables)} == {kept}
    assert evaluate_run(tmp_path / "run")["loss"] == result["metrics"]["test"]["loss"]


def test_a_rate_that_diverges_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    flags = ["--config.train.steps=60", "--config.checkpoint.every=5", "--config.eval.every=5"]
    # The rate grows by ten a step: the first checkpoint is still good.
    rate = ["--config.optim.learning_rate=1e7", "--config.optim.warmup=1000000"]
    config = small(*flags, *rate)
    with pytest.raises(DivergedError, match=r"not finite at step \d+ .*lower optim.learning_rate"):
        cnn_jax.train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run/result.json").exists()
    _, variables, _ = cnn_jax.load_run(tmp_path / "run")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--config.data.batch_size=4096"], "data.batch_size is 4096, more than the 1294"),
        (["--config.data.batch_size=12"], "data.batch_size is 12, which 8 devices do not divide"),
        (["--config.data.classes=7"], "data.classes is 7; 'digits' has 10 classes"),
        (["--config.data.mean=(0.1, 0.2)"], "data.mean has 2 numbers; images have 1 channels"),
        (["--config.data.validation=0.0001"], "data.validation: 0.0001 of 1438 examples is none"),
        (["--config.optim.name=sdg"], "optim.name is 'sdg'"),
        (["--config.data.name=digit"], "unknown source 'digit'"),
        (['--config.data.augment={"flop": {}}'], "unknown transform 'flop'"),
        (["--config.optim.accumulate=16"], "is 64, which 8 devices x optim.accumulate 16 do not"),
        (["--config.train.writers=('tensorbord',)"], "train.writers has 'tensorbord'"),
        (["--config.optim.schedule=onecycle", "--config.optim.warmup=5"], "optim.warmup is 5"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(tmp_path, flags, line):
    with pytest.raises(BadInputError) as caught:
        cnn_jax.train_and_evaluate(small(*flags), tmp_path / "run")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_images_too_small_for_the_model_are_told_before_anything_is_written(tmp_path):
    config = load_config("configs/lenet5_digits.py", ["--config.data.image_size=8"])
    with pytest.raises(BadInputError, match="needs images of at least 16x16, not 8x8"):
        cnn_jax.train_and_evaluate(config, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("--config.train.strategy=pmpa", "'train.strategy' is 'pmpa'; it has to be jit | pmap"),
        ("--config.train.stat_batch=48", "'train.stat_batch' is 48; it has to be a divisor of 64"),
        ("--config.train.profile=9:3", "'train.profile' is '9:3'; it has to be START:STOP"),
        ("--config.train.flow_every=0", "'train.flow_every' is 0; it has to be at least 1"),
        ("--config.optim.ema=1.5", "'optim.ema' is 1.5; it has to be between 0 and 1"),
        ("--config.optim.warmup_error=80", "'optim.warmup_error' is 80.0; it has to be between"),
        ("--config.optim.accumulate=0", "'optim.accumulate' is 0; it has to be at least 1"),
    ],
)
def test_a_field_that_no_run_could_use(flag, line):
    with pytest.raises(BadInputError) as caught:
        small(flag)
    assert line in str(caught.value)


def test_what_is_recorded_of_a_run(tmp_path):
    """A trace, TensorBoard's files, the running mean's metrics, where the time went."""
    pytest.importorskip("tensorboardX")
    folder = tmp_path / "run"
    flags = ["--config.train.steps=12", "--config.optim.ema=0.9", "--config.train.profile=3:5"]
    writers = "--config.train.writers=('tensorboard',)"
    result = cnn_jax.train_and_evaluate(small(*flags, writers), folder)
    splits = [line["split"] for line in read_metrics(folder / "metrics.jsonl")]
    assert splits[-2:] == ["test", "test_ema"]
    assert {"train_ema", "validation_ema", "test_ema"} < set(result["metrics"])
    raw, mean = (cnn_jax.load_run(folder, ema=ema)[1]["params"] for ema in (False, True))
    assert not np.array_equal(raw["head"]["kernel"], mean["head"]["kernel"])
    assert list((folder / "profile").rglob("*.xplane.pb"))
    assert (folder / "tensorboard" / "validation_ema").is_dir()
    uses = result["seconds_by_use"]
    assert set(uses) == {"compile", "data", "compute", "other"}
    assert sum(uses.values()) == pytest.approx(result["seconds"], rel=0.3)
