"""A package that brings one of each kind, found by its entry point."""

import dataclasses
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import cnn_jax
from cnn_jax.data.parts import Part


class Linear(nn.Module):
    num_classes: int
    act: Callable = nn.tanh

    @nn.compact
    def __call__(self, x, *, train):
        return self.act(nn.Dense(self.num_classes)(x.reshape(len(x), -1)))


@dataclasses.dataclass(frozen=True)
class Squared(cnn_jax.Classification):
    def example_loss(self, logits, batch, *, train):
        return jnp.sum((logits - jax.nn.one_hot(batch["label"], self.classes)) ** 2, axis=1)


def margin(outputs, batch):
    best = jax.lax.top_k(outputs, 2)[0]
    return best[:, 0] - best[:, 1]


def stripes(directory):
    rng = np.random.default_rng(0)
    labels = np.arange(64, dtype=np.int32) % 2
    images = rng.integers(0, 99, (64, 8, 8, 1), np.uint8)
    images[labels == 1, ::2] += 100
    train, test = Part(images[:48], labels[:48]), Part(images[48:], labels[48:])
    return cnn_jax.Dataset(train, test, ("plain", "striped"), (8, 8))


def half(*, learning_rate, total_steps):
    return lambda step: jnp.where(step < total_steps / 2, learning_rate, learning_rate / 2)


def register_all():
    cnn_jax.register("model", "example_linear", Linear)
    cnn_jax.register("layer", "softsign", nn.soft_sign)
    cnn_jax.register("task", "example_squared", Squared)
    cnn_jax.register("metric", "margin", margin)
    cnn_jax.register("optimizer", "example_sgd", partial(optax.sgd, nesterov=True))
    cnn_jax.register("schedule", "half", half)
    cnn_jax.register("transform", "invert", lambda key, image: 255 - image)
    cnn_jax.register("dataset", "stripes", stripes)
