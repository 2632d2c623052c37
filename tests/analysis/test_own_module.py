"""A module of the user's, of Flax's own layers: opened up like the same network of ours."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.analysis import Probe, attribution, deconvnet, flow, summarize
from cnn_jax.analysis.summary import views
from tests.analysis.networks import Small, noise, probe

SHAPE = (8, 8, 2)


class Own(nn.Module):
    """``Small`` again."""

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.Conv(4, (3, 3), name="conv1")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, name="bn1")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Conv(6, (3, 3), name="conv2")(x))
        return nn.Dense(3, name="head")(x.mean(axis=(1, 2)))


X, CLASSES = noise((3, *SHAPE)), jnp.array([0, 2, 1])


@pytest.mark.parametrize(
    "look",
    [
        lambda net: net(X),
        lambda net: attribution.saliency(net, X, CLASSES),
        lambda net: attribution.guided_backprop(net, X, CLASSES),
        lambda net: attribution.grad_cam(net, X, CLASSES, "conv1"),
        lambda net: deconvnet.project(net, X, "conv2", 1, np.array([[1, 2]] * 3)),
        lambda net: flow.settled(net, X).variables["batch_stats"]["bn1"]["mean"],
    ],
    ids=["logits", "saliency", "guided", "grad-cam", "deconvnet", "statistics"],
)
def test_what_is_seen_is_the_same(look):
    ours = probe(Small(), SHAPE)
    own = Probe(Own(), ours.variables, SHAPE)
    expected = np.asarray(look(ours))
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(look(own), expected, rtol=1e-4, atol=1e-5)


def test_layers_and_what_they_see_are_the_same():
    ours = probe(Small(), SHAPE)
    own = Probe(Own(), ours.variables, SHAPE)
    assert own.layers == ours.layers
    assert views(own.module, SHAPE) == views(ours.module, SHAPE)
    rows = [
        [(row.path, row.params, row.macs, row.receptive_field) for row in table.rows]
        for table in (summarize(Own(), SHAPE), summarize(Small(), SHAPE))
    ]
    assert rows[0] == rows[1]


def test_statistics_that_settled_are_those_of_the_batch():
    settled = flow.settled(probe(Small(), SHAPE), X)
    first = jax.jit(lambda x: settled.read(x, ["conv1"])[1]["conv1"])(X)
    found = settled.variables["batch_stats"]["bn1"]
    np.testing.assert_allclose(found["mean"], first.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(found["var"], first.var((0, 1, 2)), rtol=1e-4)
