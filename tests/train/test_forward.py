"""A task's own forward: the same numbers however the batch is cut, and with one plain call."""

import dataclasses
import functools
import itertools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from cnn_jax.nn import branches, layers
from cnn_jax.tasks import Classification
from cnn_jax.train.flow import make_flow_step
from cnn_jax.train.optim import make_optimizer
from cnn_jax.train.state import init_state
from cnn_jax.train.step import make_train_step


class Net(nn.Module):
    """A layer whose statistics are perhaps kept, dropout, a residual sum, a head."""

    norm: bool = False
    dtype: Any = jnp.float64

    @nn.compact
    def __call__(self, x, *, train):
        x = layers.Dense(6, dtype=self.dtype, name="fc1")(x.reshape(x.shape[0], -1))
        if self.norm:
            x = layers.BatchNorm(dtype=self.dtype, name="bn")(x, train=train)
        x = layers.Dropout(0.5)(nn.relu(x), train=train)
        y = layers.Dense(6, dtype=self.dtype, name="fc2")(x)
        branches.note(self, y, x)
        return layers.Dense(4, dtype=self.dtype, name="head")(x + y)


class Once(Classification):
    """Runs the network as a task without a forward does."""

    def forward(self, apply, batch):
        return apply(batch["image"])


@dataclasses.dataclass(frozen=True)
class Views(Classification):
    """Runs the network on the images and on noisy ones, and likes the answers alike."""

    def forward(self, apply, batch):
        images = batch["image"]
        noise = jax.vmap(lambda key, x: jax.random.normal(key, x.shape, x.dtype))
        return apply(images), apply(images + noise(batch["keys"], images))

    def loss(self, outputs, batch):
        one, two = outputs
        return self.example_loss(one, batch, train=True) + jnp.mean((one - two) ** 2, axis=1)

    def metrics(self, outputs, batch, *, train):
        return super().metrics(outputs[0] if train else outputs, batch, train=train)


def batch_of(n=64, dtype=jnp.float64):
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.normal(size=(n, 3, 3, 1)), dtype)
    return {"image": image, "label": jnp.asarray(rng.integers(0, 4, n))}


@functools.cache
def start(module, dtype=jnp.float64):
    optimizer = make_optimizer("sgd", lambda step: 0.1)
    return optimizer, init_state(module, optimizer, (3, 3, 1), 0, dtype)


def after(task, batch, steps=3, *, module=None, dtype=jnp.float64, **how):
    net: Any = module or Net(dtype=dtype)
    optimizer, state = start(net, dtype)
    step: Any = jax.jit(make_train_step(net, task, optimizer, seed=0, **how))
    for _ in range(steps):
        state, _ = step(state, batch)
    return state


def same(one, other):
    def check(a, b):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)

    jax.tree.map(check, (one.variables, one.window), (other.variables, other.window))


@pytest.mark.parametrize("norm", [False, True])
def test_a_forward_of_one_call_is_the_step_without(norm):
    module, batch = Net(norm, jnp.float32), batch_of(dtype=jnp.float32)
    plain = after(Classification(4), batch, module=module, dtype=jnp.float32)
    own = after(Once(4), batch, module=module, dtype=jnp.float32)
    jax.tree.map(np.testing.assert_array_equal, plain, own)


def test_eight_devices_and_pmap_are_one_device():
    with jax.enable_x64(True):
        batch, module = batch_of(), Net(norm=True)
        one = after(Views(4), batch, module=module)
        mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
        spread = jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))
        assert len(spread["image"].sharding.device_set) == 8
        same(one, after(Views(4), spread, module=module))

        net: Any = module
        optimizer, state = start(net)
        step = make_train_step(module, Views(4), optimizer, seed=0, axis="data")
        mapped: Any = jax.pmap(step, axis_name="data")
        state = jax.tree.map(lambda x: jnp.broadcast_to(x, (8, *x.shape)), state)
        shares = jax.tree.map(lambda x: x.reshape(8, -1, *x.shape[1:]), batch)
        for _ in range(3):
            state, _ = mapped(state, shares)
        for device in (0, 7):
            same(one, jax.tree.map(lambda x, i=device: x[i], state))


def test_accumulating_four_parts_is_the_whole_batch():
    with jax.enable_x64(True):
        batch = batch_of()
        same(after(Views(4), batch), after(Views(4), batch, accumulate=4))


def test_a_second_call_goes_on_from_the_statistics_of_the_first():
    class Twice(Once):
        def forward(self, apply, batch):
            apply(10 * batch["image"])
            return apply(batch["image"])

    class Mean(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            x = layers.BatchNorm(dtype=jnp.float64, name="bn")(x, train=train)
            return layers.Dense(4, dtype=jnp.float64)(x.reshape(len(x), -1))

    with jax.enable_x64(True):
        batch = batch_of()
        found = after(Twice(4), batch, 1, module=Mean()).variables["batch_stats"]["bn"]["mean"]
        mean = batch["image"].mean((0, 1, 2))
        np.testing.assert_allclose(found, 0.9 * (0.1 * 10 * mean) + 0.1 * mean, rtol=1e-12)


def test_calls_draw_by_keys_of_their_own_which_change_from_step_to_step():
    drawn = []

    class Thrice(Once):
        def forward(self, apply, batch):
            outputs = [apply(batch["image"]) for _ in range(3)]
            keys = jax.random.key_data(batch["keys"])
            jax.debug.callback(lambda *found: drawn.append(found), keys, *outputs)
            return outputs[0]

    after(Thrice(4), batch_of(8, jnp.float32), 2, dtype=jnp.float32)
    jax.effects_barrier()
    keys = np.concatenate([found[0] for found in drawn])
    assert len(np.unique(keys, axis=0)) == len(keys) == 16
    for _, *outputs in drawn:
        for one, other in itertools.combinations(outputs, 2):
            assert not np.allclose(one, other)


def test_gradient_flow_is_that_of_the_forward():
    """Norms of the update that a step makes, and of both calls' branches."""
    with jax.enable_x64(True):
        batch, module = batch_of(), Net()
        optimizer = optax.with_extra_args_support(optax.sgd(0.1))
        state = init_state(module, optimizer, (3, 3, 1), 0, jnp.float64)

        def flow(task, **how):
            return jax.jit(make_flow_step(module, task, optimizer, seed=0, **how))(state, batch)

        found, parts, plain = flow(Views(4)), flow(Views(4), accumulate=4), flow(Once(4))
        made = after(Views(4), batch, 1).variables["params"]
        for name in ("fc1", "fc2", "head"):
            moved = made[name]["kernel"] - state.variables["params"][name]["kernel"]
            assert found.update[name] == pytest.approx(float(jnp.linalg.norm(moved)), rel=1e-9)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), found, parts)
        (both,), (first,) = found.squares.values(), plain.squares.values()
        assert np.all(np.asarray(both) > 1.5 * np.asarray(first))
