"""Receptive fields measured by gradients, held to what theory allows."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers, models, ops
from cnn_jax.analysis.probe import Probe
from cnn_jax.analysis.reach import patch, reach
from cnn_jax.analysis.summary import views
from tests.analysis.networks import probe


class Stack(nn.Module):
    pool: bool

    @nn.compact
    def __call__(self, x):
        x = layers.Conv(2, 3, name="conv1")(x)
        x = ops.max_pool(x, 2) if self.pool else x
        x = layers.Conv(2, 3, name="conv2")(x)
        return layers.Conv(2, 3, name="conv3")(x)


@pytest.mark.parametrize(("pool", "sides"), [(False, (3, 5, 7)), (True, (3, 8, 12))])
def test_the_lectures_stacks_are_measured_as_they_are_computed(pool, sides):
    net = probe(Stack(pool=pool), (24, 22, 1))
    seen = views(net.module, net.image_shape)
    for layer, side in zip(("conv1", "conv2", "conv3"), sides, strict=True):
        found = reach(net, layer, seen[layer], images=8)
        assert found.theory == found.measured
        assert found.theory is not None
        top, bottom, left, right = found.theory
        assert (bottom - top + 1, right - left + 1) == (side, side)
        assert 1 <= found.effective <= side


def test_the_effective_field_of_many_layers_is_smaller_than_the_theory():
    class Deep(nn.Module):
        @nn.compact
        def __call__(self, x):
            for index in range(8):
                x = layers.Conv(1, 3, name=f"conv{index}")(x)
            return x

    net = probe(Deep(), (25, 25, 1))
    ones = jax.tree.map(lambda leaf: jnp.ones_like(leaf) / 9, net.variables)
    net = Probe(net.module, ones, net.image_shape)
    found = reach(net, "conv7", views(net.module, net.image_shape)["conv7"], images=1)
    # Sums of eight uniform steps on -1, 0, 1: the gradient is their distribution, known exactly.
    step = np.ones(3) / 3
    line = np.array([1.0])
    for _ in range(8):
        line = np.convolve(line, step)
    exact = np.outer(line, line)
    np.testing.assert_allclose(found.slope[4:21, 4:21], exact, rtol=1e-4)
    assert found.theory == found.measured == (4, 20, 4, 20)
    assert found.effective == pytest.approx(np.sqrt(np.sum(exact > 0.0455 * exact.max())))
    assert found.effective < 12


def test_a_patch_is_cut_at_the_images_edge():
    seen = views(Stack(pool=False), (24, 22, 1))["conv3"]
    assert patch(seen, (0, 0), (24, 22)) == (0, 3, 0, 3)
    assert patch(seen, (10, 21), (24, 22)) == (7, 13, 18, 21)
    assert patch(None, (0, 0), (24, 22)) == (0, 23, 0, 21)


# A size at which the deepest layers still have some positions, where the model has another.
SIDES = {"inception_v3": 107, "inception_v1": 79}
SLOW = [name for name in models.MODELS if not name.startswith(("resnet1202", "resnet152"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_theory_contains_what_is_measured(name):
    shape = models.image_shape(name)
    side = SIDES.get(name, min(shape[0], 64) if name.startswith(("res", "plain")) else shape[0])
    if name.startswith(("vgg", "google", "squeeze", "mobile", "alexnet", "zfnet")):
        side = 96
    shape = (side, side, shape[2]) if name != "mlp" else shape
    module = models.create(name, num_classes=4)
    variables = jax.eval_shape(
        lambda: module.init(jax.random.key(0), jnp.zeros((1, *shape)), train=False)
    )
    rng = np.random.default_rng(0)

    def value(path, leaf):
        # Positive weights: nothing cancels, and every path through the network is open.
        fan_in = max(np.prod(leaf.shape[:-1]), 1)
        if path[-1].key in ("scale", "var"):
            return jnp.ones(leaf.shape)
        if path[-1].key != "kernel":
            return jnp.zeros(leaf.shape)
        return jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape) / fan_in, jnp.float32)

    net = Probe(module, jax.tree_util.tree_map_with_path(value, variables), shape)
    seen = views(module, shape)
    known = [layer for layer in net.maps if layer in seen]
    assert known or name == "mlp"
    for layer in {known[0], known[len(known) // 2], known[-1]} if known else ():
        found = reach(net, layer, seen[layer], images=1)
        assert found.theory is not None
        assert found.measured is not None
        top, bottom, left, right = found.measured
        assert found.theory[0] <= top <= bottom <= found.theory[1]
        assert found.theory[2] <= left <= right <= found.theory[3]
        # and theory promises nothing that is not there
        assert found.measured == found.theory, layer
