"""The end of a residual block: the ReLU of a sum."""

import jax
import jax.numpy as jnp
from jax.interpreters import ad

from cnn_jax.ops.arguments import array, common_type
from cnn_jax.ops.primitive import bind, define, is_stock
from cnn_jax.runtime.errors import BadInputError

ADD_RELU = "add_relu"


def add_relu(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return max(x + y, 0), elementwise (He et al. 2015, figure 2).

    Its own operator for the sake of the CPU, where XLA would compute the sums of all blocks before
    again wherever one is read: a stage of n blocks takes n² passes over its maps. ``x`` and ``y``
    have the same shape and type; where ``y`` is -inf the CPU's result is NaN.
    """
    x, y = array("add_relu", x), array("add_relu", y)
    if x.shape != y.shape:
        raise BadInputError(f"add_relu adds arrays of one shape, not {x.shape} and {y.shape}")
    dtype = common_type("add_relu", x, y)
    if not jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.complexfloating):
        raise BadInputError(f"add_relu adds real numbers, not {dtype}")
    x, y = x.astype(dtype), y.astype(dtype)
    return jax.nn.relu(x + y) if is_stock(x, y) else bind(_add_relu, x, y)


def _ends_with_sum(x, y):
    # XLA fuses an operator with one large operand, as ReLU is, into each of its readers, and then
    # the sum that it reads as well; a sum of two, whose readers do not all fuse, it stores. The
    # same number: x > -y gives x + y, and -y + y is 0.
    return jnp.maximum(x, -y) + y


_add_relu = define(
    ADD_RELU, lambda x, y: jax.nn.relu(x + y), cpu=_ends_with_sum, images=(True, True)
)


def _passed(g, out, x, y):
    return jnp.where(out > 0, g, jnp.zeros_like(g))


ad.defjvp2(_add_relu, _passed, _passed)
