"""What someone wrote who never saw the library's own code: a file that registers one of each."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import cnn_jax


class SqueezeExcite(nn.Module):
    ratio: int = 4

    @nn.compact
    def __call__(self, x):
        gate = nn.Dense(x.shape[-1] // self.ratio)(jnp.mean(x, axis=(1, 2)))
        return x * nn.sigmoid(nn.Dense(x.shape[-1])(nn.relu(gate)))[:, None, None]


class Small(nn.Module):
    num_classes: int
    width: int = 8
    act: Callable[[jax.Array], jax.Array] = nn.gelu
    attention: type[nn.Module] | None = None

    @nn.compact
    def __call__(self, x, *, train):
        x = self.act(nn.BatchNorm(momentum=0.5)(nn.Conv(self.width, (3, 3))(x), not train))
        x = x if self.attention is None else self.attention()(x)
        return nn.Dense(self.num_classes)(jnp.mean(x, axis=(1, 2)))


@dataclasses.dataclass(frozen=True)
class Focal(cnn_jax.Classification):
    gamma: float = 2.0

    def example_loss(self, logits, batch, *, train):
        losses = super().example_loss(logits, batch, train=train)
        return (1 - jnp.exp(-losses)) ** self.gamma * losses


def entropy(outputs, batch):
    return -jnp.sum(jax.nn.softmax(outputs) * jax.nn.log_softmax(outputs), axis=1)


def dim(key, image, *, most: float = 0.2):
    return image * (1 - jax.random.uniform(key, maxval=most))


def signed(schedule: Any, *, momentum: float = 0.9):
    return optax.chain(
        optax.trace(momentum),
        optax.scale_by_sign(),
        optax.scale_by_schedule(lambda n: -schedule(n)),
    )


cnn_jax.register("layer", "squeeze_excite", SqueezeExcite)
cnn_jax.register("model", "small", Small)
cnn_jax.register("task", "focal", Focal)
cnn_jax.register("metric", "entropy", entropy)
cnn_jax.register("transform", "dim", dim)
cnn_jax.register("optimizer", "signed", signed)
