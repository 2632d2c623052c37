"""The averaged network: whose statistics it has, what is kept of it, and which command takes it."""

import dataclasses
import json
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from PIL import Image

import cnn_jax
from cnn_jax import config as configs
from cnn_jax.commands import main
from cnn_jax.data.order import permutation
from cnn_jax.runs import workdir
from cnn_jax.runs.evaluate import evaluate_run
from cnn_jax.runs.experiment import assemble, complete
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train import sharding
from cnn_jax.train.checkpoint import Checkpoints
from cnn_jax.train.evaluation import on_devices
from cnn_jax.train.strategies import compiled

STEPS, BATCH, DECAY = 12, 64, 0.8


def config_of(**fields):
    config = configs.base_config()
    config.model.name, config.data.name, config.data.image_size = "resnet20", "digits", 8
    config.data.batch_size, config.optim.learning_rate = BATCH, 0.1
    config.optim.ema, config.train.steps, config.train.log_every = DECAY, STEPS, STEPS
    config.optim.ema_batches = 4
    config.eval.every = STEPS
    config = complete(config)
    config.model.stages, config.model.width = (1,), 8  # compiles in a few seconds
    for name, value in fields.items():
        section, field = name.split("__")
        config[section][field] = value
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ema") / "run"
    config = config_of(checkpoint__every=6, checkpoint__keep=3)
    return config, folder, cnn_jax.train_and_evaluate(config, folder)


def statistics(folder, step=None):
    return cnn_jax.load_run(folder, step=step, ema=True)[1]["batch_stats"]


def assert_close(one, other, **how):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **how), one, other)


def assert_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_statistics_are_averaged_as_the_parameters_are(run):
    """Against a loop of optax's own over the same steps, as timm's ModelEma does it."""
    config, folder, _ = run
    experiment = assemble(config)
    part: Any = experiment.parts["train"]
    setup = dataclasses.replace(experiment.setup(), ema=None)
    state = jax.jit(setup.initial_state)()
    step = jax.jit(setup.train_step())
    rows = np.asarray(permutation(0, 0, len(part)))
    mean: Any = state.variables
    for at in range(6):
        own = rows[at * BATCH : (at + 1) * BATCH]
        images = experiment.preprocessing.scaled(jnp.asarray(part.images[own]))
        state, _ = step(state, {"image": images, "label": jnp.asarray(part.labels[own])})
        mean = optax.incremental_update(state.variables, mean, 1 - DECAY)
    found = cnn_jax.load_run(folder, step=6, ema=True)[1]
    assert_close(found["batch_stats"], mean["batch_stats"], rtol=1e-3, atol=1e-4)
    assert_close(found["params"], mean["params"], rtol=1e-3, atol=1e-4)


def test_at_the_end_they_are_those_of_the_averaged_network(run):
    """Against training passes over the batches, whose running statistics start at zero."""
    config, folder, _ = run
    module, variables, settled = cnn_jax.load_run(folder, ema=True)
    experiment = assemble(settled)
    part: Any = experiment.parts["train"]
    rows = np.asarray(permutation(config.seed, 0, len(part)))[: 4 * BATCH].reshape(4, BATCH)
    batches: list[Any] = []
    for own in rows:
        zero = jax.tree.map(jnp.zeros_like, variables["batch_stats"])
        _, updated = module.apply(
            {"params": variables["params"], "batch_stats": zero},
            experiment.preprocessing.scaled(jnp.asarray(part.images[own])),
            train=True,
            mutable=["batch_stats"],
        )
        # A tenth of the batch's own, after one pass.
        batch = jax.tree.map(lambda x: np.asarray(x) / 0.1, updated["batch_stats"])
        batches.append(traverse_util.flatten_dict(batch))
    flat: Any = traverse_util.flatten_dict(variables["batch_stats"])
    for path, found in flat.items():
        expected = np.mean([batch[path] for batch in batches], 0)
        if path[-1] == "var":
            expected += np.var([batch[*path[:-1], "mean"] for batch in batches], 0)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_the_result_is_what_the_checkpoint_gives_later(run):
    _, folder, result = run
    for split in ("validation", "test"):
        later = evaluate_run(folder, split=split, ema=True)
        assert later["ema"]
        assert later["step"] == STEPS
        measured = result["metrics"][split + "_ema"]
        assert {name: later[name] for name in measured} == measured
        live = evaluate_run(folder, split=split)
        assert not live["ema"]
        assert {name: live[name] for name in measured} == result["metrics"][split]


