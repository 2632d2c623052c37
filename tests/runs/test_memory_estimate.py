"""What a step takes at the least: below what compilers take, and said before anything is read."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

import cnn_jax
from cnn_jax import models
from cnn_jax.data import sources
from cnn_jax.runs import memory_estimate
from cnn_jax.runs.experiment import complete, load_config
from cnn_jax.runtime import free_memory
from cnn_jax.runtime.errors import BadInputError

GIB = 2**30


@pytest.mark.parametrize(("name", "shape"), [("lenet5", (32, 32, 1)), ("nin", (16, 16, 3))])
def test_a_compiled_step_takes_no_less(name, shape):
    batch, rule = 64, optax.sgd(0.1, 0.9)
    module = models.create(name, num_classes=10)
    x = jax.ShapeDtypeStruct((batch, *shape), jnp.float32)
    variables = jax.eval_shape(
        lambda: module.init(jax.random.key(0), jnp.zeros(x.shape[1:])[None], train=False)
    )

    def step(params, state, x):
        def loss(params):
            rngs = {"dropout": jax.random.key(0)}
            logits: Any = module.apply({"params": params}, x, train=True, rngs=rngs)
            return jnp.sum(logits**2)

        updates, state = rule.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    params = variables["params"]
    state = jax.eval_shape(rule.init, params)
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, x).compile()
    taken: Any = compiled.memory_analysis()
    need = memory_estimate.estimate(module, shape, optimizer=rule)
    least = need.weights + need.activations * batch
    assert 0.1 * taken.peak_memory_in_bytes < least
    assert least <= taken.argument_size_in_bytes + taken.temp_size_in_bytes


def test_the_numbers_of_a_perceptron():
    module = models.create("mlp", num_classes=10, hidden=(300, 100))
    need = memory_estimate.estimate(module, (28, 28, 1), optimizer=optax.sgd(0.1, 0.9), ema=True)
    weights = 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10
    # Parameters, momentum, running mean; the gradient of the first kernel.
    assert need.weights == 4 * (3 * weights + 784 * 300)
    assert need.activations == 4 * (784 + 300 + 100)
    frozen = memory_estimate.estimate(module, (28, 28, 1), optimizer=optax.adam(0.1), frozen=True)
    assert frozen.weights == 4 * (weights + 784 * 300)
    assert frozen.activations == 4 * (784 + 300)


@pytest.mark.parametrize(
    "flags",
    [
        ["--config.data.image_size=4096"],
        ["--config.data.image_size=(65535, 65535)"],
        ["--config.data.image_size=2048", "--config.model.name=nin"],
        [
            "--config.data.image_size=1024",
            "--config.data.name=synthetic",
            "--config.data.mean=None",
        ],
    ],
    ids=" ".join,
)
def test_what_cannot_fit_is_said_before_data_are_read(tmp_path, monkeypatch, flags):
    monkeypatch.setattr(memory_estimate, "room", lambda: 4 * GIB)
    monkeypatch.setattr(sources, "load", lambda *_, **__: pytest.fail("data were read"))
    config = load_config("configs/lenet5_digits.py", flags)
    with pytest.raises(
        BadInputError, match=r"data\.image_size.* GiB of memory .* 4\.0 GiB"
    ) as told:
        cnn_jax.train_and_evaluate(config, tmp_path / "run")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run").exists()


def test_what_the_data_make_large_is_said_before_anything_compiles(tmp_path, monkeypatch):
    config = load_config("configs/lenet5_digits.py", ["--config.train.steps=1"])
    monkeypatch.setattr(memory_estimate, "room", lambda: 2**20)
    monkeypatch.setattr(jax, "jit", lambda *_, **__: pytest.fail("something was compiled"))
    with pytest.raises(BadInputError, match=r"64 images of 32x32 in 'lenet5' take at least"):
        cnn_jax.train_and_evaluate(complete(config), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_room_is_the_least_that_machine_and_containers_leave(tmp_path):
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    assert free_memory.host_memory(proc, cgroup) is None
    (proc / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 8000 kB\nSwapFree: 1000 kB\n")
    assert free_memory.host_memory(proc, cgroup) == 9000 * 1024
    (proc / "self" / "cgroup").write_text("0::/outer/inner\n")
    limits = {"": "max", "outer": "5000000", "outer/inner": "7000000"}
    for name, limit in limits.items():
        folder = Path(cgroup, name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text("1500000")
        (folder / "memory.stat").write_text("anon 1\ninactive_file 300000\nactive_file 200000\n")
    assert free_memory.host_memory(proc, cgroup) == 5_000_000 - 1_500_000 + 500_000
