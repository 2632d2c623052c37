"""A dispatch: the compiled program of one or several steps, and the data that it gets.

A program gathers a batch, augments and scales it, and takes the step; what follows the programs
here calls them, phase by phase.
"""

import bisect
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

from cnn_jax.data.parts import Stream
from cnn_jax.data.resident import Resident, Shuffled
from cnn_jax.runtime import random_keys
from cnn_jax.train import compilation, sharding
from cnn_jax.train.clock import DATA, Clock
from cnn_jax.train.feed import Feed
from cnn_jax.train.flow import Flow
from cnn_jax.train.setup import Setup

# Arguments of what is compiled. The seed is one, so that runs that differ in it alone share a
# compilation; so is the number of steps: one program serves calls of every length.
ON_ROWS = ("state", "data", "orders", "offset", "seed", "count")
ON_PIXELS = ("state", "images", "labels", "seed")
NUMBERS = ("offset", "seed", "count")  # the same on every device

Make = Callable[..., Callable[..., Any]]  # Setup.train_step or Setup.flow_step


@dataclasses.dataclass(frozen=True)
class Share:
    """How much of each batch one program sees.

    Attributes:
        devices: that run the program side by side, each on its own part of the batch (pmap).
        axis: their name.
        over: of one program on several devices, how a batch lies on them (jit).
    """

    devices: int = 1
    axis: str | None = None
    over: Sharding | None = None

    def of(self, batch_size: int) -> int:
        """Return how many examples of a batch that is."""
        return batch_size // self.devices

    def number(self) -> jax.Array | int:
        """Return which of the shares this one is."""
        return 0 if self.axis is None else jax.lax.axis_index(self.axis)

    def cut(self, array: jax.Array) -> jax.Array:
        """Return an array of a value per example, cut over the devices as the batch is."""
        return array if self.over is None else jax.lax.with_sharding_constraint(array, self.over)

    def places(self, examples: int) -> jax.Array:
        """Return the places in the global batch of its ``examples``, uint32 ``[N]``."""
        first = jnp.asarray(self.number()).astype(jnp.uint32) * examples
        return self.cut(first + jnp.arange(examples, dtype=jnp.uint32))


def on_pixels(setup: Setup, share: Share, make: Make, phase: int) -> Callable[..., Any]:
    """Return a step on a share of a batch's pixels, a function of ``ON_PIXELS``.

    Args:
        setup: what is trained.
        share: of the batch.
        make: the update, ``setup.train_step``, or a measurement of it, ``setup.flow_step``.
        phase: which of the parameters train.
    """
    examples = share.of(setup.batch_size)
    batch_of = setup.preprocessing.training_batch(share.axis)

    def program(now: Any, images: jax.Array, labels: jax.Array, seed: jax.Array) -> Any:
        batch = batch_of(now.step, share.places(examples), images, labels, seed)
        return make(axis=share.axis, seed=seed, phase=phase)(now, batch)

    return setup.computed(program)


def on_rows(
    setup: Setup, share: Share, make: Make, phase: int, *, per_call: int = 1
) -> Callable[..., Any]:
    """Return ``count`` steps on a share of batches of resident data, a function of ``ON_ROWS``.

    The first batch is the rows that ``orders``, int32 ``[2 n]``, has from ``offset`` on. It returns
    the state and the last step's metrics, or what else ``make`` makes of one step.
    """
    examples = share.of(setup.batch_size)
    batch_of = setup.preprocessing.training_batch(share.axis)

    def program(now: Any, data: Resident, orders, offset, seed, count=1) -> Any:
        def one(i: Any, carry: Any) -> Any:
            start = offset + i * setup.batch_size + share.number() * examples
            rows = share.cut(jax.lax.dynamic_slice(orders, (start,), (examples,)))
            images, labels = data.images[rows], data.labels[rows]
            batch = batch_of(carry[0].step, share.places(examples), images, labels, seed)
            return make(axis=share.axis, seed=seed, phase=phase)(carry[0], batch)

        if per_call == 1:
            return one(0, (now,))
        last = jax.tree.map(jnp.zeros_like, now.window)
        return jax.lax.fori_loop(0, count, one, (now, last))

    return setup.computed(program)


STEP, MEASUREMENT = "the training step", "the gradient flow's measurement"


class Stepping(Protocol):
    """How a state is trained, which may be kept in a form of the strategy's own."""

    def enter(self, state: Any) -> Any:
        """Return a replicated state in that form."""
        ...

    def view(self, state: Any) -> Any:
        """Return the replicated state."""
        ...

    def clear(self, state: Any) -> Any:
        """Return the state, in its form, with an empty window."""
        ...

    def run(self, state: Any, at: int, count: int) -> tuple[Any, Any]:
        """Run ``count`` steps from step ``at`` on; return the state and the last's metrics."""
        ...

    def measure_flow(self, state: Any, at: int) -> Flow:
        """Return norms of the update that step ``at`` is going to make."""
        ...

    def close(self) -> None:
        """End what reads ahead."""
        ...


