"""Fire modules and their bypasses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.nn.blocks import Fire
from cnn_jax.runtime.errors import BadInputError


def run(module, variables, *args, **fields) -> Any:
    """Apply a module; its type says that there might be a state too."""
    return module.apply(variables, *args, **fields)


@pytest.mark.parametrize(
    ("channels", "bypass", "owns_bypass"),
    [
        (8, None, False),
        (8, "simple", False),
        (8, "complex", False),
        (6, "simple", False),
        (6, "complex", True),
    ],
)
def test_bypass_adds_the_input_or_a_convolution_of_it(channels, bypass, owns_bypass):
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, channels))
    variables = Fire(2, 4, bypass).init(jax.random.key(1), x)
    y = run(Fire(2, 4, bypass), variables, x)
    params = dict(variables["params"])
    added = params.pop("bypass_conv", None)
    assert (added is not None) == owns_bypass
    plain = run(Fire(2, 4), {"params": params}, x)
    if owns_bypass:
        expected = plain + jnp.einsum("nhwc,co->nhwo", x, added["kernel"][0, 0])
    else:
        expected = plain + x if bypass and channels == 8 else plain
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_an_unknown_bypass_is_named():
    with pytest.raises(BadInputError, match="bypass is 'simple', 'complex' or None, not 'both'"):
        Fire(2, 4, "both").init(jax.random.key(0), jnp.ones((1, 4, 4, 8)))  # type: ignore
