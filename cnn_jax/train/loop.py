"""The loop: runs steps, evaluates, logs and saves at their times, stops when told to."""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from cnn_jax.errors import BadInputError
from cnn_jax.train import metrics
from cnn_jax.train.checkpoint import Checkpoints
from cnn_jax.train.logging import TRAIN, VALIDATION, RunLog
from cnn_jax.train.state import TrainState
from cnn_jax.train.step import all_finite

# (state, its step, how many steps) -> (state, the last step's metrics)
RunSteps = Callable[[TrainState, int, int], tuple[TrainState, metrics.Sums]]


class DivergedError(BadInputError):
    """The loss or the parameters are not finite."""


class StoppedError(Exception):
    """A signal asked the run to stop; its state is saved."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@dataclasses.dataclass(frozen=True)
class Times:
    """Steps between events, and of the whole run."""

    total: int
    log: int
    evaluate: int
    checkpoint: int
    per_call: int  # steps a dispatch

    def until_next(self, step: int) -> int:
        """Return how many steps one call may run from ``step`` on without passing an event."""
        events = [self.total - step]
        events += [every - step % every for every in (self.log, self.evaluate, self.checkpoint)]
        return min(*events, self.per_call)

    def due(self, step: int, every: int) -> bool:
        """Return whether an event is due after ``step`` steps; all of them are at the end."""
        return step % every == 0 or step == self.total


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a finished loop hands back."""

    state: TrainState
    validation: dict[str, Any] | None  # at the last step, if this process evaluated it
    seconds: float  # spent in the loop, over all processes that worked on the run


def fit(
    state: TrainState,
    run_steps: RunSteps,
    *,
    step: int,
    times: Times,
    evaluate: Callable[[TrainState], dict[str, Any]] | None,
    learning_rate: Callable[[int], Any],
    classes: int,
    checkpoints: Checkpoints,
    log: RunLog,
    seconds: float = 0.0,
) -> Fitted:
    """Train from ``step`` to ``times.total``.

    Args:
        state: before ``step``; its buffers are given up.
        run_steps: runs so many steps in one dispatch.
        step: how many updates ``state`` has seen.
        times: when what happens.
        evaluate: the validation's metrics, or None where there is no validation part.
        learning_rate: step -> rate, for the log.
        classes: of the data, for the metrics.
        checkpoints: where states are kept.
        log: where metrics go.
        seconds: spent by earlier processes.

    Raises:
        DivergedError: the loss stopped being finite; the last good checkpoint is kept.
        StoppedError: after SIGTERM or SIGINT, once the state is saved.
    """
    started = time.perf_counter() - seconds
    finite = jax.jit(all_finite)
    validation: dict[str, Any] | None = None

    def save(measured: dict[str, Any] | None) -> None:
        if int(state.bad_step) >= 0 or not finite(state.variables):
            bad = int(state.bad_step) if int(state.bad_step) >= 0 else step
            raise DivergedError(_diverged(bad, checkpoints))
        notes = {"seconds": time.perf_counter() - started}
        checkpoints.save(step, state, notes, measured)

    with _signals() as received:
        before: metrics.Sums | None = None
        while step < times.total:
            count = times.until_next(step)
            state, last = run_steps(state, step, count)
            if before is not None:  # one call runs while the next is dispatched, no more
                before.loss.block_until_ready()
                log.progress(step, float(before.loss) / int(before.examples))
            before, step = last, step + count
            events = times.due(step, times.log), times.due(step, times.evaluate)
            stopping = bool(received)  # asked once: who stops has to have saved
            saving = times.due(step, times.checkpoint) or stopping
            if not (any(events) or saving):
                continue
            log.progress(step, float(last.loss) / int(last.examples))
            before = None
            if int(state.bad_step) >= 0:
                raise DivergedError(_diverged(int(state.bad_step), checkpoints))
            if events[0]:
                line = metrics.means([state.window], classes)
                line["learning_rate"] = float(learning_rate(step - 1))
                log.write(step, TRAIN, line)
                state = state.replace(window=state.window.cleared())
            validation = None
            if events[1] and evaluate is not None:
                validation = evaluate(state)
                log.write(step, VALIDATION, validation)
            if saving:
                save(validation)
            if events[1] or saving:
                log.pause()
            if stopping:
                raise StoppedError(received[0])
        if received:  # after the last step was saved
            raise StoppedError(received[0])
    return Fitted(state, validation, time.perf_counter() - started)


def _diverged(step: int, checkpoints: Checkpoints) -> str:
    kept = checkpoints.latest()
    what = "no checkpoint was made yet" if kept is None else f"checkpoint {kept} is kept"
    return f"the loss is not finite at step {step} ({what}); lower optim.learning_rate"


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying of them; the loop acts between two calls."""
    received: list[int] = []

    def note(signum: int, frame: Any) -> None:
        received.append(signum)

    old: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # only the main thread may set handlers
        for signum in (signal.SIGTERM, signal.SIGINT):
            old[signum] = signal.signal(signum, note)
    try:
        yield received
    finally:
        for signum, handler in old.items():
            signal.signal(signum, handler)
