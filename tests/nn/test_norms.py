"""Norms of parameters by group."""

import jax
import jax.numpy as jnp
import pytest

from cnn_jax.nn.norms import block, block_of_kernel, layer_of_kernel, norms

TREE = {
    "stage1": {
        "conv1": {"kernel": jnp.array([[2.0, 2.0], [2.0, 2.0]]), "bias": jnp.array([12.0])},
        "conv2": {"kernel": jnp.array([3.0])},
    },
    "head": {"kernel": jnp.array([3.0, -4.0]), "bias": jnp.array([12.0])},
}


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (block, {"stage1": 13.0, "head": 13.0}),
        (block_of_kernel, {"stage1": 5.0, "head": 5.0}),
        (layer_of_kernel, {"stage1/conv1": 4.0, "stage1/conv2": 3.0, "head": 5.0}),
    ],
)
def test_a_group_is_measured_as_one_vector(group, expected):
    assert norms(TREE, group) == expected


def test_narrow_types_are_squared_and_summed_up_wide():
    # 300² exceeds float16, and 2,000 ones exceed what bfloat16 counts in ones.
    tree = {
        "a": {"kernel": jnp.full((10, 10), 300, jnp.float16)},
        "b": {"kernel": jnp.ones(2500, jnp.bfloat16)},
    }
    found = norms(tree, block)
    assert found == {"a": 3000.0, "b": 50.0}
    assert {value.dtype for value in found.values()} == {jnp.dtype(jnp.float32)}


def test_updates_may_lack_arrays_and_be_no_dictionaries():
    tree = {"conv1": {"kernel": None, "rest": (jnp.ones(4), jnp.ones(4))}}
    assert norms(tree, block_of_kernel) == {}
    assert jax.device_get(norms(tree, block)["conv1"]) == pytest.approx(8**0.5)
