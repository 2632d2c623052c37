"""The trainer of objects: other people's networks, losses, steps and data."""

import json
import signal
import traceback
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import cnn_jax
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.parts import Part
from cnn_jax.data.sources import coerce
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.events import Every
from cnn_jax.train.logging import RunLog
from cnn_jax.train.setup import Execution
from cnn_jax.train.trainer import Trainer

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 96)
# A class is where its bright rows are.
BRIGHT = 150 * (np.arange(6) // 2 == LABELS[:, None])[..., None, None]
IMAGES = (RNG.integers(0, 60, (96, 6, 6, 1)) + BRIGHT).astype(np.uint8)
EVERY = Every(log=2, evaluate=4, checkpoint=2)


class Plain(nn.Module):
    """Flax's own layers, and a call that takes no ``train``."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3))(x))
        return nn.Dense(3)(x.reshape(len(x), -1))


def trainer(**how: Any) -> Trainer:
    given: dict[str, Any] = {"optimizer": optax.adam(0.01)} | how
    return Trainer(Plain(), **given)


def fit(made: Trainer | None = None, **how: Any):
    how = {"validation": 0.25, "steps": 8, "batch_size": 16, "every": EVERY} | how
    return (made or trainer()).fit((IMAGES, LABELS), **how)


def same(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(scope="module")
def whole():
    return fit()


def test_arrays_are_learned_and_nothing_is_written(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = fit(steps=60)
    assert not list(tmp_path.iterdir())
    assert run.metrics["validation"]["accuracy"] > 0.9
    assert run.metrics["train"]["examples"] == 72
    assert run.metrics["validation"]["examples"] == 24
    assert "test" not in run.metrics
    assert [x["step"] for x in whole.history if x["split"] == "train"] == [2, 4, 6, 8]
    assert [x["step"] for x in whole.history if x["split"] == "validation"] == [4, 8]
    assert set(run.variables) == {"params"}


def test_the_same_numbers_with_a_folder_and_on_one_device_or_eight(whole, tmp_path):
    held = fit(workdir=tmp_path / "run")
    same(held.variables, whole.variables)
    assert held.history == whole.history
    assert json.loads((tmp_path / "run/result.json").read_text())["metrics"] == whole.metrics
    mapped = fit(trainer(execution=Execution(strategy="pmap")))
    for a, b in zip(
        jax.tree.leaves(mapped.variables), jax.tree.leaves(whole.variables), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_evaluating_and_predicting_agree_with_the_run(whole):
    made = trainer()
    run = fit(made)
    found = made.evaluate(run.state, (IMAGES, LABELS), batch_size=40)
    right = made.predict(run.state, IMAGES, batch_size=40) == LABELS
    assert found["accuracy"] == right.mean()
    assert found["examples"] == 96
    assert made.evaluate(run.variables, (IMAGES, LABELS)) == pytest.approx(found)
    scaled = (IMAGES / 255 - made.constants[0]) / made.constants[1]
    logits: Any = Plain().apply(run.variables, scaled)
    np.testing.assert_array_equal(np.argmax(logits, 1), made.predict(run.state, IMAGES))


def stopping(at: int, number: int = signal.SIGTERM):
    """Return a log's ``write`` that raises a signal: the loop stops after the next dispatch."""
    write = RunLog.write

    def stop(self, step, split, metrics):
        write(self, step, split, metrics)
        if (step, split) == (at, "train"):
            signal.raise_signal(number)

    return stop


def test_a_stopped_run_goes_on_with_the_same_bits(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "write", stopping(4))
        held = fit(workdir=tmp_path)
    assert (held.stopped, held.steps, held.metrics) == (signal.SIGTERM, 5, {})
    assert not (tmp_path / "result.json").exists()
    run = fit(workdir=tmp_path)
    assert run.stopped is None
    same(run.variables, whole.variables)
    assert run.metrics == whole.metrics
    assert run.history == whole.history
    again = fit(workdir=tmp_path)  # it is finished
    same(again.variables, whole.variables)
    assert again.metrics == whole.metrics
    assert again.history == whole.history


def test_an_interrupt_returns_the_state_so_far(whole, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "write", stopping(6, signal.SIGINT))
        held = fit()
    assert (held.stopped, held.steps) == (signal.SIGINT, 7)
    assert [x for x in whole.history if x["step"] <= 6] == held.history


class Other(Plain):
    """Another network of the same shapes."""

    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Conv(4, (3, 3), name="Conv_0")(x))
        return nn.Dense(3, name="Dense_0")(x.reshape(len(x), -1))


