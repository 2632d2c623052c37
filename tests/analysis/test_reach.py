"""Receptive fields measured by gradients, held to what theory allows."""

from typing import Any

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


# Each family once, with every kind of block; deeper networks repeat them.
FAMILIES = (
    *("lenet1", "lenet5", "lenet5_classic", "alexnet", "alexnet_2012", "zfnet", "vgg11"),
    *("googlenet", "inception_v1", "inception_v3", "resnet18", "resnet20", "plain20"),
    *("mobilenet_v1", "squeezenet1_0", "nin", "allcnn_a", "allcnn_b", "allcnn_c"),
)
SIDES = {"inception_v3": 107, "resnet18": 64}  # less than they were made for, or 96


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_theory_contains_what_is_measured(name):
    height, _, channels = models.image_shape(name)
    side = SIDES.get(name, min(height, 96))
    shape = (side, side, channels)
    # Its auxiliary head, which inference does not use, would ask for larger images.
    fields: dict[str, Any] = {"aux": False} if name == "inception_v3" else {}
    module = models.create(name, num_classes=4, **fields)
    variables = jax.eval_shape(
        lambda: module.init(jax.random.key(0), jnp.zeros((1, *shape)), train=False)
    )
    rng = np.random.default_rng(0)

    def value(path, leaf):
        if path[-1].key in ("scale", "var"):
            return jnp.ones(leaf.shape)
        if path[-1].key != "kernel":
            return jnp.zeros(leaf.shape)
        spread = np.sqrt(2 / max(np.prod(leaf.shape[:-1]), 1))
        return jnp.asarray(rng.normal(0, spread, leaf.shape), jnp.float32)

    net = Probe(module, jax.tree_util.tree_map_with_path(value, variables), shape)
    seen = views(module, shape)
    known = [layer for layer in net.maps if layer in seen]
    for layer in (known[0], known[len(known) // 2], known[-1]):
        found = reach(net, layer, seen[layer], images=4)
        assert found.theory is not None
        assert found.measured is not None
        top, bottom, left, right = found.measured
        assert found.theory[0] <= top <= bottom <= found.theory[1]
        assert found.theory[2] <= left <= right <= found.theory[3]
