"""A step is compiled once."""

import jax
import jax.numpy as jnp
import pytest

from cnn_jax.train.compilation import Once, RecompilationError


def make():
    return Once(jax.jit(lambda state, rows: state["x"].sum() + rows), "the step", ("state", "rows"))


def test_calls_with_the_same_types_run():
    step = make()
    assert [float(step({"x": jnp.full(3, i)}, 1.0)) for i in (1.0, 2.0)] == [4.0, 7.0]


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ({"x": jnp.ones(4)}, r"the step would be compiled again: state\['x'\] is float32\[4\]"),
        ({"x": jnp.ones(3, jnp.int32)}, r"state\['x'\] is int32\[3\]"),
        ({"x": jnp.ones(3), "y": jnp.ones(1)}, r"state\['y'\] is float32\[1\].*was absent"),
    ],
)
def test_what_changed_is_named(state, line):
    step = make()
    step({"x": jnp.ones(3)}, 1.0)
    with pytest.raises(RecompilationError, match=line):
        step(state, 1.0)
