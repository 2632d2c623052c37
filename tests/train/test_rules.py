"""Optimizers: any of optax's by its name, with all its arguments, and registered ones."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax import registry
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.optim import make_optimizer
from cnn_jax.train.rules import kernels, of_optax
from cnn_jax.train.schedules import SCHEDULES, make_schedule

PARAMS: Any = {
    "layer": {"kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.array([0.3, 0.1])}
}


def walked(optimizer, steps=3):
    params: Any = PARAMS
    state = optimizer.init(PARAMS)
    for step in range(1, steps + 1):
        grads = {"layer": {name: x * step / 3 for name, x in params["layer"].items()}}
        updates, state = optimizer.update(grads, state, params, error=1.0, grad_fn=None)
        params = optax.apply_updates(params, updates)
    return params


def same(name, expected, **fields):
    made = make_optimizer(name, lambda step: 0.1, **fields)
    got: Any = walked(made)
    wanted: Any = walked(optax.with_extra_args_support(expected))
    for leaf in ("kernel", "bias"):
        np.testing.assert_array_equal(got["layer"][leaf], wanted["layer"][leaf])


def test_options_reach_the_factory():
    options: Any = {"b1": 0.5, "b2": 0.9, "eps": 1e-3}
    same("adam", optax.adam(lambda step: 0.1, **options), options=options)
    expected = optax.adamw(lambda step: 0.1, b1=0.5, weight_decay=0.2, mask=kernels)
    same("adamw", expected, options={"b1": 0.5}, weight_decay=0.2)
    same(
        "rmsprop", optax.rmsprop(lambda step: 0.1, decay=0.7, momentum=0.9), options={"decay": 0.7}
    )


def test_any_factory_of_optax_has_its_name():
    same("lion", optax.lion(lambda step: 0.1, weight_decay=0.01, mask=kernels), weight_decay=0.01)
    decayed = optax.add_decayed_weights(0.01, mask=kernels)
    same("adagrad", optax.chain(decayed, optax.adagrad(lambda step: 0.1)), weight_decay=0.01)
    same("nadam", optax.adam(lambda step: 0.1, nesterov=True))
    assert {"adabelief", "adafactor", "lion", "novograd", "radam", "yogi"} <= of_optax().keys()


def test_kernels_alone_decay_whatever_a_factory_calls_its_mask():
    how: Any = {"weight_decay": 0.3, "weight_decay_mask": kernels}
    same("adadelta", optax.adadelta(lambda step: 0.1, **how), weight_decay=0.3)
    for name in ("novograd", "madgrad"):  # these have none, and would let biases decay
        decayed = optax.add_decayed_weights(0.3, mask=kernels)
        plain: Any = of_optax()[name](lambda step: 0.1, weight_decay=0.0)
        same(name, optax.chain(decayed, plain), weight_decay=0.3)


def test_a_registered_one_gets_the_schedule_and_its_options():
    registry.register(
        "optimizer", "slow_sgd", lambda rate, *, share=1.0: optax.sgd(lambda n: rate(n) * share)
    )
    same("slow_sgd", optax.sgd(0.05), options={"share": 0.5})
    registry.register("optimizer", "no_optimizer", lambda rate: 3)
    with pytest.raises(BadInputError, match="'no_optimizer' returns a int, not an optax"):
        make_optimizer("no_optimizer", lambda step: 0.1)


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("adam", {"beta1": 0.9}, r"^optim\.options\.beta1: adam has no such argument; it has b1"),
        ("sgd", {"momentum": 0.9}, r"^optim\.options\.momentum: sgd has momentum set by"),
        (
            "adamw",
            {"weight_decay": 1},
            r"weight_decay: adamw has weight_decay set by optim",
        ),
        ("sgd", {"learning_rate": 1}, r"learning_rate: sgd has learning_rate set by optim\.learn"),
        ("lars", {"eps": 1}, r"^optim\.options\.eps: lars has no options"),
        ("adan_", {}, r"^optim\.name is 'adan_'; there is ada"),
        ("adadelta", {"weight_decay_mask": None}, r"mask: adadelta has weight_decay_mask set by"),
        ("adam", {"b1": "x"}, r"^optim\.options: adam with \{'b1': 'x'\} makes no step of a"),
        ("muon", {"ns_steps": "x"}, r"^optim\.options: muon with \{'ns_steps': 'x'\}"),
        ("lbfgs", {}, r"^optim\.options: lbfgs with .* a gradient and a schedule: .*'value'"),
        ("rprop", {}, r"^optim\.options: rprop with .* a gradient and a schedule: "),
        ("dpsgd", {}, r"^optim\.options: dpsgd with .* missing 3 required .*'l2_norm_clip'"),
    ],
)
def test_what_there_is_not_is_named(name, options, line):
    with pytest.raises(BadInputError, match=line):
        make_optimizer(name, lambda step: 0.1, options=options)


def test_a_registered_schedule_gets_what_it_takes():
    def linear(*, learning_rate, total_steps):
        return optax.linear_schedule(learning_rate, 0, total_steps)

    registry.register("schedule", "to_zero", linear)
    schedule: Any = make_schedule("to_zero", learning_rate=0.4, total_steps=4)
    assert [float(schedule(step)) for step in range(5)] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0])
    assert SCHEDULES["cosine"] is None
    registry.register("schedule", "no_schedule", lambda: 0.1)
    with pytest.raises(BadInputError, match="'no_schedule' returns a float, not a function"):
        make_schedule("no_schedule", learning_rate=0.4, total_steps=4)


@pytest.mark.parametrize(
    ("name", "schedule", "line"),
    [
        ("branching", lambda step: 0.1 if step > 3 else 0.2, "'branching': Attempted boolean"),
        ("rows", lambda step: jnp.ones(2), r"'rows' makes .*shape=\(2,\).* not a real number"),
        ("nothing", lambda step: None, "'nothing' makes None of a step"),
        ("looking_up", lambda step: {}["rate"], "'looking_up': 'rate'"),
    ],
)
def test_a_schedule_has_to_make_a_number_of_a_traced_step(name, schedule, line):
    registry.register("schedule", name, lambda: schedule)
    with pytest.raises(BadInputError, match=rf"^optim\.schedule: {line}"):
        make_schedule(name, learning_rate=0.4, total_steps=4)
