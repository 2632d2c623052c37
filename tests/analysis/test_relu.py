"""The three ways back through a ReLU, on numbers that tell them apart."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.analysis import relu
from cnn_jax.models import create

X = jnp.array([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
WEIGHTS = jnp.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])

FORMS = {
    "flax": nn.relu,
    "jax": jax.nn.relu,
    "maximum": lambda x: jnp.maximum(x, 0),
    "turned": lambda x: jnp.maximum(0.0, x),
    "jitted": jax.jit(nn.relu),
    "remembered": jax.checkpoint(nn.relu),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_relu_is_found_and_replaced(form):
    def f(x):
        return jnp.sum(WEIGHTS * FORMS[form](x))

    assert relu.count(f, X) == 1
    guided = jax.grad(relu.with_rule(f, "guided"))(X)
    deconvnet = jax.grad(relu.with_rule(f, "deconvnet"))(X)
    # Arriving gradients are WEIGHTS; x > 0 in the last three.
    np.testing.assert_array_equal(guided, [0, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(deconvnet, [1, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(jax.grad(f)(X)[3:], [-1, 1, -1])
    np.testing.assert_allclose(relu.with_rule(f, "guided")(X), f(X))


def test_other_maxima_and_other_derivatives_are_left_alone():
    def f(x):
        return jnp.sum(jax.nn.silu(x) + jnp.maximum(x, 1.0) + jax.nn.gelu(x) + jnp.max(x))

    assert relu.count(f, X) == 0
    for rule in ("guided", "deconvnet"):
        replaced = relu.with_rule(f, rule)
        np.testing.assert_allclose(jax.grad(replaced)(X), jax.grad(f)(X), rtol=1e-6)


def test_every_relu_of_a_network_is_found():
    module = create("resnet20", num_classes=3, stages=(1, 1), width=4)
    x = jnp.ones((1, 8, 8, 3))
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), variables)
    # The stem's, and two in each of two blocks.
    assert relu.count(lambda x: module.apply(zeros, x, train=False), x) == 5