class _Phases:
    """The program of each phase of a training, compiled when it is first called.

    Args:
        setup: what is trained.
        strategy: jit or pmap.
        make: phase -> the function.
        names: its arguments.
        name: what it is called in errors.
    """

    def __init__(
        self,
        setup: Setup,
        strategy: Any,
        make: Callable[[int], Callable[..., Any]],
        names: tuple[str, ...],
        name: str,
    ):
        options = compilation.options(deterministic=setup.execution.deterministic)
        self._starts = [start for start, _ in setup.phases]
        self._programs = [
            compilation.Once(
                strategy.map(make(phase), names, trains=name == STEP), name, names, options=options
            )
            for phase in range(len(self._starts))
        ]

    def at(self, step: int) -> compilation.Once:
        """Return the program of the phase that a step belongs to."""
        return self._programs[bisect.bisect_right(self._starts, step) - 1]


class _Stepping:
    def __init__(self, setup: Setup, strategy: Any, clock: Clock):
        self.enter, self.view = strategy.enter, strategy.view
        self._clock, self._seed = clock, random_keys.argument(setup.seed)

    def clear(self, state: Any) -> Any:
        return state.replace(window=state.window.cleared())

    def close(self) -> None:
        pass


class OnResident(_Stepping):
    """Steps on data that lie on every device."""

    def __init__(self, setup: Setup, strategy: Any, data: Resident, clock: Clock):
        super().__init__(setup, strategy, clock)
        self._shuffled = Shuffled(setup.seed, len(data), setup.batch_size)
        self._alike = sharding.replicated(strategy.mesh)
        self._orders: tuple[Any, Any] = (None, None)  # on the host, and on the devices
        self._data = strategy.enter(data)
        program = partial(on_rows, setup, strategy.share)
        several = partial(program, setup.train_step, per_call=setup.steps_per_call)
        self._steps = _Phases(setup, strategy, several, ON_ROWS, STEP)
        flow = partial(program, setup.flow_step)
        self._flows = _Phases(setup, strategy, flow, ON_ROWS[:-1], MEASUREMENT)

    def run(self, state: Any, at: int, count: int) -> tuple[Any, Any]:
        """Run ``count`` steps from step ``at`` on, in as many dispatches as the orders need."""
        end, last = at + count, None
        while at < end:
            ahead = min(end - at, self._shuffled.steps_ahead(at))
            rows = self._locate(at)
            program = self._steps.at(at)
            state, last = program(state, self._data, *rows, self._seed, np.int32(ahead))
            at += ahead
        return state, self.view(last)

    def measure_flow(self, state: Any, at: int) -> Flow:
        """Return norms of the update that step ``at`` is going to make."""
        rows = self._locate(at)
        return self.view(self._flows.at(at)(state, self._data, *rows, self._seed))

    def _locate(self, step: int) -> tuple[Any, np.int32]:
        """Return the order on the devices, and where in it the batch of a step begins."""
        with self._clock.section(DATA):
            orders, offset = self._shuffled.locate(step)
            if self._orders[0] is not orders:
                self._orders = orders, self.enter(sharding.spread(orders, self._alike))
        return self._orders[1], np.int32(offset)


class OnStream(_Stepping):
    """Steps on batches that are read while the devices work on those before."""

    def __init__(self, setup: Setup, strategy: Any, data: Stream, clock: Clock):
        super().__init__(setup, strategy, clock)
        self._batches = Feed(setup, data, strategy.mesh, strategy.put)
        program = partial(on_pixels, setup, strategy.share)
        update, flow = partial(program, setup.train_step), partial(program, setup.flow_step)
        self._steps = _Phases(setup, strategy, update, ON_PIXELS, STEP)
        self._flows = _Phases(setup, strategy, flow, ON_PIXELS, MEASUREMENT)

    def run(self, state: Any, at: int, count: int) -> tuple[Any, Any]:
        """Run ``count`` steps from step ``at`` on, a dispatch each."""
        last = None
        for step in range(at, at + count):
            with self._clock.section(DATA):
                images, labels = self._batches.take(step)
            state, last = self._steps.at(step)(state, images, labels, self._seed)
        return state, self.view(last)

    def measure_flow(self, state: Any, at: int) -> Flow:
        """Return norms of the update that step ``at`` is going to make."""
        with self._clock.section(DATA):
            images, labels = self._batches.peek(at)
        return self.view(self._flows.at(at)(state, images, labels, self._seed))

    def close(self) -> None:
        """Stop reading ahead."""
        self._batches.close()