@pytest.mark.parametrize(
    ("made", "steps", "what"),
    [
        (trainer(), 4, "another number of steps"),
        (Trainer(Other(), optimizer=optax.adam(0.01)), 2, "another step"),
        (trainer(optimizer=optax.adam(0.02)), 2, "another step"),
        (trainer(augment={"flip": {}}), 2, "another step"),
        (trainer(seed=1), 2, "another seed"),
    ],
)
def test_other_objects_do_not_go_on_in_a_folder(tmp_path, made, steps, what):
    fit(workdir=tmp_path, steps=2)
    with pytest.raises(BadInputError, match=what):
        fit(made, workdir=tmp_path, steps=steps)


def test_other_data_do_not_go_on_in_a_folder(tmp_path):
    fit(workdir=tmp_path, steps=2)
    with pytest.raises(BadInputError, match="other data"):
        trainer(mean=(0.5,), std=(0.5,)).fit(
            (IMAGES[::-1], LABELS), validation=0.25, steps=2, batch_size=16, workdir=tmp_path
        )


@pytest.mark.parametrize(
    ("images", "labels", "line"),
    [
        (IMAGES[:, 0, 0], LABELS, r"train images are uint8\[96, 1\].*\[N, H, W, C\]"),
        (IMAGES.astype(np.int64), LABELS, r"train images are int64.*uint8"),
        (IMAGES, LABELS[:-1], r"train labels are int64\[95\]; 96 images"),
        (IMAGES, LABELS / 1, r"train labels are float64\[96\].*whole numbers"),
        (IMAGES, LABELS - 1, "train labels go from -1 to 1"),
        (IMAGES, LABELS + 10**9, r"labels go from 10\d+ to .* below 1,000,000"),
        (IMAGES, LABELS + 1, r"labels outside 0\.\.2.*such as 3"),
        (np.where(IMAGES[5, 0, 0] == IMAGES, np.nan, IMAGES), LABELS, "not finite"),
        (IMAGES[:0], LABELS[:0], "train images are"),
    ],
)
def test_wrong_arrays_are_one_line(images, labels, line):
    with pytest.raises(BadInputError, match=line) as raised:
        trainer().fit((images, labels), steps=1, batch_size=16)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ({"steps": None}, "steps or epochs"),
        ({"epochs": 1.0}, "steps or epochs"),
        ({"batch_size": 96}, "more than the 72 training examples"),
        ({"validation": 1.0}, "validation is 1.0"),
        ({"validation": (IMAGES[:, :5], LABELS)}, r"validation images are \[5, 6, 1\]"),
        ({"batch_size": 12}, "8 devices do not divide"),
    ],
)
def test_wrong_arguments_are_one_line(how, line):
    with pytest.raises(BadInputError, match=line):
        fit(**how)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({}, "module: is missing"),
        ({"module": Plain()}, "optimizer: is missing"),
        ({"step": lambda s, b: (s, {}), "module": Plain()}, "module: a step of one's own"),
        ({"step": lambda s, b: (s, {})}, "step needs the state"),
        ({"module": Plain(), "optimizer": optax.sgd(1.0), "mean": (0.5,)}, "mean and std"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, line):
    with pytest.raises(BadInputError, match=line):
        Trainer(**arguments)


def test_numbers_are_taken_as_they_are():
    made = trainer()
    floats = (IMAGES / 64).astype(np.float64)
    run = made.fit((floats, LABELS), steps=4, batch_size=16)
    logits: Any = Plain().apply(run.variables, floats.astype(np.float32))
    np.testing.assert_array_equal(np.argmax(logits, 1), made.predict(run.state, floats))


def test_parts_and_named_sets_are_data_too():
    part = Part(IMAGES, LABELS.astype(np.int32))
    data = Dataset(part, part[np.arange(10)], ("a", "b", "c"), (6, 6))
    run = trainer().fit(data, epochs=1, batch_size=16)
    assert run.steps == 6
    assert run.metrics["test"]["examples"] == 10
    assert run.predictions is not None
    assert len(run.predictions) == 10


def test_a_sets_own_validation_part_is_taken_unless_told_otherwise():
    part = Part(IMAGES, LABELS.astype(np.int32))
    own = part[np.arange(20)]
    data = Dataset(part, None, ("a", "b", "c"), (6, 6), validation=own)
    for asked, expected in ((None, 20), (0, None), (0.25, 24), ((IMAGES[:9], LABELS[:9]), 9)):
        found = coerce.dataset(data, validation=asked)
        assert (found.validation and len(found.validation)) == expected


def test_the_classes_are_those_of_all_parts():
    few = LABELS < 2
    data = coerce.dataset((IMAGES[few], LABELS[few]), validation=(IMAGES, LABELS))
    assert data.classes == ("0", "1", "2")


