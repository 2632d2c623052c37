"""Counts of the models, and the lines that bad names and sizes get."""

import jax
import jax.numpy as jnp
import pytest

from cnn_jax import models
from cnn_jax.analysis import macs
from cnn_jax.errors import BadInputError

# name, fields, input, classes -> parameters, multiply-adds (LeCun et al. 1998; arithmetic).
COUNTS = [
    ("lenet5", {}, (32, 32, 1), 10, 61_706, 416_520),
    ("mlp", {"hidden": (300,)}, (28, 28, 1), 10, 238_510, 238_200),
    ("mlp", {"hidden": (300, 100)}, (28, 28, 1), 10, 266_610, 266_200),
    ("mlp", {"hidden": (500, 150)}, (28, 28, 1), 10, 469_160, 468_500),
    # Lecture 002 prints 28236 for this one; 256 x 100 + 100 + 100 x 26 + 26 = 28,326.
    ("mlp", {"hidden": (100,)}, (16, 16, 1), 26, 28_326, 28_200),
]


@pytest.mark.parametrize(("name", "fields", "shape", "classes", "params", "count"), COUNTS)
def test_parameters_and_multiply_adds(name, fields, shape, classes, params, count):
    module = models.create(name, num_classes=classes, **fields)
    x = jnp.zeros((1, *shape))
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == params
    assert macs.count(module, variables, shape) == count


def test_every_model_has_a_row():
    assert {row[0] for row in COUNTS} == set(models.MODELS)


def test_bad_names_fields_and_sizes_get_a_line():
    with pytest.raises(BadInputError, match="unknown model 'lenet6'; did you mean lenet5"):
        models.create("lenet6", num_classes=10)
    with pytest.raises(BadInputError, match="model 'mlp' has no field 'hiden'; it has hidden"):
        models.create("mlp", num_classes=10, hiden=(3,))
    module = models.create("lenet5", num_classes=10)
    with pytest.raises(BadInputError, match="at least 16x16, not 8x8"):
        module.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False)
