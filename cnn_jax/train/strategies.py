"""How a setup is computed: its programs for the devices, under jit or pmap."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cnn_jax.data.parts import Stream
from cnn_jax.runtime import distributed, random_keys
from cnn_jax.train import compilation, feed, native, sharding
from cnn_jax.train.clock import Clock
from cnn_jax.train.dispatch import NUMBERS, OnResident, OnStream, Share, Stepping
from cnn_jax.train.evaluation import OnDevices, evaluation
from cnn_jax.train.setup import Setup
from cnn_jax.train.state import Variables
from cnn_jax.train.statistics import estimation


class Strategy:
    """What the runs of a setup are computed by, whatever their seeds: programs under jit.

    Attributes:
        mesh: the devices.
        layout: a state of shardings, where each of its arrays lies.
        record: of a run's result: what is special about how it is computed.
    """

    mesh: Mesh
    layout: Any
    record: dict[str, Any]

    def __init__(self, setup: Setup, mesh: Mesh | None = None):
        self.mesh = sharding.make_mesh() if mesh is None else mesh
        # A model that the images do not fit fails here, before any writing.
        shapes = jax.eval_shape(setup.initial_state)
        execution = setup.execution
        self.layout = sharding.state_shardings(shapes, self.mesh, cut=execution.shard_state)
        self.record = {}
        if execution.native:
            self.record |= native.load(self.mesh, setup.preprocessing.dtype)
        self._evaluate: Any = None if setup.own else evaluation(setup, self.mesh)
        self._estimate: Any = None if setup.own else estimation(setup, self.mesh)
        self._draw = jax.jit(setup.initial_state, out_shardings=self.layout)

    @property
    def share(self) -> Share:
        """How much of a batch one program sees."""
        return Share(over=sharding.batched(self.mesh))

    def enter(self, tree: Any) -> Any:
        """Return replicated arrays in the form that the programs take."""
        return tree

    def view(self, tree: Any) -> Any:
        """Return what the programs give as replicated arrays."""
        return tree

    @property
    def put(self) -> feed.Put:
        """What puts a process's share of a batch on its devices."""
        return feed.globally(self.mesh)

    def map(self, function: Callable[..., Any], names: tuple[str, ...], *, trains: bool) -> Any:
        """Return a function of arguments with such names, jitted; ``trains``: it gives a state."""
        del names
        alike = sharding.replicated(self.mesh)
        if trains:
            return jax.jit(function, donate_argnums=0, out_shardings=(self.layout, alike))
        return jax.jit(function, out_shardings=alike)

    def begin(self, seed: int, given: Variables | None = None) -> Any:
        """Return the state before the first step; ``given`` variables start from these values."""
        drawn = random_keys.argument(seed), given
        return compilation.hurried(self._draw, *drawn)(*drawn)

    def evaluate(
        self, variables: Variables, data: OnDevices, predicted: list[np.ndarray] | None = None
    ) -> dict[str, Any]:
        """Return the metrics of a part; see ``evaluation``."""
        return self._evaluate(variables, data, predicted)

    def estimate(self, variables: Variables, data: OnDevices, seed: int) -> Variables:
        """Return the variables with BatchNorm's statistics estimated anew; see ``estimation``."""
        return self._estimate(variables, data, seed)

    def stepping(self, setup: Setup, data: OnDevices, clock: Clock) -> Stepping:
        """Return how the state of one run is trained on a part; ``clock`` is told of waiting."""
        if isinstance(data, Stream):
            return OnStream(setup, self, data, clock)
        return OnResident(setup, self, data, clock)

    def stop_agreed(self, told: bool, dispatches: int) -> bool:
        """Return whether the run stops now; see ``distributed.stop_agreed``."""
        return distributed.stop_agreed(told, dispatches)


class Pmap(Strategy):
    """Programs under pmap: each device runs one on its share of the batch."""

    @property
    def share(self) -> Share:
        """How much of a batch one program sees."""
        return Share(jax.device_count(), sharding.AXIS)

    def enter(self, tree: Any) -> Any:
        """Return replicated arrays with a leading axis of devices."""
        return sharding.stack(tree)

    def view(self, tree: Any) -> Any:
        """Return stacked arrays as replicated ones."""
        return sharding.unstack(tree, self.mesh)

    @property
    def put(self) -> feed.Put:
        """What gives a share of a batch a leading axis of devices."""
        return feed.by_device

    def map(self, function: Callable[..., Any], names: tuple[str, ...], *, trains: bool) -> Any:
        """Return a function of arguments with such names, mapped over the devices."""
        axes: Any = tuple(None if name in NUMBERS else 0 for name in names)
        donated = 0 if trains else ()
        return jax.pmap(function, sharding.AXIS, in_axes=axes, donate_argnums=donated)


STRATEGIES: dict[str, Callable[[Setup], Strategy]] = {"jit": Strategy, "pmap": Pmap}


def compiled(setup: Setup) -> Strategy:
    """Return the programs of a setup, under the strategy that it asks for."""
    chosen = setup.execution.strategy
    return STRATEGIES[chosen](setup) if isinstance(chosen, str) else chosen(setup)
