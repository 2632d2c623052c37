"""Layers of Flax itself, Linen's and NNX's: what trains right, and what is refused by name."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.nnx import bridge

import cnn_jax
from cnn_jax.nn import context, layers
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.foreign import found


class Flaxen(nn.Module):
    """Of Flax's own layers alone, told by ``deterministic`` whether it trains."""

    @nn.compact
    def __call__(self, x, *, deterministic):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.relu(nn.BatchNorm(use_running_average=deterministic, momentum=0.8)(x))
        x = nn.Dropout(0.5, deterministic=deterministic)(x)
        return nn.Dense(3)(x.reshape(len(x), -1))


class Mixed(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        x = layers.BatchNorm()(layers.Conv(4, 3)(x), train=train)
        x = layers.Dropout(0.5)(x, train=train)
        return layers.Dense(3)(x.reshape(len(x), -1))


def data(count=64):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 4, 4, 1)).astype(np.float32), rng.integers(0, 3, count)


def fit(module, steps=1, **how):
    made = cnn_jax.Trainer(module, optimizer=optax.sgd(0.1), **how)
    return made, made.fit(data(), steps=steps, batch_size=64)


def test_statistics_move_by_flaxs_rule_and_dropout_is_left_out_of_evaluation():
    _, before = fit(Flaxen(), steps=1)
    images, labels = data()
    drawn = cnn_jax.Trainer(Flaxen(), optimizer=optax.set_to_zero())
    run = drawn.fit((images, labels), steps=1, batch_size=64)
    params = run.variables["params"]
    mapped: Any = nn.Conv(4, (3, 3)).apply({"params": params["Conv_0"]}, jnp.asarray(images))
    mean = 0.2 * jnp.mean(mapped, axis=(0, 1, 2))
    held = run.variables["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(held, mean, rtol=1e-4, atol=1e-6)
    logits: Any = Flaxen().apply(run.variables, jnp.asarray(images), deterministic=True)
    found = drawn.evaluate(run.state, (images, labels))
    assert found["accuracy"] == np.mean(np.argmax(logits, axis=1) == labels)
    trained = before.history[-1]["loss"]
    clean: Any = Flaxen().apply(before.variables, jnp.asarray(images), deterministic=True)
    assert trained != pytest.approx(float(jnp.mean(clean)), rel=1e-3)


def test_what_does_not_read_the_context_is_found():
    listed = {str(layer): (layer.statistics, layer.random) for layer in found(*of(Flaxen()))}
    assert listed == {
        "BatchNorm_0 (BatchNorm)": (True, False),
        "Dropout_0 (Dropout)": (False, True),
    }
    assert found(*of(Mixed())) == []


def of(module):
    return module, (4, 4, 1), jnp.float32


FROZEN = frozenset({("Dense_0", "kernel"), ("Dense_0", "bias")})


@pytest.mark.parametrize(
    ("how", "line"),
    [
        (
            {"stat_batch": 16},
            r"stat_batch: BatchNorm_0 \(BatchNorm\) takes its statistics over",
        ),
        (
            {"phases": ((0, FROZEN),)},
            r"BatchNorm_0 \(BatchNorm\) would go on collecting",
        ),
        ({"execution": cnn_jax.Execution(strategy="pmap")}, r"pmap: BatchNorm_0 \(BatchNorm\)"),
        ({"ema": 0.9}, r"ema: the statistics of BatchNorm_0 .*; set ema_batches to 0"),
        ({"accumulate": 2}, r"accumulate: Dropout_0 \(Dropout\) draws the same for each part"),
    ],
)
def test_what_they_would_ignore_is_refused_by_name(how, line):
    with pytest.raises(BadInputError, match=rf"^Trainer: {line}"):
        fit(Flaxen(), **how)
    fit(Mixed(), **({"ema_batches": 0} | how))  # ours read it


def test_a_layer_that_reads_the_context_says_so():
    class DropPath(nn.Module):
        reads_context = True

        @nn.compact
        def __call__(self, x, *, train):
            if not train:
                return x
            keys = context.example_keys(self.make_rng("dropout"), len(x))
            kept = jax.vmap(jax.random.bernoulli)(keys)
            return x * kept[:, None, None, None] * 2

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            return nn.Dense(3)(DropPath()(x, train=train).reshape(len(x), -1))

    runs = [fit(Net(), steps=3, execution=cnn_jax.Execution(strategy=s)) for s in ("jit", "pmap")]
    first, second = (jax.device_get(run.variables) for _, run in runs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), first, second)


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, momentum=0.5, rngs=rngs)
        self.head = nnx.Linear(64, 3, rngs=rngs)

    def __call__(self, x, use_running_average):
        x = nnx.relu(self.norm(self.conv(x), use_running_average=use_running_average))
        return self.head(x.reshape(len(x), -1))


class Wrapped(nn.Module):
    """An NNX module as a Linen one."""

    @nn.compact
    def __call__(self, x, *, train):
        return bridge.ToLinen(Nnx, skip_rng=False)(x, use_running_average=not train)


def test_an_nnx_module_trains_through_the_bridge():
    made, run = fit(Wrapped(), steps=20)
    images, labels = data()
    statistics = jax.tree.leaves(run.variables["batch_stats"])
    assert any(float(jnp.max(jnp.abs(leaf))) > 0.01 for leaf in statistics)
    assert run.history[-1]["loss"] < run.history[0]["loss"] or run.history[-1]["loss"] < 1.1
    logits: Any = Wrapped().apply(run.variables, jnp.asarray(images), train=False)
    accuracy = np.mean(np.argmax(logits, axis=1) == labels)
    assert made.evaluate(run.state, (images, labels))["accuracy"] == accuracy
    with pytest.raises(BadInputError, match=r"^Trainer: stat_batch: .*\(ToLinen\)"):
        fit(Wrapped(), stat_batch=16)