def gan(state: Any, batch: Any) -> tuple[Any, dict[str, jax.Array]]:
    """Two parameters, pulled towards each other and moved by the batch's own noise."""
    noise = jax.random.normal(batch["key"], ())
    a = state["a"] - 0.1 * (state["a"] - state["b"]) + 0.01 * noise
    b = state["b"] - 0.1 * (state["b"] - jnp.mean(batch["image"]))
    return {"a": a, "b": b}, {"loss": jnp.square(a - b), "gap": a - b}


def own(**how: Any) -> Trainer:
    begin = {"a": np.float32(1), "b": np.float32(2)}
    given: dict[str, Any] = {"step": gan, "state": begin} | how
    return Trainer(**given)


def test_a_step_of_ones_own_trains_logs_and_goes_on(tmp_path, monkeypatch):
    how: dict[str, Any] = {"steps": 6, "batch_size": 16, "every": Every(log=2, checkpoint=2)}
    run = own().fit((IMAGES, LABELS), **how)
    assert [x["step"] for x in run.history] == [2, 4, 6]
    assert run.history[0].keys() == {"step", "split", "loss", "gap"}
    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "write", stopping(2))
        held = own().fit((IMAGES, LABELS), workdir=tmp_path, **how)
    assert held.steps == 3
    again = own().fit((IMAGES, LABELS), workdir=tmp_path, **how)
    same(again.state.own, run.state.own)
    assert again.history == run.history
    with pytest.raises(BadInputError, match="step of its own"):
        _ = run.variables


@pytest.mark.parametrize(
    ("step", "state", "line"),
    [
        (lambda s, b: s, {"a": np.float32(1)}, r"return \(state, metrics\)"),
        (lambda s, b: ({"a": s["a"][None]}, {"l": s["a"]}), {"a": np.float32(1)}, "another state"),
        (lambda s, b: (s, {}), {"a": np.float32(1)}, "dict of numbers"),
        (lambda s, b: (s, {"l": b["label"]}), {"a": np.float32(1)}, r"'l' is int32\[16\]"),
        (gan, {"a": 1.0, "b": 2.0}, r"state\['a'\] is a float; a state holds arrays"),
        (gan, {"a": jax.random.key(0), "b": np.float32(0)}, "is a random key"),
    ],
)
def test_a_step_that_is_none_is_one_line(step, state, line):
    with pytest.raises(BadInputError, match=line):
        own(step=step, state=state).fit((IMAGES, LABELS), steps=1, batch_size=16)


def test_from_fit_to_the_network_there_are_eight_frames_in_four_files():
    """Those of this package on the stack, when the training step is traced."""
    stacks: list[list[tuple[str, str]]] = []
    package = Path(cnn_jax.__file__).parent

    class Seen(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            stack = [(frame.filename, frame.name) for frame in traceback.extract_stack()]
            if train:
                stacks.append([each for each in stack if Path(each[0]).is_relative_to(package)])
            return nn.Dense(3)(x.reshape(len(x), -1))

    Trainer(Seen(), optimizer=optax.sgd(0.1)).fit((IMAGES, LABELS), steps=1, batch_size=16)
    assert stacks
    for stack in stacks:
        assert stack[0][1] == "fit"
        assert len(stack) <= 8, stack
        assert len({file for file, _ in stack}) <= 4, stack


def test_the_log_shows_the_rate_of_a_schedule():
    rate = optax.linear_schedule(0.1, 0.0, 4)
    run = fit(trainer(optimizer=optax.sgd(rate), schedule=rate), steps=4)
    rates = [x["learning_rate"] for x in run.history if x["split"] == "train"]
    assert rates == pytest.approx([0.075, 0.025])


def test_a_loss_that_is_not_finite_ends_the_run():
    with pytest.raises(BadInputError, match=r"not finite at step \d+ \(nothing is kept of it\)"):
        fit(trainer(optimizer=optax.sgd(1e20)))


def test_a_command_says_what_made_the_folder(tmp_path):
    fit(workdir=tmp_path, steps=2)
    with pytest.raises(BadInputError, match="made of objects, not of a config"):
        cnn_jax.load_run(tmp_path)
    (tmp_path / "trainer.json").unlink()
    with pytest.raises(BadInputError, match=r"no config\.json"):
        cnn_jax.load_run(tmp_path)
    with pytest.raises(BadInputError, match=r"files of a run but no trainer\.json"):
        fit(workdir=tmp_path, steps=2)


def test_a_state_of_doubles_stays_what_it_is_where_the_caller_computes_in_them():
    with jax.enable_x64(True):
        state = {"a": np.float64(1), "b": np.float64(2)}
        run = own(state=state).fit((IMAGES, LABELS), steps=2, batch_size=16)
        assert {leaf.dtype for leaf in jax.tree.leaves(run.state.own)} == {np.dtype(np.float64)}
