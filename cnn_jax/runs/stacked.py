"""The lanes' common program: their states stacked, updated together at each dispatch."""

import threading
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.resident import Resident, Shuffled
from cnn_jax.runtime import random_keys
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train import compilation, sharding
from cnn_jax.train.dispatch import ON_ROWS, Share, on_rows
from cnn_jax.train.setup import Setup
from cnn_jax.train.state import TrainState
from cnn_jax.train.strategies import Strategy


class Lanes:
    """The stacked state, and the meeting of the lanes at each dispatch."""

    def __init__(self, present: Mapping[int, Any], places: int):
        self.places, self.stopping = places, False
        self.turn = threading.RLock()
        self._meeting = threading.Condition(self.turn)
        self._present = set(present)
        self._asked: dict[int, tuple[int, int]] = {}  # place -> (step, count) that it waits for
        self._answers: dict[int, tuple[int, Any]] = {}
        self._entered: dict[int, tuple[TrainState, Resident, Shuffled]] = {}
        self._programs: Strategy | None = None
        self._setup: Setup | None = None
        self._error: Exception | None = None
        self._dispatch: Any = None
        self._state: Any = None

    def programs(self, setup: Setup) -> Strategy:
        """Return the programs that the lanes share, made of the first one's setup."""
        with self.turn:
            if self._programs is None or self._setup is None:
                if setup.streamed:
                    raise BadInputError("lanes: data that are streamed cannot train in lanes")
                if len(setup.phases) > 1:
                    raise BadInputError("lanes: init.unfreeze has to be unset")
                mesh = sharding.make_mesh(jax.local_devices()[:1])
                self._programs, self._setup = Strategy(setup, mesh), setup
            constants = [
                (tuple(made.preprocessing.mean or ()), tuple(made.preprocessing.std or ()))
                for made in (self._setup, setup)
            ]
            if constants[0] != constants[1]:
                raise BadInputError(
                    "lanes: data.mean and data.std are those of each seed's training part, and so "
                    "differ; set both"
                )
            return self._programs

    def enter(self, place: int, begin: TrainState, data: Resident, order: Shuffled) -> None:
        """Bring a lane's state, data and order."""
        with self._meeting:
            self._entered[place] = begin, data, order

    def leave(self, place: int) -> None:
        """Ask for no more steps; the others need not wait."""
        with self._meeting:
            self._present.discard(place)
            self._asked.pop(place, None)
            self._meet()

    def run(self, place: int, at: int, count: int) -> tuple[int, Any]:
        """Return how many steps were run from ``at`` on, at most ``count``, and the last's sums."""
        with self._meeting:
            self._asked[place] = at, count
            self._meet()
            self._meeting.wait_for(lambda: place in self._answers or self._error is not None)
            if self._error is not None:
                raise self._error
            return self._answers.pop(place)

    def view(self, place: int) -> TrainState:
        """Return a copy of a lane's state."""
        with self.turn:
            if self._state is None:  # a run that had nothing left to train
                return self._entered[place][0]
            return self._view(self._state, np.int32(place))

    def clear(self, place: int) -> int:
        """Empty a lane's window."""
        with self.turn:
            self._state = self._clear(self._state, np.int32(place))
            return place

    def _meet(self) -> None:
        """Run the steps that are asked for once every lane that is present has asked."""
        if self._error is not None or not self._asked or not self._asked.keys() >= self._present:
            return
        # A run that goes on after a kill may have lanes behind the others: they catch up first.
        at, count = min(self._asked.values())
        going = [place for place, asked in self._asked.items() if asked == (at, count)]
        assert self._setup is not None
        double = jnp.dtype(self._setup.preprocessing.dtype) == jnp.float64
        try:
            with jax.enable_x64(double):  # a lane that leaves has left its own context
                if self._state is None:
                    self._build()
                ahead, sums = self._run(going, at, count)
        except Exception as error:
            self._error = error
        else:
            for place in going:
                del self._asked[place]
                self._answers[place] = ahead, sums[place]
        self._meeting.notify_all()

    def _build(self) -> None:
        """Stack what the lanes brought and compile the step; lanes that are absent get copies."""
        setup, programs = self._setup, self._programs
        assert setup is not None
        assert programs is not None
        some = next(iter(self._entered.values()))
        brought = [self._entered.get(place, some) for place in range(self.places)]
        sizes = {len(data) for _, data, _ in brought}
        if len(sizes) > 1:
            raise BadInputError(f"lanes: {sorted(sizes)} training examples; their number differs")
        mesh = programs.mesh
        alike = sharding.replicated(mesh)

        @jax.jit
        def stack(*trees: Any) -> Any:
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

        self._state = stack(*(begin for begin, _, _ in brought))
        self._data = stack(*(data for _, data, _ in brought))
        self._orders = [order for _, _, order in brought]
        self._rows: list[Any] = [None] * self.places
        self._seeds = np.stack([random_keys.argument(order.seed) for order in self._orders])
        self._entered.clear()
        share = Share(over=sharding.batched(mesh))
        program = on_rows(setup, share, setup.train_step, -1, per_call=setup.steps_per_call)
        together = jax.vmap(program, (0, 0, 0, 0, 0, None))

        def step(state, data, orders, offset, seed, count, going):
            new, sums = together(state, data, orders, offset, seed, count)

            def kept(after: jax.Array, before: jax.Array) -> jax.Array:
                return jnp.where(going.reshape(-1, *(1,) * (after.ndim - 1)), after, before)

            each = (jax.tree.map(itemgetter(i), sums) for i in range(self.places))
            return jax.tree.map(kept, new, state), list(each)

        self._dispatch = compilation.Once(
            jax.jit(step, donate_argnums=0, out_shardings=alike),
            "the training step of lanes",
            (*ON_ROWS, "going"),
            compilation.options(deterministic=setup.execution.deterministic),
        )
        self._state = jax.device_put(self._state, alike)
        self._view = jax.jit(
            lambda state, place: jax.tree.map(lambda x: x[place], state),
            out_shardings=programs.layout,
        )

        def empty(state: TrainState, place: jax.Array) -> TrainState:
            window = jax.tree.map(lambda x: x.at[place].set(0), state.window)
            return state.replace(window=window)

        self._clear = jax.jit(empty, donate_argnums=0, out_shardings=alike)

    def _run(self, going: list[int], at: int, count: int) -> tuple[int, list[Any]]:
        """Run steps in the lanes ``going``; the orders may hold fewer than ``count``."""
        ahead = min(count, self._orders[0].steps_ahead(at))
        located = [order.locate(at) for order in self._orders]
        rows = [rows for rows, _ in located]
        if not all(a is b for a, b in zip(rows, self._rows, strict=True)):
            assert self._programs is not None
            alike = sharding.replicated(self._programs.mesh)
            self._rows, self._placed = rows, sharding.spread(np.stack(rows), alike)
        offsets = np.array([offset for _, offset in located], np.int32)
        mask = np.isin(np.arange(self.places), going)
        self._state, sums = self._dispatch(
            self._state, self._data, self._placed, offsets, self._seeds, np.int32(ahead), mask
        )
        return ahead, sums
