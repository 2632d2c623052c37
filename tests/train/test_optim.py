"""Optimizers and schedules against their formulas."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.runtime.errors import BadInputError
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
    optimizer: Any = optim.make_optimizer(name, lambda step: 0.1, **fields)
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


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("learning_rate", bad) for bad in (0, -0.1, math.nan, math.inf, True, "0.1")),
        *(("total_steps", bad) for bad in (0, -1, 8.0, 2**31)),
        *(("warmup", bad) for bad in (-1, 0.5, True)),
        *(("factor", bad) for bad in (0.0, -1, math.nan)),
        *(("milestones", bad) for bad in ((0.5, 0.75), (3, 3), (30, 10), (-2,), (0,), "ab", 3)),
        ("milestones", ("a", "b")),
        ("milestones", (1, True)),
    ],
)
def test_a_schedule_that_no_run_could_use_is_refused_in_one_line(field, value):
    fields: Any = {"learning_rate": 1.0, "total_steps": 8, "milestones": (3,)} | {field: value}
    with pytest.raises(BadInputError, match=rf"^optim\.{field} is .*; it has to be .*$") as told:
        schedules.make_schedule("step", **fields)
    assert "\n" not in str(told.value)


def test_milestones_may_be_of_numpys_integers_and_drop_at_the_step_they_name():
    found = rates("step", range(6), milestones=[np.int64(2), 4], factor=0.5)
    assert found == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2, 0.2])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("momentum", bad) for bad in (-0.1, 1.0, math.nan, "0.9")),
        *(("weight_decay", bad) for bad in (-1e-4, math.inf)),
        *(("clip", bad) for bad in (0, -1.0, math.nan)),
        *(("warmup_error", bad) for bad in (0, 1, -0.5)),
    ],
)
def test_an_optimizer_that_no_run_could_use_is_refused_in_one_line(field, value):
    with pytest.raises(BadInputError, match=rf"^optim\.{field} is .*; it has to be"):
        optim.make_optimizer("sgd", lambda step: 0.1, **{field: value})


def test_unknown_names_get_a_line():
    with pytest.raises(BadInputError, match=r"optim.name is 'sdg'; there is sgd"):
        optim.make_optimizer("sdg", lambda step: 0.1)
    with pytest.raises(BadInputError, match=r"optim.schedule is 'cosin'; there is cosine"):
        rates("cosin", [0])
    with pytest.raises(BadInputError, match=r"optim.milestones"):
        rates("step", [0])


def test_onecycle_rises_to_its_peak_at_three_tenths():
    start, peak, end = rates("onecycle", [0, 30, 99])
    assert start == pytest.approx(0.8 / 25)
    assert peak == pytest.approx(0.8)
    assert end < 0.8 / 1000
    with pytest.raises(BadInputError, match=r"optim\.warmup is 5"):
        rates("onecycle", [0], warmup=5)


def test_rmsprop_divides_by_the_root_of_the_mean_square():
    found = updates("rmsprop", momentum=0.0)["kernel"]
    gradient = np.array([0.5, 0.25])
    expected = np.array([1.0, -2.0]) - 0.1 * gradient / np.sqrt(0.1 * gradient**2 + 1e-8)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_lars_is_the_papers_algorithm():
    """You et al. 2017, algorithm 1 in NumPy; biases neither decay nor are rescaled."""
    optimizer: Any = optim.make_optimizer("lars", lambda step: 0.1, weight_decay=0.1)
    params, state = PARAMS, optimizer.init(PARAMS)
    kernel, gradient = np.array([1.0, -2.0]), np.array([0.5, 0.25])
    velocity, drift = np.zeros(2), 0.0
    for _ in range(3):
        change, state = optimizer.update(GRADS, state, params)
        params = jax.tree.map(jnp.add, params, change)
        norm = np.linalg.norm(kernel)
        local = 0.001 * norm / (np.linalg.norm(gradient) + 0.1 * norm)  # eq. 6
        velocity = 0.9 * velocity + 0.1 * local * (gradient + 0.1 * kernel)
        drift = 0.9 * drift + 0.1 * -1.0
        kernel = kernel - velocity
        np.testing.assert_allclose(change["conv"]["kernel"], -velocity, rtol=1e-5)
        np.testing.assert_allclose(change["conv"]["bias"], [-drift], rtol=1e-6)


def test_lars_moves_kernels_that_are_zero_or_have_no_gradient():
    params = {"a": {"kernel": jnp.zeros(2)}, "b": {"kernel": jnp.array([3.0, 4.0])}}
    grads = {"a": {"kernel": jnp.array([1.0, 2.0])}, "b": {"kernel": jnp.zeros(2)}}
    optimizer: Any = optim.make_optimizer("lars", lambda step: 0.1, weight_decay=0.1)
    change, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(change["a"]["kernel"], [-0.1, -0.2], rtol=1e-6)
    # Without a gradient the rate is 0.001 / 0.1 whatever the kernel's norm.
    np.testing.assert_allclose(change["b"]["kernel"], [-0.1 * 0.001 * x for x in (3, 4)], rtol=1e-5)
    optimizer = optim.make_optimizer("lars", lambda step: 0.1)
    change, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_array_equal(change["b"]["kernel"], [0.0, 0.0])


def test_lamb_steps_by_the_norm_of_the_parameters():
    found = np.asarray(updates("lamb")["kernel"])
    step = np.linalg.norm(found - np.array([1.0, -2.0]))
    assert step == pytest.approx(0.1 * np.linalg.norm([1.0, -2.0]), rel=1e-4)


def test_muon_steps_along_an_orthogonal_matrix():
    """A kernel is seen as [field x in, out]: its update has singular values near 1."""
    rng = np.random.default_rng(0)
    params = {"kernel": jnp.asarray(rng.normal(size=(3, 3, 2, 4)), jnp.float32)}
    grads = {"kernel": jnp.asarray(rng.normal(size=(3, 3, 2, 4)), jnp.float32)}
    optimizer: Any = optim.make_optimizer("muon", lambda step: 1.0)
    change, _ = optimizer.update(grads, optimizer.init(params), params)
    values = np.linalg.svd(np.reshape(change["kernel"], (18, 4)), compute_uv=False)
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_muon_moves_what_is_no_kernel_by_adam():
    """Kingma & Ba 2014, algorithm 1, in NumPy, over gradients that change sign."""
    params: Any = {"kernel": jnp.ones((2, 3)), "bias": jnp.array([1.0, -1.0])}
    optimizer: Any = optim.make_optimizer("muon", lambda step: 0.1, weight_decay=0.5)
    state, bias = optimizer.init(params), np.array([1.0, -1.0])
    first = second = np.zeros(2)
    for step, gradient in enumerate(([1.0, -2.0], [-0.5, 1.0], [3.0, 0.25]), 1):
        grads = {"kernel": jnp.ones((2, 3)), "bias": jnp.array(gradient)}
        change, state = optimizer.update(grads, state, params)
        params = jax.tree.map(jnp.add, params, change)
        first = 0.9 * first + 0.1 * np.array(gradient)
        second = 0.999 * second + 0.001 * np.array(gradient) ** 2
        root = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        bias = bias - 0.1 * first / (1 - 0.9**step) / root
        np.testing.assert_allclose(params["bias"], bias, rtol=1e-5)


def test_sam_takes_the_gradient_uphill():
    """For a quadratic with curvature a, the gradient 0.05 uphill in direction g is g + 0.05 a."""
    curvature = jnp.array([2.0, 1.0])

    def gradient(params, index=0):
        return {"kernel": curvature * params["kernel"]}

    params = {"kernel": jnp.array([1.0, 0.0])}
    optimizer: Any = optim.make_optimizer("sam", lambda step: 0.1, momentum=0.0)
    change, _ = optimizer.update(
        gradient(params), optimizer.init(params), params, error=0.0, grad_fn=gradient
    )
    np.testing.assert_allclose(change["kernel"], [-0.1 * 2 * 1.05, 0.0], rtol=1e-5)


def test_a_tenth_of_the_rate_until_the_error_falls():
    optimizer: Any = optim.make_optimizer("sgd", lambda step: 1.0, momentum=0.0, warmup_error=0.8)
    params, grads = {"kernel": jnp.ones(2)}, {"kernel": jnp.ones(2)}
    state, sizes = optimizer.init(params), []
    for error in [1.0, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0]:
        change, state = optimizer.update(grads, state, params, error=error, grad_fn=None)
        sizes.append(-float(change["kernel"][0]))
        assert sizes[-1] == pytest.approx(float(optim.rate_factor(state)))
    # 0.9 x + 0.1 error: 1, 0.95, 0.905, 0.8645, 0.82805, 0.845, ...: only a longer fall passes.
    assert sizes == pytest.approx([0.1] * 8)
    for _ in range(2):
        change, state = optimizer.update(grads, state, params, error=0.0, grad_fn=None)
    assert float(optim.rate_factor(state)) == 1.0
    change, _ = optimizer.update(grads, state, params, error=1.0, grad_fn=None)
    assert float(change["kernel"][0]) == pytest.approx(-1.0)  # once warm, it stays so
