"""Lanes: runs that differ in their seed alone, trained by one compiled program (``vmap``).

Each lane is a run as any other, in a thread of its own: it has its folder, its logs and its
checkpoints, and ends, stops and fails by itself. What the lanes share is the step: one program
updates all states, stacked, each with its seed, its data and its order. A lane that waits for
others, has ended or was finished before keeps its place in the program, and its state is left
alone; so what a lane computes depends neither on what became of the others nor on where a killed
run goes on. All of it is on one device: programs over several, started by several threads, would
wait for each other.
"""

import threading
from collections.abc import Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import config as configs
from cnn_jax.runtime import random_keys
from cnn_jax.config import Config
from cnn_jax.data import resident
from cnn_jax.data.parts import Stream
from cnn_jax.runs.dispatch import SEVERAL, Share, several_steps
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runs.experiment import Experiment
from cnn_jax.runs.inference import Data
from cnn_jax.runs.programs import Programs, Training
from cnn_jax.runs.run import train_and_evaluate
from cnn_jax.train import compilation, loop, metrics, parallel
from cnn_jax.train.clock import Clock
from cnn_jax.train.state import TrainState, Variables


def train_lanes(
    runs: Mapping[int, tuple[Config, Path]], places: int
) -> dict[int, dict[str, Any] | Exception]:
    """Train runs together; return what each one's result.json holds, or why it did not finish.

    Args:
        runs: place among the lanes -> (config, folder). Configs differ in the seed alone.
        places: of the program, also of lanes that have no run any more.

    Raises:
        StoppedError: after SIGTERM or SIGINT, with the states of all lanes saved.
    """
    configs_of = [config for config, _ in runs.values()]
    for other in configs_of[1:]:
        if line := configs.difference(configs_of[0], other, ignore=("seed",)):
            raise BadInputError(f"lanes differ in their seed alone: {line}")
    lanes = _Lanes(runs, places)
    ended: dict[int, dict[str, Any] | Exception] = {}

    def train(place: int, config: Config, folder: Path) -> None:
        try:
            lane = _Lane(lanes, place)
            ended[place] = train_and_evaluate(config, folder, make_programs=lane.join)
        except Exception as error:
            ended[place] = error
        finally:
            lanes.leave(place)

    threads = [
        threading.Thread(target=train, args=(place, *run), daemon=True)
        for place, run in runs.items()
    ]
    with loop.signals() as received:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1)
                lanes.stopping = bool(received)
    if received:
        raise loop.StoppedError(received[0])
    return ended


class _Lane(Programs):
    """The programs as one lane sees them."""

    def __init__(self, lanes: "_Lanes", place: int):
        # The parent's constructor compiles; here the lanes do, once for all.
        self._lanes, self._place = lanes, place

    def join(self, experiment: Experiment) -> "_Lane":
        """Be the programs of ``experiment``."""
        self._shared = self._lanes.programs(experiment)
        self.mesh, self.layout = self._shared.mesh, self._shared.layout
        self.record = self._shared.record | {"lanes": self._lanes.places}
        return self

    def evaluate(
        self, variables: Variables, data: Data, predicted: list[np.ndarray] | None = None
    ) -> dict[str, Any]:
        """Evaluate a part, one lane after the other, so that one compiles for all."""
        with self._lanes.turn:
            return self._shared.evaluate(variables, data, predicted)

    def begin(self, seed: int, given: Variables | None = None) -> TrainState:
        """Return the state before the first step."""
        with self._lanes.turn:
            return self._shared.begin(seed, given)

    def estimate(self, variables: Variables, data: Data, seed: int) -> Variables:
        """Estimate statistics, one lane after the other."""
        with self._lanes.turn:
            return self._shared.estimate(variables, data, seed)

    def training(self, experiment: Experiment, data: Data, clock: Clock) -> Training:
        """Return how the lane's state is trained: in its place of the stacked one."""
        lanes, place = self._lanes, self._place
        assert isinstance(data, resident.Resident)
        shuffled = resident.Shuffled(
            experiment.config.seed, len(data), experiment.config.data.batch_size
        )

        def enter(begin: TrainState) -> int:
            lanes.enter(place, begin, data, shuffled)
            return place

        def run_steps(_: int, at: int, count: int) -> tuple[int, metrics.Sums]:
            done, last = 0, None
            while done < count:
                ahead, last = lanes.run(place, at + done, count - done)
                done += ahead
            assert last is not None
            return place, last

        def measure_flow(_: int, at: int) -> Any:
            raise AssertionError(f"lanes measure no gradient flow, asked at step {at}")

        leave = partial(lanes.leave, place)
        return Training(run_steps, enter, lanes.view, measure_flow, leave, lanes.clear)

    def stop_agreed(self, told: bool, dispatches: int) -> bool:
        """Return whether the process was told to stop."""
        return self._lanes.stopping


