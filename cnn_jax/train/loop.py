"""The loop: runs steps, evaluates, logs and saves at their times, stops when told to."""

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train import metrics
from cnn_jax.train.checkpoint import Checkpoints
from cnn_jax.train.clock import COMPILE, COMPUTE, Clock
from cnn_jax.train.flow import Flow
from cnn_jax.train.logging import TRAIN, RunLog
from cnn_jax.train.state import TrainState
from cnn_jax.train.step import all_finite

# (state, its step, how many steps) -> (state, the last step's metrics); the state is in the form
# that the strategy keeps it in.
RunSteps = Callable[[Any, int, int], tuple[Any, metrics.Sums]]
MeasureFlow = Callable[[Any, int], Flow]  # (state, its step) -> norms of the update to come


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
    profile: tuple[int, int] | None = None  # steps at which a trace starts and stops
    phases: tuple[int, ...] = ()  # steps from which on another program trains
    flow: int | None = None  # steps between measurements of the gradient flow

    def flows(self, step: int) -> bool:
        """Return whether the gradient flow is measured before the update after ``step`` others."""
        return self.flow is not None and step % self.flow == 0

    def until_next(self, step: int) -> int:
        """Return how many steps one call may run from ``step`` on without passing an event."""
        events = [self.total - step]
        events += [every - step % every for every in (self.log, self.evaluate, self.checkpoint)]
        events += [at - step for at in (*(self.profile or ()), *self.phases) if at > step]
        events += [self.flow - step % self.flow] if self.flow is not None else []
        return min(*events, self.per_call)

    def due(self, step: int, every: int) -> bool:
        """Return whether an event is due after ``step`` steps; all of them are at the end."""
        return step % every == 0 or step == self.total


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a finished loop hands back."""

    state: TrainState
    measured: dict[str, dict[str, Any]]  # by split, at the last step, if this process evaluated it
    seconds: float  # spent in the loop, over all processes that worked on the run


def fit(
    state: Any,
    run_steps: RunSteps,
    *,
    measure_flow: MeasureFlow,
    view: Callable[[Any], TrainState],
    clear: Callable[[Any], Any],
    step: int,
    times: Times,
    evaluate: Callable[[TrainState], dict[str, dict[str, Any]]],
    conclude: Callable[[TrainState], TrainState],
    learning_rate: Callable[[int, TrainState], float],
    classes: int,
    checkpoints: Checkpoints,
    log: RunLog,
    clock: Clock,
    stop_agreed: Callable[[bool, int], bool],
    trace_folder: Path,
    seconds: float = 0.0,
    about: Mapping[str, Any],
) -> Fitted:
    """Train from ``step`` to ``times.total``.

    Args:
        state: before ``step``, in the strategy's form; its buffers are given up.
        run_steps: runs so many steps in one dispatch.
        measure_flow: called every ``times.flow`` steps.
        view: the strategy's form -> the state itself.
        clear: the strategy's form -> the same with an empty window.
        step: how many updates ``state`` has seen.
        times: when what happens.
        evaluate: the metrics of the validation part, by split; empty where there is none.
        conclude: what becomes of the state after the last step, before it is evaluated and saved.
        learning_rate: (step, state) -> rate, for the log.
        classes: of the data, for the metrics.
        checkpoints: where states are kept.
        log: where metrics go.
        clock: where the time goes.
        stop_agreed: (whether this process was told to stop, how many dispatches it made) ->
            whether all processes stop now.
        trace_folder: where a profile is written.
        seconds: spent by earlier processes.
        about: the run, for the checkpoints' notes.

    Raises:
        DivergedError: the loss stopped being finite; the last good checkpoint is kept.
        StoppedError: after SIGTERM or SIGINT, once the state is saved.
    """
    finite = jax.jit(all_finite)
    measured: dict[str, dict[str, Any]] = {}
    last_state: TrainState | None = None

    def save(now: TrainState) -> None:
        if int(now.bad_step) >= 0 or not finite(now.variables):
            bad = int(now.bad_step) if int(now.bad_step) >= 0 else step
            raise DivergedError(_diverged(bad, checkpoints))
        notes = {"seconds": seconds + clock.total(), "logs": log.marks(), **about}
        checkpoints.save(step, now, notes, next(iter(measured.values()), None))

    with signals() as received, _Trace(times.profile, trace_folder) as trace:
        before: metrics.Sums | None = None
        dispatches, flows = 0, []
        while step < times.total:
            trace.at(step)
            count = times.until_next(step)
            with clock.section(COMPUTE if dispatches else COMPILE):
                if times.flows(step):
                    flows.append((step, measure_flow(state, step)))
                state, last = run_steps(state, step, count)
                if before is not None:  # one call runs while the next is dispatched, no more
                    before.loss.block_until_ready()
            if before is not None:
                log.progress(step, float(before.loss) / int(before.examples))
            before, step, dispatches = last, step + count, dispatches + 1
            logging, evaluating = times.due(step, times.log), times.due(step, times.evaluate)
            # Asked once: who stops has to have saved.
            stopping = stop_agreed(bool(received), dispatches)
            saving = times.due(step, times.checkpoint) or stopping
            if not (logging or evaluating or saving):
                continue
            with clock.section(COMPUTE):
                last.loss.block_until_ready()
            log.progress(step, float(last.loss) / int(last.examples))
            before = None
            now = view(state)
            if int(now.bad_step) >= 0:
                raise DivergedError(_diverged(int(now.bad_step), checkpoints))
            log.write_flow(flows)
            flows.clear()
            if logging:
                line = metrics.means([now.window], classes)
                line["learning_rate"] = learning_rate(step - 1, now)
                log.write(step, TRAIN, line)
                state = clear(state)
                now = view(state)
            if step == times.total:
                now = last_state = conclude(now)
            measured = evaluate(now) if evaluating else {}
            for split, line in measured.items():
                log.write(step, split, line)
            if saving:
                save(now)
            if evaluating or saving:
                log.pause()
            if stopping:
                raise StoppedError(received[0] if received else signal.SIGTERM)
        if received:  # after the last step was saved
            raise StoppedError(received[0])
    state = view(state) if last_state is None else last_state
    return Fitted(state, measured, seconds + clock.total())


class _Trace:
    """Profiles the steps from START to STOP, if they are given."""

    def __init__(self, steps: tuple[int, int] | None, folder: Path):
        self._steps, self._folder, self._on = steps, folder, False

    def __enter__(self) -> "_Trace":
        return self

    def at(self, step: int) -> None:
        """Start or stop before the dispatch of ``step``."""
        if self._steps and not self._on and self._steps[0] <= step < self._steps[1]:
            jax.profiler.start_trace(str(self._folder))
            self._on = True
        elif self._steps and self._on and step >= self._steps[1]:
            self._stop()

    def _stop(self) -> None:
        if self._on:
            jax.profiler.stop_trace()
            self._on = False

    def __exit__(self, *exception: object) -> None:
        self._stop()


def _diverged(step: int, checkpoints: Checkpoints) -> str:
    kept = checkpoints.latest()
    what = "no checkpoint was made yet" if kept is None else f"checkpoint {kept} is kept"
    return f"the loss is not finite at step {step} ({what}); lower optim.learning_rate"


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying of them; the loop acts between two calls."""
    received: list[int] = []

    def note(signum: int, frame: Any) -> None:
        received.append(signum)

    old: dict[int, Any] = {}
    # With several processes SIGTERM is JAX's, which tells the others of it.
    own = (signal.SIGTERM, signal.SIGINT) if jax.process_count() == 1 else ()
    with contextlib.suppress(ValueError):  # only the main thread may set handlers
        for signum in own:
            old[signum] = signal.signal(signum, note)
    try:
        yield received
    finally:
        for signum, handler in old.items():
            signal.signal(signum, handler)
