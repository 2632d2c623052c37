"""Gradient norms by block, against a derivative written by hand."""

from functools import partial

import flax.linen as nn
import jax
import numpy as np
import pytest

import cnn_jax
from cnn_jax.ablation import gradients
from tests.ablation import tiny


class TwoLayers(nn.Module):
    """Linear maps, so that the gradient has a closed form; one is named to sort before its turn."""

    @nn.compact
    def __call__(self, x, *, train: bool):
        hidden = nn.Dense(3, use_bias=False, name="z_first")(x.reshape(x.shape[0], -1))
        return nn.Dense(2, use_bias=False, name="a_last")(hidden)


def test_norms_are_those_of_the_gradient_by_hand():
    module = TwoLayers()
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((5, 2, 2, 1)).astype(np.float32), np.array([0, 1, 1, 0, 1])
    init = jax.jit(partial(module.init, train=False))
    variables = init(jax.random.key(0), images)
    norms = jax.jit(partial(gradients.block_norms, module))(variables, images, labels)
    x = images.reshape(5, 4)
    v, w = (np.asarray(variables["params"][name]["kernel"]) for name in ("z_first", "a_last"))
    logits = x @ v @ w
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    error = (shares - np.eye(2)[labels]) / 5
    expected = {"z_first": x.T @ error @ w.T, "a_last": (x @ v).T @ error}
    assert norms.keys() == expected.keys()
    for name, gradient in expected.items():
        np.testing.assert_allclose(norms[name], np.linalg.norm(gradient), rtol=1e-5)


@pytest.mark.slow
def test_a_run_is_measured_at_its_start_and_its_end_from_input_to_output(tmp_path):
    config = tiny.config()
    config.train.steps = config.checkpoint.every = config.eval.every = 30
    cnn_jax.train_and_evaluate(config, tmp_path / "run")
    norms = gradients.measure(tmp_path / "run")
    assert list(norms["start"]) == list(norms["end"]) == ["fc1", "head"]
    # What training has learned, the first batch no longer asks for.
    assert 0 < sum(norms["end"].values()) < 0.8 * sum(norms["start"].values())