class _Lanes:
    """The stacked state, and the meeting of the lanes at each dispatch."""

    def __init__(self, present: Mapping[int, Any], places: int):
        self.places, self.stopping = places, False
        self.turn = threading.RLock()
        self._meeting = threading.Condition(self.turn)
        self._present = set(present)
        self._asked: dict[int, tuple[int, int]] = {}  # place -> (step, count) that it waits for
        self._answers: dict[int, tuple[int, metrics.Sums]] = {}
        self._entered: dict[int, tuple[TrainState, resident.Resident, resident.Shuffled]] = {}
        self._programs: Programs | None = None
        self._experiment: Experiment | None = None
        self._error: Exception | None = None
        self._dispatch: Any = None
        self._state: Any = None

    def programs(self, experiment: Experiment) -> Programs:
        """Return the programs that the lanes share, made of the first one's experiment."""
        with self.turn:
            if self._programs is None or self._experiment is None:
                if any(isinstance(part, Stream) for part in experiment.parts.values()):
                    raise BadInputError("lanes: data that are streamed cannot train in lanes")
                if experiment.config.train.strategy != "jit":
                    raise BadInputError("lanes: train.strategy has to be jit")
                if experiment.config.train.flow_every is not None:
                    raise BadInputError("lanes: train.flow_every has to be unset")
                if len(experiment.phases) > 1:
                    raise BadInputError("lanes: init.unfreeze has to be unset")
                mesh = parallel.make_mesh(jax.local_devices()[:1])
                self._programs, self._experiment = Programs(experiment, mesh), experiment
            constants = [
                [tuple(each.config.data[name]) for name in ("mean", "std")]
                for each in (self._experiment, experiment)
            ]
            if constants[0] != constants[1]:
                raise BadInputError(
                    "lanes: data.mean and data.std are those of each seed's training part, and so "
                    "differ; set both"
                )
            return self._programs

    def enter(
        self, place: int, begin: TrainState, data: resident.Resident, order: resident.Shuffled
    ) -> None:
        """Bring a lane's state, data and order."""
        with self._meeting:
            self._entered[place] = begin, data, order

    def leave(self, place: int) -> None:
        """Ask for no more steps; the others need not wait."""
        with self._meeting:
            self._present.discard(place)
            self._asked.pop(place, None)
            self._meet()

    def run(self, place: int, at: int, count: int) -> tuple[int, metrics.Sums]:
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
        assert self._experiment is not None
        double = self._experiment.config.train.precision == "float64"
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
        experiment, programs = self._experiment, self._programs
        assert experiment is not None
        assert programs is not None
        some = next(iter(self._entered.values()))
        brought = [self._entered.get(place, some) for place in range(self.places)]
        sizes = {len(data) for _, data, _ in brought}
        if len(sizes) > 1:
            raise BadInputError(f"lanes: {sorted(sizes)} training examples; their number differs")
        mesh = programs.mesh
        alike = parallel.replicated(mesh)

        @jax.jit
        def stack(*trees: Any) -> Any:
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

        self._state = stack(*(begin for begin, _, _ in brought))
        self._data = stack(*(data for _, data, _ in brought))
        self._orders = [order for _, _, order in brought]
        self._rows: list[Any] = [None] * self.places
        self._seeds = np.stack([random_keys.argument(order.seed) for order in self._orders])
        self._entered.clear()
        together = jax.vmap(
            several_steps(experiment, Share(over=parallel.batched(mesh))), (0, 0, 0, 0, None, 0)
        )

        def step(state, data, orders, offset, count, seed, going):
            new, sums = together(state, data, orders, offset, count, seed)

            def kept(after: jax.Array, before: jax.Array) -> jax.Array:
                return jnp.where(going.reshape(-1, *(1,) * (after.ndim - 1)), after, before)

            each = (jax.tree.map(itemgetter(i), sums) for i in range(self.places))
            return jax.tree.map(kept, new, state), list(each)

        self._dispatch = compilation.Once(
            jax.jit(step, donate_argnums=0, out_shardings=alike),
            "the training step of lanes",
            (*SEVERAL, "going"),
            compilation.options(deterministic=experiment.config.train.deterministic),
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

    def _run(self, going: list[int], at: int, count: int) -> tuple[int, list[metrics.Sums]]:
        """Run steps in the lanes ``going``; the orders may hold fewer than ``count``."""
        ahead = min(count, self._orders[0].steps_ahead(at))
        located = [order.locate(at) for order in self._orders]
        rows = [rows for rows, _ in located]
        if not all(a is b for a, b in zip(rows, self._rows, strict=True)):
            assert self._programs is not None
            alike = parallel.replicated(self._programs.mesh)
            self._rows, self._placed = rows, parallel.place(np.stack(rows), alike)
        offsets = np.array([offset for _, offset in located], np.int32)
        mask = np.isin(np.arange(self.places), going)
        self._state, sums = self._dispatch(
            self._state, self._data, self._placed, offsets, np.int32(ahead), self._seeds, mask
        )
        return ahead, sums
