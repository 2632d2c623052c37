"""A training step against the same arithmetic in NumPy float64."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax import models
from cnn_jax.train.loss import cross_entropy
from cnn_jax.train.state import init_state
from cnn_jax.train.step import all_finite, make_eval_step, make_train_step


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(6, 3, 3, 1)).astype(np.float32)
    return {"image": jnp.asarray(image), "label": jnp.asarray(rng.integers(0, 4, 6))}


def forward(params, x):
    h = np.maximum(x @ params["fc1"]["kernel"] + params["fc1"]["bias"], 0)
    return h, h @ params["head"]["kernel"] + params["head"]["bias"]


def test_one_step_of_sgd_is_the_hand_made_gradient_step(batch):
    module = models.create("mlp", num_classes=4, hidden=(5,))
    optimizer = optax.sgd(0.1)
    state = init_state(module, optimizer, (3, 3, 1), 0, jnp.float32)
    step = jax.jit(make_train_step(module, optimizer, seed=0))
    new, metrics = step(state, batch)

    old = jax.tree.map(lambda x: np.asarray(x, np.float64), state.variables["params"])
    x, labels = np.asarray(batch["image"], np.float64).reshape(6, -1), np.asarray(batch["label"])
    h, logits = forward(old, x)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss = -np.log(shares[np.arange(6), labels]).sum()
    delta = (shares - np.eye(4)[labels]) / 6
    back = (delta @ old["head"]["kernel"].T) * (h > 0)
    expected = {
        "fc1": {"kernel": x.T @ back, "bias": back.sum(0)},
        "head": {"kernel": h.T @ delta, "bias": delta.sum(0)},
    }
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, old, expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), new.variables["params"], expected
    )
    assert metrics.loss == pytest.approx(loss, rel=1e-5)
    assert (int(new.step), int(new.bad_step), int(new.window.examples)) == (1, -1, 6)


def test_a_loss_that_is_not_finite_is_noted_with_its_first_step(batch):
    module = models.create("mlp", num_classes=4, hidden=(5,))
    optimizer = optax.sgd(1e30)
    state = init_state(module, optimizer, (3, 3, 1), 0, jnp.float32)
    step = jax.jit(make_train_step(module, optimizer, seed=0))
    losses = []
    for _ in range(6):
        state, metrics = step(state, batch)
        losses.append(float(metrics.loss))
    first = next(i for i, loss in enumerate(losses) if not np.isfinite(loss))
    assert int(state.bad_step) == first + 1
    assert not all_finite(state.variables)


class TwoHeads(nn.Module):
    """A linear network with two auxiliary heads in training."""

    AUX_WEIGHTS = (0.3, 0.7)

    @nn.compact
    def __call__(self, x, *, train):
        heads = [nn.Dense(4, name=name)(x.reshape(len(x), -1)) for name in ("main", "one", "two")]
        return tuple(heads) if train else heads[0]


def test_auxiliary_heads_add_to_the_loss_by_their_weights_and_to_no_metric(batch):
    module, optimizer = TwoHeads(), optax.sgd(1.0)
    state = init_state(module, optimizer, (3, 3, 1), 0, jnp.float32)
    new, metrics = jax.jit(make_train_step(module, optimizer, seed=0))(state, batch)

    def loss(params):
        heads: Any = module.apply({"params": params}, batch["image"], train=True)
        each = [cross_entropy(head, batch["label"]) for head in heads]
        return jnp.mean(each[0] + 0.3 * each[1] + 0.7 * each[2]), jnp.sum(each[0])

    params = state.variables["params"]
    slope, main = jax.grad(loss, has_aux=True)(params)
    jax.tree.map(
        lambda old, g, now: np.testing.assert_allclose(old - g, now, atol=1e-6),
        params,
        slope,
        new.variables["params"],
    )
    assert float(metrics.loss) == pytest.approx(float(main), rel=1e-6)


@pytest.mark.parametrize("name", ["lenet5", "mlp"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_model_learns_a_batch_by_heart_without_compiling_twice(name, dtype):
    module = models.create(name, num_classes=3, dtype=dtype)
    optimizer = optax.adam(2e-3)
    state = init_state(module, optimizer, (32, 32, 1), 0, dtype)
    assert {leaf.dtype for leaf in jax.tree.leaves(state.variables)} == {jnp.dtype(jnp.float32)}
    rng = np.random.default_rng(0)
    batch = {
        "image": jnp.asarray(rng.normal(size=(8, 32, 32, 1)), dtype),
        "label": jnp.asarray(rng.integers(0, 3, 8)),
    }
    step: Any = jax.jit(make_train_step(module, optimizer, seed=0))
    for _ in range(40):
        state, _ = step(state, batch)
    assert step._cache_size() == 1
    evaluated = jax.jit(make_eval_step(module))(
        state.variables, batch | {"mask": jnp.ones(8, bool)}
    )
    assert int(evaluated.correct) == 8
