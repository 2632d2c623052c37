"""Lanes: each is the run it would be alone, whatever becomes of the others."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import cnn_jax
from cnn_jax import config as configs
from cnn_jax.ablation import cells
from cnn_jax.runs import workdir
from cnn_jax.runs.experiment import complete
from cnn_jax.runs.lanes import train_lanes
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.logging import read_metrics
from cnn_jax.train.stopping import DivergedError

STEPS = 6
# BatchNorm, dropout and pooling.
VGG = {"stages": (1, 1, 0, 0, 0), "width": 2, "hidden": 16}


def config(seed: int, model: str = "mlp", **fields) -> configs.Config:
    """Return a small network on augmented digits, in float64."""
    made = configs.base_config()
    made.model.name, made.data.name = model, "digits"
    made = complete(made)
    for name, value in (VGG if model == "vgg11_bn" else {"hidden": (16,)}).items():
        made.model[name] = value
    made.data.image_size = 32 if model == "vgg11_bn" else 8
    made.data.batch_size = 16
    made.data.augment = {"pad_crop": {"padding": 2}}
    # Not Adam where a bias has BatchNorm behind it: its gradient is rounding alone, which Adam
    # scales up to whole steps.
    rule = ("sgd", 0.003) if model == "vgg11_bn" else ("adam", 0.003)
    made.optim.name, made.optim.learning_rate = rule
    made.train.steps, made.train.log_every, made.train.precision = STEPS, 2, "float64"
    made.eval.every, made.checkpoint.every, made.checkpoint.keep = 3, 2, 5
    made.seed = seed
    for name, value in fields.items():
        section, name = name.split("_", 1)
        made[section][name] = value
    return made


def weights(folder: Path) -> dict[str, np.ndarray]:
    found = jax.tree_util.tree_leaves_with_path(cnn_jax.load_run(folder)[1])
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in found}


def train(folder: Path, model: str) -> Path:
    """Train seeds 3 and 4 together."""
    runs = {i: (config(seed, model), folder / str(seed)) for i, seed in enumerate((3, 4))}
    ended = train_lanes(runs, 2)
    for place, seed in enumerate((3, 4)):
        result = ended[place]
        assert isinstance(result, dict), result
        assert (result["seed"], result["lanes"]) == (seed, 2)
        assert workdir.read_result(folder / str(seed)) == result
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("lanes"), "mlp")


@pytest.mark.parametrize("model", ["mlp", pytest.param("vgg11_bn", marks=pytest.mark.slow)])
def test_a_lane_is_the_solo_run(model, together, tmp_path):
    folder = together if model == "mlp" else train(tmp_path / "lanes", model)
    alone = cnn_jax.train_and_evaluate(config(4, model), tmp_path / "run")
    in_lane, of_solo = weights(folder / "4"), weights(tmp_path / "run")
    first = weights(folder / "3")
    for path, expected in of_solo.items():
        np.testing.assert_allclose(in_lane[path], expected, rtol=1e-9, atol=1e-12, err_msg=path)
        if "kernel" in path:
            assert not np.allclose(first[path], expected), f"{path} is that of another seed"
    lines = [read_metrics(each / "metrics.jsonl") for each in (folder / "4", tmp_path / "run")]
    assert [(line["step"], line["split"]) for line in lines[0]] == [
        *[(2, "train"), (3, "validation"), (4, "train")],
        *[(6, "train"), (6, "validation"), (6, "test")],
    ]
    for lane, solo in zip(*lines, strict=True):
        assert lane.pop("split") == solo.pop("split")
        assert lane == pytest.approx(solo, rel=1e-9)
    outcome = cells.outcome(folder / "4")
    assert outcome is not None
    assert outcome.opened == 1
    assert outcome.right.sum() == round(alone["metrics"]["test"]["accuracy"] * len(outcome.right))


@pytest.mark.slow
def test_lanes_go_on_from_different_steps_with_the_same_bits(together, tmp_path):
    """As after a kill that found one lane's checkpoint saved and the other's not."""
    for seed, gone in (("3", (4, 6)), ("4", (6,))):
        shutil.copytree(together / seed, tmp_path / seed)
        (tmp_path / seed / "result.json").unlink()
        for step in gone:
            shutil.rmtree(tmp_path / seed / "checkpoints" / str(step))
    train(tmp_path, "mlp")
    for seed in ("3", "4"):
        for path, expected in weights(together / seed).items():
            np.testing.assert_array_equal(weights(tmp_path / seed)[path], expected, err_msg=path)
        before, after = (read_metrics(f / seed / "metrics.jsonl") for f in (together, tmp_path))
        assert after == before


@pytest.mark.slow
def test_a_lane_that_fails_leaves_the_others_alone(together, tmp_path, monkeypatch):
    from cnn_jax.train.strategies import Strategy

    def wild(self, seed: int, given=None):
        state = begin(self, seed, given)
        factor = np.nan if seed == 3 else 1
        return state.replace(variables=jax.tree.map(lambda x: factor * x, state.variables))

    begin = Strategy.begin
    monkeypatch.setattr(Strategy, "begin", wild)
    runs = {i: (config(seed), tmp_path / str(seed)) for i, seed in enumerate((3, 4))}
    ended = train_lanes(runs, 2)
    assert isinstance(ended[0], DivergedError)
    assert isinstance(ended[1], dict), ended[1]
    for path, expected in weights(together / "4").items():
        np.testing.assert_array_equal(weights(tmp_path / "4")[path], expected, err_msg=path)


def test_what_cannot_train_together_is_told(tmp_path):
    other = config(4, optim_learning_rate=0.5)
    runs = {0: (config(3), tmp_path / "3"), 1: (other, tmp_path / "4")}
    with pytest.raises(BadInputError, match=r"their seed alone: optim\.learning_rate is 0\.003"):
        train_lanes(runs, 2)
    with pytest.raises(BadInputError, match=r"train\.strategy has to be jit"):
        train_lanes({0: (config(3, train_strategy="pmap"), tmp_path / "3")}, 2)
    assert list(tmp_path.iterdir()) == []