def test_a_resumed_run_has_the_same_statistics(run, tmp_path):
    config, folder, result = run
    other = shutil.copytree(folder, tmp_path / "run")
    (other / "result.json").unlink()
    shutil.rmtree(other / "checkpoints" / str(STEPS))
    again = cnn_jax.train_and_evaluate(config, other)
    assert again["metrics"] == result["metrics"]
    assert_equal(statistics(other), statistics(folder))


@pytest.mark.parametrize(
    "fields",
    [
        {"train__strategy": "pmap"},
        {"optim__accumulate": 2},
        {"train__stat_batch": 8},
        {"data__stream": True},
    ],
)
def test_they_do_not_depend_on_how_the_batch_is_cut(run, fields):
    """The statistics of the same averaged parameters, whatever way of training asks for them."""
    folder = run[1]
    experiment = assemble(config_of(**fields))
    programs = compiled(experiment.setup())
    variables = cnn_jax.load_run(folder, ema=True)[1]
    variables = jax.device_put(variables, sharding.replicated(programs.mesh))
    part = on_devices(experiment.parts["train"], programs.mesh)
    found = programs.estimate(variables, part, 0)
    assert_close(found["batch_stats"], statistics(folder), rtol=1e-4, atol=1e-5)


def test_zero_batches_leave_the_average(run, tmp_path):
    config = config_of(optim__ema_batches=0, train__steps=6)
    cnn_jax.train_and_evaluate(config, tmp_path / "run")
    assert_close(statistics(tmp_path / "run"), statistics(run[1], 6), rtol=1e-6)


def test_a_mean_without_statistics_is_refused(run, tmp_path):
    """As checkpoints were before: the mean is of the parameters alone, notes have no number."""
    shutil.copytree(run[1], tmp_path / "run")
    notes = tmp_path / "run/checkpoints" / str(STEPS) / "notes/metadata"
    held = json.loads(notes.read_text())
    notes.write_text(json.dumps({name: held[name] for name in ("notes", "crc32")}))
    with pytest.raises(BadInputError, match=r"of the parameters alone"):
        cnn_jax.load_run(tmp_path / "run", ema=True)
    assert evaluate_run(tmp_path / "run")["step"] == STEPS
    with Checkpoints(tmp_path / "run" / workdir.CHECKPOINTS) as kept:
        state = jax.jit(assemble(run[0]).setup().initial_state)()
        with pytest.raises(BadInputError, match=r"of the parameters alone"):
            kept.restore(state)


@pytest.mark.parametrize("value", [-1, -32])
def test_a_negative_number_of_batches_is_refused(value):
    config = configs.base_config()
    config.model.name, config.data.name, config.optim.ema_batches = "mlp", "digits", value
    with pytest.raises(BadInputError, match=r"optim\.ema_batches"):
        complete(config)


def test_every_command_takes_the_averaged_network(run, tmp_path, capsys):
    """And says what it is that it looks at."""
    _, folder, result = run
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "black.png")
    image = str(tmp_path / "black.png")
    outputs: dict[str, list[str]] = {"": [], "--ema": []}
    for flag, found in outputs.items():
        chosen = [f"--workdir={folder}", "--step=best", *([flag] if flag else [])]
        assert main.main(["evaluate", *chosen]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["ema"] == bool(flag)
        assert told["accuracy"] == result["metrics"]["test_ema" if flag else "test"]["accuracy"]
        assert main.main(["predict", *chosen, image]) == 0
        found.append(capsys.readouterr().out)
        assert main.main(["export", *chosen, f"--to={tmp_path / 'net.zip'}"]) == 0
        capsys.readouterr()
        exported = cnn_jax.load_exported(tmp_path / "net.zip")
        found.append(str(exported(np.zeros((1, 8, 8, 1), np.uint8))["logits"]))
        index = tmp_path / f"index{flag}.npz"
        assert main.main(["search-images", *chosen, f"--index={index}", "--layer=head"]) == 0
        capsys.readouterr()
    assert all(one != other for one, other in zip(*outputs.values(), strict=True))
    # An index is of one network, averaged or not.
    asked = [f"--workdir={folder}", f"--index={tmp_path / 'index.npz'}", "--ema", image]
    assert main.main(["search-images", *asked]) == 2
    assert "was made with another network" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--step=newest"], "--step"),
        (["--step=7"], "there is no such checkpoint, only"),
        (["--what=batch", "--ema", "--out=x"], "--ema chooses a network's weights"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(run, capsys, flags, line):
    command = "inspect" if "--what=batch" in flags else "evaluate"
    assert main.main([command, f"--workdir={run[1]}", *flags]) == 2
    told = capsys.readouterr().err.strip()
    assert line in told
    assert "\n" not in told
