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
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import config as configs
from cnn_jax.config import Config
from cnn_jax.data.resident import Resident, Shuffled
from cnn_jax.runs.run import train_and_evaluate
from cnn_jax.runs.stacked import Lanes
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.clock import Clock
from cnn_jax.train.evaluation import OnDevices
from cnn_jax.train.setup import Setup
from cnn_jax.train.state import TrainState, Variables
from cnn_jax.train.stopping import StoppedError, signals
from cnn_jax.train.strategies import Strategy


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
    for config in configs_of[:1]:
        if config.train.strategy != "jit":
            raise BadInputError("lanes: train.strategy has to be jit")
        if config.train.flow_every is not None:
            raise BadInputError("lanes: train.flow_every has to be unset")
    lanes = Lanes(runs, places)
    ended: dict[int, dict[str, Any] | Exception] = {}

    def train(place: int, config: Config, folder: Path) -> None:
        try:
            lane = Lane(lanes, place)
            ended[place] = train_and_evaluate(config, folder, strategy=lane.join)
        except Exception as error:
            ended[place] = error
        finally:
            lanes.leave(place)

    threads = [
        threading.Thread(target=train, args=(place, *run), daemon=True)
        for place, run in runs.items()
    ]
    with signals() as received:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1)
                lanes.stopping = bool(received)
    if received:
        raise StoppedError(received[0])
    return ended


class Lane(Strategy):
    """The programs as one lane sees them: those of all lanes, in its place of the stacked state."""

    def __init__(self, lanes: Lanes, place: int):
        # The parent's constructor compiles; here the lanes do, once for all.
        self._lanes, self._place = lanes, place

    def join(self, setup: Setup) -> "Lane":
        """Return the lane as what computes ``setup``, which all lanes share but for its seed."""
        self._shared = self._lanes.programs(setup)
        self.mesh, self.layout = self._shared.mesh, self._shared.layout
        self.record = self._shared.record | {"lanes": self._lanes.places}
        return self

    def evaluate(
        self, variables: Variables, data: OnDevices, predicted: list[np.ndarray] | None = None
    ) -> dict[str, Any]:
        """Evaluate a part, one lane after the other, so that one compiles for all."""
        with self._lanes.turn:
            return self._shared.evaluate(variables, data, predicted)

    def begin(self, seed: int, given: Variables | None = None) -> TrainState:
        """Return the state before the first step."""
        with self._lanes.turn:
            return self._shared.begin(seed, given)

    def estimate(self, variables: Variables, data: OnDevices, seed: int) -> Variables:
        """Estimate statistics, one lane after the other."""
        with self._lanes.turn:
            return self._shared.estimate(variables, data, seed)

    def stepping(self, setup: Setup, data: OnDevices, clock: Clock) -> "InLane":
        """Return how the lane's state is trained."""
        assert isinstance(data, Resident)
        shuffled = Shuffled(setup.seed, len(data), setup.batch_size)
        return InLane(self._lanes, self._place, data, shuffled)

    def stop_agreed(self, told: bool, dispatches: int) -> bool:
        """Return whether the process was told to stop."""
        return self._lanes.stopping


class InLane:
    """A lane's training: its state is a place of the stacked one."""

    def __init__(self, lanes: Lanes, place: int, data: Resident, order: Shuffled):
        self._lanes, self._place, self._data, self._order = lanes, place, data, order

    def enter(self, state: TrainState) -> int:
        """Bring the state to the others; return its place."""
        self._lanes.enter(self._place, state, self._data, self._order)
        return self._place

    def view(self, state: int) -> TrainState:
        """Return a copy of the lane's state."""
        return self._lanes.view(state)

    def clear(self, state: int) -> int:
        """Empty the lane's window."""
        return self._lanes.clear(state)

    def run(self, state: int, at: int, count: int) -> tuple[int, Any]:
        """Run ``count`` steps, each dispatch together with the other lanes."""
        done, last = 0, None
        while done < count:
            ahead, last = self._lanes.run(self._place, at + done, count - done)
            done += ahead
        return state, last

    def measure_flow(self, state: int, at: int) -> Any:
        """Lanes are refused where the gradient flow is asked for."""
        raise AssertionError(f"lanes measure no gradient flow, asked at step {at}")

    def close(self) -> None:
        """Ask for no more steps."""
        self._lanes.leave(self._place)
