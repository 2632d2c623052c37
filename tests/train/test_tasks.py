"""Tasks in training: several labels, a forward of one's own, best by the task's own metric."""

import dataclasses
import json
import subprocess
import sys
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import cnn_jax
from cnn_jax.nn import layers
from cnn_jax.runtime.errors import BadInputError
from tests.fixtures import environment


class Net(nn.Module):
    outputs: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x, *, train):
        x = layers.Conv(4, 3, dtype=x.dtype)(x)
        x = nn.relu(layers.BatchNorm(dtype=x.dtype)(x, train=train))
        x = layers.Dropout(self.dropout)(x, train=train)
        return layers.Dense(self.outputs, dtype=x.dtype)(x.reshape(len(x), -1))


def pictures(count=64, seed=0):
    """Return images, and for each quarter whether it is bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (count, 4))
    quarters = labels.reshape(count, 2, 2).repeat(2, 1).repeat(2, 2)[..., None]
    return (quarters + rng.normal(0, 0.2, (count, 4, 4, 1))).astype(np.float32), labels


def trainer(task, module=None, **fields):
    module = module or Net(4)
    return cnn_jax.Trainer(module, optimizer=optax.adam(0.02), task=task, **fields)


def test_several_labels_are_learned_and_validated():
    data = pictures(256)
    made = trainer(cnn_jax.Multilabel(4))
    run = made.fit(data, validation=0.25, steps=40, batch_size=64)
    found = made.evaluate(run.state, pictures(64, seed=1), scores=[])
    assert found["label_accuracy"] > 0.97
    assert found["average_precision"] > 0.97
    assert made.predict(run.state, data[0][:3]).shape == (3, 4)


def test_mixed_images_have_mixed_targets():
    images, labels = pictures(64)
    pixels = (images.clip(0, 1) * 255).astype(np.uint8)
    made = trainer(cnn_jax.Multilabel(4), augment={"mixup": {}})
    run = made.fit((pixels, labels), steps=3, batch_size=32)
    assert np.isfinite(run.history[-1]["loss"])


def test_one_output_learns_two_classes():
    images, labels = pictures(256)
    made = trainer(cnn_jax.Multilabel(2, single=True), Net(1))
    run = made.fit((images, labels[:, 0]), steps=40, batch_size=64)
    assert made.evaluate(run.state, (images, labels[:, 0]))["accuracy"] > 0.97


def test_classes_are_wanted_where_a_classification_is_trained():
    with pytest.raises(BadInputError, match="a label is an integer, one an example"):
        trainer(cnn_jax.Classification(4)).fit(pictures(64), steps=1, batch_size=32)


@dataclasses.dataclass(frozen=True)
class Twice(cnn_jax.Classification):
    """Runs the network on the images and on noisy ones, and likes the answers alike."""

    def forward(self, apply: Any, batch: Any) -> Any:
        images = batch["image"]
        noise = jax.vmap(lambda key, x: jax.random.normal(key, x.shape, x.dtype))
        return apply(images), apply(images + noise(batch["keys"], images) / 10)

    def loss(self, outputs: Any, batch: Any) -> Any:
        one, two = outputs
        return self.example_loss(one, batch, train=True) + jnp.mean((one - two) ** 2, axis=1)


def after(steps=3, **how):
    images, labels = pictures(64)
    module = Net(2, dropout=0.3)
    made = cnn_jax.Trainer(
        module, optimizer=optax.sgd(0.1), task=Twice(2), dtype=jnp.float64, **how
    )
    run = made.fit((images, labels[:, 0]), steps=steps, batch_size=32)
    return jax.device_get(run.variables)


def test_a_forward_does_not_depend_on_strategy():
    jit = after()
    pmap = after(execution=cnn_jax.Execution(strategy="pmap"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), jit, pmap)


def test_each_call_moves_the_statistics():
    class Count(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            calls = self.variable("batch_stats", "calls", lambda: jnp.zeros((), jnp.int32))
            if train:
                calls.value = calls.value + 1
            drop = layers.Dropout(0.5)(jnp.ones_like(x), train=train)
            return layers.Dense(2)(x.reshape(len(x), -1)) + 0 * jnp.sum(drop)

    @dataclasses.dataclass(frozen=True)
    class Drawn(cnn_jax.Classification):
        def forward(self, apply, batch):
            one, two = apply(batch["image"]), apply(batch["image"])
            return one, two

        def loss(self, outputs, batch):
            return self.example_loss(outputs[0], batch, train=True)

    images, labels = pictures(64)
    made = cnn_jax.Trainer(Count(), optimizer=optax.sgd(0.1), task=Drawn(2))
    run = made.fit((images, labels[:, 0]), steps=5, batch_size=32)
    assert int(run.variables["batch_stats"]["calls"]) == 10


def test_the_best_checkpoint_goes_by_the_tasks_metric(tmp_path):
    class Least(cnn_jax.Classification):
        best: ClassVar[str] = "loss"
        least_is_best: ClassVar[bool] = True

    images, labels = pictures(128)
    made = cnn_jax.Trainer(Net(2), optimizer=optax.adam(0.3), task=Least(2))
    every = cnn_jax.Every(evaluate=1, checkpoint=1)
    data = (images, labels[:, 0])
    run = made.fit(data, validation=0.25, steps=12, batch_size=32, every=every, workdir=tmp_path)
    losses = {x["step"]: x["loss"] for x in run.history if x["split"] == "validation"}
    kept = {int(folder.name) for folder in (tmp_path / "checkpoints").glob("[0-9]*")}
    assert min(losses, key=lambda step: losses[step]) in kept


def test_the_log_has_measures_that_are_numbers_and_evaluate_all(tmp_path):
    images, labels = pictures(128)
    task = cnn_jax.Classification(2, measures=("confusion", "log_loss"))
    made = cnn_jax.Trainer(Net(2), optimizer=optax.adam(0.03), task=task)
    data = (images, labels[:, 0])
    run = made.fit(data, validation=0.25, test=data, steps=4, batch_size=32, workdir=tmp_path)
    assert "log_loss" in run.metrics["validation"]
    assert "confusion" not in run.metrics["test"]
    assert np.sum(made.evaluate(run.state, data)["confusion"]) == 128


PROGRAM = """
import json, sys
import jax, numpy as np, optax
import cnn_jax
from cnn_jax import models

module = models.create("mlp", num_classes=5)
rng = np.random.default_rng(0)
data = rng.normal(size=(101, 6, 6, 1)).astype(np.float32), rng.integers(0, 5, 101)
variables = module.init(jax.random.key(0), data[0][:1], train=False)
task = cnn_jax.Classification(5, measures=("accuracy_top3",)).in_full()
made = cnn_jax.Trainer(module, optimizer=optax.sgd(0.1), task=task)
print(json.dumps([jax.device_count(), made.evaluate(variables, data, batch_size=40)]))
"""


def test_measures_are_the_same_on_one_device_and_eight():
    def on(devices):
        flags = f"--xla_force_host_platform_device_count={devices}"
        command = [sys.executable, "-c", PROGRAM]
        run = subprocess.run(command, env=environment(XLA_FLAGS=flags), stdout=-1, check=True)
        count, found = json.loads(run.stdout)
        assert count == devices
        return found

    one, eight = on(1), on(8)
    counted = ("accuracy", "accuracy_top3", "confusion", "per_class_accuracy", "examples")
    assert [one[name] for name in counted] == [eight[name] for name in counted]
    for name in ("loss", "log_loss", "calibration_error"):
        assert one[name] == pytest.approx(eight[name], rel=1e-6)
