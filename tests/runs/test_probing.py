"""Features of a trained network, and what simple classifiers make of them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from cnn_jax.analysis.embedding import features
from cnn_jax.runs.experiment import load_config
from cnn_jax.runs.probing import before_last_stage, probe
from cnn_jax.runtime.errors import BadInputError
from tests.fixtures import write_images, write_run


class Network(nn.Module):
    """Something, and a head on the mean of its maps."""

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.relu(nn.Conv(3, (3, 3), name="conv1")(x))
        return nn.Conv(2, (1, 1), name="head")(x).mean(axis=(1, 2))


def test_features_are_what_the_last_stage_is_given():
    images = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4, 4, 1)), jnp.float32)
    module = Network()
    variables = module.init(jax.random.key(0), images, train=False)
    read = before_last_stage(module, (4, 4, 1))
    found = features(Partial(read, variables), [images[:3], images[3:]])
    conv = nn.Conv(3, (3, 3)).apply({"params": variables["params"]["conv1"]}, images)
    assert isinstance(conv, jax.Array)
    expected = nn.relu(conv).mean(axis=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_simple_classifiers_tell_classes_apart_and_features_are_kept(tmp_path, cache):
    write_images(tmp_path / "images/train", per_class=40, classes="abc")
    write_images(tmp_path / "images/test", per_class=10, classes="abc")
    write_run(tmp_path / "run", "mlp", image_shape=(8, 8, 1), classes="xy", hidden=(12,))
    flags = ["data.name=folder", f"data.dir={tmp_path / 'images'}", "data.image_size=8"]
    flags += ["model.name=mlp", "model.hidden=(12,)", "data.classes=3", "data.validation=0.2"]
    flags += [f"init.source={tmp_path / 'run'}"]
    config = load_config("configs/lenet5_digits.py", [f"--config.{flag}" for flag in flags])
    found = probe(config)
    assert (found["examples"], found["features"]) == (96, 12)
    assert found["linear"]["accuracy"] > 0.9  # brightness tells the classes
    assert found["neighbours"]["accuracy"] > 0.6
    kept = {file: file.stat().st_mtime_ns for file in (cache / "features").iterdir()}
    assert len(kept) == 3
    assert probe(config) == found
    assert {file: file.stat().st_mtime_ns for file in (cache / "features").iterdir()} == kept


def test_a_probe_needs_a_trained_network():
    with pytest.raises(BadInputError, match=r"init\.source is unset"):
        probe(load_config("configs/lenet5_digits.py"))
