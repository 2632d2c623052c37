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
from cnn_jax.runs import dispatch
from cnn_jax.runs.experiment import Experiment
from cnn_jax.train.state import init_state

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
    steps = data.steps(config)
    config = configs.override(config, ())
    module = data.module(config)
    experiment = Experiment(config, module, {}, ())
    config.train.steps = steps  # the schedule asks, and there are no examples here to count
    optimizer = experiment.optimizer()
    dtype = experiment.dtype
    step = jax.jit(dispatch.train_step(experiment), donate_argnums=0)
    rng = np.random.default_rng(0)
    size = config.data.batch_size
    batch = {
        "image": jnp.asarray(rng.standard_normal((size, *data.image_shape)), dtype),
        "label": jnp.asarray(rng.integers(data.classes, size=size), jnp.int32),
    }
    mean, shape = config.optim.ema is not None, data.image_shape
    begin = jax.jit(lambda: init_state(module, optimizer, shape, config.seed, dtype, ema=mean))
    held: list[Any] = [begin()]

    def run(calls: int) -> float:
        started = time.perf_counter()
        for _ in range(calls):
            held[0], _ = step(held[0], batch)
        jax.block_until_ready(held[0])
        return (time.perf_counter() - started) / calls

    run(2)  # compiles
    return run
