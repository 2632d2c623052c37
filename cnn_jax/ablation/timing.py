"""Measured step time: of two arms at once, in turns, so that a busy machine slows both."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import config as configs
from cnn_jax.ablation.counting import Data
from cnn_jax.config import Config
from cnn_jax.data.parts import Part
from cnn_jax.runs import from_config
from cnn_jax.train import setup as setups

ROUNDS, LEAST = 9, 0.05  # rounds of each; a round lasts at least so many seconds


def step_time_ratio(control: Config, data: Data) -> Callable[[Config], float]:
    """Return the function config -> its step time as a multiple of ``control``'s.

    A step is forward, backward and update on a batch of random images; the median over rounds of
    the ratio within a round counts.
    """
    reference = _stepper(control, data)

    def ratio(config: Config) -> float:
        own = _stepper(config, data)
        calls = max(int(LEAST / reference(1)), 1)
        return float(np.median([own(calls) / reference(calls) for _ in range(ROUNDS)]))

    return ratio


def _stepper(config: Config, data: Data) -> Callable[[int], float]:
    """Return the function calls -> seconds a step over so many of them, compiled."""
    config = configs.override(config, ())
    module, size = data.module(config), config.data.batch_size
    config.data.classes = data.classes
    trainer = from_config.trainer(config, module, data.steps(config))
    blank = Part(np.zeros((1, *data.image_shape), np.uint8), np.zeros(1, np.int32))
    half = (0.5,) * data.image_shape[2]
    setup = setups.of(trainer, blank, (half, half), batch_size=size, total=1)
    step = jax.jit(setup.train_step(), donate_argnums=0)
    rng = np.random.default_rng(0)
    batch = {
        "image": jnp.asarray(rng.standard_normal((size, *data.image_shape)), trainer.dtype),
        "label": jnp.asarray(rng.integers(data.classes, size=size), jnp.int32),
    }
    begin = jax.jit(setup.initial_state)
    held: list[Any] = [begin()]

    def run(calls: int) -> float:
        started = time.perf_counter()
        for _ in range(calls):
            held[0], _ = step(held[0], batch)
        jax.block_until_ready(held[0])
        return (time.perf_counter() - started) / calls

    run(2)  # compiles
    return run
