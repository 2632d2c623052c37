"""The parts of the classic LeNet-5, against their definitions in the paper."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.models import create
from cnn_jax.models.digit_codes import codes
from cnn_jax.models.lenet import C3_INPUTS, SparseConv, Subsampling, scaled_tanh


def run(module, variables, *args, **fields) -> Any:
    """Apply a module; its type says that there might be a state too."""
    return module.apply(variables, *args, **fields)


def test_table_of_c3_has_60_connections_and_no_two_maps_alike():
    assert sum(len(maps) for maps in C3_INPUTS) == 60
    assert len(set(C3_INPUTS)) == 16
    # 1,516 weights: six maps of 3 inputs, nine of 4, one of 6, at 25 each, and 16 biases.
    assert sorted(len(maps) for maps in C3_INPUTS) == [3] * 6 + [4] * 9 + [6]
    # Every map of S2 feeds ten maps of C3.
    assert (
        np.bincount(np.concatenate([np.asarray(maps) for maps in C3_INPUTS])).tolist() == [10] * 6
    )


def test_a_map_of_c3_sees_the_maps_of_its_row_and_no_other():
    x = jax.random.normal(jax.random.key(0), (1, 5, 5, 6))
    layer = SparseConv()
    variables = layer.init(jax.random.key(1), x)
    reach = jax.jacobian(lambda x: run(layer, variables, x)[0, 0, 0])(x)[:, 0]
    seen = np.abs(reach).sum((1, 2)) > 0
    for target, maps in enumerate(C3_INPUTS):
        assert tuple(np.flatnonzero(seen[target])) == maps


def test_subsampling_is_tanh_of_scaled_sums():
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 2))
    variables = {"params": {"scale": jnp.array([0.5, -1.0]), "bias": jnp.array([0.1, 0.2])}}
    y = run(Subsampling(), variables, x)
    sums = np.asarray(x).reshape(1, 2, 2, 2, 2, 2).sum((2, 4))
    expected = 1.7159 * np.tanh(2 / 3 * (sums * [0.5, -1.0] + [0.1, 0.2]))
    np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_scaled_tanh_keeps_plus_and_minus_one():
    np.testing.assert_allclose(scaled_tanh(jnp.array([-1.0, 0.0, 1.0])), [-1, 0, 1], atol=1e-4)


def test_logits_of_the_classic_are_negative_squared_distances_to_the_codes():
    module = create("lenet5_classic", num_classes=10)
    x = jax.random.normal(jax.random.key(0), (3, 32, 32, 1))
    variables = module.init(jax.random.key(1), x, train=False)
    logits, state = run(
        *(module, variables, x), train=False, capture_intermediates=True, mutable=["intermediates"]
    )
    f6 = scaled_tanh(state["intermediates"]["fc6"]["__call__"][0])
    expected = [[-np.sum((f - code) ** 2) for code in codes(10)] for f in np.asarray(f6)]
    np.testing.assert_allclose(logits, expected, rtol=1e-5)
