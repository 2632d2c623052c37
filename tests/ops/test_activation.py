"""The ReLU of a sum: the numbers of its two operators, without their cost in deep networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.runtime.errors import BadInputError

VALUES = np.array([-3e38, -1.5, -1e-30, -0.0, 0.0, 1e-30, 1 / 3, 7.0, 3e38, np.inf], np.float32)
X, Y = (jnp.asarray(a) for a in np.meshgrid(VALUES, VALUES[:-1]))


def plain(x, y):
    return jax.nn.relu(x + y)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_values_and_gradients_are_those_of_the_two_operators(dtype):
    """Bit for bit, extremes included."""
    x, y = X.astype(dtype), Y.astype(dtype)

    def both(function):
        out, back = jax.vjp(function, x, y)
        slopes = jax.jvp(function, (x, y), (jnp.full_like(x, 2), jnp.full_like(y, 3)))[1]
        return out, slopes, *back(jnp.full_like(out, 5))

    ours, theirs = (jax.jit(both, static_argnums=0)(f) for f in (ops.add_relu, plain))
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        np.testing.assert_array_equal(a, b)


def test_nan_stays_and_vmap_maps():
    assert jnp.isnan(ops.add_relu(jnp.float32(jnp.nan), jnp.float32(1)))
    out = jax.vmap(ops.add_relu, (0, None))(X, X[0])
    np.testing.assert_array_equal(out, plain(X, X[0]))


def test_shapes_that_differ_are_named():
    with pytest.raises(BadInputError, match=r"\(2, 1\) and \(2, 3\)"):
        ops.add_relu(jnp.ones((2, 1)), jnp.ones((2, 3)))


def flops(add_relu, blocks):
    """Return the operations of a gradient through so many residual blocks, as XLA counts them."""

    def loss(weights, x):
        for w in weights:
            x = add_relu(ops.conv2d(x, w, padding=1), x)
        return x.sum()

    weights = [jnp.ones((3, 3, 4, 4))] * blocks
    compiled = jax.jit(jax.grad(loss)).lower(weights, jnp.ones((2, 8, 8, 4))).compile()
    costs = compiled.cost_analysis()
    assert costs is not None
    return costs["flops"]


def test_work_grows_with_depth_not_with_its_square():
    """The same number of operations for each further block."""
    counts = [flops(ops.add_relu, blocks) for blocks in (4, 8, 16)]
    assert counts[2] - counts[1] == pytest.approx(2 * (counts[1] - counts[0]), rel=0.01)
    # Why it is an operator: of the two apart, XLA's CPU compiler makes more with every block.
    apart = [flops(plain, blocks) for blocks in (4, 8, 16)]
    assert apart[2] - apart[1] > 2.2 * (apart[1] - apart[0])
