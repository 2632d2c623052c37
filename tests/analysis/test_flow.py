"""Gradient flow: norms by layer, and correlation along a line."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis import flow
from tests.analysis.networks import Linear, Small, noise, probe


def test_norms_are_the_kernels_in_the_order_asked_for():
    tree = {
        "b": {"kernel": jnp.array([3.0, 4.0]), "bias": jnp.ones(2)},
        "a": {"c": {"kernel": jnp.full((2, 2), 2.0)}},
    }
    norms = flow.layer_norms(tree)
    assert norms == {"a/c": 4.0, "b": 5.0}
    assert list(flow.in_order(norms, ["b", "a", "a/c"])) == ["b", "a/c"]
    assert flow.ratios({"b": 1.0}, {"b": 4.0}) == {"b": 0.25}


def test_a_linear_networks_gradients_are_all_alike():
    shape = (5, 5, 1)
    line = flow.along_a_line(noise(shape), noise(shape, 1), 6)
    np.testing.assert_allclose(line[0], noise(shape), rtol=1e-6)
    np.testing.assert_allclose(line[5], noise(shape, 1), rtol=1e-6)
    np.testing.assert_allclose(line[2], 0.6 * noise(shape) + 0.4 * noise(shape, 1), atol=1e-6)
    key = jax.random.key(0)
    alike = flow.correlation(flow.input_gradients(probe(Linear(), shape), line, key))
    np.testing.assert_allclose(alike, 1, atol=1e-5)
    bent = flow.correlation(flow.input_gradients(probe(Small(), shape), line, key))
    np.testing.assert_allclose(bent[0], 1, atol=1e-5)
    assert bent[5] < 0.999


def test_correlation_of_known_vectors():
    found = flow.correlation(np.array([[1.0, 0], [0, 2.0], [-3.0, 0]]))
    np.testing.assert_allclose(found, [1, 0, -1], atol=1e-12)
