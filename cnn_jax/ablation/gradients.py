"""Gradient norms by block, before and after training: does the signal reach the first layers."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.analysis.execution import children
from cnn_jax.data import order
from cnn_jax.data.dataset import TRAIN
from cnn_jax.nn.calling import mode
from cnn_jax.nn.norms import block, norms
from cnn_jax.runs.experiment import assemble
from cnn_jax.runs.run import load_run
from cnn_jax.runtime import random_keys
from cnn_jax.tasks.losses import cross_entropy
from cnn_jax.train import compilation
from cnn_jax.train.state import init_state


def block_norms(
    module: nn.Module, variables: Mapping[str, Any], images: jax.Array, labels: jax.Array
) -> dict[str, jax.Array]:
    """Return the norm of the loss's gradient in each block's parameters, by the block's name.

    A block is a child of the network: ``stage1_block2``, ``conv1``. Images ``[N, H, W, C]`` are
    normalised; BatchNorm takes their statistics, as in training, and dropout is off.
    """
    rest = {name: value for name, value in variables.items() if name != "params"}

    def loss(params: Any) -> jax.Array:
        logits, _ = module.apply(
            {"params": params, **rest},
            images,
            train=True,
            mutable=list(rest),
            rngs={"dropout": jax.random.key(0)},
        )
        logits = logits[0] if isinstance(logits, tuple) else logits
        return jnp.mean(cross_entropy(logits, labels))

    return norms(jax.grad(loss)(variables["params"]), block)


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Return the block norms of a finished run on its first batch, at its ``start`` and ``end``."""
    module, trained, config = load_run(folder)
    with jax.enable_x64(config.train.precision == "float64"):
        experiment = assemble(config)
        part = experiment.parts[TRAIN]
        rows = np.asarray(order.permutation(config.seed, 0, len(part)))[: config.data.batch_size]
        dtype = experiment.dtype
        images = experiment.preprocessing.scaled(
            jnp.asarray(np.stack([part.read(int(row)) for row in rows]))
        )
        labels = jnp.asarray(part.labels[rows])
        shape, seed = experiment.image_shape, random_keys.argument(config.seed)

        def draw(seed: jax.Array) -> Any:
            return init_state(module, optax.identity(), shape, seed, dtype).variables

        # Seed and images are arguments: the cells of an arm share both compilations.
        begin = compilation.hurried(jax.jit(draw), seed)(seed)
        measured = compilation.hurried(jax.jit(partial(block_norms, module)), begin, images, labels)
        found = {
            when: measured(at, images, labels) for when, at in (("start", begin), ("end", trained))
        }
        names = list(found["start"])  # jax sorts dicts by name; the network's own order is kept
        init = partial(module.init, jax.random.key(0), **mode(module, train=False))
        ordered = [name for name in children(init, images[:1]) if name in names]
        return {
            when: {name: float(values[name]) for name in ordered} for when, values in found.items()
        }
