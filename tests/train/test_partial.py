"""A step that trains a part of the parameters: the rest is not touched in any way."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from cnn_jax.nn import layers
from cnn_jax.tasks import Classification
from cnn_jax.train.optim import make_optimizer
from cnn_jax.train.partial import merge, narrow, select, widen
from cnn_jax.train.state import init_state
from cnn_jax.train.step import make_train_step


class Small(nn.Module):
    """Convolution, normalisation, twice, and a head."""

    @nn.compact
    def __call__(self, x, *, train):
        for name in ("1", "2"):
            x = layers.Conv(3, 3, name=f"conv{name}")(x)
            x = nn.relu(layers.BatchNorm(name=f"bn{name}")(x, train=train))
        return layers.Dense(2, name="head")(x.mean(axis=(1, 2)))


MODULE, SHAPE = Small(), (4, 4, 1)
TASK = Classification(2)
PARAMS = jax.eval_shape(lambda: MODULE.init(jax.random.key(0), jnp.zeros((1, *SHAPE)), train=False))
EVERY = frozenset(traverse_util.flatten_dict(PARAMS["params"]))
HEAD = frozenset(path for path in EVERY if path[0] == "head")
LATE = frozenset(path for path in EVERY if path[0] in ("conv2", "bn2", "head"))


def batch(number: int) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    image = rng.normal(1, 2, size=(8, *SHAPE)).astype(np.float32)
    return {"image": jnp.asarray(image), "label": jnp.asarray(rng.integers(0, 2, 8))}


def begin(optimizer, trained, **how):
    state = init_state(MODULE, optimizer, SHAPE, 0, jnp.float32, trained=trained, **how)
    # Statistics unlike those of the batches, as another data set leaves them.
    stats = jax.tree.map(lambda x: x + 0.3, state.variables["batch_stats"])
    return state.replace(variables={**state.variables, "batch_stats": stats})


def moved(before, after) -> set[tuple[str, ...]]:
    """Return the paths of the tensors that are not the same to the bit."""
    old, new = traverse_util.flatten_dict(before), traverse_util.flatten_dict(after)
    assert old.keys() == new.keys()
    return {
        path for path in old if np.asarray(old[path]).tobytes() != np.asarray(new[path]).tobytes()
    }


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("adamw", {"ema": 0.9}),
        pytest.param("muon", {"accumulate": 2}, marks=pytest.mark.slow),
        pytest.param("sam", {}, marks=pytest.mark.slow),
    ],
)
def test_what_is_frozen_stays_to_the_bit(name, how):
    optimizer = make_optimizer(name, lambda step: 0.1, weight_decay=0.1, clip=1.0)
    first = state = begin(optimizer, LATE, ema="ema" in how)
    step = jax.jit(make_train_step(MODULE, TASK, optimizer, seed=0, trained=LATE, **how))
    for number in range(3):
        state, _ = step(state, batch(number))
    # conv2's bias has no gradient: the normalisation behind it takes any constant out.
    after = moved(first.variables["params"], state.variables["params"])
    assert after | {("conv2", "bias")} == LATE
    stats = moved(first.variables["batch_stats"], state.variables["batch_stats"])
    assert stats == {("bn2", "mean"), ("bn2", "var")}
    if "ema" in how:
        assert moved(first.ema, state.ema) | {("conv2", "bias")} == LATE
    kept = {np.shape(leaf) for leaf in jax.tree.leaves(state.opt_state)}
    assert (3, 3, 3, 3) in kept or name == "sam"
    assert (3, 3, 1, 3) not in kept  # conv1's


def test_a_frozen_normalisation_works_as_in_inference():
    optimizer = optax.sgd(0.1)
    state = begin(optimizer, HEAD)
    new, _ = jax.jit(make_train_step(MODULE, TASK, optimizer, seed=0, trained=HEAD))(
        state, batch(0)
    )

    def loss(head):
        variables = {**state.variables, "params": state.variables["params"] | {"head": head}}
        logits: Any = MODULE.apply(variables, batch(0)["image"], train=False)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch(0)["label"]).mean()

    head = state.variables["params"]["head"]
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, head, jax.jit(jax.grad(loss))(head))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        new.variables["params"]["head"],
        expected,
    )


def test_a_stage_that_joins_later_finds_its_part_of_the_optimizer():
    optimizer = make_optimizer("sgd", lambda step: 0.1, momentum=0.9)
    state = begin(optimizer, LATE)
    only = jax.jit(make_train_step(MODULE, TASK, optimizer, seed=0, trained=HEAD))
    more = jax.jit(make_train_step(MODULE, TASK, optimizer, seed=0, trained=LATE))
    frozen = state
    for number in range(2):
        frozen, _ = only(frozen, batch(number))
    assert moved(state.variables["params"], frozen.variables["params"]) == HEAD
    assert jax.tree.structure(frozen) == jax.tree.structure(state)
    joined, _ = more(frozen, batch(2))
    # The head went on with the momentum of its first two steps, conv2 began with none.
    alone = begin(optimizer, LATE).replace(variables=frozen.variables, step=frozen.step)
    fresh, _ = more(alone, batch(2))
    differ = moved(joined.variables["params"], fresh.variables["params"])
    assert differ == HEAD


@pytest.mark.parametrize("name", ["adam", "sam"])
def test_rates_by_depth_scale_the_update(name):
    params = {"deep": {"kernel": jnp.ones((2, 2))}, "head": {"kernel": jnp.ones((2, 2))}}
    grads = jax.tree.map(lambda x: 0.5 * x, params)
    found = []
    for factors in (None, {("deep", "kernel"): 0.25, ("head", "kernel"): 1.0}):
        optimizer = make_optimizer(name, lambda step: 0.1, factors=factors)
        more = {"error": 0.5, "grad_fn": lambda params, _: grads}
        updates: Any
        updates, _ = optimizer.update(grads, optimizer.init(params), params, **more)
        found.append({layer: float(own["kernel"][0, 0]) for layer, own in updates.items()})
    assert found[1] == pytest.approx({"deep": 0.25 * found[0]["deep"], "head": found[0]["head"]})
    assert found[0]["deep"] < 0


def test_trees_are_cut_and_put_together():
    tree = {"a": {"x": 1, "y": 2}, "b": {"x": 3}}
    part = select(tree, frozenset({("a", "y"), ("b", "x")}))
    assert part == {"a": {"y": 2}, "b": {"x": 3}}
    assert merge(tree, {"a": {"y": 5}}) == {"a": {"x": 1, "y": 5}, "b": {"x": 3}}
    assert select(tree, None) is tree


def test_an_optimizers_state_is_cut_and_put_together():
    optimizer = optax.adam(0.1)
    params = {"a": jnp.zeros(2), "b": jnp.zeros(3)}
    state = jax.tree.map(lambda x: x + 1, optimizer.init(params))
    part = narrow(optimizer, state, {"b": params["b"]})
    assert sorted(leaf.shape for leaf in jax.tree.leaves(part)) == [(), (3,), (3,)]
    back = widen(state, jax.tree.map(lambda x: x + 1, part))
    assert int(back[0].count) == 2
    assert (back[0].mu["a"][0], back[0].mu["b"][0]) == (1, 2)
