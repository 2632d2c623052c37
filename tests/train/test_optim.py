"""Optimizers and schedules against their formulas."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.errors import BadInputError
from cnn_jax.train import optim, schedules

PARAMS = {"conv": {"kernel": jnp.array([1.0, -2.0]), "bias": jnp.array([3.0])}}
GRADS = {"conv": {"kernel": jnp.array([0.5, 0.25]), "bias": jnp.array([-1.0])}}


def rates(name, steps, **fields):
    schedule: Any = schedules.make_schedule(name, learning_rate=0.8, total_steps=100, **fields)
    return [float(schedule(step)) for step in steps]


def test_schedules_follow_their_formulas():
    assert rates("constant", [0, 50, 99]) == pytest.approx([0.8, 0.8, 0.8])
    assert rates("step", [0, 9, 10, 29, 30], milestones=(10, 30)) == pytest.approx(
        [0.8, 0.8, 0.08, 0.08, 0.008]
    )
    expected = [0.4 * (1 + math.cos(math.pi * step / 100)) for step in (0, 25, 50, 100)]
    assert rates("cosine", [0, 25, 50, 100]) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", ["constant", "cosine", "step"])
def test_warm_up_rises_in_equal_increments_and_does_not_move_the_rest(name):
    fields = {"milestones": (50,)} if name == "step" else {}
    assert rates(name, [0, 1, 2, 3], warmup=4, **fields) == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates(name, [4], warmup=4, **fields) == pytest.approx([0.8])
    if name == "step":
        assert rates(name, [49, 50], warmup=4, **fields) == pytest.approx([0.8, 0.08])
    if name == "cosine":
        assert rates(name, [100], warmup=4) == pytest.approx([0.0], abs=1e-7)
    assert rates(name, [0], warmup=1, **fields) == pytest.approx([0.8])


def updates(name, steps=1, **fields):
    """Return parameters after steps with the same gradient at rate 0.1."""
    optimizer = optim.make_optimizer(name, lambda step: 0.1, **fields)
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(steps):
        change, state = optimizer.update(GRADS, state, params)
        params = jax.tree.map(jnp.add, params, change)
    return params["conv"]


def test_sgd_adds_momentum_as_pytorch_does():
    velocity = 0.9 * 0.5 + 0.5
    found = updates("sgd", steps=2)["kernel"][0]
    np.testing.assert_allclose(found, 1.0 - 0.1 * 0.5 - 0.1 * velocity, rtol=1e-6)
    nesterov = updates("nesterov")["kernel"][0]
    np.testing.assert_allclose(nesterov, 1.0 - 0.1 * (0.5 + 0.9 * 0.5), rtol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "adamw"])
def test_weight_decay_touches_kernels_only(name):
    plain, decayed = updates(name, steps=2), updates(name, steps=2, weight_decay=1.0)
    np.testing.assert_array_equal(plain["bias"], decayed["bias"])
    assert not np.array_equal(plain["kernel"], decayed["kernel"])


def test_coupled_and_decoupled_decay():
    sgd = updates("sgd", momentum=0.0, weight_decay=0.1)["kernel"]
    np.testing.assert_allclose(sgd, [1 - 0.1 * (0.5 + 0.1), -2 - 0.1 * (0.25 - 0.2)], rtol=1e-6)
    plain, decayed = updates("adamw"), updates("adamw", weight_decay=0.1)
    shrink = 0.1 * 0.1 * np.array([1.0, -2.0])
    np.testing.assert_allclose(plain["kernel"] - decayed["kernel"], shrink, rtol=1e-5)


def test_clipping_bounds_the_global_norm():
    norm = math.sqrt(0.5**2 + 0.25**2 + 1)
    found = updates("sgd", momentum=0.0, clip=0.1)["kernel"][0]
    np.testing.assert_allclose(found, 1 - 0.1 * 0.5 * 0.1 / norm, rtol=1e-6)
    loose, plain = updates("sgd", clip=10.0), updates("sgd")
    np.testing.assert_array_equal(loose["kernel"], plain["kernel"])


def test_unknown_names_get_a_line():
    with pytest.raises(BadInputError, match=r"optim.name is 'sdg'; there is sgd"):
        optim.make_optimizer("sdg", lambda step: 0.1)
    with pytest.raises(BadInputError, match=r"optim.schedule is 'cosin'; there is cosine"):
        rates("cosin", [0])
    with pytest.raises(BadInputError, match=r"optim.milestones"):
        rates("step", [0])
