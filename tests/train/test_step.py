"""A training step against the same arithmetic in NumPy float64."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from cnn_jax import models
from cnn_jax.nn import layers
from cnn_jax.tasks import Classification
from cnn_jax.tasks.losses import cross_entropy
from cnn_jax.train.optim import make_optimizer
from cnn_jax.train.state import init_state
from cnn_jax.train.step import all_finite, make_eval_step, make_train_step

TASK = Classification(4)


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
    optimizer = optax.with_extra_args_support(optax.sgd(0.1))
    state = init_state(module, optimizer, (3, 3, 1), 0, jnp.float32)
    step = jax.jit(make_train_step(module, TASK, optimizer, seed=0))
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
    optimizer = optax.with_extra_args_support(optax.sgd(1e30))
    state = init_state(module, optimizer, (3, 3, 1), 0, jnp.float32)
    step = jax.jit(make_train_step(module, TASK, optimizer, seed=0))
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
    module, optimizer = TwoHeads(), optax.with_extra_args_support(optax.sgd(1.0))
    task = Classification(4, aux_weights=TwoHeads.AUX_WEIGHTS)
    state = init_state(module, optimizer, (3, 3, 1), 0, jnp.float32)
    new, metrics = jax.jit(make_train_step(module, task, optimizer, seed=0))(state, batch)

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
    optimizer = optax.with_extra_args_support(optax.adam(2e-3))
    state = init_state(module, optimizer, (32, 32, 1), 0, dtype)
    assert {leaf.dtype for leaf in jax.tree.leaves(state.variables)} == {jnp.dtype(jnp.float32)}
    rng = np.random.default_rng(0)
    batch = {
        "image": jnp.asarray(rng.normal(size=(8, 32, 32, 1)), dtype),
        "label": jnp.asarray(rng.integers(0, 3, 8)),
    }
    step: Any = jax.jit(make_train_step(module, TASK, optimizer, seed=0))
    for _ in range(40):
        state, _ = step(state, batch)
    assert step._cache_size() == 1
    evaluated, _ = jax.jit(make_eval_step(module, TASK))(
        state.variables, batch | {"mask": jnp.ones(8, bool)}
    )
    assert int(evaluated.correct) == 8


def steps(module, batch, count, dtype=jnp.float64, **how):
    """Return the state after ``count`` steps of sgd on one batch."""
    optimizer = make_optimizer("sgd", lambda step: 0.1, momentum=0.9)
    state = init_state(module, optimizer, batch["image"].shape[1:], 0, dtype, ema="ema" in how)
    step = jax.jit(make_train_step(module, TASK, optimizer, seed=0, **how))
    for _ in range(count):
        state, _ = step(state, batch)
    return state


def wide_batch(n=16, side=8, channels=1):
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.normal(size=(n, side, side, channels)))
    return {"image": image, "label": jnp.asarray(rng.integers(0, 4, n))}


class Dropping(nn.Module):
    """A layer, dropout, a head."""

    @nn.compact
    def __call__(self, x, *, train):
        x = layers.Dense(6, dtype=jnp.float64, name="fc1")(x.reshape(x.shape[0], -1))
        x = layers.Dropout(0.5)(nn.relu(x), train=train)
        return layers.Dense(4, dtype=jnp.float64, name="head")(x)


def test_accumulating_four_parts_is_the_whole_batch():
    """For a network without BatchNorm, over five steps; what drops is the same."""
    with jax.enable_x64(True):
        batch = wide_batch(128)
        whole = steps(Dropping(), batch, 5)
        parts = steps(Dropping(), batch, 5, accumulate=4)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-9),
            (whole.variables, whole.window),
            (parts.variables, parts.window),
        )


def test_accumulating_normalises_each_part_by_itself():
    """Each part updates the running mean with its own; parts take every second example."""
    with jax.enable_x64(True):
        module = layers_then_mean()
        batch = wide_batch()
        state = steps(module, batch, 1, accumulate=2)
        first, second = (batch["image"][i::2].mean((0, 1, 2)) for i in range(2))
        expected = 0.9 * (0.1 * first) + 0.1 * second
        found = state.variables["batch_stats"]["bn"]["mean"]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def layers_then_mean():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            x = layers.BatchNorm(dtype=jnp.float64, name="bn")(x, train=train)
            return layers.Dense(4, dtype=jnp.float64, name="head")(x.reshape(x.shape[0], -1))

    return Net()


def test_ghost_batches_do_not_depend_on_devices():
    """Statistics over 32 examples at batch 128: alike on one device and on four."""
    with jax.enable_x64(True):
        module, batch = layers_then_mean(), wide_batch(128)
        one = steps(module, batch, 3, stat_batch=32)
        mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
        spread = jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))
        four = steps(module, spread, 3, stat_batch=32)
        assert len(spread["image"].sharding.device_set) == 4
        whole = steps(module, batch, 3)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-9),
            one.variables,
            four.variables,
        )
        kernels = (x.variables["params"]["head"]["kernel"] for x in (one, whole))
        assert not np.allclose(*kernels, atol=1e-6)


def test_the_running_mean_of_the_parameters():
    with jax.enable_x64(True):
        module = models.create("mlp", num_classes=4, hidden=(5,), dtype=jnp.float64)
        before, batch = None, wide_batch()
        for count in range(3):
            state = steps(module, batch, count, ema=0.75)
            params = state.variables["params"]["head"]["kernel"]
            found = state.ema["head"]["kernel"]
            expected = params if before is None else 0.75 * before + 0.25 * params
            np.testing.assert_allclose(found, expected, rtol=1e-12)
            before = found


def test_targets_take_the_place_of_labels():
    """A target of two classes is the mean of their losses, as the loss is linear in it."""
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)))
    labels, others = jnp.array([0, 1, 2]), jnp.array([3, 3, 0])
    targets = 0.25 * jax.nn.one_hot(labels, 4) + 0.75 * jax.nn.one_hot(others, 4)
    expected = 0.25 * cross_entropy(logits, labels) + 0.75 * cross_entropy(logits, others)
    np.testing.assert_allclose(cross_entropy(logits, labels, 0, targets), expected, rtol=1e-5)
