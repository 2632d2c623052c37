"""Multiply-adds, counted from the traced program."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend import core


def count(module: nn.Module, variables: Any, image_shape: tuple[int, ...]) -> int:
    """Return the multiply-adds of one image ``[H, W, C]`` in inference mode.

    Counts convolutions and matrix products, padded positions included; nothing else.
    """

    def forward(variables: Any, x: jax.Array) -> Any:
        return module.apply(variables, x, train=False)

    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    return _jaxpr(jax.make_jaxpr(forward)(variables, image).jaxpr)


def _jaxpr(jaxpr: core.Jaxpr) -> int:
    total = 0
    equation: Any
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            filters = equation.invars[1].aval.shape
            outputs = equation.params["dimension_numbers"].rhs_spec[0]
            # Each output takes one multiply-add for every tap of its filter.
            total += math.prod(equation.outvars[0].aval.shape) * (
                math.prod(filters) // filters[outputs]
            )
        elif equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            taps = math.prod(left[axis] for axis in contracted)
            total += math.prod(equation.outvars[0].aval.shape) * taps
        else:
            total += sum(_jaxpr(inner) for inner in core.jaxprs_in_params(equation.params))
    return total
